package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// Pending returns runs that are queued, running under an owner that is dead and
// may be taken over from, or running under this instance without anybody here
// who works on them, as after a claim whose answer was lost; those recorded
// after the given run, oldest first. Runs that wait for approval are not among
// them; whether one that waits for older runs may go Claim decides.
func (l *Ledger) Pending(ctx context.Context, after runner.RunID, limit int) ([]runner.RunID, error) {
	const page = 500
	// The condition on the state is that of the index runs_open, word for word.
	query := fmt.Sprintf("SELECT id, state, owner, epoch FROM runs WHERE state IN ('queued', 'running') AND (approval = 0 OR approved_by <> '') AND id > ? ORDER BY id LIMIT %d", page)
	nodes, err := l.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	// Nobody works on the runs of an instance that is not on the list.
	spared := make(map[string]bool, len(nodes))
	for _, n := range nodes {
		spared[n.Instance] = n.Alive || !l.mayTakeOver(n)
	}
	var found []runner.RunID
	own := l.Instance()
	for len(found) < limit {
		seen := 0
		err := l.reading().each(ctx, query, []any{after}, func(rows *sql.Rows) error {
			var state runner.State
			var owner string
			var epoch int64
			if err := rows.Scan(&after, &state, &owner, &epoch); err != nil {
				return err
			}
			seen++
			idle := state == runner.Queued || !spared[owner] || owner == own && !l.works(after, epoch)
			if len(found) < limit && idle {
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

// Abandoned returns runs whose owners died, oldest first, as far as this
// instance may take them over. It is meant to be asked after each heartbeat:
// what it reads grows with the number of nodes, and with that of runs only after
// a death. With left it also returns, at the price of a look at all runs under
// way, those whose owner is no longer on the list of nodes.
func (l *Ledger) Abandoned(ctx context.Context, left bool) ([]runner.RunID, error) {
	nodes, err := listNodes(ctx, l.reading())
	if err != nil {
		return nil, l.explain(ctx, "look for dead nodes", err)
	}
	l.meet(nodes)
	var found []runner.RunID
	for _, n := range nodes {
		if n.Alive || n.LeaseUntil.IsZero() || l.isBuried(n) || !l.mayTakeOver(n) {
			continue
		}
		before := len(found)
		err := l.reading().each(ctx, "SELECT id FROM runs WHERE state = 'running' AND owner = ? ORDER BY id", []any{n.Instance}, func(rows *sql.Rows) error {
			var id runner.RunID
			err := rows.Scan(&id)
			found = append(found, id)
			return err
		})
		if err != nil {
			return nil, l.explain(ctx, "look for the runs of node "+n.Name, err)
		}
		if len(found) == before {
			l.bury(n)
		}
	}
	if left {
		const query = "SELECT r.id FROM runs r WHERE r.state = 'running' AND NOT EXISTS (SELECT 1 FROM nodes n WHERE n.instance = r.owner) ORDER BY r.id"
		err := l.reading().each(ctx, query, nil, func(rows *sql.Rows) error {
			var id runner.RunID
			err := rows.Scan(&id)
			found = append(found, id)
			return err
		})
		if err != nil {
			return nil, l.explain(ctx, "look for runs of nodes that left", err)
		}
	}
	slices.Sort(found)
	return slices.Compact(found), nil
}

// Peers returns the nodes as Abandoned last saw them, and when that was by the
// local clock; zero for never. Nobody is asked, and the list is not to be changed.
func (l *Ledger) Peers() ([]Node, time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.peers, l.peersAt
}

func (l *Ledger) meet(nodes []Node) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.peers, l.peersAt = nodes, time.Now()
}

// isBuried tells whether nothing was left of a dead node at an earlier look, and
// bury remembers it. A node whose lease ended at another time has lived since.
func (l *Ledger) isBuried(n Node) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	end, known := l.buried[n.Instance]
	return known && end.Equal(n.LeaseUntil)
}

func (l *Ledger) bury(n Node) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.buried == nil {
		l.buried = map[string]time.Time{}
	}
	l.buried[n.Instance] = n.LeaseUntil
}
