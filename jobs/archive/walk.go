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
	// fd is open on the entry itself when it is a directory that is visited.
	fd     int
	source source
}

func (n *node) mode() uint32 { return n.stat.Mode & unix.S_IFMT }

// walker visits trees in the order of names. It holds a descriptor of each
// directory on the way and opens everything below by one name relative to it,
// without following links, so that nobody who renames or links directories
// meanwhile can lead it elsewhere.
type walker struct {
	rules         []rule
	followMounts  bool
	excludeCaches bool
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
	// above are the directories from the source down to where the walk is.
	above []inode
}

// source walks one configured path.
func (w *walker) source(ctx context.Context, s source) error {
	parent, err := s.open()
	if err != nil {
		return err
	}
	defer unix.Close(parent) //nolint:errcheck // only a handle on a directory
	n := &node{name: s.name, disk: s.path, dir: parent, base: s.base(), source: s}
	if err := unix.Fstatat(parent, n.base, &n.stat, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("stat %s: %w", s.path, err)
	}
	if n.mode() == unix.S_IFLNK {
		return fmt.Errorf("%s was exchanged for a symbolic link", s.path)
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
	if enter, err := w.enters(n, fd, mount, here); !enter || err != nil {
		return err
	}
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return w.unreadable(n.disk, err)
	}
	slices.Sort(names)
	n.fd = fd
	if err := w.visit(ctx, n); err != nil {
		return err
	}
	if w.excludeCaches && isCache(fd, names) {
		w.notes.add(cached, shown(n.disk))
		names = []string{cacheTag}
	}
	w.above = append(w.above, inodeOf(&n.stat))
	defer func() { w.above = w.above[:len(w.above)-1] }()
	if w.listed != nil {
		w.listed(n, fd, names)
	}
	for _, base := range names {
		if err := context.Cause(ctx); err != nil {
			return fmt.Errorf("read %s: %w", n.disk, err)
		}
		child := &node{name: path.Join(n.name, base), disk: filepath.Join(n.disk, base), dir: fd, base: base, source: n.source}
		if err := w.child(ctx, child, here); err != nil {
			return err
		}
	}
	return nil
}

// enters decides about a directory that may be the root of another mount.
// mount and here are the mounts of its parent and its own.
func (w *walker) enters(n *node, fd int, mount, here uint64) (bool, error) {
	if here == mount {
		return true, nil
	}
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil {
		return false, w.unreadable(n.disk, err)
	}
	switch {
	case isPseudo(fs.Type):
		w.notes.add(pseudo, shown(n.disk))
	case mount != 0 && !w.followMounts:
		w.notes.add(mounted, shown(n.disk))
	case slices.Contains(w.above, inodeOf(&n.stat)):
		w.notes.add(looped, shown(n.disk))
	default:
		return true, nil
	}
	return false, nil
}

// isPseudo tells whether a file system shows the state of the kernel instead
// of stored files.
func isPseudo(kind int64) bool {
	switch kind {
	case unix.PROC_SUPER_MAGIC, unix.SYSFS_MAGIC, unix.CGROUP_SUPER_MAGIC, unix.CGROUP2_SUPER_MAGIC, unix.DEBUGFS_MAGIC,
		unix.TRACEFS_MAGIC, unix.SECURITYFS_MAGIC, unix.DEVPTS_SUPER_MAGIC, unix.BPF_FS_MAGIC, unix.EFIVARFS_MAGIC,
		unix.SELINUX_MAGIC, unix.SMACK_MAGIC, unix.BINFMTFS_MAGIC, unix.PSTOREFS_MAGIC, unix.NSFS_MAGIC:
		return true
	}
	return false
}

// The mark of a directory whose content can be made anew at any time
// (bford.info/cachedir).
const (
	cacheTag       = "CACHEDIR.TAG"
	cacheSignature = "Signature: 8a477f597d28d172789f06886806bc55"
)

// isCache tells whether a directory with these sorted names is marked.
func isCache(fd int, names []string) bool {
	_, ok := slices.BinarySearch(names, cacheTag)
	return ok && beginsWith(fd, cacheTag, cacheSignature)
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
