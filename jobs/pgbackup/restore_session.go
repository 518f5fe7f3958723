package pgbackup

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg"
)

const (
	// leaveTime is how long sessions that are about to end are waited for.
	leaveTime = 10 * time.Second
	// sessionPoll is how often it is asked who is connected.
	sessionPoll = 100 * time.Millisecond
)

// sessions tells who is connected to a database, other than we.
func (p *place) sessions(ctx context.Context, name string) ([]string, error) {
	who, err := pg.Texts(ctx, p.admin, `SELECT format('process %s (user %s, application %s, from %s)', pid, coalesce(usename::text, '?'),
			coalesce(nullif(application_name, ''), backend_type, '?'), coalesce(host(client_addr), 'this host'))
		FROM pg_stat_activity WHERE datname = $1 AND coalesce(backend_type, '') NOT LIKE 'autovacuum%'
			AND coalesce(application_name, '') <> $2 ORDER BY backend_start LIMIT 20`, name, p.application())
	if err != nil {
		return nil, pg.Advise(fmt.Errorf("ask who is connected: %w", err))
	}
	return who, nil
}

// inUse refuses to exchange under the feet of others.
func inUse(name string, who []string, disconnect bool) error {
	why := fmt.Sprintf("%d sessions of others are connected to %s", len(who), name)
	if len(who) > 0 {
		const most = 5
		why += ": " + strings.Join(who[:min(most, len(who))], ", ")
	}
	hint := "end the programs that use the database, or end their sessions with --disconnect"
	if disconnect {
		hint = "end the programs that use the database: they connect again, or the user may not end their sessions"
	}
	return jobs.WithHint(&jobs.RefusedError{Rail: "sessions", Why: jobs.OneLine(why)}, hint)
}

// undisturbed refuses early what would keep the exchange from happening, and
// tells what stays with the old database.
func (p *place) undisturbed(ctx context.Context, r *restore) error {
	var prepared, slots, subscriptions int
	err := p.admin.QueryRow(ctx, `SELECT (SELECT count(*) FROM pg_prepared_xacts WHERE database = $1),
		(SELECT count(*) FROM pg_replication_slots WHERE database = $1),
		(SELECT count(subname) FROM pg_subscription s WHERE s.subdbid = (SELECT oid FROM pg_database WHERE datname = $1))`, p.name).
		Scan(&prepared, &slots, &subscriptions)
	if err = unlessDenied(err); err != nil {
		return fmt.Errorf("look for what uses the target: %w", err)
	}
	if prepared > 0 {
		return jobs.WithHint(&jobs.RefusedError{Rail: "sessions", Why: fmt.Sprintf("%s has %d prepared transactions, with which it cannot be renamed", p.name, prepared)},
			"commit them or roll them back")
	}
	if slots > 0 || subscriptions > 0 {
		r.warn("replication", "%d logical replication slots and %d subscriptions of %s stay with the old database", slots, subscriptions, p.name)
	}
	if p.target.Disconnect {
		return nil
	}
	who, err := p.sessions(ctx, p.name)
	if err == nil && len(who) > 0 {
		err = inUse(p.name, who, false)
	}
	return err
}

// emptied waits a little for the last sessions to end, and refuses when they do
// not, unless they are to be ended.
func (p *place) emptied(ctx context.Context, name string) error {
	if p.target.Disconnect {
		return nil
	}
	deadline := time.Now().Add(leaveTime)
	for {
		who, err := p.sessions(ctx, name)
		if err != nil || len(who) == 0 {
			return err
		}
		if time.Now().After(deadline) {
			return inUse(name, who, false)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(sessionPoll):
		}
	}
}

// keepOut ends the sessions in databases, over a connection of its own, until
// stop is called. Meanwhile the rename, which waits for them to end, has the
// lock that new ones wait for: nobody comes in, and without forbidding
// anything that a crash would leave forbidden.
func (p *place) keepOut(ctx context.Context, databases []string) (stop func() error, err error) {
	if !p.target.Disconnect {
		return func() error { return nil }, nil
	}
	// By their numbers: the names change meanwhile.
	numbers, err := pg.Texts(ctx, p.admin, `SELECT oid::text FROM pg_database WHERE datname = ANY ($1)`, databases)
	if err != nil {
		return nil, pg.Advise(fmt.Errorf("identify the databases: %w", err))
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- p.terminate(ctx, strings.Join(numbers, ", ")) }()
	return func() error {
		cancel()
		return <-done
	}, nil
}

// terminate ends the sessions of others in databases, again and again.
func (p *place) terminate(ctx context.Context, numbers string) (err error) {
	c, err := connectBeside(ctx, p.address, p.name, p.application())
	if err != nil {
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the exchange has ended before
		}
		return err
	}
	defer func() {
		if hangup := c.Hangup(ctx); err == nil && ctx.Err() == nil {
			err = hangup
		}
	}()
	for {
		_, err := c.Exec(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datid IN (`+numbers+`)`)
		switch {
		case ctx.Err() != nil:
			return nil
		case pg.Code(err) == pg.CodeDenied:
			return jobs.WithHint(fmt.Errorf("end the sessions of others: %w", err), "grant the user pg_signal_backend, or the roles of these sessions")
		case err != nil:
			return errors.Join(errors.New("end the sessions of others"), err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(sessionPoll):
		}
	}
}
