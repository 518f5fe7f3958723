package local

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// exposedError says that other users could exchange what the store holds.
type exposedError struct {
	dir string
}

func (e *exposedError) Error() string {
	return fmt.Sprintf("every user may write to %s, so artifacts in it could be exchanged", e.dir)
}

// Hint says what to do.
func (e *exposedError) Hint() string { return "run: chmod o-w " + e.dir }

// trusted refuses a place where any user may rename or replace the store's
// directory or what is in it. It looks at every existing directory from the
// store up to the root, links resolved.
func (s *Store) trusted() error {
	dir := s.dir
	for {
		resolved, err := filepath.EvalSymlinks(dir)
		if err == nil {
			dir = resolved
			break
		}
		if !absent(err) {
			return fmt.Errorf("resolve %s: %w", dir, err)
		}
		if dir == filepath.Dir(dir) {
			return nil
		}
		dir = filepath.Dir(dir)
	}
	for ; ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			return err
		}
		if info.Mode().Perm()&0o002 != 0 && info.Mode()&os.ModeSticky == 0 {
			return &exposedError{dir: dir}
		}
		if dir == filepath.Dir(dir) {
			return nil
		}
	}
}

// Check implements object.Checker: it tells whether the store's directory, or
// the nearest existing one above it, could be written to.
func (s *Store) Check(context.Context) error {
	if err := s.trusted(); err != nil {
		return fmt.Errorf("check store %s: %w", s.name, err)
	}
	dir, err := s.nearest()
	if err != nil {
		return fmt.Errorf("check store %s: %w", s.name, err)
	}
	if err := unix.Faccessat(unix.AT_FDCWD, dir, unix.W_OK|unix.X_OK, unix.AT_EACCESS); err != nil {
		return fmt.Errorf("check store %s: write to %s: %w", s.name, dir, err)
	}
	return nil
}

// FreeBytes implements object.Spacious.
func (s *Store) FreeBytes(context.Context) (int64, error) {
	dir, err := s.nearest()
	if err != nil {
		return 0, fmt.Errorf("free space of store %s: %w", s.name, err)
	}
	var stat unix.Statfs_t
	if err := unix.Statfs(dir, &stat); err != nil {
		return 0, fmt.Errorf("free space of store %s: statfs %s: %w", s.name, dir, err)
	}
	free := stat.Bavail * uint64(stat.Bsize)
	return int64(min(free, math.MaxInt64)), nil
}

// nearest returns the store's directory or the nearest existing one above it.
func (s *Store) nearest() (string, error) {
	for dir := s.dir; ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		switch {
		case err == nil && info.IsDir():
			return dir, nil
		case err == nil:
			return "", fmt.Errorf("%s is not a directory", dir)
		case !errors.Is(err, os.ErrNotExist) || dir == filepath.Dir(dir):
			return "", err
		}
	}
}
