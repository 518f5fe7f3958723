package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

const (
	defaultLimit = 50
	// ambiguousShown is how many runs an ambiguous prefix names.
	ambiguousShown = 5
	// idEnd comes after all run IDs, which consist of digits, letters up to f
	// and hyphens.
	idEnd = "g"
	// inChunk is how many keys one query looks up.
	inChunk = 100
)

// query is a piece of SQL with its arguments.
type query struct {
	text strings.Builder
	args []any
}

func (q *query) add(text string, args ...any) {
	q.text.WriteString(text)
	q.args = append(q.args, args...)
}

// Runs returns the runs that f selects, newest first.
func (r *Reader) Runs(ctx context.Context, f runner.Filter) ([]runner.Run, error) {
	if f.Limit < 0 {
		return nil, fmt.Errorf("list runs: the limit %d is negative", f.Limit)
	}
	if !f.Slot.IsZero() && f.Workflow == "" {
		return nil, errors.New("list runs: a slot is that of a workflow, and none is named")
	}
	if f.Limit == 0 {
		f.Limit = defaultLimit
	}
	runs, err := r.selectRuns(ctx, runIDs(f))
	return runs, r.explain(ctx, "list runs", err)
}

// selectRuns returns the runs whose IDs q yields, newest first.
func (r *Reader) selectRuns(ctx context.Context, ids *query) ([]runner.Run, error) {
	text := "SELECT " + runColumns + " FROM runs r JOIN specs s ON s.digest = r.spec WHERE r.id IN (" + ids.text.String() + ") ORDER BY r.id DESC"
	var runs []runner.Run
	err := r.reading().each(ctx, text, ids.args, func(rows *sql.Rows) error {
		run, err := scanRun(rows)
		runs = append(runs, run)
		return err
	})
	return runs, err
}

// runIDs selects the IDs of the newest runs that f selects. Every pair of a
// state and a trigger is one range of an index, so each gives its newest and
// the newest of all are taken from those: the work is bounded by the limit and
// not by the number of runs.
func runIDs(f runner.Filter) *query {
	q := new(query)
	if !f.Slot.IsZero() {
		q.ofSlot(f)
		return q
	}
	if len(f.States) == 0 && len(f.Triggers) == 0 {
		q.newest(f, "", "")
		return q
	}
	states, triggers := f.States, f.Triggers
	if len(states) == 0 {
		states = runner.States()
	}
	if len(triggers) == 0 {
		triggers = allTriggers()
	}
	q.add("SELECT id FROM (")
	union := ""
	for _, state := range slices.Compact(slices.Sorted(slices.Values(states))) {
		for _, trigger := range slices.Compact(slices.Sorted(slices.Values(triggers))) {
			q.add(union + "SELECT id FROM (")
			q.newest(f, state, trigger)
			q.add(fmt.Sprintf(") AS part_%s_%s", state, trigger))
			union = " UNION ALL "
		}
	}
	q.add(fmt.Sprintf(") AS parts ORDER BY id DESC LIMIT %d", f.Limit))
	return q
}

// ofSlot selects the IDs of the newest runs of one slot of a workflow.
func (q *query) ofSlot(f runner.Filter) {
	low, high := idRange(f)
	q.add("SELECT id FROM runs WHERE workflow = ? AND slot >= ? AND slot < ? AND id >= ? AND id < ?", f.Workflow, f.Slot.UnixMicro(), f.Slot.Add(time.Second).UnixMicro(), low, high)
	among := func(column string, words []any) {
		if len(words) > 0 {
			q.add(" AND "+column+" IN ("+marks(len(words))+")", words...)
		}
	}
	among("state", anyOfWords(f.States))
	among("trigger", anyOfWords(f.Triggers))
	q.add(fmt.Sprintf(" ORDER BY id DESC LIMIT %d", f.Limit))
}

func anyOfWords[S ~string](words []S) []any {
	list := make([]any, len(words))
	for i, w := range words {
		list[i] = w
	}
	return list
}

// newest selects the IDs of the newest runs of one range. The range is written
// as two comparisons of whole index keys, because with "workflow = ?" the
// planner of PostgreSQL may prefer to walk all runs from the newest on until
// enough of them fit, which takes long for a workflow that ran long ago.
func (q *query) newest(f runner.Filter, state runner.State, trigger runner.Trigger) {
	var columns []string
	var key []any
	if f.Workflow != "" {
		columns, key = append(columns, "workflow"), append(key, f.Workflow)
	}
	if state != "" {
		columns, key = append(columns, "state", "trigger"), append(key, state, trigger)
	}
	low, high := idRange(f)
	list := strings.Join(append(columns, "id"), ", ")
	values := "(" + marks(len(key)+1) + ")"
	q.add("SELECT id FROM runs WHERE ("+list+") >= "+values, append(slices.Clone(key), low)...)
	q.add(" AND ("+list+") < "+values, append(slices.Clone(key), high)...)
	// A limit that is part of the text lets a plan for all arguments know it.
	q.add(fmt.Sprintf(" ORDER BY %s DESC LIMIT %d", strings.ReplaceAll(list, ",", " DESC,"), f.Limit))
}

// idRange returns the bounds of f on run IDs: low <= id < high.
func idRange(f runner.Filter) (low, high runner.RunID) {
	high = idEnd
	if !f.Since.IsZero() {
		low = tickOf(f.Since).bound()
	}
	if !f.Until.IsZero() {
		high = min(high, tickOf(f.Until).bound())
	}
	if f.Before != "" {
		high = min(high, f.Before)
	}
	return low, high
}

func allTriggers() []runner.Trigger {
	return []runner.Trigger{runner.BySchedule, runner.ByCatchUp, runner.ByManual, runner.ByAPI, runner.ByCheck}
}

// Run returns one run by its ID or an unambiguous beginning of it, in either
// case of letters.
func (r *Reader) Run(ctx context.Context, idOrPrefix string) (runner.Run, error) {
	prefix := strings.ToLower(strings.TrimSpace(idOrPrefix))
	what := fmt.Sprintf("look up run %q", clean(idOrPrefix, maxName))
	if prefix == "" || strings.Trim(prefix, "0123456789abcdef-") != "" {
		return runner.Run{}, fmt.Errorf("%s: %w", what, runner.ErrNotFound)
	}
	ids := new(query)
	ids.add(fmt.Sprintf("SELECT id FROM runs WHERE id >= ? AND id < ? ORDER BY id DESC LIMIT %d", ambiguousShown), prefix, prefix+idEnd)
	runs, err := r.selectRuns(ctx, ids)
	switch {
	case err != nil:
		return runner.Run{}, r.explain(ctx, what, err)
	case len(runs) == 0:
		return runner.Run{}, fmt.Errorf("%s: %w", what, runner.ErrNotFound)
	case len(runs) > 1:
		failure := &runner.AmbiguousError{Prefix: prefix}
		for _, run := range runs {
			failure.IDs = append(failure.IDs, run.ID)
		}
		return runner.Run{}, failure
	}
	return runs[0], nil
}

// Latest returns the newest run of each named workflow that has one; where each
// node has a run of its own, the gravest of the newest slot.
func (r *Reader) Latest(ctx context.Context, workflows []string) (map[string]runner.Run, error) {
	latest := make(map[string]runner.Run, len(workflows))
	for names := range slices.Chunk(slices.Compact(slices.Sorted(slices.Values(workflows))), inChunk) {
		ids := new(query)
		for i, name := range names {
			if i > 0 {
				ids.add(" UNION ALL ")
			}
			ids.add("SELECT id FROM (")
			ids.newest(runner.Filter{Workflow: name, Limit: 1}, "", "")
			ids.add(fmt.Sprintf(") AS part_%d", i))
		}
		runs, err := r.selectRuns(ctx, ids)
		if err != nil {
			return nil, r.explain(ctx, "look up the latest runs", err)
		}
		for _, run := range runs {
			latest[run.Spec.Workflow] = run
		}
	}
	for name, run := range latest {
		gravest, err := r.gravest(ctx, run)
		if err != nil {
			return nil, r.explain(ctx, "look up the latest runs on all nodes", err)
		}
		latest[name] = gravest
	}
	return latest, nil
}

// gravest returns the gravest of the runs that nodes have of the same slot.
func (r *Reader) gravest(ctx context.Context, run runner.Run) (runner.Run, error) {
	if run.Host == "" {
		return run, nil
	}
	runs, err := r.selectRuns(ctx, runIDs(runner.Filter{Workflow: run.Spec.Workflow, Slot: run.Slot, Limit: maxGravest}))
	for _, other := range runs {
		if other.Host != "" && other.Slot.Equal(run.Slot) && other.State.GraverThan(run.State) {
			run = other
		}
	}
	return run, err
}

// maxGravest bounds how many nodes' runs of one slot are compared.
const maxGravest = 1000
