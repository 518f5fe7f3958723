package archive

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	// loadBytes is how much content is read at a time, and the longest file
	// that is read whole before any of it is written.
	loadBytes = 1 << 20
	// loadMembers bounds the entries, and so the open files, of a load.
	loadMembers = 128
	// chunksEach is how many chunks a reader owns: one is written while it
	// fills the other.
	chunksEach = 2
)

// errStopped ends the walk and the readers when the tar cannot be written.
var errStopped = errors.New("the archive is given up")

// member is an entry on its way into the tar.
type member struct {
	entry Entry
	head  header
	// source and rel find the entry again, disk names it for people.
	source source
	rel    string
	disk   string
	// fd reads the content of a file; it is -1 for everything else.
	fd   int
	stat unix.Stat_t
	// failed is why the content could not be read to its end.
	failed error
	// unsized tells that a file of no length has content.
	unsized bool
}

// load is a number of entries that one reader turns into pieces of the tar.
type load struct {
	members []*member
	bytes   int64
	// chunks are the pieces. After it is closed members and err are final.
	chunks chan *chunk
	err    error
}

func newLoad() *load { return &load{chunks: make(chan *chunk, chunksEach)} }

// release closes what is still open.
func (l *load) release() {
	for _, m := range l.members {
		m.close()
	}
}

func (m *member) close() {
	if m.fd >= 0 {
		_ = unix.Close(m.fd) // only read
		m.fd = -1
	}
}

// chunk is a piece of the tar and of the index.
type chunk struct {
	tar, index []byte
	// content is how many bytes of files are in it.
	content int64
	owner   chan *chunk
}

// pump turns what feed enqueues into the tar: feed walks and opens, readers
// read and hash beside each other, and the caller's goroutine writes what they
// made in the order in which it was enqueued.
func (t *tarball) pump(ctx context.Context, feed func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	readers := max(2, min(4, runtime.GOMAXPROCS(0)))
	t.order, t.work, t.next = make(chan *load, readers), make(chan *load, readers), newLoad()
	var ended sync.WaitGroup
	for range readers {
		ended.Go(func() {
			r := newReader(t)
			for l := range t.work {
				r.load(ctx, l)
			}
		})
	}
	var fed error
	ended.Go(func() {
		defer close(t.order)
		defer close(t.work)
		if fed = feed(ctx); fed == nil {
			fed = t.dispatch(ctx)
		}
		t.next.release()
	})
	err := t.consume()
	if err != nil {
		cancel(errStopped)
	}
	for l := range t.order {
		for range l.chunks {
		}
	}
	ended.Wait()
	if err != nil {
		return err
	}
	return fed
}

// enqueue adds a member to the tar.
func (t *tarball) enqueue(ctx context.Context, m *member) error {
	size := int64(0)
	if m.fd >= 0 {
		size = m.entry.Bytes
	}
	if len(t.next.members) > 0 && (t.next.bytes+size > loadBytes || len(t.next.members) == loadMembers) {
		if err := t.dispatch(ctx); err != nil {
			m.close()
			return err
		}
	}
	t.next.members = append(t.next.members, m)
	t.next.bytes += size
	return nil
}

// dispatch hands what was enqueued to the readers.
func (t *tarball) dispatch(ctx context.Context) error {
	l := t.next
	if len(l.members) == 0 {
		return nil
	}
	t.next = newLoad()
	select {
	case t.order <- l:
	case <-ctx.Done():
		l.release()
		return fmt.Errorf("read the tree: %w", context.Cause(ctx))
	}
	t.work <- l // has room: the readers take loads until it is closed
	return nil
}

// consume writes the loads.
func (t *tarball) consume() error {
	for l := range t.order {
		for c := range l.chunks {
			if err := t.write(c); err != nil {
				for range l.chunks {
				}
				return err
			}
		}
		if l.err != nil {
			return l.err
		}
		for _, m := range l.members {
			if err := t.settle(m); err != nil {
				return err
			}
		}
	}
	return nil
}

// write sends a chunk on its way and gives it back to its reader.
func (t *tarball) write(c *chunk) error {
	if _, err := t.data.Write(c.tar); err != nil {
		return fmt.Errorf("write the tar: %w", err)
	}
	if _, err := t.index.Write(c.index); err != nil {
		return fmt.Errorf("write the index: %w", err)
	}
	t.progress(c.content)
	c.owner <- c
	return nil
}
