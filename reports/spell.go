package reports

import (
	"slices"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// A spell is a stretch of time in which nothing changes about what is known of
// a system: which share of it was up, which down. The rest is unknown. Where
// single samples are on record the shares are 0 or 1.
type spell struct {
	window

	up, down float64
}

// holdFor is for how many intervals an answer counts that no other follows.
const holdFor = 2

// spellsOf makes spells of the answers of one check, 1 for up and 0 for down, in
// the order of time. An answer holds until the next one, at most twice the
// interval; where that ends, what is unknown begins. Of old answers only the
// mean of a few minutes is on record: they are known as far as there were as
// many as the interval wants.
func spellsOf(list []runner.Stretch, every time.Duration) []spell {
	every = max(every, time.Second)
	var out []spell
	add := func(from, until time.Time, known, mean float64) {
		if until.After(from) {
			out = append(out, spell{window{from, until}, known * mean, known * (1 - mean)})
		}
	}
	for i, s := range list {
		mean := min(max(s.Mean(), 0), 1)
		folded := s.At.Add(s.Length)
		until := s.At.Add(holdFor * every)
		if folded.After(until) {
			until = folded
		}
		if i+1 < len(list) && list[i+1].At.Before(until) {
			until = list[i+1].At
		}
		if s.Length <= 0 {
			add(s.At, until, 1, mean)
			continue
		}
		if until.Before(folded) {
			folded = until
		}
		// At the edges of a stretch there is one answer more or less.
		known := min(1, float64(s.Count+1)*float64(every)/float64(s.Length))
		add(s.At, folded, known, mean)
		add(folded, until, 1, mean)
	}
	return out
}

// together makes the spells of a system of those of its checks, which do not
// overlap within one: it is down when any check is, up when all are. Of shares
// the worst one counts, as checks tend to fail together.
func together(w window, checks [][]spell) []spell { return combined(w, checks, true) }

// seenBy makes the spells of a check of those of the nodes that each ask it: it is
// down while any node sees it down, and up while one sees it up and none down. A
// node that does not ask, because it is away, says nothing.
func seenBy(w window, nodes [][]spell) []spell { return combined(w, nodes, false) }

// combined makes one list of spells of several. What is down is what the worst of
// them says; known is what all of them know, or what any of them does.
func combined(w window, checks [][]spell, all bool) []spell {
	if len(checks) == 0 {
		return []spell{{window: w}}
	}
	cuts := []time.Time{w.from, w.until}
	for _, list := range checks {
		for _, s := range list {
			for _, t := range []time.Time{s.from, s.until} {
				if w.holds(t) {
					cuts = append(cuts, t)
				}
			}
		}
	}
	slices.SortFunc(cuts, time.Time.Compare)
	cuts = slices.CompactFunc(cuts, time.Time.Equal)
	at := make([]int, len(checks))
	var out []spell
	for i := range len(cuts) - 1 {
		s := spell{window: window{cuts[i], cuts[i+1]}}
		known := -1.0
		for k, list := range checks {
			for at[k] < len(list) && !list[at[k]].until.After(s.from) {
				at[k]++
			}
			var one spell // of which nothing is known
			if at[k] < len(list) && !list[at[k]].from.After(s.from) {
				one = list[at[k]]
			}
			if share := one.up + one.down; known < 0 || all == (share < known) {
				known = share
			}
			s.down = max(s.down, one.down)
		}
		s.up = max(0, known-s.down)
		if n := len(out); n > 0 && out[n-1].up == s.up && out[n-1].down == s.down {
			out[n-1].until = s.until
			continue
		}
		out = append(out, s)
	}
	return out
}

// totals is how long a system was up and down; the rest of the time is unknown.
type totals struct{ up, down, all time.Duration }

// within adds up what lies in a window.
func within(list []spell, w window) totals {
	t := totals{all: w.length()}
	for _, s := range list {
		from, until := s.from, s.until
		if from.Before(w.from) {
			from = w.from
		}
		if until.After(w.until) {
			until = w.until
		}
		if length := until.Sub(from); length > 0 {
			t.up += time.Duration(s.up * float64(length))
			t.down += time.Duration(s.down * float64(length))
		}
	}
	return t
}

// uptime is the share of the time that is known in which it was up.
func (t totals) uptime() (float64, bool) {
	known := t.up + t.down
	if known <= 0 {
		return 0, false
	}
	return float64(t.up) / float64(known), true
}

// coverage is the share of the time that is known.
func (t totals) coverage() float64 {
	if t.all <= 0 {
		return 0
	}
	return float64(t.up+t.down) / float64(t.all)
}

// without leaves out what lies in the given windows: it counts neither as up nor
// as down, and not as time at all.
func without(list []spell, w window, planned []window) totals {
	t := within(list, w)
	for _, p := range merged(planned) {
		from, until := p.from, p.until
		if from.Before(w.from) {
			from = w.from
		}
		if until.After(w.until) {
			until = w.until
		}
		if !until.After(from) {
			continue
		}
		cut := within(list, window{from, until})
		t.up, t.down, t.all = t.up-cut.up, t.down-cut.down, t.all-cut.all
	}
	return t
}

// merged joins windows that overlap.
func merged(list []window) []window {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b window) int { return a.from.Compare(b.from) })
	var out []window
	for _, w := range list {
		if n := len(out); n > 0 && !w.from.After(out[n-1].until) {
			if w.until.After(out[n-1].until) {
				out[n-1].until = w.until
			}
			continue
		}
		out = append(out, w)
	}
	return out
}
