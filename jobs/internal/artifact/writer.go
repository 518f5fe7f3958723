package artifact

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"runtime"
	"slices"
	"sync"

	"github.com/ghosteam/upkeep/jobs/internal/frame"
	"github.com/ghosteam/upkeep/storage/object"
)

// Writer takes the streams of an artifact and sends each, compressed, into
// every store at once.
type Writer struct {
	ctx     context.Context
	codec   frame.Codec
	level   int
	targets []*target

	mu      sync.Mutex
	open    []*Stream
	streams []object.Stream
}

// Stream is one stream of an artifact. Its methods belong to one goroutine;
// several streams may be written at once.
type Stream struct {
	w     *Writer
	name  string
	part  string
	at    int // index in w.streams
	plain hash.Hash
	bytes int64
	pack  *frame.Writer
	fan   *fan
	ended bool
}

// Stream begins the stream of that name. Streams stand in the manifest in the
// order in which they were begun.
func (w *Writer) Stream(name string) (*Stream, error) {
	s := &Stream{w: w, name: name, part: name + w.codec.Suffix(), plain: sha256.New()}
	s.fan = newFan(w.ctx, w.targets, s.part)
	var err error
	s.pack, err = frame.NewWriter(s.fan, s.plain, w.codec, w.level, runtime.GOMAXPROCS(0))
	if err != nil {
		s.fan.close(err)
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	s.at = len(w.streams)
	w.streams = append(w.streams, object.Stream{Name: name, Compression: string(w.codec)})
	w.open = append(w.open, s)
	return s, nil
}

// Write takes plain bytes.
func (s *Stream) Write(p []byte) (int, error) {
	s.bytes += int64(len(p))
	return s.pack.Write(p)
}

// Close ends the stream and waits until the stores have it. It fails only when
// no store has.
func (s *Stream) Close() error {
	s.ended = true
	if err := s.pack.Close(); err != nil {
		s.fan.close(err)
		return err
	}
	s.fan.close(nil)
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	s.w.streams[s.at].Plain = object.Digest{Bytes: s.bytes, SHA256: hex.EncodeToString(s.plain.Sum(nil))}
	for _, l := range s.fan.lines {
		l.target.keep(s.name, l.parts)
	}
	return allFailed(s.w.targets)
}

// end closes the account: it aborts the streams that Produce left open, and
// returns why nothing can be published, if so.
func (w *Writer) end(produced error) error {
	for _, s := range w.open {
		if s.ended {
			continue
		}
		if produced == nil {
			produced = fmt.Errorf("the stream %s was not closed", s.name)
		}
		// The stores must see an error before the compressor's last bytes, so
		// that no end of stream reaches them.
		s.fan.cut(produced)
		s.pack.Abort()
		s.fan.close(produced)
	}
	if produced == nil && len(w.streams) == 0 {
		return errors.New("there is nothing to store")
	}
	if produced != nil {
		return produced
	}
	return allFailed(w.targets)
}

// allFailed returns the stores' errors when none is left.
func allFailed(targets []*target) error {
	var errs []error
	for _, t := range targets {
		err := t.failed()
		if err == nil {
			return nil
		}
		errs = append(errs, fmt.Errorf("store %s: %w", t.store.name, err))
	}
	return errors.Join(errs...)
}

// streamsOf returns the streams with the parts that a store made of them, which
// differ between stores that bound the length of an object and others.
func (w *Writer) streamsOf(t *target) []object.Stream {
	out := slices.Clone(w.streams)
	for i := range out {
		out[i].Parts = t.parts[out[i].Name]
	}
	return out
}

// fan hands what is written to one stream in every store that still works.
type fan struct {
	targets []*target
	bytes   int64
	lines   []*line
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

func newFan(ctx context.Context, targets []*target, part string) *fan {
	f := &fan{targets: targets}
	for _, t := range targets {
		if t.failed() != nil {
			continue
		}
		r, w := io.Pipe()
		l := &line{target: t, pipe: w, done: make(chan struct{})}
		f.lines = append(f.lines, l)
		go func() {
			defer close(l.done)
			l.parts, l.err = l.target.pub.Stream(ctx, part, r)
			// Whoever writes must never wait for a store that has ended.
			_ = r.CloseWithError(errRefused) // always nil
		}()
	}
	return f
}

// Write hands p to all stores at once and waits for them. It fails when no
// store is left.
func (f *fan) Write(p []byte) (int, error) {
	var wg sync.WaitGroup
	for _, l := range f.lines {
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
	f.bytes += int64(len(p))
	wg.Wait()
	if err := allFailed(f.targets); err != nil {
		return 0, err
	}
	return len(p), nil
}

// cut makes every store see cause instead of more bytes.
func (f *fan) cut(cause error) {
	for _, l := range f.lines {
		_ = l.pipe.CloseWithError(cause) // always nil
	}
}

// close ends the stream, with an error when cause is not nil, waits for the
// stores and compares how much each took with what was written.
func (f *fan) close(cause error) {
	f.cut(cause)
	for _, l := range f.lines {
		<-l.done
		if l.err != nil {
			l.target.fail(l.err)
			continue
		}
		var took int64
		for _, part := range l.parts {
			took += part.Bytes
		}
		if took != f.bytes {
			l.target.fail(fmt.Errorf("%w: it took %d bytes, but %d were written", object.ErrDamaged, took, f.bytes))
		}
	}
}
