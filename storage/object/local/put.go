package local

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ghosteam/upkeep/storage/object"
)

const (
	fileMode fs.FileMode = 0o600
	dirMode  fs.FileMode = 0o700
	// copyBuffer is how much is read from the source at a time.
	copyBuffer = 1 << 20
)

// Put implements object.Store.
func (s *Store) Put(ctx context.Context, key string, r io.Reader, o object.PutOptions) (object.Info, error) {
	info, err := s.put(ctx, key, r, o)
	if err != nil {
		err = fmt.Errorf("put %s into store %s: %w", key, s.name, err)
		if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
			err = &fullError{err: err, dir: s.dir}
		}
	}
	return info, err
}

// fullError adds advice to a full disk.
type fullError struct {
	err error
	dir string
}

func (e *fullError) Error() string { return e.err.Error() }
func (e *fullError) Unwrap() error { return e.err }

// Hint says what to do.
func (e *fullError) Hint() string {
	return "free space below " + e.dir + ", or keep fewer artifacts; nothing incomplete was left there"
}

func (s *Store) put(ctx context.Context, key string, r io.Reader, o object.PutOptions) (_ object.Info, err error) {
	if err := object.CheckKey(key); err != nil {
		return object.Info{}, err
	}
	if err := context.Cause(ctx); err != nil {
		return object.Info{}, err
	}
	root, err := s.makeRoot()
	if err != nil {
		return object.Info{}, err
	}
	defer root.Close() //nolint:errcheck // only a handle on a directory
	dir := path.Dir(key)
	temp, err := newTemp(root, dir)
	if err != nil {
		return object.Info{}, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, temp.discard())
		}
	}()
	sum := sha256.New()
	bytes, err := copyAll(ctx, io.MultiWriter(&early{file: temp.file}, sum), r)
	if err != nil {
		return object.Info{}, err
	}
	modified, err := temp.finish()
	if err != nil {
		return object.Info{}, err
	}
	if err := context.Cause(ctx); err != nil {
		return object.Info{}, err
	}
	if err := temp.publish(key, o.IfAbsent); err != nil {
		return object.Info{}, err
	}
	if err := syncDir(root, dir); err != nil {
		return object.Info{}, err
	}
	return object.Info{
		Store: s.name, Key: key, Bytes: bytes, SHA256: hex.EncodeToString(sum.Sum(nil)),
		Modified: modified,
	}, nil
}

// earlyBytes is how much is written before the kernel is asked to begin
// putting it on the disk.
const earlyBytes = 8 << 20

// early writes to a file and lets the disk work while more is produced, so that
// the sync at the end, which decides, has little left to wait for.
type early struct {
	file         *os.File
	written, out int64
}

// Write implements io.Writer.
func (e *early) Write(p []byte) (int, error) {
	n, err := e.file.Write(p)
	e.written += int64(n)
	if e.written-e.out >= earlyBytes {
		// Advice only: what fails here, the sync at the end reports.
		_ = unix.SyncFileRange(int(e.file.Fd()), e.out, e.written-e.out, unix.SYNC_FILE_RANGE_WRITE)
		e.out = e.written
	}
	return n, err
}

// copyAll copies r to its end, looking at ctx before every read.
func copyAll(ctx context.Context, w io.Writer, r io.Reader) (int64, error) {
	buf := make([]byte, copyBuffer)
	var total int64
	for {
		if err := context.Cause(ctx); err != nil {
			return total, err
		}
		n, err := r.Read(buf)
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil {
				return total, err
			}
			total += int64(n)
		}
		if err == io.EOF { // a wrapped EOF is a failure and no end
			return total, nil
		}
		if err != nil {
			return total, fmt.Errorf("read what is to be stored: %w", err)
		}
	}
}

// makeRoot opens the store's directory and makes it when it is not there.
func (s *Store) makeRoot() (*os.Root, error) {
	if err := s.trusted(); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(s.dir)
	if err == nil || !absent(err) {
		return root, err
	}
	var missing []string
	for dir := s.dir; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(dir); err == nil || dir == filepath.Dir(dir) {
			break
		}
		missing = append(missing, dir)
	}
	for _, dir := range slices.Backward(missing) {
		if err := os.Mkdir(dir, dirMode); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("make the store's directory: %w", err)
		}
		if err := syncPath(filepath.Dir(dir)); err != nil {
			return nil, err
		}
	}
	return os.OpenRoot(s.dir)
}

// temp is a file that is being written under a name that no key can have. It
// is locked for as long as its writer lives, so that a sweep can tell a living
// writer from a dead one.
type temp struct {
	root *os.Root
	dir  string
	name string
	file *os.File
}

// tempSuffix and object.ReservedPrefix enclose 16 random characters.
const tempSuffix = ".tmp"

func newTemp(root *os.Root, dir string) (*temp, error) {
	// A Delete beside us may remove the directory before our file is in it.
	for attempt := 0; ; attempt++ {
		if err := makeDirs(root, dir); err != nil {
			return nil, err
		}
		t := &temp{root: root, dir: dir}
		t.name = path.Join(dir, object.ReservedPrefix+strings.ToLower(rand.Text()[:16])+tempSuffix)
		var err error
		t.file, err = root.OpenFile(filepath.FromSlash(t.name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
		if err == nil {
			err = unix.Flock(int(t.file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
			if err != nil && !errors.Is(err, unix.ENOTSUP) && !errors.Is(err, unix.ENOLCK) {
				return nil, errors.Join(fmt.Errorf("lock %s: %w", t.name, err), t.discard())
			}
			return t, nil
		}
		if !absent(err) || attempt == 9 {
			return nil, errors.Join(fmt.Errorf("make a temporary file: %w", err), removeEmpty(root, dir))
		}
	}
}

// finish makes the content durable.
func (t *temp) finish() (modified time.Time, err error) {
	if err := t.file.Sync(); err != nil {
		return time.Time{}, fmt.Errorf("sync: %w", err)
	}
	stat, err := t.file.Stat()
	if err != nil {
		return time.Time{}, err
	}
	return stat.ModTime().UTC().Truncate(time.Microsecond), nil
}

// publish gives the file its name and closes it.
func (t *temp) publish(key string, ifAbsent bool) error {
	to := filepath.FromSlash(key)
	from := filepath.FromSlash(t.name)
	if ifAbsent {
		if err := t.renameNew(key); err != nil {
			return err
		}
	} else if err := t.root.Rename(from, to); err != nil {
		return err
	}
	t.name = ""
	return t.file.Close()
}

// renameNew renames without replacing. File systems that cannot do that in one
// call (NFS, FUSE) usually have hard links, which refuse to replace as well.
func (t *temp) renameNew(key string) error {
	dir, err := t.root.Open(filepath.FromSlash(t.dir))
	if err != nil {
		return err
	}
	defer dir.Close() //nolint:errcheck // only a handle on a directory
	fd := int(dir.Fd())
	err = unix.Renameat2(fd, path.Base(t.name), fd, path.Base(key), unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.ENOTSUP) {
		err = unix.Linkat(fd, path.Base(t.name), fd, path.Base(key), 0)
		if err == nil {
			err = unix.Unlinkat(fd, path.Base(t.name), 0)
		}
	}
	if errors.Is(err, unix.EEXIST) {
		return object.ErrExists
	}
	if err != nil {
		return fmt.Errorf("rename: %w", err)
	}
	return nil
}

// discard removes the file, if it was not published, and the directories that
// were made for it.
func (t *temp) discard() error {
	if t.name == "" {
		return nil
	}
	err := t.root.Remove(filepath.FromSlash(t.name))
	if absent(err) {
		err = nil
	}
	return errors.Join(err, t.file.Close(), removeEmpty(t.root, t.dir))
}

// makeDirs makes dir and its parents inside root, each durable.
func makeDirs(root *os.Root, dir string) error {
	if dir == "." {
		return nil
	}
	if info, err := root.Stat(filepath.FromSlash(dir)); err == nil && info.IsDir() {
		return nil
	}
	if err := makeDirs(root, path.Dir(dir)); err != nil {
		return err
	}
	err := root.Mkdir(filepath.FromSlash(dir), dirMode)
	switch {
	case errors.Is(err, fs.ErrExist):
		return nil
	case absent(err): // a Delete beside us removed the parent; the caller tries again
		return nil
	case err != nil:
		return fmt.Errorf("make directory: %w", err)
	}
	return syncDir(root, path.Dir(dir))
}

func syncDir(root *os.Root, dir string) error {
	f, err := root.Open(filepath.FromSlash(dir))
	if absent(err) {
		return nil // a Delete beside us removed it, so nothing in it is ours
	}
	if err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	return syncFile(f)
}

func syncPath(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	return syncFile(f)
}

func syncFile(dir *os.File) error {
	err := dir.Sync()
	// Some network file systems cannot sync a directory and need not.
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		err = nil
	}
	if err := errors.Join(err, dir.Close()); err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	return nil
}
