package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

// summarize writes how a run ended, what a person should know, and where to
// look next.
func (a *app) summarize(w io.Writer, run runner.Run, attempts []runner.Attempt) {
	p := a.painter(w)
	latest := latestPerJob(attempts)
	for _, at := range latest {
		for _, f := range at.Result.Findings {
			if f.Severity != jobs.Info {
				fmt.Fprintf(w, "  %s %s: %s\n", p.yellow("!"), at.Job, oneLine(f.Text, 0))
			}
		}
	}
	for _, at := range latest {
		if at.Error == "" {
			continue
		}
		fmt.Fprintf(w, "  %s %s: %s\n", p.red(stateGlyph(at.State)), at.Job, indent(at.Error, "    "))
		if at.Hint != "" {
			fmt.Fprintf(w, "    hint: %s\n", indent(at.Hint, "    "))
		}
	}
	fmt.Fprintf(w, "%s %s %s  run %s\n", stateGlyph(run.State), p.bold(run.Spec.Workflow)+on(run.Host), stateWords(p, run), run.ID)
	// The message repeats the worst job, which stands above already.
	if run.Message != "" && len(latest) == 0 {
		fmt.Fprintf(w, "  %s\n", oneLine(run.Message, 0))
	}
	next := func(label, command string) {
		fmt.Fprintf(w, "  %s %s\n", p.faint(label), a.again(command+" "+string(run.ID)))
	}
	next("what happened:", "show")
	next("what it wrote:", "logs")
	if run.DryRun {
		for _, at := range latest {
			if plan := at.Result.Outputs[jobs.OutputPlan]; plan != "" {
				fmt.Fprintf(w, "  %s %s\n", p.faint("apply exactly this:"), a.again("run "+run.Spec.Workflow+"."+at.Job+" --apply "+unit.ShellWord(plan)))
			}
		}
	}
	switch {
	case !run.State.Final():
		next("continue it:  ", "retry")
	case run.State == runner.Failed || run.State == runner.Canceled:
		next("try it again: ", "retry")
	}
}

// mostEffects is how many effects of one job a dry run lists; `upkeep logs` has
// all that were captured.
const mostEffects = 20

// tellEffects lists what the jobs of a dry run would have changed.
func tellEffects(ctx context.Context, w io.Writer, reader runner.Reader, attempts []runner.Attempt) error {
	for _, at := range latestPerJob(attempts) {
		out, err := reader.Output(ctx, at.Key())
		if errors.Is(err, runner.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		listed, more := 0, 0
		for line := range strings.Lines(string(out.Head) + "\n" + string(out.Tail)) {
			switch {
			case !strings.HasPrefix(line, "would "): // the words of jobs.Env.Effect
			case listed == mostEffects:
				more++
			default:
				if listed == 0 {
					fmt.Fprintf(w, "%s\n", at.Job)
				}
				listed++
				fmt.Fprintf(w, "  %s\n", oneLine(line, 0))
			}
		}
		if more > 0 {
			fmt.Fprintf(w, "  … and %d more\n", more)
		}
	}
	return nil
}

// stateWords tells how a run ended and how long it took.
func stateWords(p painter, run runner.Run) string {
	words := p.state(run.State)
	switch {
	case run.State == runner.Warned:
		words = p.yellow("succeeded with warnings")
	case run.State == runner.Queued && run.Epoch > 0:
		words = p.yellow("stopped") + " before it had ended"
	case run.State.Final() && run.Reason != "" && run.Reason != runner.ReasonError:
		words += " (" + string(run.Reason) + ")"
	}
	if !run.StartedAt.IsZero() && !run.FinishedAt.IsZero() {
		words += " in " + unit.Took(run.FinishedAt.Sub(run.StartedAt))
	}
	if run.DryRun {
		words += ", dry run: nothing was changed"
	}
	return words
}

// again is how the user would call upkeep with the same configuration.
func (a *app) again(command string) string {
	name := unit.ShellWord(a.calledAs())
	if a.configPath == "" {
		return name + " " + command
	}
	return name + " -c " + unit.ShellWord(a.configPath) + " " + command
}

// calledAs is how this program was called when that was by its path, so that
// what it proposes can be pasted; else its name.
func (a *app) calledAs() string {
	if strings.Contains(a.name, "/") {
		return a.name
	}
	return "upkeep"
}
