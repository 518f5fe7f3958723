package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

func newShow(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show RUN",
		Short: "Tell what happened in one run",
		Long: `Tell what happened in one run: its jobs and attempts, errors with hints, findings,
values and artifacts. RUN is a run's ID, the beginning of one, a workflow's name
for its newest run, or ` + "`last`" + `.`,
		Example:           "  upkeep show last\n  upkeep show daily\n  upkeep show 019aa1b2 -o json",
		ValidArgsFunction: a.completeRuns,
		RunE: func(cmd *cobra.Command, given []string) error {
			return a.show(cmd.Context(), given[0])
		},
	}
	a.outputFlag(cmd)
	return cmd
}

func (a *app) show(ctx context.Context, text string) error {
	reader, err := a.openReader(ctx)
	if err != nil {
		return err
	}
	defer reader.Close()
	run, err := findRun(ctx, reader, text)
	if err != nil {
		return err
	}
	attempts, err := reader.Attempts(ctx, run.ID)
	if err != nil {
		return err
	}
	orphaned, err := reader.orphaned(ctx, run)
	if err != nil {
		return err
	}
	if a.format == formatTable {
		var waiting [][2]string
		if run.State == runner.Running {
			locks, err := reader.locks(ctx)
			if err != nil {
				return err
			}
			waiting = waitingJobs(locks, run.ID)
		}
		return a.showRun(a.std.Out, run, attempts, orphaned, waiting)
	}
	return a.list(listRun(run, attempts, orphaned))
}

// listRun makes the forms of one run for programs: its attempts as rows.
func listRun(run runner.Run, attempts []runner.Attempt, orphaned bool) listing {
	view := api.NewRunWithAttempts(run, attempts, orphaned)
	l := listing{columns: []string{"job", "kind", "attempt", "state", "reason", "started_at", "duration_seconds", "summary", "error"}}
	for i, at := range attempts {
		v := view.Attempts[i]
		started := ""
		if v.StartedAt != nil {
			started = v.StartedAt.Format(time.RFC3339)
		}
		l.rows = append(l.rows, []string{
			at.Job, at.Kind, strconv.Itoa(at.Number), string(at.State), string(at.Reason),
			started, strconv.FormatFloat(v.DurationSeconds, 'f', 3, 64), v.Summary, at.Error,
		})
	}
	l.data = view
	return l
}

func (a *app) showRun(w io.Writer, run runner.Run, attempts []runner.Attempt, orphaned bool, waiting [][2]string) error {
	if err := a.showFacts(w, run, orphaned); err != nil {
		return err
	}
	p := a.painter(w)
	fmt.Fprintln(w)
	var rows [][]string
	for _, at := range attempts {
		number, spent := "-", "-"
		if api.Began(at) {
			number, spent = strconv.Itoa(at.Number), attemptTook(at)
		}
		rows = append(rows, []string{p.state(at.State) + superseded(at), at.Job, at.Kind, number, spent, oneLine(outcomeOf(at), 0)})
	}
	for _, job := range waiting {
		rows = append(rows, []string{"waiting", job[0], "-", "-", "-", oneLine(job[1], 0)})
	}
	if err := writeTable(w, []string{"STATE", "JOB", "KIND", "TRY", "TOOK", "OUTCOME"}, rows); err != nil {
		return err
	}
	a.showDetails(w, attempts)
	next := func(label, command string) {
		fmt.Fprintf(w, "%s %s\n", p.faint(label), a.again(command+" "+string(run.ID)))
	}
	fmt.Fprintln(w)
	next("what it wrote:", "logs")
	switch {
	case waitsForApproval(run):
		next("let it go:    ", "approve")
	case orphaned:
		next("continue it:  ", "retry")
	}
	return nil
}

// showFacts writes what there is to know of a run besides its jobs.
func (a *app) showFacts(w io.Writer, run runner.Run, orphaned bool) error {
	p := a.painter(w)
	state := stateWords(p, run)
	switch {
	case waitsForApproval(run):
		state += ", waits for approval"
	case orphaned:
		state += ", " + interrupted
	}
	facts := [][]string{
		{"workflow", p.bold(run.Spec.Workflow)},
		{"state", state},
		{"run", string(run.ID)},
		{"trigger", string(run.Trigger) + by(run.By)},
		{"slot", stamp(run.Slot)},
		{"started", stamp(run.StartedAt)},
		{"finished", stamp(run.FinishedAt)},
	}
	fact := func(name, value string) {
		if value != "" {
			facts = append(facts, []string{name, oneLine(value, 0)})
		}
	}
	fact("node", run.Node)
	if run.Node == "" && run.Place() != "" {
		fact("runs on", run.Place().String())
	}
	if run.State == runner.Queued && !run.StartBy.IsZero() {
		fact("to begin by", stamp(run.StartBy))
	}
	own := run.Arguments()
	for _, name := range slices.Sorted(maps.Keys(own)) {
		fact("param", name+"="+own[name])
	}
	fact("plan", run.Params[runner.ParamPlan])
	fact("approved by", run.ApprovedBy)
	fact("canceled by", run.CanceledBy)
	fact("retried by", run.ReopenedBy)
	fact("message", run.Message)
	return writeTable(w, []string{"", ""}, facts)
}

// waitsForApproval tells whether a run starts when somebody approves it.
func waitsForApproval(run runner.Run) bool {
	return run.State == runner.Queued && run.Approval && run.ApprovedBy == ""
}

func by(who string) string {
	if who == "" {
		return ""
	}
	return " by " + oneLine(who, 0)
}

func superseded(at runner.Attempt) string {
	if at.Superseded {
		return " (retried)"
	}
	return ""
}

// outcomeOf is what an attempt came to, in the words of the job.
func outcomeOf(at runner.Attempt) string {
	switch {
	case at.Error != "":
		return at.Error
	case at.State == runner.Skipped && at.Result.Summary == "":
		return string(at.Reason)
	}
	return at.Result.Summary
}

// showDetails lists what does not fit into the table: hints, findings, values
// and artifacts of each attempt.
func (a *app) showDetails(w io.Writer, attempts []runner.Attempt) {
	p := a.painter(w)
	for _, at := range attempts {
		var b strings.Builder
		if strings.Contains(at.Error, "\n") { // the table has it on one line
			fmt.Fprintf(&b, "  error: %s\n", indent(at.Error, "  "))
		}
		if at.Hint != "" {
			fmt.Fprintf(&b, "  hint: %s\n", indent(at.Hint, "  "))
		}
		for _, f := range at.Result.Findings {
			fmt.Fprintf(&b, "  %-8s %s\n", f.Severity, oneLine(f.Text, 0))
		}
		for _, name := range slices.Sorted(maps.Keys(at.Result.Values)) {
			fmt.Fprintf(&b, "  %s = %s\n", oneLine(name, 0), number(name, at.Result.Values[name]))
		}
		for _, name := range slices.Sorted(maps.Keys(at.Result.Outputs)) {
			fmt.Fprintf(&b, "  %s: %s\n", oneLine(name, 0), oneLine(at.Result.Outputs[name], 200))
		}
		for _, e := range at.Result.Events {
			fmt.Fprintf(&b, "  changed %s %s: %s\n", oneLine(e.Kind, 0), oneLine(e.Subject, 0), oneLine(e.Text, 0))
		}
		for _, art := range at.Result.Artifacts {
			fmt.Fprintf(&b, "  artifact %s: %s (%s)\n", oneLine(art.Store, 0), oneLine(art.Key, 0), humanize.IBytes(uint64(max(art.Bytes, 0))))
		}
		if b.Len() > 0 {
			fmt.Fprintf(w, "\n%s\n%s", p.bold(fmt.Sprintf("%s, try %d", at.Job, at.Number)), b.String())
		}
	}
}

// number writes a value for people: whole numbers whole, bytes also in units.
func number(name string, v float64) string {
	const exact = 1 << 53 // https://en.wikipedia.org/wiki/Double-precision_floating-point_format
	if v != math.Trunc(v) || math.Abs(v) > exact {
		return strconv.FormatFloat(v, 'g', 6, 64)
	}
	text := strconv.FormatFloat(v, 'f', 0, 64)
	if strings.HasSuffix(name, "bytes") && v >= 1024 {
		text += " (" + humanize.IBytes(uint64(v)) + ")"
	}
	return text
}
