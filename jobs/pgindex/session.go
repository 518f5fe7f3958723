package pgindex

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg"
)

const (
	// workName and controlName begin what our sessions are called on the
	// server; by the first a later run knows what a dead one left at work.
	workName    = "upkeep index work "
	controlName = "upkeep index control "
	// advisory is the key of the lock that lets one host at a time build in a
	// database: "upkeep i" in ASCII.
	advisory = 0x75706b6565702069
	// cancelTime bounds how long a statement may take to end that is canceled.
	cancelTime = 10 * time.Second
	// pollTime is how often the server is asked how far it is.
	pollTime = 500 * time.Millisecond
)

// session are our two connections: one works, the other holds the advisory
// lock, looks at the work and can cancel it.
type session struct {
	work, control *pg.Conn
	// process is the server process of work.
	process int32
}

// refused is an error of a safety rail.
func refused(rail, format string, args ...any) error {
	return &jobs.RefusedError{Rail: rail, Why: fmt.Sprintf(format, args...)}
}

// connect connects to the database, as a server that can be changed.
func (j *Job) connect(ctx context.Context, env *jobs.Env, kind string) (_ *pg.Conn, err error) {
	address, err := pg.ParseAddress(j.database.URL)
	if err != nil {
		return nil, err
	}
	c, err := pg.Connect(ctx, address, pg.Application(kind, env.RunID))
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Hangup(ctx))
		}
	}()
	if c.Server.Standby {
		return nil, jobs.WithHint(refused("standby", "%s is a standby, where nothing can be built", c.Server.Name()), "name the primary's address in the database's url")
	}
	if _, err := c.Pooled(ctx); err != nil {
		if pooler, ok := errors.AsType[*pg.PoolerError](err); ok {
			return nil, jobs.WithHint(refused("pooler", "%s", pooler), pooler.Hint())
		}
		return nil, err
	}
	return c, nil
}

// open makes the connections, takes the advisory lock, and ends what a dead run
// left at work.
func (j *Job) open(ctx context.Context, env *jobs.Env) (_ *session, err error) {
	s := &session{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close(ctx))
		}
	}()
	if s.control, err = j.connect(ctx, env, controlName); err != nil {
		return nil, err
	}
	if err := s.control.Set(ctx, map[string]string{"statement_timeout": "0", "idle_session_timeout": "0"}); err != nil {
		return nil, err
	}
	var taken bool
	if err := s.control.QueryRow(ctx, "SELECT pg_try_advisory_lock($1)", int64(advisory)).Scan(&taken); err != nil {
		return nil, fmt.Errorf("take the advisory lock: %w", err)
	}
	if !taken {
		return nil, jobs.WithHint(errors.New("another upkeep builds indexes in this database now"), "let one host build indexes of a database, or give them schedules that do not meet")
	}
	if err := s.sweep(ctx, env); err != nil {
		return nil, err
	}
	if s.work, err = j.connect(ctx, env, workName); err != nil {
		return nil, err
	}
	settings := map[string]string{
		"statement_timeout": "0", "idle_session_timeout": "0", "transaction_timeout": "0",
		"lock_timeout": pg.Milliseconds(j.options.WaitTimeout.Std()),
		// The server notices within seconds when we died at work (14 and later).
		"client_connection_check_interval": "5000", "tcp_keepalives_idle": "60", "tcp_keepalives_interval": "15", "tcp_keepalives_count": "4",
	}
	if j.options.Memory > 0 {
		settings["maintenance_work_mem"] = strconv.FormatInt(j.options.Memory.Bytes()>>10, 10)
	}
	if err := s.work.Set(ctx, settings); err != nil {
		return nil, err
	}
	return s, s.work.QueryRow(ctx, "SELECT pg_backend_pid()").Scan(&s.process)
}

// sweep ends what a dead run left at work in the database.
func (s *session) sweep(ctx context.Context, env *jobs.Env) error {
	left, err := pg.Texts(ctx, s.control, "SELECT a.pid::text"+pg.Abandoned(workName))
	if err != nil {
		return fmt.Errorf("look for what a dead run left at work: %w", err)
	}
	if len(left) == 0 {
		return nil
	}
	return env.Effect(ctx, "end the build that a dead run left at work, process "+left[0], func(ctx context.Context) error {
		return s.control.EndAbandoned(ctx, workName)
	})
}

// pause waits.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

// close gives back the advisory lock, which the end of a connection does only
// after a moment, and ends both connections.
func (s *session) close(ctx context.Context) error {
	var errs []error
	if s.control != nil && !s.control.IsClosed() {
		ctx, end := context.WithTimeout(context.WithoutCancel(ctx), cancelTime)
		defer end()
		_, err := s.control.Exec(ctx, "SELECT pg_advisory_unlock_all()")
		errs = append(errs, err)
	}
	for _, c := range []*pg.Conn{s.work, s.control} {
		if c != nil && !c.IsClosed() {
			errs = append(errs, c.Hangup(ctx))
		}
	}
	return errors.Join(errs...)
}

// exec runs a statement that may take long, and tells watch from time to time
// that it goes on. When ctx ends the server is asked to cancel the statement,
// and waited for a moment.
func (s *session) exec(ctx context.Context, statement string, watch func(ctx context.Context) error) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	done := make(chan error, 1)
	working, abort := context.WithCancel(context.WithoutCancel(ctx))
	defer abort()
	go func() {
		done <- s.work.ExecOne(working, statement)
	}()
	ticker := time.NewTicker(pollTime)
	defer ticker.Stop()
	for {
		select {
		case err := <-done:
			return err
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), s.cancel(ctx, done, abort))
		case <-ticker.C:
			if err := watch(ctx); err != nil && ctx.Err() == nil {
				return errors.Join(err, s.cancel(ctx, done, abort))
			}
		}
	}
}

// cancel ends the statement at work. Its error says that the server did not.
func (s *session) cancel(ctx context.Context, done <-chan error, abort func()) error {
	ctx, end := context.WithTimeout(context.WithoutCancel(ctx), cancelTime)
	defer end()
	if !s.control.IsClosed() {
		// When it fails, the connection is cut below.
		_, _ = pg.Texts(ctx, s.control, "SELECT pg_cancel_backend($1)::text", s.process)
	}
	select {
	case err := <-done:
		if pg.Code(err) == pg.CodeCanceled {
			return nil
		}
		return err
	case <-ctx.Done():
		abort()
		return errors.Join(errors.New("the server did not cancel the statement; its connection was cut"), <-done)
	}
}
