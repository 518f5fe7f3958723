package executor

import (
	"slices"
	"sync"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/runner"
)

// capture keeps the first and the last bytes of what an attempt writes and
// counts the rest exactly. It is the end of the pipe; secrets are scrubbed
// before it. Whole or binary, text or not, bytes are kept as they are.
type capture struct {
	head     []byte
	headSize int
	tail     ring
	total    int64
	// live mirrors the bytes for other processes; nil for nobody.
	live *live
	// tell is told of the bytes, with the place of the first; nil for nobody.
	tell func(from int64, written []byte)
}

// newCapture keeps head and tail bytes, mirrored to live.
func newCapture(head, tail int, mirror *live) *capture {
	return &capture{headSize: head, tail: ring{size: tail}, live: mirror}
}

// Write takes all of p; it never fails.
func (c *capture) Write(p []byte) (int, error) {
	if c.live != nil {
		c.live.write(p)
	}
	if c.tell != nil && len(p) > 0 {
		c.tell(c.total, p)
	}
	c.total += int64(len(p))
	rest := p
	if room := c.headSize - len(c.head); room > 0 {
		n := min(room, len(rest))
		c.head = append(c.head, rest[:n]...)
		rest = rest[n:]
	}
	c.tail.write(rest)
	return len(p), nil
}

// resume begins with what an earlier process kept, which is mirrored already.
func (c *capture) resume(earlier runner.Output) {
	c.total = int64(len(earlier.Head)) + earlier.Cut + int64(len(earlier.Tail))
	if earlier.Cut > 0 { // the gap after the head stays where it is
		c.head, c.headSize = earlier.Head, len(earlier.Head)
		c.tail.write(earlier.Tail)
		return
	}
	all := slices.Concat(earlier.Head, earlier.Tail)
	n := min(c.headSize, len(all))
	c.head = all[:n:n]
	c.tail.write(all[n:])
}

// output returns what was kept.
func (c *capture) output() runner.Output {
	tail := c.tail.bytes()
	return runner.Output{Head: c.head, Tail: tail, Cut: c.total - int64(len(c.head)) - int64(len(tail))}
}

// ring keeps the last size bytes. It grows as it fills, so that the many
// attempts that write little stay small.
type ring struct {
	size  int
	kept  []byte
	start int // of the oldest byte, once kept is full
}

func (r *ring) write(p []byte) {
	if len(p) >= r.size {
		r.kept = append(r.kept[:0], p[len(p)-r.size:]...)
		r.start = 0
		return
	}
	if room := r.size - len(r.kept); room > 0 {
		n := min(room, len(p))
		r.kept = append(r.kept, p[:n]...)
		p = p[n:]
	}
	for len(p) > 0 {
		n := copy(r.kept[r.start:], p)
		r.start = (r.start + n) % r.size
		p = p[n:]
	}
}

func (r *ring) bytes() []byte {
	if r.start == 0 {
		return r.kept
	}
	out := make([]byte, 0, len(r.kept))
	return append(append(out, r.kept[r.start:]...), r.kept[:r.start]...)
}

// out is an attempt's Env.Out: it serializes writers, scrubs, captures, and
// swallows what comes after the attempt ended.
type out struct {
	mu      sync.Mutex
	scrub   *secret.ScrubWriter
	capture *capture
	closed  bool
}

// Write takes all of p; it never fails.
func (o *out) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.closed {
		// The capture behind the redactor never fails.
		_, _ = o.scrub.Write(p)
	}
	return len(p), nil
}

// close ends the output and returns what was kept and how much was written.
func (o *out) close() (kept runner.Output, written int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.closed {
		o.closed = true
		_ = o.scrub.Close() // hands over what the redactor held back; the capture never fails
	}
	return o.capture.output(), o.capture.total
}
