package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/runner"
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

With -o json the output is an array of runs with their jobs; its keys are stable.`,
		Example: "  upkeep history --workflow daily --limit 10\n" +
			"  upkeep history --state failed --since 7d -o json",
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.history(cmd.Context(), f) },
	}
	a.outputFlag(cmd)
	flags := cmd.Flags()
	flags.StringVarP(&f.workflow, "workflow", "w", "", "only runs of this workflow")
	flags.StringSliceVar(&f.states, "state", nil, "only runs in these states (several allowed)")
	flags.StringSliceVar(&f.triggers, "trigger", nil, "only runs with these triggers (several allowed)")
	flags.StringVar(&f.since, "since", "", "only runs recorded since then")
	flags.StringVar(&f.until, "until", "", "only runs recorded before then")
	flags.StringVar(&f.before, "before", "", "continue a list: only runs older than this run")
	flags.IntVarP(&f.limit, "limit", "n", 20, "the most runs to list")
	var states []string
	for _, s := range runner.States() {
		states = append(states, string(s))
	}
	complete(cmd, "state", states...)
	a.completeWorkflows(cmd, "workflow")
	return cmd
}

type historyFlags struct {
	workflow, since, until, before string
	states, triggers               []string
	limit                          int
}

func (f historyFlags) filter(now time.Time) (runner.Filter, error) {
	out := runner.Filter{Workflow: f.workflow, Before: runner.RunID(f.before), Limit: f.limit}
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

func (a *app) history(ctx context.Context, f historyFlags) error {
	filter, err := f.filter(time.Now())
	if err != nil {
		return err
	}
	reader, err := a.openReader(ctx)
	if err != nil {
		return err
	}
	defer reader.Close()
	runs, err := reader.Runs(ctx, filter)
	if err != nil {
		return err
	}
	ids := make([]runner.RunID, len(runs))
	for i, r := range runs {
		ids[i] = r.ID
	}
	attempts, err := reader.Attempts(ctx, ids...)
	if err != nil {
		return err
	}
	return a.list(a.listRuns(runs, byRun(attempts)))
}

func (a *app) listRuns(runs []runner.Run, attempts map[runner.RunID][]runner.Attempt) listing {
	p := a.painter(a.std.Out)
	l := listing{
		columns: []string{"STARTED", "WORKFLOW", "STATE", "REASON", "TOOK", "TRIGGER", "JOBS", "RUN"},
		empty:   "nothing on record yet; `upkeep run WORKFLOW` runs one now",
	}
	views := []runView{}
	for _, r := range runs {
		views = append(views, viewRun(r, attempts[r.ID]))
		started := r.StartedAt
		if started.IsZero() {
			started = r.QueuedAt
		}
		duration := "-"
		if !r.StartedAt.IsZero() && !r.FinishedAt.IsZero() {
			duration = took(r.FinishedAt.Sub(r.StartedAt))
		}
		l.rows = append(l.rows, []string{
			stamp(started), r.Spec.Workflow, p.state(r.State), string(r.Reason), duration,
			string(r.Trigger), jobStrip(attempts[r.ID]), string(r.ID),
		})
	}
	l.data = views
	return l
}

// jobStrip is one glyph per job, in the order in which they began.
func jobStrip(attempts []runner.Attempt) string {
	latest, _ := latestPerJob(attempts)
	var b strings.Builder
	for _, at := range latest {
		b.WriteString(stateGlyph(at.State))
	}
	if b.Len() == 0 {
		return "-"
	}
	return b.String()
}

// resolveRun finds a run by what a person typed: an ID, the beginning of one,
// `last`, or a workflow's name for its newest run.
func resolveRun(ctx context.Context, reader runner.Reader, text string) (runner.Run, error) {
	switch {
	case text == "last":
		runs, err := reader.Runs(ctx, runner.Filter{Limit: 1})
		if err != nil {
			return runner.Run{}, err
		}
		if len(runs) == 0 {
			return runner.Run{}, fmt.Errorf("the last run: %w", runner.ErrNotFound)
		}
		return runs[0], nil
	case !looksLikeID(text):
		latest, err := reader.Latest(ctx, []string{text})
		if err != nil {
			return runner.Run{}, err
		}
		run, ok := latest[text]
		if !ok {
			return runner.Run{}, fmt.Errorf("a run of workflow %q: %w", text, runner.ErrNotFound)
		}
		return run, nil
	}
	return reader.Run(ctx, text)
}

// looksLikeID tells a run ID or the beginning of one from a workflow's name:
// run IDs are hexadecimal and at least their first 6 digits must be given.
func looksLikeID(text string) bool {
	if len(text) < 6 {
		return false
	}
	return strings.Trim(text, "0123456789abcdef-") == "" && strings.ContainsAny(text, "0123456789")
}
