package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ghosteam/upkeep/storage/object"
)

// errStop ends a walk whose consumer has seen enough.
var errStop = errors.New("stop")

// List implements object.Store. It holds the names of one directory at a time
// per level.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[object.Info, error] {
	return func(yield func(object.Info, error) bool) {
		err := s.walk(ctx, prefix, func(key string, stat fs.FileInfo) error {
			if object.CheckKey(key) != nil {
				return nil // a foreign or unfinished file
			}
			if !yield(s.info(key, stat), nil) {
				return errStop
			}
			return nil
		})
		if err != nil && !errors.Is(err, errStop) {
			yield(object.Info{}, fmt.Errorf("list %q in store %s: %w", prefix, s.name, err))
		}
	}
}

// walk visits every regular file whose slash-separated path starts with
// prefix, in the byte order of these paths.
func (s *Store) walk(ctx context.Context, prefix string, visit func(key string, stat fs.FileInfo) error) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	root, err := os.OpenRoot(s.dir)
	if absent(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer root.Close() //nolint:errcheck // only a handle on a directory
	return walkDir(ctx, root, "", prefix, visit)
}

// walkDir visits the files below dir, which is empty or ends with a slash.
func walkDir(ctx context.Context, root *os.Root, dir, prefix string, visit func(string, fs.FileInfo) error) error {
	entries, err := readDir(root, dir)
	if err != nil {
		return err
	}
	for _, name := range entries {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		key := dir + name
		below := strings.HasSuffix(name, "/")
		if !strings.HasPrefix(key, prefix) && !(below && strings.HasPrefix(prefix, key)) {
			continue
		}
		if below {
			if err := walkDir(ctx, root, key, prefix, visit); err != nil {
				return err
			}
			continue
		}
		stat, err := root.Lstat(filepath.FromSlash(key))
		if absent(err) || err == nil && !stat.Mode().IsRegular() {
			continue // deleted or exchanged since
		}
		if err != nil {
			return err
		}
		if err := visit(key, stat); err != nil {
			return err
		}
	}
	return nil
}

// readDir returns the names in a directory, those of directories with a slash
// at the end, so that sorting them sorts the keys below them too.
func readDir(root *os.Root, dir string) ([]string, error) {
	f, err := root.Open(filepath.FromSlash("./" + dir))
	if absent(err) {
		return nil, nil // deleted since
	}
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	entries, err := f.ReadDir(-1)
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		switch {
		case e.IsDir():
			names = append(names, e.Name()+"/")
		case e.Type().IsRegular():
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}
