package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ghosteam/upkeep/storage/object"
)

// Unfinished implements object.Sweeper: it finds the temporary files of
// writers that died.
func (s *Store) Unfinished(ctx context.Context, before time.Time) ([]object.Unfinished, error) {
	var found []object.Unfinished
	err := s.walk(ctx, "", func(key string, stat fs.FileInfo) error {
		if !isTemp(key, stat) || !stat.ModTime().Before(before) {
			return nil
		}
		found = append(found, object.Unfinished{Name: key, Dir: path.Dir(key), Bytes: stat.Size(), Modified: stat.ModTime().UTC()})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look for unfinished files in store %s: %w", s.name, err)
	}
	return found, nil
}

// isTemp tells whether a file is provably one of our temporary files: by its
// name and its owner.
func isTemp(key string, stat fs.FileInfo) bool {
	random, ok := strings.CutPrefix(path.Base(key), object.ReservedPrefix)
	random, ok2 := strings.CutSuffix(random, tempSuffix)
	sys, ok3 := stat.Sys().(*syscall.Stat_t)
	return ok && ok2 && ok3 && len(random) == 16 && int(sys.Uid) == os.Geteuid()
}

// Discard implements object.Sweeper. It keeps a file whose writer still holds
// its lock.
func (s *Store) Discard(ctx context.Context, u object.Unfinished) error {
	if err := s.discard(ctx, u); err != nil {
		return fmt.Errorf("discard %s in store %s: %w", u.Name, s.name, err)
	}
	return nil
}

func (s *Store) discard(ctx context.Context, u object.Unfinished) (err error) {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	root, err := os.OpenRoot(s.dir)
	if err != nil {
		return err
	}
	defer root.Close() //nolint:errcheck // only a handle on a directory
	name := filepath.FromSlash(u.Name)
	f, err := root.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if absent(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	stat, err := f.Stat()
	if err != nil {
		return err
	}
	if !isTemp(u.Name, stat) || !stat.ModTime().UTC().Equal(u.Modified) {
		return nil
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
		return nil
	}
	if err := root.Remove(name); err != nil && !absent(err) {
		return err
	}
	return removeEmpty(root, path.Dir(u.Name))
}
