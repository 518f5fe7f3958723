package prune

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/ghosteam/upkeep/jobs"
)

// scan walks the whole tree, several folders at once, and collects the
// matching files.
func (t *tree) scan(ctx context.Context, env *jobs.Env) error {
	q := newQueue("")
	var crew sync.WaitGroup
	for range workers {
		crew.Go(func() {
			s := &scanner{tree: t, queue: q, buffer: make([]byte, bufferSize)}
			for {
				below, ok := q.next()
				if !ok {
					return
				}
				err := context.Cause(ctx)
				if err == nil {
					err = s.folder(below)
				}
				env.Progress(t.seen.Load(), 0, "files seen")
				q.done(err)
			}
		})
	}
	crew.Wait()
	if q.failed != nil {
		return fmt.Errorf("scan %s: %w", t.root.Name(), q.failed)
	}
	slices.SortStableFunc(t.folders, func(a, b *folder) int { return strings.Compare(a.path, b.path) })
	return nil
}

// scanner is one worker of a scan.
type scanner struct {
	tree   *tree
	queue  *queue
	buffer []byte

	// The folder at hand.
	below   string
	fd      int
	device  uint64
	found   []file
	counted tally
}

// folder scans one folder. What it cannot enter is counted and left alone.
func (s *scanner) folder(below string) (err error) {
	fd, err := s.tree.host.open(int(s.tree.root.Fd()), orDot(below))
	switch {
	case err == nil:
	case errors.Is(err, unix.EXDEV):
		s.tree.skip(skipMount)
		return nil
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENOTDIR):
		// It was a folder a moment ago; whatever it is now is not ours.
		s.tree.skip(skipChanged)
		return nil
	case errors.Is(err, unix.ENAMETOOLONG):
		s.tree.skip(skipDeep)
		return nil
	case errors.Is(err, unix.EACCES) && below != "":
		s.tree.deny(fmt.Errorf("open folder %s: %w", display(below), err))
		return nil
	default:
		return fmt.Errorf("open folder %s: %w", display(below), err)
	}
	defer func() { err = errors.Join(err, unix.Close(fd)) }()
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return fmt.Errorf("look at folder %s: %w", display(below), err)
	}
	s.below, s.fd, s.device = below, fd, stat.Dev
	if err := entries(fd, s.buffer, s.entry); err != nil {
		return fmt.Errorf("read folder %s: %w", display(below), err)
	}
	s.keep()
	return nil
}

// keep hands the files found so far over to the tree.
func (s *scanner) keep() {
	s.tree.mu.Lock()
	defer s.tree.mu.Unlock()
	s.tree.matching.files += s.counted.files
	s.tree.matching.bytes += s.counted.bytes
	if len(s.found) > 0 {
		s.tree.folders = append(s.tree.folders, &folder{path: s.below, device: s.device, files: slices.Clone(s.found)})
	}
	s.found, s.counted = s.found[:0], tally{}
}

// entry looks at one name in the folder at hand.
func (s *scanner) entry(name []byte, kind uint8) error {
	if s.tree.host.untyped {
		kind = unix.DT_UNKNOWN
	}
	switch kind {
	case unix.DT_DIR:
		s.queue.add(path.Join(s.below, string(name)))
		return nil
	case unix.DT_REG:
		s.tree.seen.Add(1)
		return s.file(string(name), kind)
	case unix.DT_UNKNOWN:
		return s.file(string(name), kind)
	}
	return nil
}

// file looks at one file, or at something that the folder does not tell the
// type of.
func (s *scanner) file(name string, kind uint8) error {
	which := matching(s.tree.match, s.below, name)
	wanted := which >= 0 && matching(s.tree.exclude, s.below, name) < 0
	if !wanted && kind != unix.DT_UNKNOWN {
		return nil
	}
	var stat unix.Stat_t
	err := unix.Fstatat(s.fd, name, &stat, unix.AT_SYMLINK_NOFOLLOW)
	switch {
	case errors.Is(err, unix.ENOENT):
		return nil
	case errors.Is(err, unix.EACCES):
		s.tree.deny(fmt.Errorf("look at %s: %w", display(path.Join(s.below, name)), err))
		return nil
	case err != nil:
		return fmt.Errorf("look at %s: %w", display(path.Join(s.below, name)), err)
	}
	switch format := stat.Mode & unix.S_IFMT; {
	case kind == unix.DT_UNKNOWN && format == unix.S_IFDIR:
		s.queue.add(path.Join(s.below, name))
		return nil
	case format != unix.S_IFREG:
		return nil
	case kind == unix.DT_UNKNOWN:
		s.tree.seen.Add(1)
	}
	if wanted {
		s.matched(name, which, &stat)
	}
	return nil
}

// matched counts a matching file, and keeps it when it may go today or
// tomorrow.
func (s *scanner) matched(name string, which int, stat *unix.Stat_t) {
	f := file{
		name: name, changed: nanoseconds(stat.Mtim), inode: stat.Ino, size: stat.Size, blocks: stat.Blocks,
		pattern: uint16(which), linked: stat.Nlink > 1,
	}
	f.at = f.changed
	s.counted.add(&f)
	if s.tree.options.AgeFrom == "name" {
		date, ok := dateIn(name)
		if !ok {
			s.tree.skip(skipNoDate)
			return
		}
		f.at = date.UnixNano()
	}
	if s.tree.age(&f) >= s.tree.horizon {
		s.found = append(s.found, f)
	}
	// The newest of a folder are only known when all of it is.
	if len(s.found) >= largeFolder && s.tree.options.KeepNewest == 0 {
		s.keep()
	}
}

// orDot names a folder for calls that take no empty name.
func orDot(below string) string {
	if below == "" {
		return "."
	}
	return below
}
