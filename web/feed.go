package web

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/ghosteam/upkeep/runner"
)

const (
	// pieceBytes is how much of an output one event carries at most.
	pieceBytes = 32 << 10
	// mostFeed bounds how much of the output of one attempt is kept in memory for
	// all who follow it; who falls behind by more is told what the ledger keeps,
	// and how much was cut.
	mostFeed = 8 << 20
)

// feeds pass what attempts write on to those who follow it. Its methods may be
// called from several goroutines.
type feeds struct {
	open atomic.Int64 // how many there are, for who writes and has no follower
	mu   sync.Mutex
	feed map[runner.AttemptKey]*feed
}

func newFeeds() *feeds { return &feeds{feed: map[runner.AttemptKey]*feed{}} }

// Wrote passes on what an attempt wrote; from is the place of its first byte.
// It is the executor's OnOutput: it does not block, and copies what it keeps.
func (h *Hub) Wrote(key runner.AttemptKey, from int64, written []byte) {
	if h.feeds.open.Load() == 0 {
		return
	}
	h.feeds.mu.Lock()
	f := h.feeds.feed[key]
	h.feeds.mu.Unlock()
	if f != nil {
		f.write(from, written)
	}
}

// end notes that an attempt has ended.
func (s *feeds) end(key runner.AttemptKey, state runner.State) {
	s.mu.Lock()
	f := s.feed[key]
	s.mu.Unlock()
	if f != nil {
		f.end(state)
	}
}

// follow begins to follow the output of an attempt; the caller calls leave.
func (s *feeds) follow(key runner.AttemptKey, read func(context.Context) (past, error)) (f *feed, leave func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f = s.feed[key]
	if f == nil {
		f = &feed{read: read, wake: make(chan struct{})}
		s.feed[key] = f
		s.open.Add(1)
	}
	f.followers++ // under the lock of all
	return f, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if f.followers--; f.followers == 0 {
			delete(s.feed, key)
			s.open.Add(-1)
		}
	}
}

// past is what the ledger knows of an attempt.
type past struct {
	output runner.Output
	state  runner.State
	at     time.Time
}

// bounds are the places where the head ends, where the tail begins and where it
// ends.
func (p past) bounds() (head, tail, end int64) {
	head = int64(len(p.output.Head))
	tail = head + p.output.Cut
	return head, tail, tail + int64(len(p.output.Tail))
}

// feed is the output of one attempt: what it writes while somebody follows it,
// as far as it is not too much, and what the ledger keeps. All followers share
// it.
type feed struct {
	followers int
	read      func(context.Context) (past, error)
	// reading is held by who reads the ledger.
	reading sync.Mutex

	mu sync.Mutex
	// chunks are the newest bytes, oldest first and without gaps up to next;
	// kept is how many.
	chunks  []*chunk
	kept    int
	next    int64
	started bool
	past    past
	// state is that of the attempt when it has ended, else empty.
	state runner.State
	ended time.Time
	// wake is closed, and made anew, when there is something new.
	wake    chan struct{}
	waiting bool
}

// chunk is a part of an output. Its bytes are only ever appended to, so that a
// slice of it stays what it is. It ends at the end of a character, unless it is
// the last one.
type chunk struct {
	from int64
	text []byte
	// event is the whole chunk as it goes over the wire, once it is full and
	// somebody asked.
	event []byte
}

// write takes over what was written.
func (f *feed) write(from int64, p []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.started || from != f.next {
		f.chunks, f.kept, f.next, f.started = nil, 0, from, true
	}
	for len(p) > 0 {
		last := len(f.chunks) - 1
		if last < 0 || len(f.chunks[last].text) >= pieceBytes {
			f.chunks = append(f.chunks, f.follows(last))
			last++
		}
		c := f.chunks[last]
		n := min(len(p), pieceBytes-len(c.text))
		c.text = append(c.text, p[:n]...)
		f.next, f.kept, p = f.next+int64(n), f.kept+n, p[n:]
	}
	for f.kept > mostFeed && len(f.chunks) > 1 {
		f.kept -= len(f.chunks[0].text)
		f.chunks[0] = nil
		f.chunks = f.chunks[1:]
	}
	f.ring()
}

// follows makes the chunk after the last one, which gives it the beginning of a
// character that is not whole yet. The caller holds the lock.
func (f *feed) follows(last int) *chunk {
	c := &chunk{from: f.next, text: make([]byte, 0, pieceBytes)}
	if last >= 0 {
		full := f.chunks[last]
		rest := unfinished(full.text)
		c.text = append(c.text, full.text[len(full.text)-rest:]...)
		c.from -= int64(rest)
		full.text = full.text[:len(full.text)-rest]
	}
	return c
}

// ring wakes who waits. The caller holds the lock.
func (f *feed) ring() {
	if f.waiting {
		close(f.wake)
		f.wake, f.waiting = make(chan struct{}), false
	}
}

func (f *feed) end(state runner.State) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.state, f.ended = state, time.Now()
	f.ring()
}

// portion is what comes next for a follower: text, or a gap without text, or
// nothing yet.
type portion struct {
	from, next int64
	text       []byte
	// chunk is the whole chunk of which the text is; nil for another part.
	chunk *chunk
	// wait is closed when there may be more; nil when there is some.
	wait chan struct{}
	// over is the state with which the attempt has ended, when there is nothing
	// more.
	over runner.State
	// unknown tells that only the ledger can say what is there; what it said
	// before since does not count.
	unknown bool
	since   time.Time
}

// lately is how old what the ledger said may be for who only waits for more.
const lately = 500 * time.Millisecond

// after returns what comes after a place. known tells that the ledger was asked
// for this follower just now; what it said then is all there is.
func (f *feed) after(at int64, known bool) portion {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.started && at >= f.first() {
		return f.fresh(at)
	}
	if p := f.stored(at); len(p.text) > 0 {
		return p
	}
	_, tail, end := f.past.bounds()
	switch {
	case f.state != "" && f.past.at.After(f.ended), known:
	case f.started && f.first() > end: // nothing but the ledger has these bytes
		return portion{unknown: true, since: time.Now()}
	default:
		return portion{unknown: true, since: time.Now().Add(-lately)}
	}
	switch {
	case at < tail && f.started:
		return portion{from: at, next: min(tail, f.first())} // some of what was cut may be in memory
	case at < tail:
		return portion{from: at, next: tail}
	case f.started:
		return portion{from: at, next: f.first()} // nobody kept them
	}
	return f.nothing()
}

// stored returns what the ledger keeps from a place on, at most one event of
// it. The caller holds the lock.
func (f *feed) stored(at int64) portion {
	head, tail, end := f.past.bounds()
	var text []byte
	switch o := f.past.output; {
	case at < head && o.Cut == 0 && at+pieceBytes > head: // a character may stand across the two
		text = slices.Concat(o.Head[at:], o.Tail[:min(len(o.Tail), pieceBytes)])
	case at < head:
		text = o.Head[at:]
	case at >= tail && at < end:
		text = o.Tail[at-tail:]
	}
	// The rest of a character may still be to come, unless it is in memory.
	open := !f.past.state.Final() && !f.started
	return textOf(at, text, open || len(text) > pieceBytes)
}

// first is the place of the first byte in memory. The caller holds the lock.
func (f *feed) first() int64 {
	if len(f.chunks) == 0 {
		return f.next
	}
	return f.chunks[0].from
}

// nothing says that there is nothing, yet or any more. The caller holds the
// lock.
func (f *feed) nothing() portion {
	if f.state != "" {
		return portion{over: f.state}
	}
	f.waiting = true
	return portion{wait: f.wake}
}

// fresh returns what is in memory from a place on. The caller holds the lock.
func (f *feed) fresh(at int64) portion {
	low, high := 0, len(f.chunks)
	for low < high { // the last chunk that begins at the place or before
		if middle := (low + high) / 2; f.chunks[middle].from <= at {
			low = middle + 1
		} else {
			high = middle
		}
	}
	if low == 0 {
		return f.nothing()
	}
	c := f.chunks[low-1]
	if at-c.from >= int64(len(c.text)) {
		return f.nothing()
	}
	last := low == len(f.chunks)
	p := textOf(at, c.text[at-c.from:], last && f.state == "")
	if !last && at == c.from {
		p.chunk = c
	}
	if len(p.text) == 0 {
		return f.nothing()
	}
	return p
}

// textOf is the part of a text that goes into one event; it ends at the end of
// a character when more follows.
func textOf(at int64, text []byte, more bool) portion {
	text = text[:min(len(text), pieceBytes)]
	if more {
		text = text[:len(text)-unfinished(text)]
	}
	return portion{from: at, next: at + int64(len(text)), text: text}
}

// unfinished is how many bytes at the end of a text begin a character that is
// not whole.
func unfinished(text []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(text); n++ {
		if b := text[len(text)-n]; utf8.RuneStart(b) {
			if utf8.FullRune(text[len(text)-n:]) {
				return 0
			}
			return n
		}
	}
	return 0
}

// look has the ledger read, unless somebody did so after the given instant.
func (f *feed) look(ctx context.Context, after time.Time) error {
	f.reading.Lock()
	defer f.reading.Unlock()
	f.mu.Lock()
	recent := f.past.at.After(after)
	f.mu.Unlock()
	if recent {
		return nil
	}
	began := time.Now()
	p, err := f.read(ctx)
	if err != nil {
		return err
	}
	p.at = began
	f.mu.Lock()
	defer f.mu.Unlock()
	f.past = p
	if p.state.Final() && f.state == "" {
		f.state = p.state // and what was read is all there will be
	}
	f.ring()
	return nil
}

// waits returns what is closed when there is something new.
func (f *feed) waits() chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.waiting = true
	return f.wake
}

// idle tells whether nothing was written since somebody follows, as far as this
// process knows.
func (f *feed) idle() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.started
}
