package forecast

import (
	"container/heap"
	"hash/fnv"
	"maps"
	"slices"
	"time"
)

// places are the runs that may run at once: a heap of when they become free.
type places struct {
	most int // 0 or less: no limit
	ends ends
}

type ends []time.Time

func (e ends) Len() int           { return len(e) }
func (e ends) Less(i, j int) bool { return e[i].Before(e[j]) }
func (e ends) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }
func (e *ends) Push(x any)        { *e = append(*e, x.(time.Time)) } //nolint:forcetypeassert // container/heap passes what we gave it

// Pop removes the last end.
func (e *ends) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

// take gives a run that is due at t the first free place, and returns when.
// Calls come in order of t.
func (p *places) take(t time.Time, usual time.Duration) time.Time {
	if p.most <= 0 || usual <= 0 && len(p.ends) < p.most {
		return t
	}
	for len(p.ends) > 0 && !p.ends[0].After(t) {
		heap.Pop(&p.ends)
	}
	if len(p.ends) < p.most {
		heap.Push(&p.ends, t.Add(usual))
		return t
	}
	begins := p.ends[0]
	p.ends[0] = begins.Add(usual)
	heap.Fix(&p.ends, 0)
	return begins
}

// follow gives a run that waits for the one before it, until ready, that one's
// place, or the first free one when others have taken it, and returns when.
func (p *places) follow(ready time.Time, usual time.Duration) time.Time {
	if p.most <= 0 {
		return ready
	}
	i := slices.IndexFunc(p.ends, ready.Equal)
	if i < 0 && len(p.ends) < p.most {
		heap.Push(&p.ends, ready.Add(usual))
		return ready
	}
	begins := ready
	if i = max(i, 0); p.ends[i].After(ready) {
		begins = p.ends[i]
	}
	p.ends[i] = begins.Add(usual)
	heap.Fix(&p.ends, i)
	return begins
}

// busy is how often and how long runs wait for a free place.
type busy struct {
	count   int64
	first   time.Time
	longest time.Duration
	worst   *flow
	worstAt time.Time
	names   map[string]bool
}

func (b *busy) add(f *flow, at time.Time, wait time.Duration) {
	if wait <= 0 {
		return
	}
	note(&b.count, &b.first, at)
	b.names[f.Name] = true
	if wait > b.longest {
		b.longest, b.worst, b.worstAt = wait, f, at
	}
}

// shared is what runs have in common: named things that several use at once.
type shared map[string]*common

func newShared() shared { return shared{} }

// common is one such thing: who uses it longest of those under way, the same
// of all other flows, and how often flows met.
type common struct {
	last, other use
	count       int64
	first       time.Time
	firstBy     [2]*flow
	longest     time.Duration
	names       map[string]bool
}

type use struct {
	by         *flow
	from, till time.Time
}

// meet records that f uses the named things from one instant to another, and
// returns the flows that it meets there. Flows in except are left out.
func (s shared) meet(f *flow, names []string, from, till time.Time, except []*flow) (met []*flow) {
	for _, name := range names {
		c := s[name]
		if c == nil {
			c = &common{names: map[string]bool{}}
			s[name] = c
		}
		held := c.last
		if held.by == f {
			held = c.other
		}
		if held.by != nil && held.till.After(from) && held.from.Before(till) {
			met = append(met, held.by)
			if !slices.Contains(except, held.by) {
				c.add(f, held, from)
			}
		}
		c.put(use{f, from, till})
	}
	return met
}

func (c *common) add(f *flow, held use, from time.Time) {
	note(&c.count, &c.first, from)
	if c.firstBy[0] == nil {
		c.firstBy = [2]*flow{held.by, f}
	}
	c.longest = max(c.longest, held.till.Sub(from))
	c.names[held.by.Name], c.names[f.Name] = true, true
}

// put keeps the use that ends last, and the one that does so of all other flows.
func (c *common) put(u use) {
	switch {
	case c.last.by == u.by || c.last.by == nil:
		if u.till.After(c.last.till) {
			c.last = u
		}
	case u.till.After(c.last.till):
		c.last, c.other = u, c.last
	case u.till.After(c.other.till):
		c.other = u
	}
}

// maxGroups bounds the distinct groups of workflows that are remembered.
const maxGroups = 1000

// together finds workflows that start in the same minute.
type together struct {
	minute time.Time
	flows  []*flow
	groups map[uint64]*group
}

type group struct {
	names  []string // at most MaxNamed
	others int
	zone   *time.Location
	count  int64
	first  time.Time
}

// add records a start. Calls come in order of at.
func (g *together) add(f *flow, at time.Time) {
	if minute := at.Truncate(time.Minute); !minute.Equal(g.minute) {
		g.flush()
		g.minute = minute
	}
	if !slices.Contains(g.flows[max(0, len(g.flows)-MaxNamed):], f) {
		g.flows = append(g.flows, f)
	}
}

// flush counts the group of the minute that has passed.
func (g *together) flush() {
	if len(g.flows) > 1 {
		flows := slices.Clone(g.flows)
		slices.SortFunc(flows, byName)
		flows = slices.Compact(flows)
		sum := fnv.New64a()
		for _, f := range flows {
			sum.Write([]byte(f.Name + "\n"))
		}
		found := g.groups[sum.Sum64()]
		if found == nil && len(g.groups) < maxGroups {
			found = &group{zone: flows[0].Schedule.Zone(), others: max(0, len(flows)-MaxNamed)}
			for _, f := range flows[:len(flows)-found.others] {
				found.names = append(found.names, f.Name)
			}
			g.groups[sum.Sum64()] = found
		}
		if found != nil {
			note(&found.count, &found.first, g.minute)
		}
	}
	g.flows = g.flows[:0]
}

func byName(a, b *flow) int {
	switch {
	case a.Name < b.Name:
		return -1
	case a.Name > b.Name:
		return 1
	}
	return 0
}

// sorted returns the first names of a set, and how many others there are.
func sorted(names map[string]bool) (first []string, others int) {
	all := slices.Sorted(maps.Keys(names))
	if len(all) <= MaxNamed {
		return all, 0
	}
	return all[:MaxNamed], len(all) - MaxNamed
}
