package archive

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// inode identifies a file on this machine.
type inode struct {
	dev, ino uint64
}

func inodeOf(st *unix.Stat_t) inode { return inode{dev: st.Dev, ino: st.Ino} }

// node is a file or directory that a walk met.
type node struct {
	// name is its name in the archive, disk its path for people.
	name, disk string
	// dir is an open descriptor of the directory that holds base.
	dir  int
	base string
	stat unix.Stat_t
}

func (n *node) mode() uint32 { return n.stat.Mode & unix.S_IFMT }

// walker visits trees in the order of names. It holds a descriptor of each
// directory on the way and opens everything below by one name relative to it,
// without following links, so that nobody who renames or links directories
// meanwhile can lead it elsewhere.
type walker struct {
	rules        []rule
	followMounts bool
	// barred are directories that are never entered; own tells of files and
	// directories that belong to upkeep itself.
	barred map[inode]bool
	own    func(device, number uint64) bool
	notes  *notes
	// visit is called for each entry, for a directory before what is in it.
	visit func(ctx context.Context, n *node) error
	// listed, when not nil, is called with the sorted names in a directory.
	listed func(dir *node, fd int, names []string)
	// unreadable is called for what cannot be read; its error ends the walk.
	unreadable func(disk string, err error) error
}

// source walks one configured path.
func (w *walker) source(ctx context.Context, s source) error {
	parent, err := unix.Open(filepath.Dir(s.real), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", filepath.Dir(s.real), err)
	}
	defer unix.Close(parent) //nolint:errcheck // only a handle on a directory
	n := &node{name: s.name, disk: s.path, dir: parent, base: filepath.Base(s.real)}
	if s.real == "/" {
		n.base = "."
	}
	if err := unix.Fstatat(parent, n.base, &n.stat, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("stat %s: %w", s.path, err)
	}
	if n.mode() == unix.S_IFDIR {
		return w.directory(ctx, n, 0)
	}
	return w.visit(ctx, n)
}

// directory visits a directory and what is in it. mount is the id of the mount
// on which its parent lies, or 0 for a configured path.
func (w *walker) directory(ctx context.Context, n *node, mount uint64) error {
	fd, err := unix.Openat(n.dir, n.base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return w.unopened(n, err)
	}
	dir := os.NewFile(uintptr(fd), n.disk)
	defer dir.Close() //nolint:errcheck // only read
	if err := unix.Fstat(fd, &n.stat); err != nil {
		return w.unreadable(n.disk, err)
	}
	if w.barred[inodeOf(&n.stat)] || w.own(n.stat.Dev, n.stat.Ino) {
		w.notes.add(barred, shown(n.disk))
		return nil
	}
	here, err := mountOf(fd)
	if err != nil {
		return w.unreadable(n.disk, err)
	}
	if mount != 0 && here != mount && !w.followMounts {
		w.notes.add(mounted, shown(n.disk))
		return nil
	}
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return w.unreadable(n.disk, err)
	}
	slices.Sort(names)
	if err := w.visit(ctx, n); err != nil {
		return err
	}
	if w.listed != nil {
		w.listed(n, fd, names)
	}
	for _, base := range names {
		if err := context.Cause(ctx); err != nil {
			return fmt.Errorf("read %s: %w", n.disk, err)
		}
		child := &node{name: path.Join(n.name, base), disk: filepath.Join(n.disk, base), dir: fd, base: base}
		if err := w.child(ctx, child, here); err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) child(ctx context.Context, n *node, mount uint64) error {
	if err := unix.Fstatat(n.dir, n.base, &n.stat, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return w.unopened(n, err)
	}
	dir := n.mode() == unix.S_IFDIR
	switch {
	case excluded(w.rules, n.name, n.disk, dir):
		return nil
	case dir:
		return w.directory(ctx, n, mount)
	case w.own(n.stat.Dev, n.stat.Ino):
		w.notes.add(barred, shown(n.disk))
		return nil
	}
	return w.visit(ctx, n)
}

// unopened decides what a failure to reach an entry means.
func (w *walker) unopened(n *node, err error) error {
	// ELOOP and ENOTDIR: it was exchanged for something else since it was
	// listed, so what was listed is gone.
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENOTDIR) {
		w.notes.add(vanished, shown(n.disk))
		return nil
	}
	return w.unreadable(n.disk, err)
}

// mountOf returns a number for the mount on which an open directory lies. Bind
// mounts differ too, where the kernel tells (Linux 5.8); else the device
// stands for the mount.
func mountOf(fd int) (uint64, error) {
	var st unix.Statx_t
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_MNT_ID, &st); err != nil {
		return 0, fmt.Errorf("statx: %w", err)
	}
	if st.Mask&unix.STATX_MNT_ID != 0 {
		return st.Mnt_id, nil
	}
	return unix.Mkdev(st.Dev_major, st.Dev_minor), nil
}
