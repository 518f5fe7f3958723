package pgreview

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg"
)

// Session is one session of a client, without its statement: that holds values.
type Session struct {
	PID                         int64
	User, Database, Application string
	// Client is the address that it comes from; empty for a socket.
	Client string
	// State is active, idle, idle in transaction …; empty when it is hidden.
	State string
	// Wait is what it waits for, such as Lock:transactionid; empty for nothing.
	Wait string
	// StateSeconds is how long it is in its state, TransactionSeconds how old its
	// transaction is; 0 without one.
	StateSeconds, TransactionSeconds float64
	// BlockedBy are the sessions whose locks it waits for.
	BlockedBy []int64
}

// mostSessions bounds what Sessions returns.
const mostSessions = 200

const sessionsNow = `SELECT pid::int8, coalesce(usename, '')::text, coalesce(datname, '')::text, coalesce(application_name, ''), coalesce(host(client_addr), ''), coalesce(state, ''),
		coalesce(wait_event_type || ':' || wait_event, ''), coalesce(extract(epoch FROM clock_timestamp() - state_change), 0)::float8,
		coalesce(extract(epoch FROM clock_timestamp() - xact_start), 0)::float8, pg_blocking_pids(pid)::int8[]
	FROM ` + clientSessions + ` AND pid <> pg_backend_pid()
	ORDER BY cardinality(pg_blocking_pids(pid)) DESC, xact_start NULLS LAST, pid LIMIT `

// Sessions returns the sessions of the server's clients, at most 200: first
// those that wait for locks of others, then those with the oldest transactions.
// It asks one question in a transaction that can only read.
func Sessions(ctx context.Context, db jobs.Database) (list []Session, err error) {
	conn, err := connect(ctx, db, "upkeep doctor")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, conn.Hangup(ctx)) }()
	const patience = 5 * time.Second
	err = conn.ReadOnly(ctx, pg.Reading{SearchPath: "pg_catalog", Statement: patience, Lock: patience}, func(ctx context.Context) (err error) {
		list, err = pg.Rows[Session](ctx, conn, sessionsNow+fmt.Sprint(mostSessions))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("ask %s for its sessions: %w", db.Name, err)
	}
	return list, nil
}
