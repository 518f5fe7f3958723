package archive

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// linked is a file with several names.
type linked struct {
	// first is the name under which it is in the tar.
	first string
	// left is how many of its names were not met yet.
	left uint64
}

// file adds a regular file with its content, or a hard link to it when it was
// added under another name before.
func (t *tarball) file(ctx context.Context, n *node) error {
	fd, err := openFile(n.dir, n.base)
	if err != nil {
		return t.unopened(n, err)
	}
	if err := unix.Fstat(fd, &n.stat); err != nil {
		_ = unix.Close(fd) // only read
		return t.unreadable(n.disk, err)
	}
	if n.mode() != unix.S_IFREG {
		_ = unix.Close(fd) // only read
		t.notes.add(vanished, shown(n.disk))
		t.skipped.Add(1)
		return nil
	}
	id := inodeOf(&n.stat)
	if n.stat.Nlink > 1 {
		if l := t.links[id]; l != nil {
			_ = unix.Close(fd) // only read
			if l.left--; l.left == 0 {
				delete(t.links, id)
			}
			return t.add(ctx, n, -1, typeHardlink, l.first)
		}
		t.links[id] = &linked{first: n.name, left: uint64(n.stat.Nlink) - 1}
	}
	return t.add(ctx, n, fd, typeFile, "")
}

// openFile opens a file for reading.
func openFile(dir int, base string) (int, error) {
	// O_NONBLOCK: what was a file when it was listed may be a FIFO by now.
	return unix.Openat(dir, base, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
}

// add enqueues an entry. fd is an open descriptor of a file, which add takes
// over, or -1.
func (t *tarball) add(ctx context.Context, n *node, fd int, kind, target string) error {
	m := &member{
		entry: Entry{Name: Name(n.name), Type: kind, Target: Name(target)}, disk: n.disk, fd: fd, stat: n.stat,
		source: n.source, rel: relative(n.name, n.source.name),
	}
	t.attributes(m, n, fd)
	t.describe(m)
	return t.enqueue(ctx, m)
}

// attributes reads the extended attributes of a file or directory.
func (t *tarball) attributes(m *member, n *node, fd int) {
	if m.entry.Type == typeDir {
		fd = n.fd
	}
	if fd < 0 {
		return
	}
	attrs, err := t.xattrs.read(fd, n.stat.Dev)
	if err != nil {
		t.notes.add(xattrless, fmt.Sprintf("%s (%v)", shown(n.disk), err))
	}
	m.entry.Xattrs = attrs
}

// describe completes a member's entry and header from its attributes.
func (t *tarball) describe(m *member) {
	e := &m.entry
	e.Mode = Mode(m.stat.Mode & 0o7777)
	e.Modified = time.Unix(m.stat.Mtim.Sec, m.stat.Mtim.Nsec).UTC()
	if !t.modified.IsZero() {
		e.Modified = t.modified
	}
	if e.Type == typeFile {
		e.Bytes = m.stat.Size
	}
	m.head = header{
		name: string(e.Name), link: string(e.Target), mode: uint32(e.Mode), mtime: e.Modified.Unix(),
		xattrs: e.Xattrs, sparse: -1,
	}
	switch e.Type {
	case typeFile:
		m.head.flag, m.head.size = flagFile, e.Bytes
	case typeDir:
		m.head.flag = flagDir
		m.head.name += "/"
	case typeSymlink:
		m.head.flag = flagSymlink
	case typeHardlink:
		m.head.flag = flagHardlink
	}
	switch {
	case t.owner != nil:
		m.head.uid, m.head.gid = t.owner.uid, t.owner.gid
	default:
		m.head.uid, m.head.gid = m.stat.Uid, m.stat.Gid
		m.head.uname, m.head.gname = t.owners.name(m.stat.Uid, false), t.owners.name(m.stat.Gid, true)
	}
}

// relative returns the part of an entry's name below its source.
func relative(name, source string) string {
	if source == "." {
		return name
	}
	return strings.TrimPrefix(strings.TrimPrefix(name, source), "/")
}

const (
	// maxRetries and maxRetryBytes bound how much is read once more at the end
	// because it changed while it was read.
	maxRetries    = 1000
	maxRetryBytes = 4 << 30
)

// retriable tells whether a member that was torn can be read once more. Files
// with several names cannot: the others point to the first copy.
func (t *tarball) retriable(m *member) bool {
	if t.again || m.failed != nil || m.stat.Nlink > 1 || len(t.torn) >= maxRetries || t.tornBytes+m.stat.Size > maxRetryBytes {
		return false
	}
	return m.entry.Torn != changeGrew || t.job.options.Changed == policyFail
}

// retry adds what was torn once more. The later of two entries of a name wins,
// whatever program unpacks them.
func (t *tarball) retry(ctx context.Context) error {
	for _, torn := range t.torn {
		m, err := t.reopen(torn)
		if err != nil {
			if err := t.changed(torn); err != nil {
				return err
			}
			continue
		}
		if err := t.enqueue(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

// errExchanged says that a name stands for something else by now.
var errExchanged = errors.New("something else has its name now")

// reopen opens a member anew, stepping down from its source without following
// links.
func (t *tarball) reopen(torn *member) (*member, error) {
	dir, err := torn.source.open()
	if err != nil {
		return nil, err
	}
	defer func() { _ = unix.Close(dir) }() // only a handle on a directory
	steps := []string{torn.source.base()}
	if torn.rel != "" {
		steps = append(steps, strings.Split(torn.rel, "/")...)
	}
	for _, step := range steps[:len(steps)-1] {
		next, err := unix.Openat(dir, step, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, fmt.Errorf("open %s: %w", step, err)
		}
		_ = unix.Close(dir) // only a handle on a directory
		dir = next
	}
	base := steps[len(steps)-1]
	m := &member{entry: Entry{Name: torn.entry.Name, Type: typeFile, Again: true}, disk: torn.disk, source: torn.source, rel: torn.rel, fd: -1}
	// What is upkeep's own must not be opened.
	if err := unix.Fstatat(dir, base, &m.stat, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return nil, fmt.Errorf("stat %s: %w", path.Base(torn.disk), err)
	}
	if !t.retryOf(torn, m) {
		return nil, errExchanged
	}
	if m.fd, err = openFile(dir, base); err != nil {
		return nil, fmt.Errorf("open %s: %w", path.Base(torn.disk), err)
	}
	if err := unix.Fstat(m.fd, &m.stat); err != nil || !t.retryOf(torn, m) {
		m.close()
		return nil, errors.Join(errExchanged, err)
	}
	t.attributes(m, &node{disk: m.disk, stat: m.stat}, m.fd)
	t.describe(m)
	return m, nil
}

// retryOf tells whether m may stand in for torn: a file of one name, on the
// same file system, that is not upkeep's own.
func (t *tarball) retryOf(torn, m *member) bool {
	return m.stat.Mode&unix.S_IFMT == unix.S_IFREG && m.stat.Dev == torn.stat.Dev && m.stat.Nlink == 1 && !t.env.IsOwn(m.stat.Dev, m.stat.Ino)
}
