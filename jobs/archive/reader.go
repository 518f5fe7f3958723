package archive

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"

	"golang.org/x/sys/unix"
)

// rereads is how often a small file that changes while it is read is read
// again before it is written.
const rereads = 3

// reader turns loads into chunks.
type reader struct {
	t    *tarball
	free chan *chunk
	sum  hash.Hash
	// c is the chunk that is being filled.
	c *chunk
	l *load
}

func newReader(t *tarball) *reader {
	r := &reader{t: t, free: make(chan *chunk, chunksEach), sum: sha256.New()}
	for range chunksEach {
		r.free <- &chunk{owner: r.free}
	}
	return r
}

// load does the work on one load.
func (r *reader) load(ctx context.Context, l *load) {
	defer close(l.chunks)
	defer l.release()
	r.l = l
	if l.err = r.take(ctx); l.err != nil {
		return
	}
	for _, m := range l.members {
		if l.err = r.member(ctx, m); l.err != nil {
			break
		}
		m.close()
	}
	// Also after an error, so that the chunk finds its way back.
	if l.err != nil && r.c != nil {
		r.free <- r.c
	} else if r.c != nil {
		l.chunks <- r.c
	}
	r.c = nil
}

// take waits for an empty chunk.
func (r *reader) take(ctx context.Context) error {
	r.c = nil
	select {
	case r.c = <-r.free:
		r.c.tar, r.c.index, r.c.content = r.c.tar[:0], r.c.index[:0], 0
		return nil
	case <-ctx.Done():
		return fmt.Errorf("read the tree: %w", context.Cause(ctx))
	}
}

// member appends one entry.
func (r *reader) member(ctx context.Context, m *member) error {
	if m.fd < 0 {
		r.c.tar = appendHeader(r.c.tar, &m.head)
		return r.line(m)
	}
	whole := m.entry.Bytes <= loadBytes
	at, content := len(r.c.tar), r.c.content
	for try := 1; ; try++ {
		short, err := r.file(ctx, m)
		if err != nil {
			return err
		}
		m.entry.Torn = changed(m.fd, &m.stat, short)
		again := m.entry.Torn != "" && m.failed == nil && (m.entry.Torn != changeGrew || r.t.job.options.Changed == policyFail)
		if !again || !whole || try == rereads {
			return r.line(m)
		}
		var now unix.Stat_t
		if unix.Fstat(m.fd, &now) != nil || now.Size > loadBytes {
			return r.line(m)
		}
		r.c.tar, r.c.content = r.c.tar[:at], content
		m.stat = now
		r.t.describe(m)
	}
}

// line appends an entry's line of the index.
func (r *reader) line(m *member) error {
	var err error
	r.c.index, err = m.entry.appendLine(r.c.index)
	if err != nil {
		return fmt.Errorf("add %s to the index: %w", shown(m.disk), err)
	}
	return nil
}

// file appends the header and the content of a regular file. short tells how
// much of what the header promises was missing.
func (r *reader) file(ctx context.Context, m *member) (short int64, err error) {
	size := m.entry.Bytes
	segments := []Segment{{0, size}}
	m.head.sparse, m.entry.Sparse, m.entry.Data = -1, false, nil
	if size > 0 && m.stat.Blocks*512 < size && !r.t.job.options.Reproducible {
		if found, sparse := segmentsOf(m.fd, size); sparse {
			segments = found
			m.head.sparse, m.entry.Sparse, m.entry.Data = size, true, found
		}
	}
	m.head.size = stored(segments)
	var prefix []byte
	if m.entry.Sparse {
		prefix = sparseMap(segments, size)
		m.head.size += int64(len(prefix))
	}
	r.c.tar = append(appendHeader(r.c.tar, &m.head), prefix...)
	if size > loadBytes {
		_ = unix.Fadvise(m.fd, 0, 0, unix.FADV_SEQUENTIAL) // only advice
	}
	r.sum.Reset()
	for _, s := range segments {
		missing, err := r.segment(ctx, m, s)
		if err != nil {
			return 0, err
		}
		short += missing
	}
	r.c.tar = append(r.c.tar, make([]byte, padding(m.head.size))...)
	m.entry.SHA256 = hex.EncodeToString(r.sum.Sum(nil))
	if size == 0 {
		m.unsized = hasContent(m.fd)
	}
	return short, nil
}

// segment appends a part of a file. What the file lacks, or does not give, is
// filled with zeros, because the header has promised it.
func (r *reader) segment(ctx context.Context, m *member, s Segment) (short int64, err error) {
	for at := s[0]; at < s.end(); {
		if len(r.c.tar) >= loadBytes && m.entry.Bytes > loadBytes {
			r.l.chunks <- r.c
			if err := r.take(ctx); err != nil {
				return 0, err
			}
		}
		want := int(min(s.end()-at, loadBytes))
		begin := len(r.c.tar)
		r.c.tar = slices.Grow(r.c.tar, want)[:begin+want]
		got, err := pread(m.fd, r.c.tar[begin:], at)
		if err != nil {
			if m.failed == nil && !errors.Is(err, io.EOF) {
				m.failed = err
			}
			clear(r.c.tar[begin+got:])
			short += int64(want - got)
			got = want
		}
		r.c.tar = r.c.tar[:begin+got]
		r.sum.Write(r.c.tar[begin:])
		r.c.content += int64(got)
		at += int64(got)
	}
	return short, nil
}

// pread reads up to len(p) bytes, at least one unless there is an error.
func pread(fd int, p []byte, at int64) (int, error) {
	for {
		n, err := unix.Pread(fd, p, at)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return 0, err //nolint:wrapcheck // the caller names the file
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

// hasContent tells whether a file that says it is empty can be read all the
// same, as those of /proc can.
func hasContent(fd int) bool {
	n, err := pread(fd, make([]byte, 1), 0)
	return n > 0 && err == nil
}

// How a file changed while it was read.
const (
	changeGrew    = "grew"
	changeShrank  = "shrank"
	changeChanged = "changed"
)

// changed compares an open file with what it was when reading began.
func changed(fd int, before *unix.Stat_t, short int64) string {
	var now unix.Stat_t
	err := unix.Fstat(fd, &now)
	switch {
	case short > 0 || err == nil && now.Size < before.Size:
		return changeShrank
	case err != nil:
		return changeChanged
	case now.Size > before.Size:
		return changeGrew
	case now.Mtim != before.Mtim:
		return changeChanged
	}
	return ""
}
