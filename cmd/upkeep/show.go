package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/runner"
)

func newShow(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show RUN",
		Short: "Tell what happened in one run",
		Long: `Tell what happened in one run: its jobs and attempts, errors with hints, findings,
values and artifacts. RUN is a run's ID, the beginning of one, a workflow's name
for its newest run, or ` + "`last`" + `.`,
		Example:           "  upkeep show last\n  upkeep show daily\n  upkeep show 019aa1b2 -o json",
		Args:              args(cobra.ExactArgs(1)),
		ValidArgsFunction: a.completeRuns,
		RunE: func(cmd *cobra.Command, given []string) error {
			return a.show(cmd.Context(), given[0])
		},
	}
	a.outputFlag(cmd)
	return cmd
}

// showView is what `show -o json` prints.
type showView struct {
	runView

	Attempts []attemptView `json:"attempts"`
}

func (a *app) show(ctx context.Context, text string) error {
	reader, err := a.openReader(ctx)
	if err != nil {
		return err
	}
	defer reader.Close()
	run, err := resolveRun(ctx, reader, text)
	if err != nil {
		return err
	}
	attempts, err := reader.Attempts(ctx, run.ID)
	if err != nil {
		return err
	}
	if a.format == formatTable {
		return a.showRun(a.std.Out, run, attempts)
	}
	view := showView{runView: viewRun(run, attempts), Attempts: []attemptView{}}
	l := listing{columns: []string{"job", "kind", "attempt", "state", "reason", "started_at", "duration_seconds", "summary", "error"}}
	for _, at := range attempts {
		v := viewAttempt(at)
		view.Attempts = append(view.Attempts, v)
		l.rows = append(l.rows, []string{
			at.Job, at.Kind, strconv.Itoa(at.Number), string(at.State), string(at.Reason),
			at.StartedAt.Format("2006-01-02T15:04:05Z07:00"), strconv.FormatFloat(v.DurationSeconds, 'f', 3, 64), v.Summary, at.Error,
		})
	}
	l.data = view
	return a.list(l)
}

func (a *app) showRun(w io.Writer, run runner.Run, attempts []runner.Attempt) error {
	p := a.painter(w)
	facts := [][]string{
		{"workflow", p.bold(run.Spec.Workflow)},
		{"state", stateWords(p, run) + tookWords(run)},
		{"run", string(run.ID)},
		{"trigger", string(run.Trigger) + by(run)},
		{"slot", stamp(run.Slot)},
		{"started", stamp(run.StartedAt)},
		{"finished", stamp(run.FinishedAt)},
	}
	if run.Node != "" {
		facts = append(facts, []string{"node", run.Node})
	}
	for _, name := range slices.Sorted(maps.Keys(run.Params)) {
		facts = append(facts, []string{"param", name + "=" + oneLine(run.Params[name], 0)})
	}
	if run.CanceledBy != "" {
		facts = append(facts, []string{"canceled by", run.CanceledBy})
	}
	if run.Message != "" {
		facts = append(facts, []string{"message", oneLine(run.Message, 0)})
	}
	if err := writeTable(w, []string{"", ""}, facts); err != nil {
		return err
	}
	fmt.Fprintln(w)
	var rows [][]string
	for _, at := range attempts {
		rows = append(rows, []string{
			p.state(at.State) + superseded(at), at.Job, at.Kind, attemptNumber(at), attemptTook(at), oneLine(outcomeOf(at), 0),
		})
	}
	if err := writeTable(w, []string{"STATE", "JOB", "KIND", "TRY", "TOOK", "OUTCOME"}, rows); err != nil {
		return err
	}
	a.showDetails(w, attempts)
	fmt.Fprintf(w, "\n%s %s\n", p.faint("what it wrote:"), a.again("logs "+string(run.ID)))
	return nil
}

func by(run runner.Run) string {
	if run.By == "" {
		return ""
	}
	return " by " + oneLine(run.By, 0)
}

func superseded(at runner.Attempt) string {
	if at.Superseded {
		return " (reopened)"
	}
	return ""
}

// attemptNumber is empty for a job that never began.
func attemptNumber(at runner.Attempt) string {
	if at.StartedAt.IsZero() {
		return "-"
	}
	return strconv.Itoa(at.Number)
}

func outcomeOf(at runner.Attempt) string {
	switch {
	case at.Error != "":
		return at.Error
	case at.State == runner.Skipped:
		return "skipped: " + string(at.Reason)
	}
	return at.Result.Summary
}

// showDetails lists what does not fit into the table: hints, findings, values
// and artifacts of each attempt.
func (a *app) showDetails(w io.Writer, attempts []runner.Attempt) {
	p := a.painter(w)
	for _, at := range attempts {
		var b strings.Builder
		if at.Hint != "" {
			fmt.Fprintf(&b, "  hint: %s\n", at.Hint)
		}
		for _, f := range at.Result.Findings {
			fmt.Fprintf(&b, "  %-8s %s\n", f.Severity, oneLine(f.Text, 0))
		}
		for _, name := range slices.Sorted(maps.Keys(at.Result.Values)) {
			fmt.Fprintf(&b, "  %s = %s\n", name, strconv.FormatFloat(at.Result.Values[name], 'g', 10, 64))
		}
		for _, name := range slices.Sorted(maps.Keys(at.Result.Outputs)) {
			fmt.Fprintf(&b, "  %s: %s\n", name, oneLine(at.Result.Outputs[name], 200))
		}
		for _, art := range at.Result.Artifacts {
			fmt.Fprintf(&b, "  artifact %s: %s (%s)\n", art.Store, art.Key, humanize.IBytes(uint64(max(art.Bytes, 0))))
		}
		if b.Len() > 0 {
			fmt.Fprintf(w, "\n%s\n%s", p.bold(fmt.Sprintf("%s, try %d", at.Job, at.Number)), b.String())
		}
	}
}
