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
// least one. It holds workers+2 pieces of 1 MiB, or of 2 MiB for the higher
// levels of zstd, and their frames; less for short streams. When plain is not nil, the uncompressed bytes are written to it in
// their order, beside the work of the caller; it is complete once Close has
// returned.
func NewWriter(w, plain io.Writer, codec Codec, level, workers int) (*Writer, error) {
	workers = max(1, workers)
	if codec == None {
		workers = 1
	}
	pieces := workers + 2
	f := &Writer{
		piece: codec.pieceBytes(level),
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
		room, err := f.room(len(p))
		if err != nil {
			return total - len(p), err
		}
		n := copy(room, p)
		p = p[n:]
		f.took(n)
	}
	return total, nil
}

// firstBytes is what a piece gets before it is known that it will be filled.
const firstBytes = 64 << 10

// room returns the free part of the current piece, which is not empty. It has
// place for wanted bytes when the piece has.
func (f *Writer) room(wanted int) ([]byte, error) {
	if f.buf == nil {
		if err := f.failed(); err != nil {
			return nil, err
		}
		f.buf = <-f.free
	}
	b := f.buf
	if used := len(b.plain); cap(b.plain) < f.piece && cap(b.plain)-used < wanted {
		size := firstBytes
		if used+wanted > size {
			size = f.piece
		}
		b.plain = append(make([]byte, 0, size), b.plain...)
	}
	return b.plain[len(b.plain):cap(b.plain)], nil
}

// took notes that so many bytes of the room were filled.
func (f *Writer) took(n int) {
	f.buf.plain = f.buf.plain[:len(f.buf.plain)+n]
	if len(f.buf.plain) == f.piece {
		f.submit()
	}
}

// ReadFrom takes everything from r, which it reads straight into the pieces.
// It returns the first error of r, unless that is io.EOF, or of the underlying
// writer.
func (f *Writer) ReadFrom(r io.Reader) (total int64, err error) {
	for idle := 0; ; idle++ {
		room, err := f.room(f.piece)
		if err != nil {
			return total, err
		}
		n, readErr := r.Read(room)
		if n > 0 {
			f.took(n)
			total += int64(n)
			idle = 0
		}
		if readErr == io.EOF { // a wrapped EOF is a failure and no end
			return total, nil
		}
		if readErr != nil {
			return total, readErr
		}
		if idle >= mostIdle {
			return total, io.ErrNoProgress
		}
	}
}

// mostIdle is how often in a row a reader may return nothing.
const mostIdle = 100

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
