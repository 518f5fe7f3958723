package prune

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ghosteam/upkeep/jobs"
)

// mostHollow bounds how many empty folders one run removes.
const mostHollow = 50_000

// hollow is a folder that holds nothing but files that go and other folders.
type hollow struct {
	path   string
	device uint64
	inode  uint64
	born   unix.StatxTimestamp // zero where the file system does not tell
	subs   int                 // folders in it that may stay
	dooms  bool
}

// judgeFolder notes the folder at hand when nothing in it stays but folders.
// Its age is judged now, by the time of its last change before this run: what
// this run takes out of it must not make it young again.
func (v *surveyor) judgeFolder() {
	t, s := v.tree, v.scanner
	after := t.options.EmptyFolders.Std()
	if after == 0 || s.path == "" || s.entries > v.going+s.subs || matching(t.exclude, "", s.path) >= 0 {
		return
	}
	parent, name := split(s.path)
	if matching(t.exclude, parent, name) >= 0 || time.Duration(t.now-nanoseconds(s.stat.Mtim)) < after {
		return
	}
	if len(v.hollow) >= mostHollow/workers {
		v.overfull = true
		return
	}
	v.hollow = append(v.hollow, &hollow{path: s.path, device: s.stat.Dev, inode: s.stat.Ino, born: born(s.fd, ""), subs: s.subs})
}

// born is when a folder was made. Numbers of inodes are used again at once.
func born(dir int, name string) unix.StatxTimestamp {
	var x unix.Statx_t
	flags := unix.AT_SYMLINK_NOFOLLOW
	if name == "" {
		flags |= unix.AT_EMPTY_PATH
	}
	if err := unix.Statx(dir, name, flags, unix.STATX_BTIME, &x); err != nil || x.Mask&unix.STATX_BTIME == 0 {
		return unix.StatxTimestamp{}
	}
	return x.Btime
}

// chooseFolders finds the folders that will be empty: those that hold nothing
// that stays, the deepest first.
func (t *tree) chooseFolders() {
	slices.SortFunc(t.hollow, func(a, b *hollow) int {
		return cmp.Or(cmp.Compare(strings.Count(b.path, "/"), strings.Count(a.path, "/")), strings.Compare(a.path, b.path))
	})
	byPath := make(map[string]*hollow, len(t.hollow))
	for _, h := range t.hollow {
		byPath[h.path] = h
	}
	chosen := t.hollow[:0]
	for _, h := range t.hollow {
		if h.subs > 0 {
			continue
		}
		h.dooms = true
		chosen = append(chosen, h)
		if t.digests {
			t.digest.add(drop, h.path+"/", h.inode, 0, 0)
		}
		parent, _ := split(h.path)
		if above := byPath[parent]; above != nil {
			above.subs--
		}
	}
	t.hollow = chosen
}

// removeFolders removes the chosen folders that are really empty by now.
func (t *tree) removeFolders(ctx context.Context, env *jobs.Env) error {
	for _, h := range t.hollow {
		what := "remove the empty folder " + display(below(t.root.Name(), h.path))
		if err := env.Effect(ctx, what, func(context.Context) error { return t.removeFolder(h) }); err != nil {
			return err
		}
	}
	return nil
}

func (t *tree) removeFolder(h *hollow) (err error) {
	parent, name := split(h.path)
	fd, err := t.host.open(int(t.root.Fd()), orDot(parent))
	switch {
	case gone(err):
		t.skip(skipChanged)
		return nil
	case err != nil:
		return fmt.Errorf("open folder %s: %w", display(parent), err)
	}
	defer func() { err = errors.Join(err, unix.Close(fd)) }()
	var now unix.Stat_t
	if err := unix.Fstatat(fd, name, &now, unix.AT_SYMLINK_NOFOLLOW); err != nil || now.Ino != h.inode || now.Dev != h.device || born(fd, name) != h.born {
		t.skip(skipChanged)
		return nil
	}
	switch err := unix.Unlinkat(fd, name, unix.AT_REMOVEDIR); {
	case err == nil:
		t.emptied++
	case errors.Is(err, unix.ENOTEMPTY), errors.Is(err, unix.EEXIST), errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.EBUSY):
		// Something came, or something that was to go has stayed.
		t.skip(skipChanged)
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM), errors.Is(err, unix.EROFS):
		t.deny(fmt.Errorf("remove folder %s: %w", display(h.path), err))
	default:
		return fmt.Errorf("remove folder %s: %w", display(h.path), err)
	}
	return nil
}

// gone tells whether a folder could not be opened because it is not any more
// what it was.
func gone(err error) bool {
	for _, e := range []error{unix.ENOENT, unix.ELOOP, unix.ENOTDIR, unix.EXDEV, unix.EACCES} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
