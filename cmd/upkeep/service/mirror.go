package service

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
)

const (
	// mirrorEvery is the least time between two writes of what running attempts
	// have written, for those who look from another node.
	mirrorEvery = time.Second
	// mirrorHead is how many of its first bytes others are shown of an attempt,
	// mirrorPiece how many of its latest bytes one write takes, and mirrorTail
	// how many of its latest bytes are kept. An attempt that writes more between
	// two writes is shown with a gap.
	mirrorHead  = 64 << 10
	mirrorPiece = 64 << 10
	mirrorTail  = 256 << 10
)

// mirror shows other nodes what the attempts of this one write. An attempt that
// writes nothing costs nothing.
type mirror struct {
	write func(context.Context, []ledger.LivePiece, []ledger.LiveGap) error
	log   *slog.Logger
	wake  chan struct{}

	mu   sync.Mutex
	live map[runner.AttemptKey]*mirrored
}

// mirrored is what is still to be shown of an attempt.
type mirrored struct {
	// head are bytes of the first mirrorHead, from headAt on; tail the latest
	// bytes after those, from tailAt on.
	head, tail     []byte
	headAt, tailAt int64
	// shown are the pieces of the tail that are on record, without gaps between
	// them, the last of which ends at end.
	shown []ledger.LivePiece
	kept  int
	end   int64
}

func newMirror(write func(context.Context, []ledger.LivePiece, []ledger.LiveGap) error, log *slog.Logger) *mirror {
	return &mirror{write: write, log: log, wake: make(chan struct{}, 1), live: map[runner.AttemptKey]*mirrored{}}
}

// wrote takes over what an attempt wrote. It does not block.
func (m *mirror) wrote(key runner.AttemptKey, from int64, p []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := m.live[key]
	if a == nil {
		a = &mirrored{end: -1}
		m.live[key] = a
	}
	if n := min(int64(len(p)), mirrorHead-from); n > 0 {
		if len(a.head) == 0 {
			a.headAt = from
		}
		a.head = append(a.head, p[:n]...)
		from, p = from+n, p[n:]
	}
	if len(p) > 0 {
		if len(a.tail) == 0 {
			a.tailAt = from
		}
		a.tail = append(a.tail, p...)
		if over := len(a.tail) - mirrorPiece; over > 0 {
			a.tail, a.tailAt = append(a.tail[:0:0], a.tail[over:]...), a.tailAt+int64(over)
		}
	}
	ring(m.wake)
}

// Observe implements runner.Observer: what an ended attempt wrote is on record.
func (m *mirror) Observe(_ context.Context, e runner.Event) {
	if ended, is := e.(runner.AttemptEnded); is {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.live, ended.Attempt.Key())
	}
}

// run writes until ctx ends.
func (m *mirror) run(ctx context.Context) {
	timer := time.NewTimer(mirrorEvery)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.wake:
		}
		m.flush(ctx)
		timer.Reset(mirrorEvery)
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
	}
}

// flush writes what is new. What could not be written is not tried again: the
// next pieces follow with a gap.
func (m *mirror) flush(ctx context.Context) {
	pieces, gaps := m.take()
	if len(pieces) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, mirrorPatience)
	defer cancel()
	if err := m.write(ctx, pieces, gaps); err != nil && ctx.Err() == nil {
		m.log.DebugContext(ctx, "show other nodes what attempts write", "error", err)
	}
}

// mirrorPatience is how long one write may take.
const mirrorPatience = 5 * time.Second

// take returns what is new of all attempts, and what is no longer needed.
func (m *mirror) take() (pieces []ledger.LivePiece, gaps []ledger.LiveGap) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key, a := range m.live {
		if len(a.head) > 0 {
			pieces = append(pieces, ledger.LivePiece{Key: key, Place: a.headAt, Bytes: a.head})
			a.head = nil
		}
		if len(a.tail) == 0 {
			continue
		}
		piece := ledger.LivePiece{Key: key, Place: a.tailAt, Bytes: a.tail}
		a.tail = nil
		pieces = append(pieces, piece)
		if to, some := a.show(piece); some {
			gaps = append(gaps, ledger.LiveGap{Key: key, From: mirrorHead, To: to})
		}
	}
	return pieces, gaps
}

// show notes a piece of the tail, and returns before which place the pieces are
// no longer needed.
func (a *mirrored) show(piece ledger.LivePiece) (to int64, some bool) {
	if a.end >= 0 && piece.Place != a.end && len(a.shown) > 0 {
		a.shown, a.kept, to, some = nil, 0, piece.Place, true
	}
	length := len(piece.Bytes)
	a.end = piece.Place + int64(length)
	a.shown, a.kept = append(a.shown, ledger.LivePiece{Place: piece.Place, Bytes: nil}), a.kept+length
	for a.kept > mirrorTail && len(a.shown) > 1 {
		next := a.shown[1].Place
		a.kept -= int(next - a.shown[0].Place)
		a.shown, to, some = a.shown[1:], next, true
	}
	return to, some
}

// mirrored is the mirror as an observer; nil where there is none.
func (e *Engine) mirrored() runner.Observer {
	if e.mirror == nil {
		return nil
	}
	return e.mirror
}

// wrote passes on what an attempt writes.
func (e *Engine) wrote(key runner.AttemptKey, from int64, p []byte) {
	e.hub.Wrote(key, from, p)
	if e.mirror != nil {
		e.mirror.wrote(key, from, p)
	}
}

// poll is how often the ledger is asked about what other processes execute, for
// those who follow it; 0 for the usual time.
func (e *Engine) poll() time.Duration {
	if e.mirror != nil {
		return mirrorEvery
	}
	return 0
}
