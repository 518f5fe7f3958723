package artifact

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"runtime"
	"sync"

	"github.com/ghosteam/upkeep/jobs/internal/crypt"
	"github.com/ghosteam/upkeep/jobs/internal/frame"
	"github.com/ghosteam/upkeep/storage/object"
)

// Writer takes the streams of an artifact and sends each, compressed and where
// it is wanted encrypted, into every store at once.
type Writer struct {
	ctx     context.Context
	codec   frame.Codec
	level   int
	targets []*target
	lanes   []*lane

	mu      sync.Mutex
	open    []*Stream
	streams int
}

// Stream is one stream of an artifact. Its methods belong to one goroutine;
// several streams may be written at once.
type Stream struct {
	w     *Writer
	name  string
	at    int // index in the manifest
	plain hash.Hash
	bytes int64
	pack  *frame.Writer
	ways  ways
	ended bool
}

// Stream begins the stream of that name. Streams stand in the manifest in the
// order in which they were begun.
func (w *Writer) Stream(name string) (*Stream, error) {
	s := &Stream{w: w, name: name, plain: sha256.New()}
	part := name + w.codec.Suffix()
	for _, l := range w.lanes {
		s.ways = append(s.ways, newWay(w.ctx, l, part))
	}
	var err error
	s.pack, err = frame.NewWriter(s.ways, s.plain, w.codec, w.level, runtime.GOMAXPROCS(0))
	if err != nil {
		s.ways.end(err)
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	s.at = w.streams
	w.streams++
	for _, t := range w.targets {
		t.streams = append(t.streams, object.Stream{Name: name, Compression: string(w.codec), Recipients: t.lane.recipients.Short()})
	}
	w.open = append(w.open, s)
	return s, nil
}

// Write takes plain bytes.
func (s *Stream) Write(p []byte) (int, error) {
	s.bytes += int64(len(p))
	return s.pack.Write(p)
}

// ReadFrom takes all plain bytes of r, which are read straight to where they
// are compressed. It returns the first error of r, except io.EOF, or of the
// stores.
func (s *Stream) ReadFrom(r io.Reader) (int64, error) {
	n, err := s.pack.ReadFrom(r)
	s.bytes += n
	return n, err
}

// Bytes returns how many plain bytes were written.
func (s *Stream) Bytes() int64 { return s.bytes }

// Close ends the stream and waits until the stores have it. It fails only when
// no store has.
func (s *Stream) Close() error {
	s.ended = true
	if err := s.pack.Close(); err != nil {
		s.ways.end(err)
		return err
	}
	s.ways.end(nil)
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	plain := object.Digest{Bytes: s.bytes, SHA256: hex.EncodeToString(s.plain.Sum(nil))}
	for _, way := range s.ways {
		for _, l := range way.lines {
			l.target.streams[s.at].Plain = plain
			l.target.streams[s.at].Parts = l.parts
		}
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
		s.ways.cut(produced)
		s.pack.Abort()
		s.ways.end(produced)
	}
	if produced == nil && w.streams == 0 {
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

// lane is what the stores share that get the same stored bytes: those that
// encrypt to the same recipients.
type lane struct {
	targets    []*target
	recipients crypt.Recipients
	// keys read back what the lane writes.
	keys crypt.Keys
}

// ways are the ways of one stream to all lanes.
type ways []*way

// Write hands p to every lane that still works. It fails when none is left.
func (w ways) Write(p []byte) (int, error) {
	var errs []error
	for _, way := range w {
		if _, err := way.Write(p); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) == len(w) {
		return 0, errors.Join(errs...)
	}
	return len(p), nil
}

func (w ways) cut(cause error) {
	for _, way := range w {
		way.cut(cause)
	}
}

func (w ways) end(cause error) {
	for _, way := range w {
		way.end(cause)
	}
}
