package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ghosteam/upkeep/runner/retry"
)

const (
	// bellSilence is after how long without a bell the connection is tried: one
	// whose other end is gone looks like a quiet one.
	bellSilence = 15 * time.Second
	// bellAnswer bounds how long the server may take to answer then, and to
	// connect.
	bellAnswer = 5 * time.Second
)

// errMute is the cause of a connection that does not answer.
var errMute = fmt.Errorf("no answer within %s", bellAnswer)

// bellPolicy waits between tries to listen.
func bellPolicy() retry.Policy {
	return retry.Policy{Max: 1 << 30, Backoff: retry.Backoff{Min: 100 * time.Millisecond, Max: 5 * time.Second}}
}

// Listen hears the bells of all nodes until ctx ends, over one connection that
// is made anew when it breaks, with growing waits. Each time it listens it tells
// BellMissed first. hear is called by one goroutine, in the order of the
// commits, and must not block for long. On SQLite Listen returns at once.
func (l *Ledger) Listen(ctx context.Context, hear func(Bell)) {
	if l.d.local {
		return
	}
	for failures := 0; ctx.Err() == nil; {
		err := l.listenOnce(ctx, func(b Bell) {
			failures = 0
			hear(b)
		})
		if ctx.Err() != nil {
			return
		}
		failures++
		if failures == 1 {
			l.o.Log.WarnContext(ctx, "the bells of the other nodes are not heard; what they tell is found later", "error", l.explain(ctx, "listen to the other nodes", err))
		}
		select {
		case <-ctx.Done():
		case <-time.After(bellPolicy().Delay(failures, nil)):
		}
	}
}

// listenOnce listens until its connection breaks.
func (l *Ledger) listenOnce(ctx context.Context, tell func(Bell)) error {
	conn, err := l.bellConnection(ctx)
	if err != nil {
		return err
	}
	defer func() {
		end, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), bellAnswer, errMute)
		defer cancel()
		_ = conn.Close(end)
	}()
	tell(Bell{Kind: BellMissed})
	for {
		waiting, cancel := context.WithTimeout(ctx, bellSilence)
		n, err := conn.WaitForNotification(waiting)
		cancel()
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err == nil:
			if b, ok := hear(n.Payload); ok {
				tell(b)
			}
			continue
		case !errors.Is(err, context.DeadlineExceeded):
			return err
		}
		if err := ping(ctx, conn); err != nil {
			return err
		}
	}
}

func ping(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeoutCause(ctx, bellAnswer, errMute)
	defer cancel()
	return conn.Ping(ctx)
}

// bellConnection opens the connection on which this process listens. It is not
// one of the pool, because it is in use for good.
func (l *Ledger) bellConnection(ctx context.Context) (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, bellAnswer, errMute)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, l.connConfig(ctx))
	if err != nil {
		return nil, err
	}
	var rope string
	err = conn.QueryRow(ctx, "SELECT "+bellRope).Scan(&rope)
	if err == nil {
		_, err = conn.Exec(ctx, "LISTEN "+pgx.Identifier{rope}.Sanitize())
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close(context.WithoutCancel(ctx)))
	}
	return conn, nil
}
