package ledger

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
)

const (
	// maxConnections bounds what one process takes of the server's
	// max_connections: what the ledger and the queue beside it share. Each of
	// the two takes one more, on which it listens, and the lease has one of its own.
	maxConnections = 8
	// maxIdleTime is after what time a connection that nobody uses is closed.
	maxIdleTime = 5 * time.Minute
	// pongTimeout bounds the look whether a connection lives that nobody used for
	// a while.
	pongTimeout = 3 * time.Second
)

// Pool returns the connections to the server that this ledger uses, for the
// queue that lives in the same schema; nil for SQLite. They are closed with the
// ledger. A connection that is taken out of it for good counts no longer among
// its at most 8.
func (l *Ledger) Pool() *pgxpool.Pool { return l.pool }

// openPool makes the connections of one process; none is opened yet.
func openPool(ctx context.Context, config *pgxpool.Config, lines *wires) (*pgxpool.Pool, error) {
	config.MaxConns, config.MinConns, config.MaxConnIdleTime, config.PingTimeout = maxConnections, 0, maxIdleTime, pongTimeout
	config.BeforeConnect = func(ctx context.Context, c *pgx.ConnConfig) error {
		lines.lay(ctx, c)
		return nil
	}
	config.BeforeClose = bury
	config.AfterConnect = func(ctx context.Context, c *pgx.Conn) error {
		// Every method promises durability, whatever the server's default is.
		_, err := c.Exec(ctx, "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'")
		return err
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("prepare connections to %s: %w", addressOf(config.ConnConfig), err)
	}
	return pool, nil
}

// poolDB is the pool as database/sql knows one. It keeps no connection by
// itself.
func poolDB(pool *pgxpool.Pool) *sql.DB {
	db := stdlib.OpenDBFromPool(pool)
	db.SetMaxOpenConns(maxConnections)
	return db
}

// closePool ends all connections. It waits for those that are in use, but not
// for one that hangs.
func closePool(pool *pgxpool.Pool) error {
	if pool == nil {
		return nil
	}
	closed := make(chan struct{})
	go func() {
		pool.Close()
		close(closed)
	}()
	select {
	case <-closed:
		return nil
	case <-time.After(closeTimeout):
		return errors.New("a connection to the database server is still in use")
	}
}

// closeSession ends the connection under conn for good, with whatever locks and
// settings its session has.
func closeSession(ctx context.Context, conn *sql.Conn) {
	_ = conn.Raw(func(c any) error {
		if pooled, ok := c.(*stdlib.Conn); ok {
			_ = pooled.Conn().Close(context.WithoutCancel(ctx))
		}
		return driver.ErrBadConn
	})
}

// connConfig is how to make a connection beside those of the pool.
func (l *Ledger) connConfig(ctx context.Context) *pgx.ConnConfig {
	return l.wires.lay(ctx, l.pool.Config().ConnConfig)
}

// sever gives up the connections that have been silent for most of a lease: they
// hang, and the network or the server may be well again.
func (l *Ledger) sever() {
	if l.wires != nil {
		l.wires.sever(l.o.LeaseTTL / 2)
	}
}
