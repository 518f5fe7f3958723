package ledger

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"github.com/ghosteam/upkeep/runner"
)

const (
	// insertChunk is how many rows one INSERT takes; it stays far below the
	// bound on parameters of both databases.
	insertChunk = 100
	// maxBumps bounds the search for a free slot of a run that a person asked
	// for.
	maxBumps = 100_000
)

// insertSpecs records the workflow texts that are new, in the order of their
// digests, so that two transactions never wait for each other.
func insertSpecs(ctx context.Context, s session, list []submitted) error {
	specs := map[string]string{}
	var digests []string
	for _, w := range list {
		if _, seen := specs[w.request.Spec.Digest]; !seen {
			specs[w.request.Spec.Digest] = w.request.Spec.Text
			digests = append(digests, w.request.Spec.Digest)
		}
	}
	slices.Sort(digests)
	for chunk := range slices.Chunk(digests, insertChunk) {
		args := make([]any, 0, 2*len(chunk))
		for _, digest := range chunk {
			args = append(args, digest, specs[digest])
		}
		if _, err := s.exec(ctx, "INSERT INTO specs (digest, text) VALUES "+tuples(len(chunk), 2)+" ON CONFLICT (digest) DO NOTHING", args...); err != nil {
			return err
		}
	}
	return nil
}

// insertRuns records the runs that are new, in the order of their identities,
// and finds the others.
func insertRuns(ctx context.Context, s session, list []submitted) error {
	for i := range list {
		if w := &list[i]; w.manual {
			if err := insertManual(ctx, s, w); err != nil {
				return err
			}
		}
	}
	for chunk := range slices.Chunk(identified(list), insertChunk) {
		fresh, err := insertChunkOf(ctx, s, chunk)
		if err != nil {
			return err
		}
		var rest []*submitted
		for _, w := range chunk {
			if !fresh[w.id] {
				rest = append(rest, w)
			}
		}
		if err := findDuplicates(ctx, s, rest); err != nil {
			return err
		}
		for _, w := range rest {
			if !w.duplicate {
				return fmt.Errorf("%w: the run of %s that was in the way is gone", runner.ErrUnavailable, w.request.Spec.Workflow)
			}
		}
	}
	return nil
}

// identified returns the requests whose slots identify them and that are not
// known to be on record, in the order of their identities.
func identified(list []submitted) []*submitted {
	var scheduled []*submitted
	for i := range list {
		if w := &list[i]; !w.manual && !w.duplicate {
			scheduled = append(scheduled, w)
		}
	}
	slices.SortStableFunc(scheduled, func(a, b *submitted) int {
		return cmp.Or(strings.Compare(a.request.Spec.Workflow, b.request.Spec.Workflow), cmp.Compare(a.slot, b.slot), strings.Compare(a.request.Host, b.request.Host))
	})
	return scheduled
}

// insertManual moves a run's slot on until it is free.
func insertManual(ctx context.Context, s session, w *submitted) error {
	for range maxBumps {
		if w.slot%1_000_000 == 0 {
			w.slot++
		}
		fresh, err := insertChunkOf(ctx, s, []*submitted{w})
		if err != nil || fresh[w.id] {
			return err
		}
		w.slot++
	}
	return fmt.Errorf("no free slot within %d microseconds", maxBumps)
}

// insertChunkOf inserts the runs whose identity is free and returns their IDs.
func insertChunkOf(ctx context.Context, s session, chunk []*submitted) (map[runner.RunID]bool, error) {
	const columns = 29
	args := make([]any, 0, columns*len(chunk))
	for _, w := range chunk {
		finished := sql.NullInt64{Int64: w.queuedAt, Valid: w.state.Final()}
		args = append(args, w.id, w.request.Spec.Workflow, w.slot, w.request.Host, w.request.Trigger, w.request.Spec.Digest,
			w.params, w.jobs, bit(w.request.DryRun), cleanLine(w.request.By, maxShortText), w.state, w.reason,
			w.message, "", "", 0, "", "", w.queuedAt, nil, finished,
			w.request.Overlap, bit(w.request.Approval), "", bit(w.request.Alert), w.request.Slots, micros(w.request.LastSlot), w.request.Target, micros(w.request.StartBy))
	}
	query := `INSERT INTO runs (id, workflow, slot, host, trigger, spec, params, jobs, dry_run, requested_by, state, reason,
		message, owner, node, epoch, canceled_by, reopened_by, queued_at, started_at, finished_at,
		overlap, approval, approved_by, alert, slots, last_slot, target, start_by) VALUES ` + tuples(len(chunk), columns) +
		` ON CONFLICT (workflow, slot, host) DO NOTHING RETURNING id`
	fresh := make(map[runner.RunID]bool, len(chunk))
	err := s.each(ctx, query, args, func(rows *sql.Rows) error {
		var id runner.RunID
		err := rows.Scan(&id)
		fresh[id] = true
		return err
	})
	return fresh, err
}

// findDuplicates marks those of list whose identities are on record.
func findDuplicates(ctx context.Context, s session, list []*submitted) error {
	if len(list) == 0 {
		return nil
	}
	args := make([]any, 0, 3*len(list))
	for _, w := range list {
		key := w.key()
		args = append(args, key[:]...)
	}
	where := strings.TrimSuffix(strings.Repeat("(workflow = ? AND slot = ? AND host = ?) OR ", len(list)), " OR ")
	found := make(map[[3]any]submitted, len(list))
	err := s.each(ctx, "SELECT id, workflow, slot, host, state, reason, message FROM runs WHERE "+where, args, func(rows *sql.Rows) error {
		var w submitted
		var workflow, host string
		err := rows.Scan(&w.id, &workflow, &w.slot, &host, &w.state, &w.reason, &w.message)
		found[[3]any{workflow, w.slot, host}] = w
		return err
	})
	if err != nil {
		return err
	}
	for _, w := range list {
		if known, ok := found[w.key()]; ok {
			w.id, w.duplicate, w.state, w.reason, w.message = known.id, true, known.state, known.reason, known.message
		}
	}
	return nil
}
