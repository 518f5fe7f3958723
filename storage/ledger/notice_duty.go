package ledger

import (
	"context"
	"fmt"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// Supersede settles a notice that its channel is not to be told of.
func (l *Ledger) Supersede(ctx context.Context, notice, why string) error {
	why = clean(why, maxLine)
	return l.settle(ctx, "leave notice "+clean(notice, maxName)+" out", notice, func(ctx context.Context, s session, n heldNotice) error {
		switch n.state {
		case runner.NoticeSuperseded:
			return nil
		case runner.NoticeSent:
			return fmt.Errorf("%w: it was sent", runner.ErrNoticeState)
		default:
			s.owe() // what waits behind it may go
			return n.set(ctx, s, runner.NoticeSuperseded, "ended_at = ?, error = ?", time.Now().UnixMicro(), why)
		}
	})
}
