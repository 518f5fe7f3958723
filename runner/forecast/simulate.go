package forecast

import (
	"container/heap"
	"slices"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// simulation walks the slots of all flows in order of their starts.
type simulation struct {
	in       Input
	maxLines int
	steps    int // left for flows that are one line
	flows    []*flow
	queue    queue

	slots  []Slot
	listed int64
	// cut is when the flows that are one line were left out of the simulation,
	// zero when they were not.
	cut time.Time

	places   places
	busy     busy
	locks    shared
	bases    shared
	together together
}

// Of makes a forecast. Workflows of the same name are taken as they come.
func Of(in Input) Forecast {
	s := newSimulation(in)
	s.run()
	out := Forecast{From: in.Now, Until: in.Until, Slots: s.slots, Listed: s.listed}
	for _, f := range s.flows {
		out.Total += f.count
		if f.often && f.line >= 0 {
			out.Slots[f.line].Skipped = f.tally.skipped(f.Overlap)
		}
	}
	slices.SortStableFunc(out.Slots, func(a, b Slot) int {
		return a.Slot.Add(a.Delay).Compare(b.Slot.Add(b.Delay))
	})
	out.conclude(s.findings())
	return out
}

func newSimulation(in Input) *simulation {
	each := int64(in.MaxEach)
	if each <= 0 {
		days := int64(in.Until.Sub(in.Now)/(24*time.Hour)) + 1
		each = max(8, 4*days)
	}
	s := &simulation{in: in, maxLines: in.MaxLines, steps: in.MaxSteps, flows: newFlows(in, each)}
	if s.maxLines <= 0 {
		s.maxLines = DefaultMaxLines
	}
	if s.steps <= 0 {
		s.steps = DefaultMaxSteps
	}
	s.places = places{most: in.MaxRunning}
	s.busy = busy{names: map[string]bool{}}
	s.locks, s.bases = newShared(), newShared()
	s.together = together{groups: map[uint64]*group{}}
	for _, f := range s.flows {
		if f.count > 0 {
			s.queue = append(s.queue, f)
		}
	}
	heap.Init(&s.queue)
	return s
}

func (s *simulation) run() {
	for len(s.queue) > 0 {
		f := s.queue[0]
		if f.often {
			s.listOften(f)
			if s.steps == 0 {
				if s.cut.IsZero() {
					s.cut = f.slot
				}
				heap.Pop(&s.queue)
				continue
			}
			s.steps--
		}
		s.step(f)
		if f.advance(s.in.Until) {
			heap.Fix(&s.queue, 0)
		} else {
			heap.Pop(&s.queue)
		}
	}
	s.together.flush()
}

// listOften gives a flow that runs often its line.
func (s *simulation) listOften(f *flow) {
	if f.line >= 0 || len(s.slots) >= s.maxLines {
		return
	}
	f.line = len(s.slots)
	last, _ := f.Schedule.Prev(s.in.Until)
	s.slots = append(s.slots, Slot{
		Workflow: f.Name, RunsOn: f.RunsOn, Slot: f.zoned(f.slot), Count: f.count, Last: f.zoned(last), Rule: f.rule(),
		Delay: f.Delay, Usual: f.usual.Median,
	})
	s.listed += f.count
}

// step simulates the next slot of a flow.
func (s *simulation) step(f *flow) {
	t := f.start()
	fate, why := f.judge(t)
	begins := t
	if !fate.Skipped() {
		if wait := s.begin(f, t, fate); fate == FateRuns && wait > 0 {
			fate, why = FateWaits, "waits "+span(wait)+": "+plural(int64(s.in.MaxRunning), "run")+" at once is the most"
		}
		begins = f.began
	}
	if f.often || len(s.slots) >= s.maxLines {
		return
	}
	line := Slot{
		Workflow: f.Name, RunsOn: f.RunsOn, Slot: f.zoned(f.slot), Count: 1, Delay: f.Delay, Usual: f.usual.Median, Fate: fate, Why: why,
	}
	line.Last = line.Slot
	if !fate.Skipped() {
		line.Starts = f.zoned(begins)
		if f.usual.Median > 0 {
			line.Ends = f.zoned(begins.Add(f.usual.Median))
		}
	}
	s.slots = append(s.slots, line)
	s.listed++
}

// begin simulates a run that is due at t and returns how long it waits for a
// free place.
func (s *simulation) begin(f *flow, t time.Time, fate Fate) (wait time.Duration) {
	usual := f.usual.Median
	if fate == FateWaits {
		f.began = s.places.follow(f.until, usual)
	} else {
		f.began = s.places.take(t, usual)
		wait = f.began.Sub(t)
		s.busy.add(f, t, wait)
		if !f.often {
			s.together.add(f, t)
		}
	}
	ends := f.began.Add(usual)
	if f.Overlap != runner.OverlapAllow || ends.After(f.until) {
		f.until = ends
	}
	if usual > 0 {
		common := s.locks.meet(f, f.Locks, f.began, ends, nil)
		s.bases.meet(f, f.Databases, f.began, ends, common)
	}
	return wait
}
