package ledger

import (
	"context"
	"fmt"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// plannedBound is for how long a node may be away that planned what may end
// upkeep there, such as a restart of its machine, before others take it for
// dead like any other.
const plannedBound = 15 * time.Minute

// stillPlanned is the condition on attempts a of those that were about to do
// what may have ended upkeep itself.
const stillPlanned = "a.state = 'running' AND a.planned <> ''"

// awaited is the condition on runs that have planned attempts which only the
// node that planned them can judge, and that it is expected to come back for: it
// executed them last, and has not been away for too long.
func awaited(d *dialect) string {
	if d.local {
		return "FALSE"
	}
	return fmt.Sprintf(`(EXISTS (SELECT 1 FROM attempts a WHERE a.run = runs.id AND %s)
		AND COALESCE(GREATEST((SELECT MAX(n.lease_until) FROM nodes n WHERE n.name = runs.node), (SELECT m.last_seen FROM members m WHERE m.name = runs.node)), 0) > %s - %d)`,
		stillPlanned, d.now, plannedBound.Microseconds())
}

// deliveredTo is the target of runs as their delivery has it: what a node planned
// is for that node.
func deliveredTo(d *dialect) string {
	if d.local {
		return targetOfRun
	}
	return "CASE WHEN " + awaited(d) + " THEN 'node:' || node ELSE " + targetOfRun + " END"
}

// mayJudge returns nil unless another node is awaited that planned something in
// a run.
func (l *Ledger) mayJudge(ctx context.Context, s session, run runner.Run) error {
	if l.d.local || run.Epoch == 0 || run.Node == l.o.Node {
		return nil
	}
	var waits bool
	if err := s.row(ctx, "SELECT "+awaited(l.d)+" FROM runs WHERE id = ?", run.ID).Scan(&waits); err != nil {
		return err
	}
	if waits {
		return fmt.Errorf("%w: %s planned what may have ended upkeep there, and will judge it", runner.ErrNotClaimable, run.Node)
	}
	return nil
}

// takeOver ends what the last owner of a run left under way, who is dead or gave
// it back. What that planned is left to a next owner on the same node, and lost
// with another.
func (l *Ledger) takeOver(ctx context.Context, s session, run runner.Run, from string, now time.Time) error {
	const text = "the process that ran this attempt died"
	if !l.d.local && from != run.Node {
		return abandon(ctx, s, run.ID, runner.ReasonCrash, text, now)
	}
	if err := abandonUnplanned(ctx, s, run.ID, runner.ReasonCrash, text, now); err != nil {
		return err
	}
	return inherit(ctx, s, run)
}
