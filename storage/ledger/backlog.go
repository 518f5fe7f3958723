package ledger

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/ghosteam/upkeep/runner"
)

// Pending returns runs that are queued, or running under a dead owner,
// recorded after the run after, oldest first. Runs that wait for approval are
// not among them; whether one that waits for older runs may go Claim decides.
func (l *Ledger) Pending(ctx context.Context, after runner.RunID, limit int) ([]runner.RunID, error) {
	const page = 500
	// The condition on the state is that of the index runs_open, word for word.
	query := fmt.Sprintf("SELECT id, state, owner FROM runs WHERE state IN ('queued', 'running') AND (approval = 0 OR approved_by <> '') AND id > ? ORDER BY id LIMIT %d", page)
	nodes, err := l.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	alive := make(map[string]bool, len(nodes))
	for _, n := range nodes {
		alive[n.Instance] = n.Alive
	}
	var found []runner.RunID
	for len(found) < limit {
		seen := 0
		err := l.reading().each(ctx, query, []any{after}, func(rows *sql.Rows) error {
			var state runner.State
			var owner string
			if err := rows.Scan(&after, &state, &owner); err != nil {
				return err
			}
			seen++
			if len(found) < limit && (state == runner.Queued || !alive[owner]) {
				found = append(found, after)
			}
			return nil
		})
		if err != nil {
			return nil, l.explain(ctx, "look for pending runs", err)
		}
		if seen < page {
			break
		}
	}
	return found, nil
}
