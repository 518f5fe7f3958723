package pg

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Reading bounds a transaction that only reads.
type Reading struct {
	// Statement and Lock are how long a statement may take, and how long it may
	// wait for a lock of that; 0 leaves both to the server's settings.
	Statement, Lock time.Duration
	// SearchPath is where unqualified names are looked for, as in SET; empty
	// leaves it as it is. What reads catalogs wants "pg_catalog", so that no
	// object of another user is taken for one of the server's own.
	SearchPath string
}

// ReadOnly runs do in a transaction that can only read. It is rolled back
// whatever do returns; settings made in it end with it, so it works through
// poolers of transactions too.
func (c *Conn) ReadOnly(ctx context.Context, r Reading, do func(ctx context.Context) error) (err error) {
	if _, err := c.Exec(ctx, "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY"); err != nil {
		return fmt.Errorf("begin a transaction that reads: %w", err)
	}
	defer func() {
		if c.IsClosed() {
			return
		}
		// Also when ctx has ended, because the connection may be used again.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), hangupTime)
		defer cancel()
		if _, failed := c.Exec(ctx, "ROLLBACK"); failed != nil {
			err = errors.Join(err, fmt.Errorf("roll back: %w", failed), c.Hangup(ctx))
		}
	}()
	for _, setting := range []struct{ name, value string }{
		{"statement_timeout", milliseconds(r.Statement)},
		{"lock_timeout", milliseconds(r.Lock)},
		{"search_path", r.SearchPath},
	} {
		if setting.value == "" {
			continue
		}
		if _, err := c.Exec(ctx, "SELECT pg_catalog.set_config($1, $2, true) /* upkeep */", setting.name, setting.value); err != nil {
			return fmt.Errorf("set %s: %w", setting.name, err)
		}
	}
	return do(ctx)
}

// milliseconds writes a timeout for the server, at least 1, because 0 would
// turn it off; empty for none.
func milliseconds(d time.Duration) string {
	if d <= 0 {
		return ""
	}
	return fmt.Sprintf("%dms", max(1, d.Milliseconds()))
}
