package archive

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/ghosteam/upkeep/storage/object"
)

const (
	// sumBytes is how much content is hashed at a time, beside the reading.
	sumBytes = 1 << 20
	// sumBatches is how many such pieces exist.
	sumBatches = 3
)

// sums hashes the content of files, one after another, beside the work of the
// caller, and compares the hashes with those of the index. Its methods belong
// to one goroutine.
type sums struct {
	batch *sumBatch
	work  chan *sumBatch
	free  chan *sumBatch
	// failed has the first hash that differs, once bad is closed.
	bad    chan struct{}
	failed error
	ended  chan struct{}
}

// sumBatch is a piece of content, in which files end.
type sumBatch struct {
	content []byte
	ends    []sumEnd
}

// sumEnd is the end of a file in a batch.
type sumEnd struct {
	at   int
	name Name
	want string
}

// errSums stands for the error that close returns.
var errSums = errors.New("a file has another hash than when it was saved")

func newSums() *sums {
	s := &sums{
		batch: &sumBatch{}, work: make(chan *sumBatch, sumBatches), free: make(chan *sumBatch, sumBatches+1),
		bad: make(chan struct{}), ended: make(chan struct{}),
	}
	for range sumBatches - 1 {
		s.free <- &sumBatch{}
	}
	go s.hash()
	return s
}

// hash works until work is closed.
func (s *sums) hash() {
	defer close(s.ended)
	sum := sha256.New()
	var text [2 * sha256.Size]byte
	for b := range s.work {
		at := 0
		for _, end := range b.ends {
			sum.Write(b.content[at:end.at])
			at = end.at
			hex.Encode(text[:], sum.Sum(nil))
			if string(text[:]) != end.want && s.failed == nil {
				s.failed = fmt.Errorf("%w: %s has another hash than when it was saved", object.ErrDamaged, shown(string(end.name)))
				close(s.bad)
			}
			sum.Reset()
		}
		sum.Write(b.content[at:])
		b.content, b.ends = b.content[:0], b.ends[:0]
		s.free <- b
	}
}

// Write takes content of the file at hand.
func (s *sums) Write(p []byte) (int, error) {
	if len(s.batch.content) > 0 && len(s.batch.content)+len(p) > sumBytes {
		if err := s.flush(); err != nil {
			return 0, err
		}
	}
	s.batch.content = append(s.batch.content, p...)
	return len(p), nil
}

// end ends the file at hand, which should be as e says.
func (s *sums) end(e Entry) error {
	s.batch.ends = append(s.batch.ends, sumEnd{at: len(s.batch.content), name: e.Name, want: e.SHA256})
	if len(s.batch.ends) >= loadMembers {
		return s.flush()
	}
	return nil
}

// flush hands over the batch. It fails as soon as any hash has differed.
func (s *sums) flush() error {
	s.work <- s.batch
	select {
	case <-s.bad:
		s.batch = &sumBatch{}
		return errSums
	case s.batch = <-s.free:
		return nil
	}
}

// close waits until everything is hashed and returns the first difference.
func (s *sums) close() error {
	s.work <- s.batch
	close(s.work)
	<-s.ended
	return s.failed
}

// entriesAhead reads an index beside the work of the caller.
type entriesAhead struct {
	batches chan []read
	cancel  context.CancelFunc
	now     []read
	ended   chan struct{}
}

// read is an entry of the index, or why there is none.
type read struct {
	entry Entry
	err   error
}

// readAhead starts to read an index. The caller stops it.
func readAhead(ctx context.Context, r *indexReader) *entriesAhead {
	ctx, cancel := context.WithCancel(ctx)
	a := &entriesAhead{batches: make(chan []read, 2), cancel: cancel, ended: make(chan struct{})}
	go func() {
		defer close(a.ended)
		defer close(a.batches)
		for last := false; !last; {
			batch := make([]read, 0, loadMembers)
			for len(batch) < cap(batch) && !last {
				e, err := r.next()
				batch = append(batch, read{e, err})
				last = err != nil
			}
			select {
			case a.batches <- batch:
			case <-ctx.Done():
				return
			}
		}
	}()
	return a
}

// next returns the next entry, and io.EOF after the last.
func (a *entriesAhead) next() (Entry, error) {
	if len(a.now) == 0 {
		batch, ok := <-a.batches
		if !ok {
			return Entry{}, errors.New("the index is read no more")
		}
		a.now = batch
	}
	r := a.now[0]
	a.now = a.now[1:]
	return r.entry, r.err
}

// stop ends the reading and waits for it: the index must not be used after
// its reader has returned.
func (a *entriesAhead) stop() {
	a.cancel()
	<-a.ended
}
