package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

// board is what a display knows about the run it shows. It is fed by events
// and drawn by one of two displays: live for terminals, plain for the rest.
type board struct {
	mu    sync.Mutex
	run   runner.Run
	lines []*boardLine
}

// boardLine is one job on the board.
type boardLine struct {
	name, kind string
	attempt    runner.Attempt
	progress   *runner.AttemptProgress
	waiting    *runner.AttemptWaiting
}

func (b *board) line(job, kind string) *boardLine {
	i := slices.IndexFunc(b.lines, func(l *boardLine) bool { return l.name == job })
	if i >= 0 {
		return b.lines[i]
	}
	l := &boardLine{name: job, kind: kind}
	b.lines = append(b.lines, l)
	return l
}

// apply updates the board by one event.
func (b *board) apply(e runner.Event) {
	switch e := e.(type) {
	case runner.RunStarted:
		b.run = e.Run
		for _, j := range e.Jobs {
			b.line(j.Name, j.Kind)
		}
		for _, a := range e.Done {
			b.line(a.Job, a.Kind).attempt = a
		}
	case runner.AttemptStarted:
		l := b.line(e.Attempt.Job, e.Attempt.Kind)
		l.attempt, l.progress, l.waiting = e.Attempt, nil, nil
	case runner.AttemptProgress:
		b.line(e.Key.Job, "").progress = &e
	case runner.AttemptWaiting:
		b.line(e.Key.Job, "").waiting = &e
	case runner.AttemptEnded:
		l := b.line(e.Attempt.Job, e.Attempt.Kind)
		l.attempt, l.progress, l.waiting = e.Attempt, nil, nil
	case runner.RunEnded:
		b.run = e.Run
	}
}

// outcome is the text that follows a job's name and time.
func (l *boardLine) outcome() string {
	a := l.attempt
	switch {
	case l.waiting != nil && l.waiting.Holder != nil:
		return fmt.Sprintf("waits for lock %s, held by %s/%s", l.waiting.Holder.Lock, l.waiting.Holder.Workflow, l.waiting.Holder.Job)
	case l.waiting != nil:
		return fmt.Sprintf("failed: %s; next try at %s", l.waiting.Error, l.waiting.Until.Local().Format(time.TimeOnly))
	case a.State == runner.Running && l.progress != nil:
		return progressText(*l.progress)
	case a.Error != "":
		return a.Error
	case a.State == runner.Skipped:
		return "skipped: " + string(a.Reason)
	}
	return a.Result.Summary
}

func progressText(p runner.AttemptProgress) string {
	amount := func(n int64) string {
		if p.Unit == "bytes" {
			return humanize.IBytes(uint64(max(n, 0)))
		}
		return humanize.Comma(n)
	}
	if p.Total <= 0 {
		return strings.TrimSpace(amount(p.Done) + " " + strings.TrimPrefix(p.Unit, "bytes"))
	}
	return strings.TrimSpace(fmt.Sprintf("%d %%  %s of %s %s",
		p.Done*100/p.Total, amount(p.Done), amount(p.Total), strings.TrimPrefix(p.Unit, "bytes")))
}

// display shows a run while it goes on.
type display interface {
	runner.Observer
	// Close ends the drawing; it is called once, after the run's end was
	// observed or given up.
	Close()
}

// newDisplay chooses the display for w.
func (a *app) newDisplay(w io.Writer) display {
	if isTerminal(w) {
		return newLiveDisplay(w, a.painter(w))
	}
	return &plainDisplay{w: w}
}

// plainDisplay writes one line per event, for logs and pipes.
type plainDisplay struct {
	board

	w io.Writer
}

// Observe writes the event as a line with the time of day.
func (d *plainDisplay) Observe(_ context.Context, e runner.Event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.apply(e)
	say := func(format string, args ...any) {
		fmt.Fprintf(d.w, "%s  %s\n", time.Now().Format(time.TimeOnly), oneLine(fmt.Sprintf(format, args...), 0))
	}
	switch e := e.(type) {
	case runner.RunStarted:
		say("%s  run %s started, %d jobs", e.Run.Spec.Workflow, e.Run.ID, len(e.Jobs))
	case runner.AttemptStarted:
		if e.Attempt.Number > 1 {
			say("%s  %s  attempt %d started", e.Attempt.Job, e.Attempt.Kind, e.Attempt.Number)
			return
		}
		say("%s  %s  started", e.Attempt.Job, e.Attempt.Kind)
	case runner.AttemptWaiting:
		say("%s  %s", e.Key.Job, d.line(e.Key.Job, "").outcome())
	case runner.AttemptEnded:
		l := d.line(e.Attempt.Job, e.Attempt.Kind)
		say("%s  %s  %s in %s  %s", e.Attempt.Job, e.Attempt.Kind, e.Attempt.State, attemptTook(e.Attempt), l.outcome())
	}
}

// Close has nothing to end.
func (d *plainDisplay) Close() {}

func attemptTook(at runner.Attempt) string {
	if at.StartedAt.IsZero() || at.FinishedAt.IsZero() {
		return "0s"
	}
	return took(at.FinishedAt.Sub(at.StartedAt))
}

// summarize writes how a run ended, what a person should know, and where to
// look next.
func (a *app) summarize(w io.Writer, run runner.Run, attempts []runner.Attempt) {
	p := a.painter(w)
	latest, _ := latestPerJob(attempts)
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
		fmt.Fprintf(w, "  %s %s: %s\n", p.red("✗"), at.Job, strings.ReplaceAll(at.Error, "\n", "\n    "))
		if at.Hint != "" {
			fmt.Fprintf(w, "    hint: %s\n", at.Hint)
		}
	}
	fmt.Fprintf(w, "\n%s %s %s%s  run %s\n", stateGlyph(run.State), p.bold(run.Spec.Workflow), stateWords(p, run), tookWords(run), run.ID)
	// The message repeats the worst job, which stands above already.
	if run.Message != "" && len(latest) == 0 {
		fmt.Fprintf(w, "  %s\n", oneLine(run.Message, 0))
	}
	next := func(label, command string) {
		fmt.Fprintf(w, "  %s %s\n", p.faint(label), a.again(command))
	}
	next("what happened:", "show "+string(run.ID))
	next("what it wrote:", "logs "+string(run.ID))
	if !run.State.Done() && run.State != runner.Skipped {
		next("try it again: ", "retry "+string(run.ID))
	}
}

func stateWords(p painter, run runner.Run) string {
	words := p.state(run.State)
	switch {
	case run.State == runner.Warned:
		words = p.yellow("succeeded with warnings")
	case run.State.Final() && run.Reason != "" && run.Reason != runner.ReasonError:
		words += " (" + string(run.Reason) + ")"
	}
	if run.DryRun {
		words += ", dry run: nothing was changed"
	}
	return words
}

func tookWords(run runner.Run) string {
	if run.StartedAt.IsZero() || run.FinishedAt.IsZero() {
		return ""
	}
	return " in " + took(run.FinishedAt.Sub(run.StartedAt))
}

// again is how the user would call upkeep with the same configuration.
func (a *app) again(command string) string {
	if a.configPath == "" {
		return "upkeep " + command
	}
	return "upkeep -c " + a.configPath + " " + command
}
