package frame

import (
	"cmp"
	"errors"
	"io"
	"sync"
)

// Writer compresses what is written to it. Write, Close and Abort belong to
// one goroutine.
type Writer struct {
	piece int
	buf   *piece
	begun bool
	// free hands out pieces and so bounds memory: each holds one piece of the
	// plain stream and its frame.
	free chan *piece
	// order is read by the one goroutine that writes, work by the workers.
	order chan *piece
	work  chan *piece
	ended sync.WaitGroup

	closed bool

	mu  sync.Mutex
	err error
}

// piece is a part of the plain stream on its way to a frame.
type piece struct {
	plain, frame []byte
	err          error
	ready        chan struct{}
}

// ErrAborted is what Write returns after Abort.
var ErrAborted = errors.New("compression aborted")

// NewWriter returns a Writer that compresses to w with so many workers, at
// least one. It holds about (workers+2) times 8 MiB at most, less for short
// streams. When plain is not nil, the uncompressed bytes are written to it in
// their order, beside the work of the caller; it is complete once Close has
// returned.
func NewWriter(w, plain io.Writer, codec Codec, level, workers int) (*Writer, error) {
	workers = max(1, workers)
	if codec == None {
		workers = 1
	}
	pieces := workers + 2
	f := &Writer{
		piece: codec.pieceBytes(),
		free:  make(chan *piece, pieces),
		order: make(chan *piece, pieces),
		work:  make(chan *piece, pieces),
	}
	for range pieces {
		f.free <- &piece{ready: make(chan struct{}, 1)}
	}
	for range workers {
		encode, err := codec.encoder(level)
		if err != nil {
			close(f.work)
			f.ended.Wait()
			return nil, err
		}
		f.ended.Go(func() {
			for p := range f.work {
				p.frame, p.err = encode(p.frame[:0], p.plain)
				p.ready <- struct{}{}
			}
		})
	}
	f.ended.Go(func() { f.emit(w, plain) })
	return f, nil
}

// emit writes the frames in their order. After the first failure it only hands
// the pieces back, so that nobody waits for ever.
func (f *Writer) emit(w, plain io.Writer) {
	for p := range f.order {
		var err error
		if plain != nil && f.failed() == nil {
			_, err = plain.Write(p.plain)
		}
		<-p.ready
		err = cmp.Or(err, p.err)
		if err == nil && f.failed() == nil {
			_, err = w.Write(p.frame)
		}
		if err != nil {
			f.fail(err)
		}
		p.plain = p.plain[:0]
		f.free <- p
	}
}

func (f *Writer) failed() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

func (f *Writer) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = err
	}
}

// Write takes p. It returns the first error of the underlying writer, which
// may stem from an earlier Write.
func (f *Writer) Write(p []byte) (int, error) {
	total := len(p)
	for len(p) > 0 {
		if f.buf == nil {
			if err := f.failed(); err != nil {
				return total - len(p), err
			}
			f.buf = <-f.free
		}
		n := min(len(p), f.piece-len(f.buf.plain))
		f.buf.plain = append(f.buf.plain, p[:n]...)
		p = p[n:]
		if len(f.buf.plain) == f.piece {
			f.submit()
		}
	}
	return total, nil
}

// submit sends the current piece on its way.
func (f *Writer) submit() {
	p := f.buf
	f.buf = nil
	f.begun = true
	f.order <- p
	f.work <- p
}

// Close compresses what is left, waits until everything is written and returns
// the first error. It does not close the underlying writer. An empty stream
// becomes one empty frame.
func (f *Writer) Close() error {
	if f.closed {
		return f.failed()
	}
	if f.buf == nil && !f.begun {
		f.buf = <-f.free
	}
	if f.buf != nil {
		f.submit()
	}
	f.stop()
	return f.failed()
}

// Abort drops what is left and waits until nothing is written any more. It may
// follow Close.
func (f *Writer) Abort() {
	f.fail(ErrAborted)
	f.stop()
}

func (f *Writer) stop() {
	if f.closed {
		return
	}
	f.closed = true
	close(f.order)
	close(f.work)
	f.ended.Wait()
}
