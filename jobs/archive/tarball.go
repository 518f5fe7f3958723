package archive

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"os/user"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/artifact"
)

// readBuffer is how much of a file is read at a time.
const readBuffer = 1 << 20

// tarball writes one archive.
type tarball struct {
	job      *Job
	env      *jobs.Env
	sources  []source
	expected int64 // bytes, by the survey
	notes    *notes

	tar    *tar.Writer
	lines  *json.Encoder
	totals Totals
	// links names the first entry of each file with several names, until all
	// of its names were met.
	links map[inode]string
	names map[uint64]string // of owners
	buf   []byte
	sum   hash.Hash
	done  int64 // bytes read
}

// produce writes the tar and, beside it, the index.
func (t *tarball) produce(ctx context.Context, w *artifact.Writer) (artifact.Note, error) {
	data, err := w.Stream(streamTar)
	if err != nil {
		return artifact.Note{}, err
	}
	index, err := w.Stream(streamIndex)
	if err != nil {
		return artifact.Note{}, err
	}
	t.tar, t.lines = tar.NewWriter(data), json.NewEncoder(index)
	t.lines.SetEscapeHTML(false)
	t.buf, t.sum, t.names = make([]byte, readBuffer), sha256.New(), map[uint64]string{}
	walk := t.job.walker(t.env, t.notes)
	walk.visit = t.visit
	walk.unreadable = t.unreadable
	for _, s := range t.sources {
		if err := walk.source(ctx, s); err != nil {
			return artifact.Note{}, err
		}
	}
	if err := t.tar.Close(); err != nil {
		return artifact.Note{}, fmt.Errorf("end the tar: %w", err)
	}
	if t.totals.Files == 0 && !t.job.options.AllowEmpty {
		return artifact.Note{}, errors.New("every file vanished before it could be saved")
	}
	if err := errors.Join(data.Close(), index.Close()); err != nil {
		return artifact.Note{}, err
	}
	return artifact.Note{Details: t.details()}, nil
}

func (t *tarball) details() Details {
	d := Details{Totals: t.totals, Exclude: t.job.options.Exclude, FollowMounts: t.job.options.FollowMounts}
	for _, s := range t.sources {
		d.Sources = append(d.Sources, Source{Path: Name(s.path), Name: Name(s.name)})
	}
	return d
}

// unreadable applies the policy about what cannot be read.
func (t *tarball) unreadable(disk string, err error) error {
	if t.job.options.Unreadable == policyFail {
		return jobs.WithHint(fmt.Errorf("read %s: %w", shown(disk), err), hintUnreadable)
	}
	t.notes.add(unreadable, shown(disk))
	t.totals.Skipped++
	return nil
}

// visit adds one entry.
func (t *tarball) visit(ctx context.Context, n *node) error {
	switch n.mode() {
	case unix.S_IFREG:
		return t.file(ctx, n)
	case unix.S_IFDIR:
		if n.name == "." {
			return nil
		}
		return t.add(n, Entry{Type: typeDir}, tar.TypeDir)
	case unix.S_IFLNK:
		target, err := readlink(n)
		if err != nil {
			return t.unopened(n, err)
		}
		return t.add(n, Entry{Type: typeSymlink, Target: Name(target)}, tar.TypeSymlink)
	}
	t.notes.add(special, shown(n.disk))
	t.totals.Skipped++
	return nil
}

// unopened is for entries that were there when they were listed.
func (t *tarball) unopened(n *node, err error) error {
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ELOOP) || errors.Is(err, unix.EINVAL) {
		t.notes.add(vanished, shown(n.disk))
		t.totals.Skipped++
		return nil
	}
	return t.unreadable(n.disk, err)
}

func readlink(n *node) (string, error) {
	for size := 256; ; size *= 2 {
		buf := make([]byte, size)
		got, err := unix.Readlinkat(n.dir, n.base, buf)
		if err != nil {
			return "", fmt.Errorf("readlink: %w", err)
		}
		if got < size {
			return string(buf[:got]), nil
		}
	}
}

// add writes an entry without content.
func (t *tarball) add(n *node, e Entry, flag byte) error {
	if err := t.tar.WriteHeader(t.header(n, &e, flag)); err != nil {
		return fmt.Errorf("add %s: %w", shown(n.disk), err)
	}
	return t.record(e)
}

// record writes an entry's line of the index.
func (t *tarball) record(e Entry) error {
	t.totals.add(e)
	if err := t.lines.Encode(e); err != nil {
		return fmt.Errorf("add %s to the index: %w", shown(string(e.Name)), err)
	}
	return nil
}

// header completes e from n's attributes and returns the header of its tar
// entry.
func (t *tarball) header(n *node, e *Entry, flag byte) *tar.Header {
	e.Name = Name(n.name)
	e.Mode = Mode(n.stat.Mode & 0o7777)
	e.Modified = time.Unix(n.stat.Mtim.Sec, 0).UTC()
	h := &tar.Header{
		Typeflag: flag, Name: n.name, Linkname: string(e.Target), Size: e.Bytes,
		Mode: int64(e.Mode), ModTime: e.Modified, Format: tar.FormatPAX,
	}
	if flag == tar.TypeDir {
		h.Name += "/"
	}
	if !t.job.options.Reproducible {
		h.Uid, h.Gid = int(n.stat.Uid), int(n.stat.Gid)
		h.Uname, h.Gname = t.owner(n.stat.Uid, false), t.owner(n.stat.Gid, true)
	}
	return h
}

// owner returns the name of a user or group, or nothing when it has none.
func (t *tarball) owner(id uint32, group bool) string {
	key := uint64(id)
	if group {
		key |= 1 << 32
	}
	if name, ok := t.names[key]; ok {
		return name
	}
	name := ""
	if group {
		if g, err := user.LookupGroupId(strconv.Itoa(int(id))); err == nil {
			name = g.Name
		}
	} else if u, err := user.LookupId(strconv.Itoa(int(id))); err == nil {
		name = u.Username
	}
	t.names[key] = name
	return name
}
