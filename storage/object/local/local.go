// Package local keeps artifacts as files in a directory of this machine. It
// knows how to make a file appear whole, durable and private, or not at all;
// it refuses to follow links out of its directory and to work where other
// users could swap its files.
package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/storage/object"
)

// Options are the settings of a local store.
type Options struct {
	// Path is the directory.
	Path unit.Path `yaml:"path" required:"true" doc:"Directory that holds the artifacts; it is made, private to its owner, when the first artifact is stored." example:"var/backups"`
	// EncryptTo are the recipients of what is stored here.
	EncryptTo unit.Names `yaml:"encrypt_to" doc:"Public keys of age (age1…) to which every artifact in this store is encrypted, beside those of the job's own encrypt_to; name at least two, one of them kept offline." example:"[age1…, age1…]"`
}

// Validate judges the options; every complaint is a *registry.FieldError.
func (o *Options) Validate() error { return object.CheckRecipients(o.EncryptTo) }

const doc = `Keeps artifacts as files in a directory of this machine.

A file appears under its name only when it is complete and on the disk: it is written
under a temporary name in the same directory, synced, renamed, and the directory is
synced. Directories get mode 0700 and files 0600. The store refuses to work below a
directory that everybody may write to (unless it has the sticky bit, as /tmp has),
because another user could then exchange what it stored.

A copy on the machine whose data it protects is lost together with it: use a second
store elsewhere for anything that matters.`

// Kind returns the kind of store.
func Kind() object.Kind {
	return object.Define("local", doc, Options{}, func(name string, o Options) (object.Store, error) {
		return Open(name, o)
	})
}

// Store is a directory of artifacts.
type Store struct {
	name      string
	dir       string
	encryptTo []string
}

var (
	_ object.Store      = (*Store)(nil)
	_ object.Checker    = (*Store)(nil)
	_ object.Spacious   = (*Store)(nil)
	_ object.Housed     = (*Store)(nil)
	_ object.Sweeper    = (*Store)(nil)
	_ object.Prober     = (*Store)(nil)
	_ object.Encrypting = (*Store)(nil)
)

// Open returns the store of that configured name. It does not touch the file
// system: the directory is made by the first Put.
func Open(name string, o Options) (*Store, error) {
	dir := o.Path.String()
	if err := o.Validate(); err != nil {
		return nil, fmt.Errorf("open store %s: %w", name, err)
	}
	if !filepath.IsAbs(dir) {
		return nil, fmt.Errorf("open store %s: the path %q is not absolute", name, dir)
	}
	return &Store{name: name, dir: filepath.Clean(dir), encryptTo: o.EncryptTo}, nil
}

// Dir implements object.Housed.
func (s *Store) Dir() string { return s.dir }

// EncryptTo implements object.Encrypting.
func (s *Store) EncryptTo() []string { return s.encryptTo }

// Get implements object.Store.
func (s *Store) Get(ctx context.Context, key string) (io.ReadCloser, object.Info, error) {
	f, info, err := s.open(ctx, key)
	if err != nil {
		return nil, object.Info{}, fmt.Errorf("get %s from store %s: %w", key, s.name, err)
	}
	return &reader{ctx: ctx, f: f}, info, nil
}

// Stat implements object.Store.
func (s *Store) Stat(ctx context.Context, key string) (object.Info, error) {
	info, err := s.stat(ctx, key)
	if err != nil {
		return object.Info{}, fmt.Errorf("stat %s in store %s: %w", key, s.name, err)
	}
	return info, nil
}

// Delete implements object.Store. It also removes the directories that the
// deletion left empty.
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := s.delete(ctx, key); err != nil {
		return fmt.Errorf("delete %s from store %s: %w", key, s.name, err)
	}
	return nil
}

func (s *Store) delete(ctx context.Context, key string) error {
	root, err := s.root(ctx, key)
	if errors.Is(err, object.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	defer root.Close() //nolint:errcheck // only a handle on a directory
	name := filepath.FromSlash(key)
	info, err := root.Lstat(name)
	if absent(err) || err == nil && !info.Mode().IsRegular() {
		return nil
	}
	if err != nil {
		return err
	}
	if err := root.Remove(name); err != nil && !absent(err) {
		return err
	}
	if err := syncDir(root, path.Dir(key)); err != nil {
		return err
	}
	return removeEmpty(root, path.Dir(key))
}

// removeEmpty removes dir and its parents up to the root as long as they are
// empty directories.
func removeEmpty(root *os.Root, dir string) error {
	for ; dir != "."; dir = path.Dir(dir) {
		parent, err := root.Open(filepath.FromSlash(path.Dir(dir)))
		if absent(err) {
			continue
		}
		if err != nil {
			return fmt.Errorf("remove empty directory: %w", err)
		}
		err = unix.Unlinkat(int(parent.Fd()), path.Base(dir), unix.AT_REMOVEDIR)
		if err := parent.Close(); err != nil {
			return fmt.Errorf("remove empty directory: %w", err)
		}
		switch {
		case errors.Is(err, unix.ENOTEMPTY), errors.Is(err, unix.EEXIST), errors.Is(err, unix.ENOTDIR):
			return nil
		case err != nil && !absent(err):
			return fmt.Errorf("remove empty directory %s: %w", dir, err)
		}
	}
	return nil
}

// root opens the store's directory and judges ctx and key. The error is
// object.ErrNotFound when the directory does not exist yet.
func (s *Store) root(ctx context.Context, key string) (*os.Root, error) {
	if err := object.CheckKey(key); err != nil {
		return nil, err
	}
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(s.dir)
	if absent(err) {
		return nil, object.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return root, nil
}

func (s *Store) open(ctx context.Context, key string) (*os.File, object.Info, error) {
	root, err := s.root(ctx, key)
	if err != nil {
		return nil, object.Info{}, err
	}
	defer root.Close() //nolint:errcheck // only a handle on a directory
	// O_NONBLOCK keeps a FIFO that somebody planted from hanging us.
	f, err := root.OpenFile(filepath.FromSlash(key), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if absent(err) {
		return nil, object.Info{}, object.ErrNotFound
	}
	if err != nil {
		return nil, object.Info{}, err
	}
	stat, err := f.Stat()
	if err == nil && !stat.Mode().IsRegular() {
		err = object.ErrNotFound
	}
	if err != nil {
		return nil, object.Info{}, errors.Join(err, f.Close())
	}
	return f, s.info(key, stat), nil
}

func (s *Store) stat(ctx context.Context, key string) (object.Info, error) {
	root, err := s.root(ctx, key)
	if err != nil {
		return object.Info{}, err
	}
	defer root.Close() //nolint:errcheck // only a handle on a directory
	stat, err := root.Lstat(filepath.FromSlash(key))
	if absent(err) || err == nil && !stat.Mode().IsRegular() {
		return object.Info{}, object.ErrNotFound
	}
	if err != nil {
		return object.Info{}, err
	}
	return s.info(key, stat), nil
}

func (s *Store) info(key string, stat fs.FileInfo) object.Info {
	return object.Info{Store: s.name, Key: key, Bytes: stat.Size(), Modified: stat.ModTime().UTC().Truncate(time.Microsecond)}
}

// absent tells whether err means that there is nothing at a path, or that
// something on the way to it is no directory.
func absent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// reader reads a file until its context ends.
type reader struct {
	ctx context.Context
	f   *os.File
}

// Read implements io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	if err := context.Cause(r.ctx); err != nil {
		return 0, fmt.Errorf("read %s: %w", r.f.Name(), err)
	}
	return r.f.Read(p)
}

// Close implements io.Closer.
func (r *reader) Close() error { return r.f.Close() }
