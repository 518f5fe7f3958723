package ticker

import (
	"cmp"
	"container/heap"
	"slices"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// agenda holds all calendars and knows which comes next. It is not safe for
// use by several goroutines.
type agenda struct {
	byKey map[runner.CalendarKey]*calendar
	heap  calendarHeap
}

func newAgenda() *agenda { return &agenda{byKey: map[runner.CalendarKey]*calendar{}} }

func (a *agenda) add(c *calendar) {
	a.byKey[c.key()] = c
	c.at = len(a.heap)
	a.heap = append(a.heap, c)
}

// remove takes c out; its place is filled.
func (a *agenda) remove(c *calendar) {
	heap.Remove(&a.heap, c.at)
	delete(a.byKey, c.key())
}

// arm orders all calendars anew.
func (a *agenda) arm() {
	for _, c := range a.heap {
		c.arm()
	}
	heap.Init(&a.heap)
}

// move puts c where its next start belongs.
func (a *agenda) move(c *calendar) {
	c.arm()
	heap.Fix(&a.heap, c.at)
}

// leave gives others the time to decide the slots of c that came due at an
// instant: it is looked at again after wait, or, without look, when somebody
// asks for what is left.
func (a *agenda) leave(c *calendar, came time.Time, wait time.Duration, look bool) {
	c.came, c.wake = came, never()
	if look {
		c.wake = came.Add(wait)
	}
	heap.Fix(&a.heap, c.at)
}

// again returns when, after now, the first that is left to others is looked at
// again; never for none.
func (a *agenda) again(now time.Time) time.Time {
	best := never()
	for _, c := range a.heap {
		if !c.came.IsZero() && c.wake.After(now) && c.wake.Before(best) {
			best = c.wake
		}
	}
	return best
}

// left returns what was left to others without an instant to look at it again.
func (a *agenda) left() []*calendar {
	var left []*calendar
	for _, c := range a.heap {
		if !c.came.IsZero() && c.wake.Equal(never()) {
			left = append(left, c)
		}
	}
	return left
}

// start returns when the next slot starts that is not left to others; never
// without any.
func (a *agenda) start(now time.Time) time.Time {
	best := never()
	for _, c := range a.heap {
		at := c.wake
		if !c.came.IsZero() {
			at = c.following(now)
		}
		if at.Before(best) {
			best = at
		}
	}
	return best
}

// next returns the earliest instant to look at one; never without any.
func (a *agenda) next() time.Time {
	if len(a.heap) == 0 {
		return never()
	}
	return a.heap[0].wake
}

// after returns the earliest start after an instant, as if all that is due
// until then were decided. It costs what is due, not what there is.
func (a *agenda) after(at time.Time) time.Time {
	best := never()
	a.walk(0, at, func(c *calendar) {
		if next := c.following(at); next.Before(best) {
			best = next
		}
	}, func(c *calendar) {
		if c.wake.Before(best) {
			best = c.wake
		}
	})
	return best
}

// due returns the calendars to look at, in the order of their starts.
func (a *agenda) due(now time.Time) []*calendar {
	var due []*calendar
	a.walk(0, now, func(c *calendar) { due = append(due, c) }, func(*calendar) {})
	slices.SortFunc(due, func(x, y *calendar) int {
		return cmp.Or(x.wake.Compare(y.wake), cmp.Compare(x.Name, y.Name), cmp.Compare(x.Host, y.Host))
	})
	return due
}

// walk visits the calendars below place i whose start has come, and the first
// on each way whose start has not: no other can be the next. Those that are left
// to others are no starts.
func (a *agenda) walk(i int, now time.Time, due, ahead func(*calendar)) {
	if i >= len(a.heap) {
		return
	}
	switch c := a.heap[i]; {
	case !c.wake.After(now):
		due(c)
	case c.came.IsZero():
		ahead(c)
		return
	}
	a.walk(2*i+1, now, due, ahead)
	a.walk(2*i+2, now, due, ahead)
}

// calendarHeap implements heap.Interface, the earliest start first.
type calendarHeap []*calendar

func (h calendarHeap) Len() int           { return len(h) }
func (h calendarHeap) Less(i, j int) bool { return h[i].wake.Before(h[j].wake) }

func (h calendarHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].at, h[j].at = i, j
}

// Push is not used: add appends, and arm orders.
func (h *calendarHeap) Push(x any) {
	if c, ok := x.(*calendar); ok {
		*h = append(*h, c)
	}
}

func (h *calendarHeap) Pop() any {
	last := len(*h) - 1
	c := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return c
}
