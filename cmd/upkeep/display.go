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

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
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
	// since is where the progress began whose speed is shown.
	since   *runner.AttemptProgress
	waiting *runner.AttemptWaiting
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
		l.attempt, l.progress, l.since, l.waiting = e.Attempt, nil, nil, nil
	case runner.AttemptProgress:
		b.line(e.Key.Job, "").advance(&e)
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
		return fmt.Sprintf("waits for lock %s, held by %s.%s", l.waiting.Holder.Lock, l.waiting.Holder.Workflow, l.waiting.Holder.Job)
	case l.waiting != nil:
		return fmt.Sprintf("failed: %s; next try at %s", l.waiting.Error, l.waiting.Until.Local().Format(time.TimeOnly))
	case a.State == runner.Running && l.progress != nil:
		return progressText(*l.progress) + paceText(*l.since, *l.progress)
	}
	return outcomeOf(a)
}

func progressText(p runner.AttemptProgress) string {
	amount := func(n int64) string {
		if strings.HasPrefix(p.Unit, "bytes") {
			return humanize.IBytes(uint64(max(n, 0)))
		}
		return humanize.Comma(n)
	}
	unit := strings.TrimSpace(strings.TrimPrefix(p.Unit, "bytes"))
	if p.Total <= 0 {
		return strings.TrimSpace(amount(p.Done) + " " + unit)
	}
	share := 100 * min(1, max(0, float64(p.Done)/float64(p.Total)))
	return strings.TrimSpace(fmt.Sprintf("%d %%  %s of %s %s", int(share), amount(p.Done), amount(p.Total), unit))
}

// advance notes how far an attempt is. Its speed is that of what it does now:
// another unit, or less done than before, is another thing.
func (l *boardLine) advance(p *runner.AttemptProgress) {
	if l.since == nil || l.since.At.IsZero() || l.since.Unit != p.Unit || p.Done < l.progress.Done {
		l.since = p
	}
	l.progress = p
}

// paceText says how fast something goes on, and how long it takes still, once
// that can be told.
func paceText(since, now runner.AttemptProgress) string {
	spent := now.At.Sub(since.At).Seconds()
	if spent < 1 || now.Done <= since.Done {
		return ""
	}
	rate := float64(now.Done-since.Done) / spent
	text := ""
	if strings.HasPrefix(now.Unit, "bytes") {
		text = ", " + humanize.IBytes(uint64(rate)) + "/s"
	}
	if left := now.Total - now.Done; left > 0 {
		text += ", " + unit.Took(time.Duration(float64(left)/rate*1e9).Round(time.Second)) + " left"
	}
	return text
}

// startLine says what begins.
func startLine(e runner.RunStarted) string {
	verb := "started"
	if e.Run.ReopenedBy != "" || len(e.Done) > 0 {
		verb = "continues"
	}
	text := fmt.Sprintf("%s  run %s %s, %s", e.Run.Spec.Workflow, e.Run.ID, verb, count(len(e.Jobs), "job"))
	if len(e.Done) > 0 {
		text += fmt.Sprintf(", %d of them ended before", len(e.Done))
	}
	if e.Run.DryRun {
		text += ", dry run"
	}
	return text
}

// display shows a run while it goes on.
type display interface {
	runner.Observer
	// Close ends the drawing, after the run's end was observed or given up. A
	// second call does nothing.
	Close()
}

// newDisplay chooses the display for w.
func (a *app) newDisplay(w io.Writer) display {
	if !isTerminal(w) || a.dumb() {
		return &plainDisplay{w: w}
	}
	d := newLiveDisplay(raw(w), a.painter(w))
	if notes, ok := a.std.Err.(*notes); ok && isTerminal(notes) {
		notes.divert(d)
		d.atEnd = func() { notes.divert(nil) }
	}
	return d
}

// plainDisplay writes one line per event, for logs and pipes.
type plainDisplay struct {
	board

	w io.Writer
	// prefix begins each line.
	prefix string
}

// Observe writes the event as a line with the time of day.
func (d *plainDisplay) Observe(_ context.Context, e runner.Event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.apply(e)
	say := func(format string, args ...any) {
		fmt.Fprintf(d.w, "%s%s  %s\n", d.prefix, time.Now().Format(time.TimeOnly), oneLine(fmt.Sprintf(format, args...), 0))
	}
	switch e := e.(type) {
	case runner.RunStarted:
		say("%s", startLine(e))
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
		if !api.Began(e.Attempt) {
			say("%s  %s  skipped  %s", e.Attempt.Job, e.Attempt.Kind, l.outcome())
			return
		}
		say("%s  %s  %s in %s  %s", e.Attempt.Job, e.Attempt.Kind, e.Attempt.State, attemptTook(e.Attempt), l.outcome())
	}
}

// Close has nothing to end.
func (d *plainDisplay) Close() {}

func attemptTook(at runner.Attempt) string {
	if at.StartedAt.IsZero() || at.FinishedAt.IsZero() {
		return "0s"
	}
	return unit.Took(at.FinishedAt.Sub(at.StartedAt))
}
