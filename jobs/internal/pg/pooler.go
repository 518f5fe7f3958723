package pg

import (
	"context"
	"errors"
	"fmt"
	"regexp"
)

// PoolerError reports a connection pooler that lends a server connection for
// one transaction only. A session that needs its settings, its snapshot or its
// locks to last cannot be had there.
type PoolerError struct {
	// Where is the address of the pooler.
	Where string
}

// Error says what was found.
func (e *PoolerError) Error() string {
	return fmt.Sprintf("%s is a connection pooler that lends connections for one transaction at a time", e.Where)
}

// Hint says what to do.
func (e *PoolerError) Hint() string {
	return "use the direct address of the server (Neon: the host without -pooler; Supabase: port 5432; PgBouncer: the server behind it, or pool_mode=session)"
}

// poolerName are addresses of services that pool by transaction.
var poolerName = regexp.MustCompile(`-pooler\.`)

// supabase is the port on which that service pools by transaction.
const supabase = 6543

// probes is how often two sessions are interleaved to see whether they get
// each other's server connection.
const probes = 3

// Pooled tells whether something stands between us and the server. The error
// is a *PoolerError when it is a pooler of transactions: when the two sessions
// of a probe were seen to swap their server connections, or its name says so.
func (c *Conn) Pooled(ctx context.Context) (bool, error) {
	if !c.proxied {
		return false, nil
	}
	refused := &PoolerError{Where: c.Server.Name()}
	if poolerName.MatchString(c.Server.Host) || c.Server.Port == supabase {
		return true, refused
	}
	other, err := c.address.connect(ctx, c.host, "upkeep probe", nil)
	if err != nil {
		return true, fmt.Errorf("probe the pooler: %w", err)
	}
	swapped, err := swaps(ctx, c, other)
	if err = errors.Join(err, other.Hangup(ctx)); err != nil {
		return true, fmt.Errorf("probe the pooler: %w", err)
	}
	if swapped {
		return true, refused
	}
	return true, nil
}

// swaps interleaves two sessions: a session's server process must stay its
// own while another one holds a transaction open.
func swaps(ctx context.Context, a, b *Conn) (bool, error) {
	for range probes {
		mine, err := a.backend(ctx)
		if err != nil {
			return false, err
		}
		tx, err := b.Begin(ctx)
		if err != nil {
			return false, err
		}
		theirs, err := b.backend(ctx)
		if err != nil {
			return false, err
		}
		again, err := a.backend(ctx)
		if err = errors.Join(err, tx.Rollback(ctx)); err != nil {
			return false, err
		}
		if mine == theirs || mine != again {
			return true, nil
		}
	}
	return false, nil
}

// backend returns the number of the server process that serves c now.
func (c *Conn) backend(ctx context.Context) (int32, error) {
	var pid int32
	err := c.QueryRow(ctx, "SELECT pg_backend_pid()").Scan(&pid)
	return pid, err
}
