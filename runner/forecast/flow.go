package forecast

import (
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/schedule"
)

// flow is a workflow under simulation.
type flow struct {
	*Workflow

	usual runner.Usual
	pause *runner.Pause
	count int64 // slots in the time looked at
	often bool  // all slots are one line
	line  int   // that line's index in the slots; -1 without one

	slot time.Time // the next slot to be simulated

	// began and until are the expected bounds of the latest run.
	began, until time.Time
	tally        tally
}

// tally is what happened to a flow's slots.
type tally struct {
	paused, outside, short int64
	met, sometimes         int64         // slots at which the run before still runs, or runs now and then
	wait                   time.Duration // the longest wait for a run before
	pausedAt, outsideAt    time.Time     // first occasions, as are the others
	shortAt, metAt         time.Time
	sometimesAt            time.Time
}

func (t *tally) skipped(overlap runner.Overlap) int64 {
	n := t.paused + t.outside + t.short
	if overlap == runner.OverlapSkip {
		n += t.met
	}
	return n
}

// note counts an occasion and keeps the instant of the first.
func note(n *int64, first *time.Time, at time.Time) {
	*n++
	if first.IsZero() {
		*first = at
	}
}

func newFlows(in Input, each int64) []*flow {
	pauses := map[string]*runner.Pause{}
	for i := range in.Pauses {
		pauses[in.Pauses[i].Workflow] = &in.Pauses[i]
	}
	flows := make([]*flow, 0, len(in.Workflows))
	for i := range in.Workflows {
		w := in.Workflows[i]
		if w.Overlap == "" {
			w.Overlap = runner.OverlapSkip
		}
		f := &flow{Workflow: &w, usual: in.Usual[w.Name], pause: pauses[w.Name], line: -1}
		f.count = w.Schedule.Count(in.Now, in.Until)
		f.often = f.count > each
		f.slot, _ = w.Schedule.Next(in.Now)
		flows = append(flows, f)
	}
	slices.SortStableFunc(flows, func(a, b *flow) int { return strings.Compare(a.Name, b.Name) })
	return flows
}

// start is when the flow's next slot starts.
func (f *flow) start() time.Time { return f.slot.Add(f.Delay) }

// long is how long a run may well take: what a window must have room for.
func (f *flow) long() time.Duration { return max(f.usual.P95, f.usual.Median) }

// local writes an instant in the flow's zone.
func (f *flow) local(t time.Time) string { return localTime(t, f.Schedule.Zone()) }

// pausedAt tells whether the pause that is in force now still is at t.
func (f *flow) pausedAt(t time.Time) bool {
	return f.pause != nil && (f.pause.Until.IsZero() || t.Before(f.pause.Until))
}

// judge decides whether the slot that starts at t runs, before anything else
// than the flow itself is looked at.
func (f *flow) judge(t time.Time) (Fate, string) {
	switch {
	case f.pausedAt(t):
		note(&f.tally.paused, &f.tally.pausedAt, t)
		return FatePaused, "paused by " + f.pause.By + pauseEnd(f)
	case !f.Window.Open(t):
		note(&f.tally.outside, &f.tally.outsideAt, t)
		return FateWindow, "outside its window " + f.Window.String()
	case !f.Window.Fits(t, f.long()):
		note(&f.tally.short, &f.tally.shortAt, t)
		closes, _ := f.Window.Closes(t)
		return FateWindow, "takes up to " + span(f.long()) + ", and the window closes at " + clockTime(closes, f.Schedule.Zone())
	case f.until.After(t):
		note(&f.tally.met, &f.tally.metAt, t)
		switch f.Overlap {
		case runner.OverlapAllow:
			return FateRuns, "beside the run before it"
		case runner.OverlapQueue:
			f.tally.wait = max(f.tally.wait, f.until.Sub(t))
			return FateWaits, "waits " + span(f.until.Sub(t)) + " for the run before it"
		case runner.OverlapSkip:
		}
		return FateOverlap, "the run before it usually ends at " + clockTime(f.until, f.Schedule.Zone())
	case !f.began.IsZero() && f.began.Add(f.long()).After(t):
		note(&f.tally.sometimes, &f.tally.sometimesAt, t)
	}
	return FateRuns, ""
}

func pauseEnd(f *flow) string {
	if f.pause.Until.IsZero() {
		return " with no end"
	}
	return " until " + f.local(f.pause.Until)
}

// queue is a heap of flows by the start of their next slot, then by name.
type queue []*flow

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	a, b := q[i].start(), q[j].start()
	if !a.Equal(b) {
		return a.Before(b)
	}
	return q[i].Name < q[j].Name
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(*flow)) } //nolint:forcetypeassert // container/heap passes what we gave it

// Pop removes the last flow.
func (q *queue) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}

// advance moves the flow to its next slot and tells whether there is one.
func (f *flow) advance(until time.Time) bool {
	next, ok := f.Schedule.Next(f.slot)
	f.slot = next
	return ok && !next.After(until)
}

// rule says in words when a flow that runs often does so.
func (f *flow) rule() string { return f.Schedule.Describe() }

// zoned gives t the zone of the flow's schedule.
func (f *flow) zoned(t time.Time) time.Time { return t.In(f.Schedule.Zone()) }

// isNever tells whether the calendar never starts the flow.
func (f *flow) isNever() bool { return f.Schedule.IsZero() }

// lost tells whether a clock change takes slots from the flow.
func (f *flow) lost(h schedule.Hazard) bool {
	return h.Kind == schedule.HazardGap && f.Schedule.Rule().DST == schedule.DSTSkip
}
