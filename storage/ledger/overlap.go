package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// workflowLocks is over how many locks the workflows are spread, so that many
// workflows in one transaction do not exhaust the server's table of locks.
const workflowLocks = 64

// isOpen is the condition on runs that have not ended, word for word that of
// the indexes of open runs.
const isOpen = "state IN ('queued', 'running')"

// lockWorkflows keeps others from deciding by the open runs of the workflows
// until the transaction ends.
func lockWorkflows(ctx context.Context, s session, workflows ...string) error {
	if s.d.lockWorkflow == "" {
		return nil
	}
	var numbers []int
	for _, name := range workflows {
		hash := fnv.New32a()
		// A hash never fails.
		_, _ = hash.Write([]byte(name))
		numbers = append(numbers, int(hash.Sum32()%workflowLocks))
	}
	// One order for all keeps two transactions from waiting for each other.
	slices.Sort(numbers)
	for _, number := range slices.Compact(numbers) {
		if _, err := s.exec(ctx, s.d.lockWorkflow, number); err != nil {
			return err
		}
	}
	return nil
}

// openRun is a run that stands in the way of others.
type openRun struct {
	id      runner.RunID
	running bool
	// waiting tells that it waits for approval.
	waiting bool
	since   time.Time
}

// describe says for a skipped run what stood in its way.
func (o openRun) describe() string {
	what := "waits"
	switch {
	case o.running:
		what = "runs"
	case o.waiting:
		what = "waits for approval"
	}
	return fmt.Sprintf("run %s %s since %s", o.id, what, o.since.UTC().Format(time.RFC3339))
}

// decideStates makes those of list Skipped that a pause or an open run keeps
// from running, and marks those that are on record already.
func decideStates(ctx context.Context, s session, list []submitted, pauses []runner.Pause) error {
	open, err := openRuns(ctx, s, list)
	if err != nil {
		return err
	}
	paused := make(map[string]runner.Pause, len(pauses))
	for _, p := range pauses {
		paused[p.Workflow] = p
	}
	now := time.Now()
	seen := make(map[[3]any]bool, len(list))
	for i := range list {
		w := &list[i]
		// Of equal requests the first one becomes the run.
		repeated := !w.manual && seen[w.key()]
		seen[w.key()] = true
		if w.duplicate || repeated || w.state != runner.Queued {
			continue
		}
		if p, found := paused[w.request.Spec.Workflow]; found && holds(p, now, w) {
			w.skip(runner.ReasonPaused, cleanLine(fmt.Sprintf("paused by %s: %s", p.By, p.Why), maxLine))
			continue
		}
		if w.request.DryRun {
			continue
		}
		key := w.calendar()
		if other, found := open[key]; found && w.request.Overlap == runner.OverlapSkip {
			w.skip(runner.ReasonOverlap, other.describe())
			continue
		}
		if _, found := open[key]; !found {
			open[key] = openRun{id: w.id, waiting: w.request.Approval, since: time.UnixMicro(w.queuedAt)}
		}
	}
	return nil
}

// holds tells whether p keeps a slot from running: it is in force, or the slot
// lies within it, because slots are decided late after a downtime.
func holds(p runner.Pause, now time.Time, w *submitted) bool {
	if p.Until.IsZero() || now.Before(p.Until) {
		return true
	}
	slot := time.UnixMicro(w.slot)
	return !slot.Before(p.Since) && slot.Before(p.Until)
}

// openRuns returns for each workflow and host of the requests with OverlapSkip
// an open run that is not dry, and marks what is on record already: a slot
// that is decided again does not stand in its own way.
func openRuns(ctx context.Context, s session, list []submitted) (map[runner.CalendarKey]openRun, error) {
	open := map[runner.CalendarKey]openRun{}
	var workflows []string
	for _, w := range list {
		if w.request.Overlap == runner.OverlapSkip && w.state == runner.Queued && !w.request.DryRun {
			workflows = append(workflows, w.request.Spec.Workflow)
		}
	}
	if len(workflows) == 0 {
		return open, nil
	}
	slices.Sort(workflows)
	workflows = slices.Compact(workflows)
	if err := lockWorkflows(ctx, s, workflows...); err != nil {
		return nil, err
	}
	for chunk := range slices.Chunk(identified(list), insertChunk) {
		if err := findDuplicates(ctx, s, chunk); err != nil {
			return nil, err
		}
	}
	for names := range slices.Chunk(workflows, inChunk) {
		if err := addOpenRuns(ctx, s, names, open); err != nil {
			return nil, err
		}
	}
	return open, nil
}

func addOpenRuns(ctx context.Context, s session, names []string, open map[runner.CalendarKey]openRun) error {
	args := make([]any, len(names))
	for i, name := range names {
		args[i] = name
	}
	query := "SELECT workflow, host, id, state, approval = 1 AND approved_by = '', queued_at, started_at FROM runs WHERE " + isOpen +
		" AND dry_run = 0 AND workflow IN (" + marks(len(names)) + ") ORDER BY id"
	return s.each(ctx, query, args, func(rows *sql.Rows) error {
		var key runner.CalendarKey
		var o openRun
		var state runner.State
		var queued, started sql.NullInt64
		if err := rows.Scan(&key.Workflow, &key.Host, &o.id, &state, &o.waiting, &queued, &started); err != nil {
			return err
		}
		o.running, o.since = state == runner.Running, instant(queued)
		if o.running {
			o.since = instant(started)
		}
		if known, found := open[key]; !found || o.running && !known.running {
			open[key] = o
		}
		return nil
	})
}

// mayStart returns nil when nothing but an executor is missing for a queued
// run to start.
func mayStart(ctx context.Context, s session, run runner.Run) error {
	if run.Approval && run.ApprovedBy == "" {
		return fmt.Errorf("%w: it waits for approval", runner.ErrNotClaimable)
	}
	if run.Overlap != runner.OverlapQueue || run.DryRun {
		return nil
	}
	if err := lockWorkflows(ctx, s, run.Spec.Workflow); err != nil {
		return err
	}
	var other openRun
	var state runner.State
	query := "SELECT r.id, r.state FROM runs r WHERE r.workflow = ? AND r.host = ? AND r." + isOpen + " AND r.dry_run = 0 AND " + goesFirst("r", "?", "?") +
		" ORDER BY r.id LIMIT 1"
	err := s.row(ctx, query, run.Spec.Workflow, run.Host, run.ID, run.ID).Scan(&other.id, &state)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil
	case err != nil:
		return err
	}
	return fmt.Errorf("%w: it waits for run %s of the same workflow, which is %s", runner.ErrNotClaimable, other.id, state)
}

// goesFirst is the condition on an open run other, that the run id waits for
// it with OverlapQueue. One that runs goes first even when it is the newer
// one, as after a retry of the older one.
func goesFirst(other string, id ...string) string {
	return strings.NewReplacer("o.", other+".", "$1", id[0], "$2", id[len(id)-1]).Replace("o.id <> $1 AND (o.id < $2 OR o.state = 'running')")
}

// Next returns the oldest queued run of a workflow that waits for older ones
// to end and may go now; ErrNotFound when there is none.
func (l *Ledger) Next(ctx context.Context, workflow string) (runner.RunID, error) {
	what := "look for the next run of " + clean(workflow, maxName)
	query := "SELECT r.id FROM runs r WHERE r.workflow = ? AND r." + isOpen + ` AND r.state = 'queued' AND r.overlap = 'queue'
		AND (r.approval = 0 OR r.approved_by <> '')
		AND (r.dry_run = 1 OR NOT EXISTS (SELECT 1 FROM runs o WHERE o.workflow = r.workflow AND o.host = r.host AND o.` + isOpen + ` AND o.dry_run = 0 AND ` + goesFirst("o", "r.id") + `))
		ORDER BY r.id LIMIT 1`
	var id runner.RunID
	err := l.reading().row(ctx, query, workflow).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("%s: %w", what, runner.ErrNotFound)
	}
	return id, l.explain(ctx, what, err)
}
