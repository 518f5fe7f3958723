package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

// mostRuns bounds --limit, so that a typo cannot load a million runs.
const mostRuns = 100_000

func newHistory(a *app) *cobra.Command {
	var f historyFlags
	cmd := &cobra.Command{
		Use:   "history",
		Short: "List what ran, newest first",
		Long: `List the runs on record, newest first. --since and --until take a duration back
from now (36h, 7d), a date (2026-11-23) or an instant (2026-11-23T02:30:00Z).

--slot shows what became of one slot: with runs_on: every, on each of the nodes.

With -o json the output is an array of runs with their jobs; its keys are stable.`,
		Example: "  upkeep history --workflow daily --limit 10\n" +
			"  upkeep history --workflow cleanup --slot '2026-11-23 02:30'\n" +
			"  upkeep history --state failed --since 7d -o json",
		RunE: func(cmd *cobra.Command, _ []string) error { return a.listHistory(cmd.Context(), f) },
	}
	a.outputFlag(cmd)
	flags := cmd.Flags()
	flags.StringVarP(&f.workflow, "workflow", "w", "", "only runs of this `WORKFLOW`")
	flags.StringSliceVar(&f.states, "state", nil, "only runs in this `STATE` (several allowed): "+joinWords(runner.States()))
	flags.StringSliceVar(&f.triggers, "trigger", nil, "only runs with this `TRIGGER` (several allowed): "+joinWords(runner.Triggers()))
	flags.StringVar(&f.slot, "slot", "", "only runs of the slot at this `TIME`, those of all nodes; goes with --workflow")
	flags.StringVar(&f.since, "since", "", "only runs recorded at this `TIME` or later")
	flags.StringVar(&f.until, "until", "", "only runs recorded before this `TIME`")
	flags.StringVar(&f.before, "before", "", "continue a list: only runs recorded before this `RUN`")
	flags.IntVarP(&f.limit, "limit", "n", 20, "list at most `N` runs")
	completeFlag(cmd, "state", completeWords(runner.States()))
	completeFlag(cmd, "trigger", completeWords(runner.Triggers()))
	completeFlag(cmd, "workflow", a.completeWorkflows)
	completeFlag(cmd, "before", a.completeRuns)
	return cmd
}

type historyFlags struct {
	workflow, slot, since, until, before string
	states, triggers                     []string
	limit                                int
}

func (f historyFlags) filter(now time.Time) (runner.Filter, error) {
	out := runner.Filter{Workflow: f.workflow, Limit: f.limit}
	if f.limit < 1 || f.limit > mostRuns {
		return out, usagef("--limit %d is out of range: use 1 to %d", f.limit, mostRuns)
	}
	for _, s := range f.states {
		if !slices.Contains(runner.States(), runner.State(s)) {
			return out, usagef("unknown state %q: use %s", s, joinWords(runner.States()))
		}
		out.States = append(out.States, runner.State(s))
	}
	for _, t := range f.triggers {
		if !slices.Contains(runner.Triggers(), runner.Trigger(t)) {
			return out, usagef("unknown trigger %q: use %s", t, joinWords(runner.Triggers()))
		}
		out.Triggers = append(out.Triggers, runner.Trigger(t))
	}
	var err error
	if out.Slot, err = moment("slot", f.slot, now); err != nil {
		return out, err
	}
	if f.slot != "" && f.workflow == "" {
		return out, usagef("--slot goes with --workflow")
	}
	out.Slot = out.Slot.Truncate(time.Second)
	if out.Since, err = moment("since", f.since, now); err != nil {
		return out, err
	}
	out.Until, err = moment("until", f.until, now)
	return out, err
}

func joinWords[S ~string](words []S) string {
	parts := make([]string, len(words))
	for i, w := range words {
		parts[i] = string(w)
	}
	return strings.Join(parts, ", ")
}

// moment reads an instant from a flag: a duration back from now, a local date
// or an RFC 3339 instant. Empty text is the zero time.
func moment(flag, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if back, err := unit.ParseDuration(text); err == nil {
		return now.Add(-back), nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	for _, layout := range []string{"2006-01-02", "2006-01-02 15:04", "2006-01-02 15:04:05"} {
		if t, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, usagef("--%s %q is neither a duration (7d), nor a date (2026-11-23), nor an instant (2026-11-23T02:30:00Z)", flag, text)
}

func (a *app) listHistory(ctx context.Context, f historyFlags) error {
	filter, err := f.filter(time.Now())
	if err != nil {
		return err
	}
	reader, err := a.openReader(ctx)
	if err != nil {
		return err
	}
	defer reader.Close()
	if f.before != "" {
		last, err := findRun(ctx, reader, f.before)
		if err != nil {
			return fmt.Errorf("--before: %w", err)
		}
		filter.Before = last.ID
	}
	runs, err := reader.Runs(ctx, filter)
	if err != nil {
		return err
	}
	attempts, err := reader.Attempts(ctx, idsOf(runs)...)
	if err != nil {
		return err
	}
	l, err := a.listRuns(ctx, reader, runs, api.ByRun(attempts))
	if err != nil {
		return err
	}
	if l.empty, err = f.nothing(ctx, reader); err != nil {
		return err
	}
	return a.list(l)
}

func idsOf(runs []runner.Run) []runner.RunID {
	ids := make([]runner.RunID, len(runs))
	for i, r := range runs {
		ids[i] = r.ID
	}
	return ids
}

// nothing says why a list is empty.
func (f historyFlags) nothing(ctx context.Context, reader history) (string, error) {
	newest, err := reader.Runs(ctx, runner.Filter{Limit: 1})
	switch {
	case err != nil:
		return "", err
	case len(newest) == 0:
		return "nothing has run yet; `upkeep run WORKFLOW` runs one now", nil
	case f.workflow == "":
		return "no run fits", nil
	}
	if _, err := reader.config.Workflow(f.workflow); err != nil && len(reader.config.Workflows) > 0 {
		return "no run fits, and " + err.Error(), nil
	}
	return "no run fits", nil
}

func (a *app) listRuns(ctx context.Context, reader history, runs []runner.Run, attempts map[runner.RunID][]runner.Attempt) (listing, error) {
	p := a.painter(a.std.Out)
	l := listing{columns: []string{"STARTED", "WORKFLOW", "STATE", "REASON", "TOOK", "TRIGGER", "JOBS", "RUN"}}
	views := []api.Run{}
	for _, r := range runs {
		orphaned, err := reader.orphaned(ctx, r)
		if err != nil {
			return l, err
		}
		views = append(views, api.NewRun(r, attempts[r.ID], orphaned))
		started := r.StartedAt
		if started.IsZero() {
			started = r.QueuedAt
		}
		duration := "-"
		if !r.StartedAt.IsZero() && !r.FinishedAt.IsZero() {
			duration = unit.Took(r.FinishedAt.Sub(r.StartedAt))
		}
		reason := string(r.Reason)
		switch {
		case waitsForApproval(r):
			reason = "approval"
		case orphaned:
			reason = interrupted
		}
		l.rows = append(l.rows, []string{
			stamp(started), r.Spec.Workflow, p.state(r.State), reason, duration,
			string(r.Trigger), jobStrip(attempts[r.ID]), string(r.ID),
		})
	}
	l.data = views
	return withNodes(l, runs), nil
}

// withNodes adds where the runs ran to a list of runs of several nodes.
func withNodes(l listing, runs []runner.Run) listing {
	if !slices.ContainsFunc(runs, func(r runner.Run) bool { return r.Place() != "" || r.Node != "" && r.Node != runs[0].Node }) {
		return l
	}
	at := slices.Index(l.columns, "JOBS")
	l.columns = slices.Insert(slices.Clone(l.columns), at, "NODE")
	for i, r := range runs {
		l.rows[i] = slices.Insert(l.rows[i], at, placeOf(r))
	}
	return l
}

// placeOf is the node that executes a run, or else the one whose share it is, or
// those that may take it up; a dash for any.
func placeOf(r runner.Run) string {
	if label, ok := r.Target.Label(); ok && r.Node == "" && r.Host == "" {
		return "label:" + label
	}
	name, _ := r.Place().Node()
	return cmp.Or(r.Node, name, "-")
}

// interrupted is said in place of a reason of an open run that nobody works on.
const interrupted = "interrupted"

// jobStrip is one glyph per job, in the order in which they began.
func jobStrip(attempts []runner.Attempt) string {
	var b strings.Builder
	for _, at := range latestPerJob(attempts) {
		b.WriteString(stateGlyph(at.State))
	}
	if b.Len() == 0 {
		return "-"
	}
	return b.String()
}
