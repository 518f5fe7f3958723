package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/ghosteam/upkeep/runner"
)

// watched is what others may change in a run under its owner.
type watched struct {
	state             runner.State
	owner, canceledBy string
	epoch             int64
}

// Watch returns for each of the claims, in their order, why its run must end:
// *runner.CanceledError when somebody asked for that, runner.ErrStale when the
// claim no longer holds, else nil.
func (l *Ledger) Watch(ctx context.Context, claims ...runner.Claim) ([]error, error) {
	found := make(map[runner.RunID]watched, len(claims))
	for some := range slices.Chunk(claims, inChunk) {
		if err := l.watchSome(ctx, some, found); err != nil {
			return nil, l.explain(ctx, fmt.Sprintf("watch %d runs", len(claims)), err)
		}
	}
	causes := make([]error, len(claims))
	for i, c := range claims {
		run := found[c.Run]
		switch {
		case run.state != runner.Running || run.owner != c.Owner || run.epoch != c.Epoch:
			l.forget(c)
			causes[i] = fmt.Errorf("watch run %s: %w", c.Run, runner.ErrStale)
		case run.canceledBy != "":
			causes[i] = &runner.CanceledError{By: run.canceledBy}
		}
	}
	return causes, nil
}

// watchSome adds the claimed runs to found.
func (r *Reader) watchSome(ctx context.Context, claims []runner.Claim, found map[runner.RunID]watched) error {
	// As many placeholders as the next power of two makes a few texts serve all
	// numbers of claims, so that they stay prepared.
	size := 1
	for size < len(claims) {
		size *= 2
	}
	args := make([]any, size)
	for i := range args {
		args[i] = claims[min(i, len(claims)-1)].Run
	}
	query := "SELECT id, state, owner, epoch, canceled_by FROM runs WHERE id IN (" + marks(size) + ")"
	return r.reading().each(ctx, query, args, func(rows *sql.Rows) error {
		var id runner.RunID
		var w watched
		err := rows.Scan(&id, &w.state, &w.owner, &w.epoch, &w.canceledBy)
		found[id] = w
		return err
	})
}
