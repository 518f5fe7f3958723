package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// Slots returns the runs of a workflow whose slot, or folded slots, lie in
// [from, until), oldest slot first, at most limit; 0 means 50.
func (r *Reader) Slots(ctx context.Context, workflow string, from, until time.Time, limit int) ([]runner.Run, error) {
	what := "read the slots of " + clean(workflow, maxName)
	if limit < 0 {
		return nil, fmt.Errorf("%s: the limit %d is negative", what, limit)
	}
	if limit == 0 {
		limit = defaultLimit
	}
	low, high := ceilMicro(from), ceilMicro(until)
	q := new(query)
	// A folded run that began before the range reaches into it; those that
	// began inside are in it by their slot.
	q.add(fmt.Sprintf(`SELECT %s FROM runs r JOIN specs s ON s.digest = r.spec WHERE r.id IN (
		SELECT id FROM (SELECT id FROM runs WHERE workflow = ? AND slot >= ? AND slot < ? ORDER BY slot, host LIMIT %d) AS begun`, runColumns, limit),
		workflow, low, high)
	q.add(fmt.Sprintf(" UNION ALL SELECT id FROM (SELECT id FROM runs WHERE workflow = ? AND last_slot >= ? AND last_slot IS NOT NULL AND slot < ? ORDER BY last_slot LIMIT %d) AS folded", limit),
		workflow, low, min(low, high))
	q.add(fmt.Sprintf(") ORDER BY r.slot, r.host LIMIT %d", limit))
	var list []runner.Run
	err := r.reading().each(ctx, q.text.String(), q.args, func(rows *sql.Rows) error {
		run, err := scanRun(rows)
		list = append(list, run)
		return err
	})
	return list, r.explain(ctx, what, err)
}
