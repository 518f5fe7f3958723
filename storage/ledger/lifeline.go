package ledger

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// lifeline is the connection on which a lease is renewed. It is one by itself,
// so that a node that is well can say so although the connections of the pool
// are all in use, or hang since the network was away for a moment. It is made
// with the first renewal, and anew when it broke or did not answer.
type lifeline struct {
	// config is how to make a connection.
	config func(context.Context) *pgx.ConnConfig
	// turn holds one token: renewals come one after the other.
	turn chan struct{}
	conn *pgx.Conn
}

func newLifeline(config func(context.Context) *pgx.ConnConfig) *lifeline {
	return &lifeline{config: config, turn: make(chan struct{}, 1)}
}

// exec runs a statement and returns how many rows it changed.
func (c *lifeline) exec(ctx context.Context, query string, args ...any) (changed int64, err error) {
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
	defer func() { <-c.turn }()
	for {
		fresh := c.conn == nil
		if fresh {
			if c.conn, err = pgx.ConnectConfig(ctx, c.config(ctx)); err != nil {
				c.conn = nil
				return 0, err
			}
		}
		tag, err := c.conn.Exec(ctx, query, args...)
		if err == nil {
			return tag.RowsAffected(), nil
		}
		c.drop(ctx)
		// A connection that was idle may have broken long ago.
		if _, refused := errors.AsType[*pgconn.PgError](err); refused || fresh || ctx.Err() != nil {
			return 0, err
		}
	}
}

// drop ends the connection, whose end the server need not confirm.
func (c *lifeline) drop(ctx context.Context) {
	ended, cancel := context.WithCancel(context.WithoutCancel(ctx))
	cancel()
	_ = c.conn.Close(ended)
	c.conn = nil
}

// close ends the connection in good order.
func (c *lifeline) close(ctx context.Context) {
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		return
	}
	defer func() { <-c.turn }()
	if c.conn != nil {
		_ = c.conn.Close(ctx)
		c.conn = nil
	}
}
