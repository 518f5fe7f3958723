package prune

import (
	"cmp"
	"context"
	"hash/fnv"
	"io"
	"math"
	"slices"
	"sync/atomic"

	"github.com/ghosteam/upkeep/jobs"
)

const (
	// mostRanked is how many files are sorted by age at once.
	mostRanked = 200_000
	// buckets is into how many parts a span of ages is counted otherwise.
	buckets = 1 << 14
)

// rank orders the files of a whole tree by age; those of the same instant come
// in an order that depends on their paths alone.
type rank struct {
	at  int64
	tie uint64
}

// lowest is before every file.
//
//nolint:gochecknoglobals // a constant that Go cannot spell
var lowest = rank{at: math.MinInt64}

func (a rank) compare(b rank) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.tie, b.tie)) }

// tie is a number for a path, the same on every machine.
func tie(folder, name string) uint64 {
	h := fnv.New64a()
	_, _ = io.WriteString(h, below(folder, name)) // never fails
	return h.Sum64()
}

// ranked is one file by rank with the room that it takes.
type ranked struct {
	rank

	bytes int64
}

// findLimit finds the newest file that has to go for the rest to fit into
// max_total. Trees of more files than may be sorted are counted by age, in finer
// and finer spans: each costs another walk, but no memory.
func (t *tree) findLimit(ctx context.Context, env *jobs.Env) error {
	s := &sorter{tree: t, low: lowest, high: rank{math.MaxInt64, math.MaxUint64}}
	if err := s.collect(ctx, env); err != nil {
		return err
	}
	s.excess = s.room - int64(t.options.MaxTotal)
	for s.excess > 0 && s.over {
		if err := s.narrow(ctx, env); err != nil {
			return err
		}
		if err := s.collect(ctx, env); err != nil {
			return err
		}
	}
	if s.excess <= 0 {
		return nil
	}
	slices.SortFunc(s.files, func(a, b ranked) int { return a.compare(b.rank) })
	t.limit = s.low
	for _, f := range s.files {
		t.limit = f.rank
		if s.excess -= f.bytes; s.excess <= 0 {
			break
		}
	}
	return nil
}

// sorter looks for the limit between two ranks.
type sorter struct {
	tree      *tree
	low, high rank  // both included
	excess    int64 // what has to go from low on

	files       []ranked // the files between low and high
	over        bool     // more are there than may be sorted
	room        int64    // what all files take
	first, last int64    // the ages of the oldest and the newest between low and high
}

// collect gets the files between low and high, if they are not too many.
func (s *sorter) collect(ctx context.Context, env *jobs.Env) error {
	s.files, s.over, s.room, s.first, s.last = nil, false, 0, math.MaxInt64, math.MinInt64
	var crew []*collector
	var many atomic.Int64
	err := s.tree.walk(ctx, env, false, func(at *scanner) visitor {
		c := &collector{sorter: s, scanner: at, many: &many, first: math.MaxInt64, last: math.MinInt64}
		crew = append(crew, c)
		return c
	})
	s.over = many.Load() > int64(s.tree.host.rank)
	for _, c := range crew {
		// What keep_newest keeps takes room too, though it never goes.
		s.room += c.scanner.dated
		s.first, s.last = min(s.first, c.first), max(s.last, c.last)
		if !s.over {
			s.files = append(s.files, c.found...)
		}
	}
	return err
}

// collector is one worker that collects.
type collector struct {
	*sorter

	scanner     *scanner
	many        *atomic.Int64
	found       []ranked
	first, last int64
}

func (c *collector) take(f *sighting) error {
	r := ranked{rank{at: f.at, tie: tie(c.scanner.path, f.name)}, f.bytes()}
	if r.compare(c.low) < 0 || r.compare(c.high) > 0 {
		return nil
	}
	c.first, c.last = min(c.first, r.at), max(c.last, r.at)
	if c.many.Add(1) > int64(c.tree.host.rank) {
		c.found = nil
		return nil
	}
	c.found = append(c.found, r)
	return nil
}

func (c *collector) leave() error { return nil }

// narrow counts the files between low and high in spans of age, or of ties when
// all are of the same instant, and goes on with the span that holds the limit.
func (s *sorter) narrow(ctx context.Context, env *jobs.Env) error {
	s.low.at, s.high.at = max(s.low.at, s.first), min(s.high.at, s.last)
	byTie := s.low.at == s.high.at
	from, to := unsigned(s.low.at), unsigned(s.high.at)
	if byTie {
		from, to = s.low.tie, s.high.tie
	}
	width := (to-from)/buckets + 1
	var crew []*counter
	err := s.tree.walk(ctx, env, false, func(at *scanner) visitor {
		c := &counter{sorter: s, scanner: at, rooms: make([]int64, buckets), bucket: func(r rank) uint64 {
			if byTie {
				return (r.tie - from) / width
			}
			return (unsigned(r.at) - from) / width
		}}
		crew = append(crew, c)
		return c
	})
	if err != nil {
		return err
	}
	at := uint64(0)
	for ; at < buckets-1; at++ {
		var room int64
		for _, c := range crew {
			room += c.rooms[at]
		}
		if s.excess <= room {
			break
		}
		s.excess -= room
	}
	from += at * width
	to = min(to, from+width-1)
	if byTie {
		s.low.tie, s.high.tie = from, to
	} else {
		s.low, s.high = rank{at: signed(from)}, rank{signed(to), math.MaxUint64}
	}
	return nil
}

// unsigned maps instants to numbers in the same order; signed maps them back.
func unsigned(at int64) uint64 { return uint64(at) ^ 1<<63 }
func signed(n uint64) int64    { return int64(n ^ 1<<63) }

// counter is one worker that counts room by spans.
type counter struct {
	*sorter

	scanner *scanner
	bucket  func(rank) uint64
	rooms   []int64
}

func (c *counter) take(f *sighting) error {
	r := rank{at: f.at, tie: tie(c.scanner.path, f.name)}
	if r.compare(c.low) >= 0 && r.compare(c.high) <= 0 {
		c.rooms[c.bucket(r)] += f.bytes()
	}
	return nil
}

func (c *counter) leave() error { return nil }
