package archive

import (
	"archive/tar"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/ghosteam/upkeep/jobs"
)

// file adds a regular file with its content, or a hard link to it when it was
// added under another name before.
func (t *tarball) file(ctx context.Context, n *node) error {
	// O_NONBLOCK: what was a file when it was listed may be a FIFO by now.
	fd, err := unix.Openat(n.dir, n.base, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return t.unopened(n, err)
	}
	f := os.NewFile(uintptr(fd), n.disk)
	defer f.Close() //nolint:errcheck // only read
	if err := unix.Fstat(fd, &n.stat); err != nil {
		return t.unreadable(n.disk, err)
	}
	if n.mode() != unix.S_IFREG {
		t.notes.add(vanished, shown(n.disk))
		t.totals.Skipped++
		return nil
	}
	id := inodeOf(&n.stat)
	if n.stat.Nlink > 1 {
		if first, ok := t.links[id]; ok {
			return t.add(n, Entry{Type: typeHardlink, Target: Name(first)}, tar.TypeLink)
		}
	}
	e := Entry{Type: typeFile, Bytes: n.stat.Size}
	if err := t.tar.WriteHeader(t.header(n, &e, tar.TypeReg)); err != nil {
		return fmt.Errorf("add %s: %w", shown(n.disk), err)
	}
	short, err := t.content(ctx, f, n, e.Bytes)
	if err != nil {
		return err
	}
	e.SHA256 = hex.EncodeToString(t.sum.Sum(nil))
	if e.Torn = changed(fd, &n.stat, short); e.Torn != "" {
		if err := t.changed(n, e.Torn); err != nil {
			return err
		}
	}
	if n.stat.Nlink > 1 {
		t.links[id] = n.name
	}
	return t.record(e)
}

// content copies exactly size bytes of f into the tar, hashing them. What f
// lacks, or does not give, is filled with zeros, because the header has
// promised size; short tells how much that was.
func (t *tarball) content(ctx context.Context, f *os.File, n *node, size int64) (short int64, err error) {
	t.sum.Reset()
	for left := size; left > 0; {
		if err := context.Cause(ctx); err != nil {
			return 0, fmt.Errorf("read %s: %w", shown(n.disk), err)
		}
		got, err := f.Read(t.buf[:min(left, readBuffer)])
		if err != nil && !errors.Is(err, io.EOF) && short == 0 {
			if err := t.unreadable(n.disk, err); err != nil {
				return 0, err
			}
		}
		if err != nil {
			clear(t.buf)
			got = int(min(left, readBuffer))
			short += int64(got)
		}
		t.sum.Write(t.buf[:got])
		if _, err := t.tar.Write(t.buf[:got]); err != nil {
			return 0, fmt.Errorf("add %s: %w", shown(n.disk), err)
		}
		left -= int64(got)
		t.progress(int64(got))
	}
	return short, nil
}

// progress reports every 4 MiB.
func (t *tarball) progress(n int64) {
	t.done += n
	if t.done>>22 != (t.done-n)>>22 {
		t.env.Progress(t.done, max(t.expected, t.done), "bytes")
	}
}

// changed compares an open file with what it was when reading began. The
// answer is empty, "grew", "shrank" or "changed".
func changed(fd int, before *unix.Stat_t, short int64) string {
	var now unix.Stat_t
	err := unix.Fstat(fd, &now)
	switch {
	case short > 0 || err == nil && now.Size < before.Size:
		return "shrank"
	case err != nil:
		return "changed"
	case now.Size > before.Size:
		return "grew"
	case now.Mtim != before.Mtim:
		return "changed"
	}
	return ""
}

// changed applies the policy about files that change while they are read.
func (t *tarball) changed(n *node, how string) error {
	if t.job.options.Changed == policyFail {
		return jobs.WithHint(fmt.Errorf("%s %s while it was read", shown(n.disk), how),
			"stop what writes to it, exclude it, or set changed: warn")
	}
	if how == "grew" {
		t.notes.add(grown, shown(n.disk))
	} else {
		t.notes.add(torn, shown(n.disk))
	}
	return nil
}
