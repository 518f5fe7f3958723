package artifact

import (
	"cmp"
	"context"
	"errors"
	"io"
	"sync"

	"github.com/ghosteam/upkeep/jobs/internal/crypt"
	"github.com/ghosteam/upkeep/storage/object"
)

// way is the way of one stream into every store of a lane that still works.
type way struct {
	targets []*target
	lines   []*line
	// seal encrypts to the lines; nil when the lane does not.
	seal io.WriteCloser
}

// line is the way of one stream into one store.
type line struct {
	target *target
	pipe   *io.PipeWriter
	done   chan struct{}
	parts  []object.Part
	err    error
}

// errRefused is what a writer sees after its store has stopped reading.
var errRefused = errors.New("the store stopped reading before the end")

func newWay(ctx context.Context, l *lane, part string) *way {
	w := &way{targets: l.targets}
	if !l.recipients.Empty() {
		part += crypt.Suffix
	}
	for _, t := range l.targets {
		if t.failed() != nil {
			continue
		}
		r, pipe := io.Pipe()
		line := &line{target: t, pipe: pipe, done: make(chan struct{})}
		w.lines = append(w.lines, line)
		go func() {
			defer close(line.done)
			line.parts, line.err = t.pub.Stream(ctx, part, r)
			// Whoever writes must never wait for a store that has ended.
			_ = r.CloseWithError(errRefused) // always nil
		}()
	}
	if l.recipients.Empty() {
		return w
	}
	seal, err := l.recipients.Encrypt((*lines)(w))
	if err != nil {
		w.fail(err)
		return w
	}
	w.seal = seal
	return w
}

func (w *way) fail(err error) {
	for _, t := range w.targets {
		t.fail(err)
	}
}

// Write encrypts p where it is wanted and hands it to all stores of the lane.
func (w *way) Write(p []byte) (int, error) {
	if err := allFailed(w.targets); err != nil {
		return 0, err
	}
	if w.seal != nil {
		return w.seal.Write(p)
	}
	return (*lines)(w).Write(p)
}

// cut makes every store see cause instead of more bytes.
func (w *way) cut(cause error) {
	for _, l := range w.lines {
		_ = l.pipe.CloseWithError(cause) // always nil
	}
}

// end ends the stream, with an error when cause is not nil, and waits for the
// stores.
func (w *way) end(cause error) {
	if cause == nil && w.seal != nil && allFailed(w.targets) == nil {
		if cause = w.seal.Close(); cause != nil {
			w.fail(cause)
		}
	}
	w.cut(cause)
	for _, l := range w.lines {
		<-l.done
		if l.err != nil {
			l.target.fail(l.err)
		}
	}
}

// lines is a way behind its encryption.
type lines way

// Write hands p to all stores at once and waits for them. It fails when no
// store is left.
func (w *lines) Write(p []byte) (int, error) {
	var wg sync.WaitGroup
	for _, l := range w.lines {
		if l.target.failed() != nil {
			continue
		}
		wg.Go(func() {
			if _, err := l.pipe.Write(p); err != nil {
				<-l.done
				l.target.fail(cmp.Or(l.err, err))
			}
		})
	}
	wg.Wait()
	if err := allFailed(w.targets); err != nil {
		return 0, err
	}
	return len(p), nil
}
