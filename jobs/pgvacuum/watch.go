package pgvacuum

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ghosteam/upkeep/jobs/internal/pg"
)

const (
	// pollTime is how often the server is asked how far a statement is.
	pollTime = 250 * time.Millisecond
	// pollPatience bounds one such question: a busy server may take its time.
	pollPatience = time.Minute
	// cancelPause is how often a statement is asked to end, cancelTime bounds
	// one request, and after stopTime its connection is cut.
	cancelPause = time.Second
	cancelTime  = 5 * time.Second
	stopTime    = 15 * time.Second
)

// errBudget is why a statement was canceled when its time was over.
var errBudget = errors.New("the time budget and its overrun are over")

// errLost says that the control connection was lost, and with it the lock.
var errLost = errors.New("the connection that holds the advisory lock was lost")

// person describes the session a of pg_stat_activity, as far as it may be seen.
// What it says is not among it: that may be a secret.
const person = `format('process %s (user %s, application %s%s, %s%s)', a.pid, coalesce(a.usename, '?'),
	coalesce(nullif(a.application_name, ''), '?'), coalesce(', from ' || host(a.client_addr), ''), coalesce(a.state, a.backend_type, 'state not visible'),
	coalesce(' for ' || extract(epoch FROM clock_timestamp() - coalesce(a.state_change, a.xact_start, a.backend_start))::bigint || ' s', ''))`

// progress asks how far a statement of process $1 is and who it waits for.
// Only columns that all versions have are asked.
const progress = `SELECT coalesce(a.wait_event_type = 'Lock', false), coalesce(v.phase, f.phase, n.phase, ''),
	coalesce(v.heap_blks_total, f.heap_blks_total, n.sample_blks_total, 0), coalesce(v.heap_blks_scanned, f.heap_blks_scanned, n.sample_blks_scanned, 0),
	coalesce(CASE WHEN a.wait_event_type = 'Lock' THEN (SELECT string_agg(` + person + `, ', ') FROM unnest(pg_blocking_pids($1)) k JOIN pg_stat_activity a ON a.pid = k) END, '')
	FROM pg_stat_activity a LEFT JOIN pg_stat_progress_vacuum v ON v.pid = a.pid LEFT JOIN pg_stat_progress_cluster f ON f.pid = a.pid
		LEFT JOIN pg_stat_progress_analyze n ON n.pid = a.pid
	WHERE a.pid = $1`

// glance is how a statement stands.
type glance struct {
	Waits       bool
	Phase       string
	Total, Done int64
	Blocker     string
}

// share is how much of the table was read, 0 to 1.
func (g glance) share() float64 {
	if g.Total <= 0 {
		return 0
	}
	return min(float64(g.Done)/float64(g.Total), 1)
}

// watched is what was seen of a statement.
type watched struct {
	// waited is how long it was seen waiting for locks, and blocker for whom
	// last.
	waited  time.Duration
	blocker string
	// stopped is why we canceled it; nil when we did not.
	stopped error
}

// looking asks how a statement stands, one question at a time, so that a
// server which does not answer keeps nobody from canceling.
type looking struct {
	session *session
	ctx     context.Context //nolint:containedctx // the life of all questions about one statement
	end     context.CancelFunc
	answers chan answer
	// pending tells that a question is under way on the control connection.
	pending bool
}

type answer struct {
	glance glance
	err    error
}

// look begins to look at the statement under way. Ending ctx does not break a
// question off, because that would cost the control connection.
func (s *session) look(ctx context.Context) *looking {
	l := &looking{session: s, answers: make(chan answer, 1)}
	l.ctx, l.end = context.WithCancel(context.WithoutCancel(ctx))
	return l
}

func (l *looking) ask() {
	if l.pending {
		return
	}
	l.pending = true
	go func() {
		g, err := l.session.glance(l.ctx)
		l.answers <- answer{g, err}
	}()
}

// close waits for the question that is under way; with abandon it is broken
// off.
func (l *looking) close(abandon bool) {
	if abandon {
		l.end()
	}
	if l.pending {
		<-l.answers
	}
	l.end()
}

// execute runs a statement on the work connection until it ends, ctx ends or
// the deadline passes (none when it is zero); in the last two cases it is
// canceled. show is told how it stands. In any case nothing is under way on the
// server when it returns, unless the server does not answer any more.
func (s *session) execute(ctx context.Context, statement string, deadline time.Time, show func(glance)) (watched, error) {
	var w watched
	done := make(chan error, 1)
	go func() {
		_, err := s.work.Exec(context.WithoutCancel(ctx), statement)
		done <- err
	}()
	var over <-chan time.Time
	if !deadline.IsZero() {
		timer := time.NewTimer(time.Until(deadline))
		defer timer.Stop()
		over = timer.C
	}
	ticker := time.NewTicker(pollTime)
	defer ticker.Stop()
	l := s.look(ctx)
	defer func() { l.close(ctx.Err() != nil) }()
	last := time.Now()
	for {
		select {
		case err := <-done:
			return w, err
		case <-ctx.Done():
			return s.stop(ctx, l, w, context.Cause(ctx), done)
		case <-over:
			return s.stop(ctx, l, w, errBudget, done)
		case <-ticker.C:
			l.ask()
		case a := <-l.answers:
			l.pending = false
			if a.err != nil {
				return s.stop(ctx, l, w, fmt.Errorf("%w: %w", errLost, a.err), done)
			}
			if a.glance.Waits {
				w.waited += time.Since(last)
			}
			if a.glance.Blocker != "" {
				w.blocker = s.env.OneLine(a.glance.Blocker)
			}
			last = time.Now()
			show(a.glance)
		}
	}
}

// glance asks how the statement stands.
func (s *session) glance(ctx context.Context) (glance, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, pollPatience, errors.New("the server does not answer"))
	defer cancel()
	rows, err := pg.Rows[glance](ctx, s.control, progress, s.process)
	if err != nil || len(rows) == 0 { // without a row the session ended; its own error says why
		return glance{}, err
	}
	return rows[0], nil
}

// stop cancels the statement and waits for its end.
func (s *session) stop(ctx context.Context, l *looking, w watched, cause error, done <-chan error) (watched, error) {
	w.stopped = cause
	ctx, end := context.WithTimeoutCause(context.WithoutCancel(ctx), stopTime, errors.New("the server does not answer"))
	defer end()
	for ctx.Err() == nil {
		s.cancel(ctx, l.pending)
		select {
		case err := <-done:
			return w, err
		case <-ctx.Done():
		case <-time.After(cancelPause):
		}
	}
	// The server notices by itself that nobody waits any more.
	_ = s.work.PgConn().Conn().Close() // its end is what Exec reports
	return w, <-done
}

// cancel asks the server once to end the statement, by the control connection
// or, when that is busy or lost, by a new one.
func (s *session) cancel(ctx context.Context, busy bool) {
	ctx, end := context.WithTimeoutCause(ctx, cancelTime, errors.New("the server does not answer"))
	defer end()
	if !busy && !s.control.IsClosed() {
		if _, err := pg.Texts(ctx, s.control, "SELECT pg_cancel_backend($1)::text", s.process); err == nil {
			return
		}
	}
	_ = s.work.PgConn().CancelRequest(ctx) // it is asked again until the statement ends
}
