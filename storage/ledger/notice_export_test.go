package ledger

import (
	"context"
	"time"
)

// TakeQueries returns the queries by which Take finds what is due.
func (l *Ledger) TakeQueries(ctx context.Context, channel string, now time.Time) (due int, next time.Time, queries []Recorded, err error) {
	rec := &recorder{executor: l.on}
	s := session{on: rec, d: l.d}
	if err := l.inheritNotices(ctx, s, channel, l.Instance(), now); err != nil {
		return 0, time.Time{}, nil, err
	}
	ids, err := dueNotices(ctx, s, channel, now, 50)
	if err != nil {
		return 0, time.Time{}, nil, err
	}
	next, err = nextDue(ctx, s, channel, ids)
	return len(ids), next, rec.list, err
}
