package pgbackup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/jobs/internal/pg"
)

const (
	// batchTables and batchBytes bound how many tables are counted by one
	// statement, which saves round trips for small ones.
	batchTables = 200
	batchBytes  = 8 << 20
	// countLockWait is how long a count waits behind somebody who queues for
	// an exclusive lock until the dump ends.
	countLockWait = 2 * time.Second
)

// count replaces the estimates by exact rows, the smallest tables first, until
// the budget is used up. Tables that cannot be counted keep their estimate.
func (s *snapshot) count(ctx context.Context, tables []*listed, exact map[uint32]bool, budget time.Duration) error {
	deadline := time.Now().Add(budget)
	slices.SortStableFunc(tables, func(a, b *listed) int { return cmp.Compare(a.Bytes, b.Bytes) })
	for len(tables) > 0 {
		n := batchOf(tables)
		batch := tables[:n]
		tables = tables[n:]
		left := time.Until(deadline)
		if left < time.Millisecond {
			return nil
		}
		err := s.countBatch(ctx, batch, exact, left)
		if lost, ok := errors.AsType[*lostError](err); ok {
			return lost
		}
		if ctx.Err() != nil {
			return fmt.Errorf("count rows: %w", context.Cause(ctx))
		}
		switch code := pg.Code(err); {
		case err == nil:
		case code == "":
			return &lostError{cause: err}
		case code == pg.CodeCanceled:
			return nil // the budget is used up
		case n > 1:
			// One of them cannot be read or is locked; the others can be counted.
			for i := range batch {
				err := s.countBatch(ctx, batch[i:i+1], exact, max(time.Millisecond, time.Until(deadline)))
				if lost, ok := errors.AsType[*lostError](err); ok {
					return lost
				}
				if err != nil && (ctx.Err() != nil || pg.Code(err) == "") {
					return fmt.Errorf("count rows: %w", cmp.Or(context.Cause(ctx), err))
				}
			}
		}
	}
	return nil
}

// batchOf returns how many of the tables are counted by the next statement.
func batchOf(tables []*listed) int {
	n, bytes := 0, int64(0)
	for n < min(len(tables), batchTables) && (n == 0 || bytes+tables[n].Bytes <= batchBytes) {
		bytes += tables[n].Bytes
		n++
	}
	return n
}

// countBatch counts some tables by one statement.
func (s *snapshot) countBatch(ctx context.Context, batch []*listed, exact map[uint32]bool, within time.Duration) error {
	var query strings.Builder
	for i, t := range batch {
		if i > 0 {
			query.WriteString(" UNION ALL ")
		}
		fmt.Fprintf(&query, "SELECT %d, count(*) FROM ONLY %s %s", i, pg.Name(t.Schema, t.Name), t.Condition)
	}
	type counted struct {
		At   int
		Rows int64
	}
	var found []counted
	err := s.attempt(ctx, func() (err error) {
		_, err = pg.Texts(ctx, s.Conn, `SELECT set_config('statement_timeout', $1, true) UNION ALL SELECT set_config('lock_timeout', $2, true)`,
			fmt.Sprint(max(1, within.Milliseconds())), fmt.Sprint(countLockWait.Milliseconds()))
		if err != nil {
			return err
		}
		found, err = pg.Rows[counted](ctx, s.Conn, query.String())
		return err
	})
	if err != nil {
		return err
	}
	for _, c := range found {
		batch[c.At].Rows = c.Rows
		exact[batch[c.At].OID] = true
	}
	return nil
}
