package prune

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/ghosteam/upkeep/jobs"
)

// visitor is what one worker does on a walk.
type visitor interface {
	// take is handed each matching file that keep_newest does not keep. It may
	// keep the sighting's values.
	take(s *sighting) error
	// leave is called at the end of each folder that was entered.
	leave() error
}

// walk goes through the whole tree, several folders at once. Of all walks of a
// run only one counts what it saw.
func (t *tree) walk(ctx context.Context, env *jobs.Env, counts bool, hire func(*scanner) visitor) error {
	q := newQueue("")
	crew := make([]*scanner, workers)
	var wg sync.WaitGroup
	for i := range crew {
		s := &scanner{tree: t, queue: q, buffer: make([]byte, bufferSize), counts: counts}
		s.visitor, crew[i] = hire(s), s
		wg.Go(func() {
			for path, ok := q.next(); ok; path, ok = q.next() {
				err := context.Cause(ctx)
				if err == nil {
					err = s.folder(path)
				}
				if counts {
					env.Progress(t.seen.Load(), 0, "files seen")
				}
				q.done(err)
			}
		})
	}
	wg.Wait()
	for _, s := range crew {
		if counts {
			t.matching.join(s.matching)
		}
	}
	if q.failed != nil {
		return fmt.Errorf("scan %s: %w", t.root.Name(), q.failed)
	}
	return nil
}

// scanner is one worker of a walk.
type scanner struct {
	tree    *tree
	queue   *queue
	buffer  []byte
	visitor visitor
	counts  bool

	matching tally
	dated    int64 // the room of matching files whose age is known
	newest   newest

	// The folder at hand.
	path    string
	fd      int
	stat    unix.Stat_t
	entries int
	subs    int
}

// folder scans one folder. What it cannot enter is counted and left alone.
func (s *scanner) folder(path string) (err error) {
	fd, err := s.tree.host.open(int(s.tree.root.Fd()), orDot(path))
	switch {
	case err == nil:
	case errors.Is(err, unix.EXDEV):
		s.skip(skipMount)
		return nil
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENOTDIR):
		// It was a folder a moment ago; whatever it is now is not ours.
		s.skip(skipChanged)
		return nil
	case errors.Is(err, unix.ENAMETOOLONG):
		s.skip(skipDeep)
		return nil
	case errors.Is(err, unix.EACCES) && path != "":
		s.deny(fmt.Errorf("open folder %s: %w", display(path), err))
		return nil
	default:
		return fmt.Errorf("open folder %s: %w", display(path), err)
	}
	defer func() { err = errors.Join(err, unix.Close(fd)) }()
	s.path, s.fd, s.entries, s.subs = path, fd, 0, 0
	if err := unix.Fstat(fd, &s.stat); err != nil {
		return fmt.Errorf("look at folder %s: %w", display(path), err)
	}
	if err := entries(fd, s.buffer, s.entry); err != nil {
		return fmt.Errorf("read folder %s: %w", display(path), err)
	}
	s.newest.clear()
	return s.visitor.leave()
}

func (s *scanner) skip(reason string) {
	if s.counts {
		s.tree.skip(reason)
	}
}

func (s *scanner) deny(err error) {
	if s.counts {
		s.tree.deny(err)
	}
}

// entry looks at one name in the folder at hand.
func (s *scanner) entry(name []byte, kind uint8) error {
	s.entries++
	if s.tree.host.untyped {
		kind = unix.DT_UNKNOWN
	}
	switch kind {
	case unix.DT_DIR:
		s.sub(string(name))
		return nil
	case unix.DT_REG, unix.DT_UNKNOWN:
		return s.file(string(name), kind)
	}
	return nil
}

func (s *scanner) sub(name string) {
	s.subs++
	s.queue.add(below(s.path, name))
}

// file looks at one file, or at something that the folder does not tell the
// type of.
func (s *scanner) file(name string, kind uint8) error {
	if kind == unix.DT_REG && s.counts {
		s.tree.seen.Add(1)
	}
	which, packed := s.tree.wants(s.path, name)
	if which < 0 && kind != unix.DT_UNKNOWN {
		return nil
	}
	var stat unix.Stat_t
	err := unix.Fstatat(s.fd, name, &stat, unix.AT_SYMLINK_NOFOLLOW)
	switch {
	case errors.Is(err, unix.ENOENT):
		return nil
	case errors.Is(err, unix.EACCES):
		s.deny(fmt.Errorf("look at %s: %w", display(below(s.path, name)), err))
		return nil
	case err != nil:
		return fmt.Errorf("look at %s: %w", display(below(s.path, name)), err)
	}
	switch format := stat.Mode & unix.S_IFMT; {
	case kind == unix.DT_UNKNOWN && format == unix.S_IFDIR:
		s.sub(name)
		return nil
	case format != unix.S_IFREG:
		return nil
	case kind == unix.DT_UNKNOWN && s.counts:
		s.tree.seen.Add(1)
	}
	if which < 0 {
		return nil
	}
	return s.matched(sighting{
		name: name, changed: nanoseconds(stat.Mtim), entered: nanoseconds(stat.Ctim), inode: stat.Ino, size: stat.Size, blocks: stat.Blocks,
		pattern: which, linked: stat.Nlink > 1, packed: packed,
	})
}

// matched counts a matching file and hands on what keep_newest does not keep.
func (s *scanner) matched(f sighting) error {
	s.matching.add(f.bytes())
	f.at = f.changed
	if s.tree.options.AgeFrom == "name" {
		date, ok := dateIn(f.name)
		if !ok {
			s.skip(skipNoDate)
			return nil
		}
		f.at = date.UnixNano()
	}
	s.dated += f.bytes()
	if keep := s.tree.options.KeepNewest; keep > 0 {
		var full bool
		if f, full = s.newest.push(f, keep); !full {
			return nil
		}
	}
	return s.visitor.take(&f)
}
