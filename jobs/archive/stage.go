package archive

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ghosteam/upkeep/jobs"
)

// stagePrefix begins the names of the directories in which extractions work.
const stagePrefix = ".upkeep-restore-"

// stageName matches the names of stages, and stageEntry the only two things
// that may be in one.
var stageName = regexp.MustCompile(`^\.upkeep-restore-[A-Z2-7]{26}$`)

const (
	stageTree = "tree"
	stageNote = "README"
	noteText  = "upkeep restores an archive here. What is in the folder tree is not complete.\n"
)

// stage is a directory beside a target, or in it, in which the content of an
// archive grows until it is whole. Whoever works in one holds a lock on it,
// which ends with the process, so that the next one can tell which are dead.
type stage struct {
	// target is where the tree goes in the end.
	target string
	// existed tells that the target is there, and inside that the stage lies
	// in it because it is a mount, or because its parent is closed.
	existed, inside bool
	// made are the directories that were made above the target, the outermost
	// first.
	made []string
	// dir is the path of the stage, lock the open stage.
	dir  string
	lock *os.File
	// unswept says which dead stages could not be removed.
	unswept error
}

// newStage prepares an extraction into target, which must be absent or an
// empty directory. What dead extractions left beside it is removed.
func newStage(target string) (_ *stage, err error) {
	target, err = filepath.Abs(target)
	if err != nil {
		return nil, fmt.Errorf("find the target: %w", err)
	}
	st := &stage{target: target}
	resolved, err := filepath.EvalSymlinks(target)
	switch {
	case err == nil:
		st.target, st.existed = resolved, true
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("find the target: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, st.removeMade())
		}
	}()
	parent := filepath.Dir(st.target)
	if st.existed {
		if st.inside, err = isFixed(st.target, parent); err != nil {
			return nil, err
		}
		if st.inside {
			parent = st.target
		}
	} else if err := st.make(parent); err != nil {
		return nil, err
	}
	st.unswept = sweepStages(parent)
	if err := vacant(st.target, st.inside); err != nil {
		return nil, err
	}
	return st, st.claim(parent)
}

// isFixed tells whether a directory cannot be replaced: it is the root of a
// mount, or its parent is closed to this user.
func isFixed(dir, parent string) (bool, error) {
	if unix.Faccessat(unix.AT_FDCWD, parent, unix.W_OK|unix.X_OK, unix.AT_EACCESS) != nil {
		return true, nil
	}
	ids := make([]uint64, 0, 2)
	for _, path := range []string{dir, parent} {
		fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return false, fmt.Errorf("open %s: %w", path, err)
		}
		id, err := mountOf(fd)
		_ = unix.Close(fd) // only a handle on a directory
		if err != nil {
			return false, fmt.Errorf("look at %s: %w", path, err)
		}
		ids = append(ids, id)
	}
	return dir == parent || ids[0] != ids[1], nil
}

// make makes a directory with its parents.
func (s *stage) make(dir string) error {
	missing := []string{}
	for at := dir; ; at = filepath.Dir(at) {
		if _, err := os.Stat(at); err == nil || !errors.Is(err, fs.ErrNotExist) || at == filepath.Dir(at) {
			break
		}
		missing = append([]string{at}, missing...)
	}
	for _, at := range missing {
		if err := os.Mkdir(at, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("make the target: %w", err)
		}
		s.made = append(s.made, at)
	}
	return nil
}

// removeMade removes the directories that were made above the target, when
// nothing came into them.
func (s *stage) removeMade() error {
	for _, dir := range slices.Backward(s.made) {
		err := os.Remove(dir)
		if errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.EEXIST) || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("remove what was made for the target: %w", err)
		}
	}
	s.made = nil
	return nil
}

// claim makes the stage and locks it.
func (s *stage) claim(parent string) error {
	for {
		s.dir = filepath.Join(parent, stagePrefix+rand.Text())
		if err := os.Mkdir(s.dir, 0o700); err != nil {
			return fmt.Errorf("make the target: %w", err)
		}
		lock, err := lockStage(s.dir)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errStageBusy) {
			continue // another extraction took it for a dead one
		}
		if err != nil && !errors.Is(err, errNoLocks) {
			return err
		}
		s.lock = lock
		err = errors.Join(os.WriteFile(filepath.Join(s.dir, stageNote), []byte(noteText), 0o600), os.Mkdir(s.tree(), 0o700))
		if err != nil {
			return errors.Join(fmt.Errorf("make the target: %w", err), s.drop())
		}
		return nil
	}
}

// tree is where the content grows.
func (s *stage) tree() string { return filepath.Join(s.dir, stageTree) }

// errStageBusy says that another process works in a stage.
var errStageBusy = errors.New("another restore works there")

// errNoLocks says that a file system has no locks, so that no stage on it can
// be told for dead.
var errNoLocks = errors.New("the file system has no locks")

// lockStage opens a stage and takes its lock. fs.ErrNotExist says that it is
// gone; with errNoLocks the open stage is returned.
func lockStage(dir string) (*os.File, error) {
	f, err := os.OpenFile(dir, unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", dir, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		switch {
		case errors.Is(err, unix.ENOLCK), errors.Is(err, unix.ENOTSUP), errors.Is(err, unix.ENOSYS):
			return f, errNoLocks
		case errors.Is(err, unix.EWOULDBLOCK):
			err = errStageBusy
		}
		return nil, errors.Join(fmt.Errorf("lock %s: %w", dir, err), f.Close())
	}
	mine, err := f.Stat()
	there, statErr := os.Lstat(dir)
	if err = errors.Join(err, statErr); err != nil {
		return nil, errors.Join(fmt.Errorf("look at %s: %w", dir, err), f.Close())
	}
	if !os.SameFile(mine, there) {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", dir, fs.ErrNotExist), f.Close())
	}
	return f, nil
}

// drop removes the stage with everything in it.
func (s *stage) drop() error {
	err := removeStage(s.dir)
	return errors.Join(err, s.lock.Close(), s.removeMade())
}

// removeStage removes a stage that is locked: its tree first, so that what a
// kill leaves of it is still known for a stage.
func removeStage(dir string) error {
	root, err := os.OpenRoot(filepath.Dir(dir))
	if err != nil {
		return fmt.Errorf("remove an unfinished restore: %w", err)
	}
	defer root.Close() //nolint:errcheck // only a handle on a directory
	base := filepath.Base(dir)
	if err := removeTree(root, filepath.Join(base, stageTree)); err != nil {
		return fmt.Errorf("remove an unfinished restore: %w", err)
	}
	if err := root.RemoveAll(base); err != nil {
		return fmt.Errorf("remove an unfinished restore: %w", err)
	}
	return nil
}

// removeTree removes a tree whose directories may be closed to their owner.
func removeTree(root *os.Root, name string) error {
	if root.RemoveAll(name) == nil {
		return nil
	}
	tree, err := root.OpenRoot(name)
	if err != nil {
		return err
	}
	err = fs.WalkDir(tree.FS(), ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			return tree.Chmod(path, 0o700)
		}
		return err
	})
	return errors.Join(err, tree.Close(), root.RemoveAll(name))
}

// sweepStages removes the stages in dir whose processes are dead. It knows
// them by their name, their owner, their lock and by holding nothing else than
// stages do. The error names what it could not remove.
func sweepStages(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrPermission) {
		return nil // nobody may look what is there
	}
	if err != nil {
		return fmt.Errorf("look for unfinished restores: %w", err)
	}
	var errs []error
	for _, e := range entries {
		if !e.IsDir() || !stageName.MatchString(e.Name()) {
			continue
		}
		path := filepath.Join(dir, e.Name())
		lock, err := lockStage(path)
		switch {
		case errors.Is(err, errNoLocks):
			errs = append(errs, fmt.Errorf("%s: %w", path, err), lock.Close())
		case err != nil: // somebody works there, it is gone, or not ours
		case isStage(lock):
			errs = append(errs, removeStage(path), lock.Close())
		default:
			errs = append(errs, lock.Close())
		}
	}
	return errors.Join(errs...)
}

// isStage tells whether an open directory is ours and holds what a stage does.
func isStage(dir *os.File) bool {
	var st unix.Stat_t
	if unix.Fstat(int(dir.Fd()), &st) != nil || int(st.Uid) != os.Geteuid() {
		return false
	}
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return false
	}
	for _, name := range names {
		if name != stageTree && name != stageNote {
			return false
		}
	}
	return true
}

// finish puts the tree, which is whole and on the disk, into its place.
func (s *stage) finish() error {
	var err error
	if s.inside {
		err = s.moveEntries()
	} else {
		if s.existed {
			err = likeness(s.target, s.tree())
		}
		if err == nil {
			err = unix.Rename(s.tree(), s.target) // os.Rename refuses directories
		}
	}
	if errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.EEXIST) || errors.Is(err, unix.ENOTDIR) {
		err = jobs.WithHint(fmt.Errorf("something was put there while the archive was extracted: %w", err), "choose a new directory")
	}
	if err != nil {
		return fmt.Errorf("put the content into %s: %w", s.target, err)
	}
	err = errors.Join(removeStage(s.dir), s.lock.Close())
	return errors.Join(err, syncDir(filepath.Dir(s.target)))
}

// moveEntries moves what is at the top of the tree, one by one, because the
// root of a mount cannot be replaced. Until all is moved the stage stays.
func (s *stage) moveEntries() error {
	entries, err := os.ReadDir(s.tree())
	if err != nil {
		return err
	}
	there, err := os.ReadDir(s.target)
	if err != nil {
		return err
	}
	for _, e := range there {
		if !strings.HasPrefix(e.Name(), stagePrefix) {
			return fmt.Errorf("%s: %w", e.Name(), unix.EEXIST)
		}
	}
	for i, e := range entries {
		err := move(s.tree(), s.target, e.Name())
		if err == nil {
			continue
		}
		for _, moved := range entries[:i] {
			err = errors.Join(err, move(s.target, s.tree(), moved.Name()))
		}
		return err
	}
	return syncDir(s.target)
}

// move moves a name from one directory to another, where it must not exist.
func move(from, to, name string) error {
	return unix.Renameat2(unix.AT_FDCWD, filepath.Join(from, name), unix.AT_FDCWD, filepath.Join(to, name), unix.RENAME_NOREPLACE)
}

// likeness gives a directory the mode and owner of the one it replaces.
func likeness(from, to string) error {
	var st unix.Stat_t
	if err := unix.Stat(from, &st); err != nil {
		return err
	}
	if int(st.Uid) != os.Geteuid() || int(st.Gid) != os.Getegid() {
		if err := os.Chown(to, int(st.Uid), int(st.Gid)); err != nil && !errors.Is(err, unix.EPERM) {
			return err
		}
	}
	return unix.Chmod(to, st.Mode&0o7777)
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return errors.Join(f.Sync(), f.Close())
}
