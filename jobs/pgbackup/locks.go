package pgbackup

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg"
)

// lockPoll is how often the server is asked who keeps pg_dump waiting.
const lockPoll = 250 * time.Millisecond

// blocking asks who holds what our sessions wait for. The view is cached for
// the length of a transaction unless that is cleared.
const blocking = `SELECT format('process %s (user %s, application %s, %s for %s s)', b.pid, coalesce(b.usename, '?'),
		coalesce(nullif(b.application_name, ''), '?'), coalesce(b.state, '?'), extract(epoch FROM clock_timestamp() - coalesce(b.state_change, b.xact_start))::int)
	FROM pg_stat_activity a, unnest(pg_blocking_pids(a.pid)) blocker JOIN pg_stat_activity b ON b.pid = blocker
	WHERE a.application_name = $1 AND a.pid <> pg_backend_pid() ORDER BY b.xact_start LIMIT 3`

// watchLocks waits until pg_dump has its locks, and says for whom it waits.
func (d *dumping) watchLocks(ctx context.Context) error {
	ticker := time.NewTicker(lockPoll)
	defer ticker.Stop()
	said := ""
	for {
		select {
		case <-d.begun:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticker.C:
		}
		if _, err := d.snap.Exec(ctx, "SELECT pg_stat_clear_snapshot()"); err != nil {
			return &lostError{cause: err}
		}
		who, err := pg.Texts(ctx, d.snap.Conn, blocking, d.plan.application)
		if err != nil {
			return &lostError{cause: err}
		}
		if len(who) == 0 {
			continue
		}
		d.blocker = d.env.OneLine(fmt.Sprint(who[0]))
		if process, _, _ := strings.Cut(d.blocker, ","); process != said {
			said = process
			d.env.Printf("%s: pg_dump waits for a lock that %s holds", jobs.OneLine(d.source.name), d.blocker)
		}
	}
}
