package pgindex

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg"
)

// codeDeadlock is the code of an error that ended a deadlock.
const codeDeadlock = "40P01"

// locked does something that needs the lock of a table. It tries the lock first,
// for a short time, because what waits for it keeps vacuum and other
// definitions waiting; and it tries again when a lock was in the way.
func (r *run) locked(ctx context.Context, t table, do func(context.Context) error) error {
	o := r.job.options
	for attempt := 1; ; attempt++ {
		err := r.tryLock(ctx, t)
		if err == nil {
			err = do(ctx)
		}
		code := pg.Code(err)
		if err == nil || ctx.Err() != nil || r.session.broken() || code != pg.CodeLocked && code != codeDeadlock {
			return err
		}
		if attempt == o.Attempts {
			return jobs.WithHint(fmt.Errorf("%w (%d tries)", err, attempt), "end what holds the lock or the old transaction, or raise lock_timeout, wait_timeout or attempts")
		}
		r.env.Printf("%s is locked; the next try is in %s", jobs.OneLine(t.Schema+"."+t.Name), o.Pause)
		if err := pause(ctx, o.Pause.Std()); err != nil {
			return err
		}
	}
}

// tryLock takes the lock that a build needs and gives it back.
func (r *run) tryLock(ctx context.Context, t table) error {
	c := r.session.work
	if _, err := c.Exec(ctx, "BEGIN"); err != nil {
		return err
	}
	_, err := c.Exec(ctx, "SELECT set_config('lock_timeout', $1, true)", pg.Milliseconds(r.job.options.LockTimeout.Std()))
	if err == nil {
		err = r.session.exec(ctx, "LOCK TABLE ONLY "+pg.Name(t.Schema, t.Name)+" IN SHARE UPDATE EXCLUSIVE MODE", r.watch(jobs.OneLine(t.Schema+"."+t.Name)))
		if pg.Code(err) == codeNoTable { // a materialized view, which cannot be locked by hand
			err = nil
		}
	}
	if !c.IsClosed() {
		_, failed := c.Exec(context.WithoutCancel(ctx), "ROLLBACK")
		err = errors.Join(err, failed)
	}
	return err
}

// codeNoTable is the code of an error about an object of another kind.
const codeNoTable = "42809"

// watch returns what is asked from time to time while an index is built: how far
// it is, and who keeps it waiting.
func (r *run) watch(title string) func(context.Context) error {
	phase := ""
	return func(ctx context.Context) error {
		c := r.session.control
		if c.Server.Number >= 120000 {
			all, err := pg.Rows[struct {
				Phase                           string
				BlocksDone, Blocks, Done, Total int64
			}](ctx, c, `SELECT coalesce(phase, ''), coalesce(blocks_done, 0), coalesce(blocks_total, 0), coalesce(tuples_done, 0), coalesce(tuples_total, 0)
				FROM pg_stat_progress_create_index WHERE pid = $1`, r.session.process)
			if err != nil {
				return fmt.Errorf("ask how far the build is: %w", err)
			}
			for _, p := range all {
				if p.Phase != phase {
					phase = p.Phase
					r.env.Printf("%s: %s", title, phase)
				}
				if p.Total > 0 {
					r.env.Progress(p.Done, p.Total, "rows")
				} else if p.Blocks > 0 {
					r.env.Progress(p.BlocksDone, p.Blocks, "blocks")
				}
			}
		}
		return r.tellBlocker(ctx, title)
	}
}

// tellBlocker says who keeps the build waiting, once for each.
func (r *run) tellBlocker(ctx context.Context, title string) error {
	who, err := pg.Texts(ctx, r.session.control, `SELECT format('process %s (user %s, application %s, %s)', b.pid, coalesce(b.usename, '?'),
			coalesce(nullif(b.application_name, ''), '?'), coalesce(b.state, '?'))
		FROM unnest(pg_blocking_pids($1)) blocker JOIN pg_stat_activity b ON b.pid = blocker ORDER BY b.xact_start LIMIT 1`, r.session.process)
	if err != nil {
		return fmt.Errorf("ask who keeps the build waiting: %w", err)
	}
	if text := strings.Join(who, ""); text != r.said {
		r.said = text
		if text != "" {
			r.env.Printf("%s waits for %s", title, r.env.OneLine(text))
		}
	}
	return nil
}
