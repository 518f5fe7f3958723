package pgvacuum

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg"
)

const (
	// workName and controlName begin what our sessions are called on the
	// server; by the first a later run knows what a dead one left at work.
	workName    = "upkeep vacuum work "
	controlName = "upkeep vacuum control "
	// advisory is the key of the lock that lets one host at a time vacuum a
	// database: "upkeep v" in ASCII.
	advisory = 0x75706b6565702076
)

// session are our two connections to one database: one works, the other holds
// the advisory lock, looks at the work and can cancel it.
type session struct {
	env     *jobs.Env
	work    *pg.Conn
	control *pg.Conn
	// process is the server process of work.
	process int32
	heard   hearing
}

// hearing collects warnings, which come in the goroutine that waits for a
// statement.
type hearing struct {
	mu       sync.Mutex
	warnings []pg.Notice
}

func (h *hearing) notice(n pg.Notice) {
	if n.Severity != "WARNING" {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.warnings = append(h.warnings, n)
}

// take returns what was heard since the last time.
func (h *hearing) take() []pg.Notice {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := h.warnings
	h.warnings = nil
	return out
}

// openSession connects to a database for changing it. It takes the advisory
// lock and ends what a dead run left at work there.
func (j *Job) openSession(ctx context.Context, env *jobs.Env, d *database) (_ *session, err error) {
	s := &session{env: env}
	defer func() {
		if err != nil {
			err = errors.Join(pg.Advise(err), s.close(ctx))
		}
	}()
	if s.control, err = pg.Connect(ctx, d.address, pg.Application(controlName, env.RunID)); err != nil {
		return nil, err
	}
	if s.control.Server.Standby {
		return nil, standbyError(s.control.Server)
	}
	if err := apply(ctx, s.control, map[string]string{"lock_timeout": sizeLockTimeout, "statement_timeout": "0", "idle_session_timeout": "0"}); err != nil {
		return nil, err
	}
	if err := s.lock(ctx, d); err != nil {
		return nil, err
	}
	if err := s.sweep(ctx, d); err != nil {
		return nil, err
	}
	if s.work, err = pg.ConnectNoticing(ctx, d.address, pg.Application(workName, env.RunID), s.heard.notice); err != nil {
		return nil, err
	}
	if err := apply(ctx, s.work, j.workSettings()); err != nil {
		return nil, err
	}
	if err := s.work.QueryRow(ctx, "SELECT pg_backend_pid()").Scan(&s.process); err != nil {
		return nil, fmt.Errorf("ask which process works: %w", err)
	}
	return s, nil
}

// keepalive lets the server notice a client whose host died within about two
// minutes, and PostgreSQL 14 and later one that died within seconds, also while
// a statement is at work.
//
//nolint:gochecknoglobals // a constant that Go cannot spell
var keepalive = map[string]string{
	"tcp_keepalives_idle": "60", "tcp_keepalives_interval": "15", "tcp_keepalives_count": "4",
	"client_connection_check_interval": "5000",
}

func (j *Job) workSettings() map[string]string {
	o := j.options
	out := map[string]string{
		"statement_timeout": "0", "idle_session_timeout": "0", "transaction_timeout": "0",
		"lock_timeout": pg.Milliseconds(o.LockTimeout.Std()),
		// Expressions of indexes run with the rights of the tables' owners, as
		// under autovacuum.
		"search_path":       "",
		"vacuum_cost_delay": strconv.FormatFloat(float64(o.CostDelay.Std())/float64(time.Millisecond), 'f', -1, 64),
	}
	if o.CostLimit > 0 {
		out["vacuum_cost_limit"] = strconv.Itoa(o.CostLimit)
	}
	if o.MaintenanceMem > 0 {
		out["maintenance_work_mem"] = strconv.FormatInt(o.MaintenanceMem.Bytes()>>10, 10)
	}
	return out
}

// apply sets what the server knows of the settings, and keepalive.
func apply(ctx context.Context, c *pg.Conn, values map[string]string) error {
	// What the server's system cannot do is no reason to stop.
	if err := c.Set(ctx, keepalive); err != nil && pg.Code(err) == "" {
		return err
	}
	return c.Set(ctx, values)
}

// busyError says that another upkeep vacuums the database.
type busyError struct{ database, who string }

func (e *busyError) Error() string {
	return fmt.Sprintf("another upkeep vacuums database %s now: %s", e.database, e.who)
}

// Hint says what to do.
func (e *busyError) Hint() string {
	return "let one host vacuum a database, or give them schedules that do not meet"
}

// lock takes the advisory lock of the database for the life of the control
// connection.
func (s *session) lock(ctx context.Context, d *database) error {
	var taken bool
	if err := s.control.QueryRow(ctx, "SELECT pg_try_advisory_lock($1)", int64(advisory)).Scan(&taken); err != nil {
		return fmt.Errorf("take the advisory lock: %w", err)
	}
	if taken {
		return nil
	}
	who, err := pg.Texts(ctx, s.control, `SELECT `+person+` FROM pg_locks l JOIN pg_stat_activity a USING (pid)
		WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND a.datname = current_database()
			AND (l.classid::bigint << 32 | l.objid::bigint) = $1`, int64(advisory))
	if err != nil {
		return fmt.Errorf("ask who holds the advisory lock: %w", err)
	}
	holder := "its session ended meanwhile"
	if len(who) > 0 {
		holder = s.env.OneLine(who[0])
	}
	return &busyError{database: d.name, who: holder}
}

// sweep ends what a dead run left at work in the database.
func (s *session) sweep(ctx context.Context, d *database) error {
	left, err := pg.Texts(ctx, s.control, "SELECT "+person+pg.Abandoned(workName))
	if err != nil {
		return fmt.Errorf("look for what a dead run left at work: %w", err)
	}
	if len(left) == 0 {
		return nil
	}
	what := fmt.Sprintf("end what a dead run left at work in database %s: %s", d.name, s.env.OneLine(left[0]))
	return s.env.Effect(ctx, what, func(ctx context.Context) error {
		return s.control.EndAbandoned(ctx, workName)
	})
}

// close ends both connections.
func (s *session) close(ctx context.Context) error {
	var errs []error
	for _, c := range []*pg.Conn{s.work, s.control} {
		if c != nil && !c.IsClosed() {
			errs = append(errs, c.Hangup(ctx))
		}
	}
	return errors.Join(errs...)
}
