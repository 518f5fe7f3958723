package prune

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/bmatcuk/doublestar/v4"
	"golang.org/x/sys/unix"

	"github.com/ghosteam/upkeep/jobs"
)

const (
	// batch is how many names are read from a folder at once.
	batch = 1024
	// deepest is how many folders may lie in each other; each holds one
	// descriptor while the walk is below it.
	deepest = 256
	// blockUnit is the unit of st_blocks by POSIX.
	blockUnit = 512
)

// The reasons for which a file stays.
const (
	skipMount     = "on another mount"
	skipLink      = "has several names (hard links)"
	skipOpen      = "open in a process"
	skipChanged   = "changed since it was looked at"
	skipGone      = "gone already"
	skipDenied    = "no permission"
	skipDeep      = "too deep"
	skipNoDate    = "no date in its name"
	skipUndecided = "not known whether it is open"
)

// file is one matching file as the scan saw it.
type file struct {
	dir  string // below root, "" for root itself
	name string
	at   time.Time // what its age counts from
	stat unix.Stat_t
}

func (f *file) path() string  { return path.Join(f.dir, f.name) }
func (f *file) blocks() int64 { return f.stat.Blocks * blockUnit }

// blocks is the room that files take on disk.
func blocks(files []*file) int64 {
	var sum int64
	for _, f := range files {
		sum += f.blocks()
	}
	return sum
}

// tree is the folder below root as one run sees it.
type tree struct {
	options Options
	root    *os.File
	now     time.Time

	seen         int
	matching     []*file
	matchedBytes int64
	skipped      map[string]int
	denied       error
}

// scan walks the whole tree and collects the matching files.
func (t *tree) scan(ctx context.Context, env *jobs.Env) error {
	fd, err := unix.Openat(int(t.root.Fd()), ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("read %s: %w", t.root.Name(), err)
	}
	return t.folder(ctx, env, os.NewFile(uintptr(fd), t.root.Name()), "", 0)
}

// folder scans one folder and closes it.
func (t *tree) folder(ctx context.Context, env *jobs.Env, dir *os.File, below string, depth int) (err error) {
	defer func() { err = errors.Join(err, dir.Close()) }()
	for {
		if cause := context.Cause(ctx); cause != nil {
			return fmt.Errorf("scan %s: %w", t.root.Name(), cause)
		}
		entries, err := dir.ReadDir(batch)
		for _, entry := range entries {
			if err := t.entry(ctx, env, dir, below, entry, depth); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", path.Join(t.root.Name(), below), err)
		}
	}
}

func (t *tree) entry(ctx context.Context, env *jobs.Env, dir *os.File, below string, entry fs.DirEntry, depth int) error {
	switch {
	case entry.IsDir():
		return t.descend(ctx, env, dir, path.Join(below, entry.Name()), entry.Name(), depth+1)
	case !entry.Type().IsRegular():
		return nil
	}
	t.seen++
	if t.seen%10_000 == 0 {
		env.Progress(int64(t.seen), 0, "files seen")
	}
	f := &file{dir: below, name: entry.Name()}
	if !t.matches(f) {
		return nil
	}
	err := unix.Fstatat(int(dir.Fd()), f.name, &f.stat, unix.AT_SYMLINK_NOFOLLOW)
	switch {
	case errors.Is(err, unix.ENOENT):
		return nil
	case err != nil:
		return fmt.Errorf("look at %s: %w", f.path(), err)
	case f.stat.Mode&unix.S_IFMT != unix.S_IFREG:
		return nil
	}
	f.at = time.Unix(f.stat.Mtim.Unix())
	if t.options.AgeFrom == "name" {
		date, ok := dateIn(f.name)
		if !ok {
			t.skip(skipNoDate)
			return nil
		}
		f.at = date
	}
	t.matching = append(t.matching, f)
	t.matchedBytes += f.blocks()
	return nil
}

func (t *tree) descend(ctx context.Context, env *jobs.Env, dir *os.File, below, name string, depth int) error {
	if depth > deepest {
		t.skip(skipDeep)
		return nil
	}
	fd, err := openBelow(int(dir.Fd()), name)
	switch {
	case err == nil:
		return t.folder(ctx, env, os.NewFile(uintptr(fd), name), below, depth)
	case errors.Is(err, unix.EXDEV):
		t.skip(skipMount)
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENOTDIR):
		// It was a folder a moment ago; whatever it is now is not ours.
		t.skip(skipChanged)
	case errors.Is(err, unix.EACCES):
		t.deny(fmt.Errorf("open folder %s: %w", below, err))
	default:
		return fmt.Errorf("open folder %s: %w", below, err)
	}
	return nil
}

func (t *tree) skip(reason string) { t.skipped[reason]++ }

func (t *tree) deny(err error) {
	t.skip(skipDenied)
	if t.denied == nil {
		t.denied = err
	}
}

// openBelow opens a folder by its path below another one without following
// links and without entering another mount, bind mounts included.
func openBelow(parent int, below string) (int, error) {
	flags := uint64(unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC)
	how := unix.OpenHow{Flags: flags, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV}
	fd, err := unix.Openat2(parent, below, &how)
	if !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.EPERM) {
		return fd, err
	}
	return openStepwise(parent, below)
}

// openStepwise serves kernels before 5.6 and sandboxes that forbid openat2. It
// tells mounts apart by their device, so it does not see bind mounts of the
// same file system.
func openStepwise(parent int, below string) (int, error) {
	var first unix.Stat_t
	if err := unix.Fstat(parent, &first); err != nil {
		return -1, err
	}
	at, err := unix.Openat(parent, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	for name := range strings.SplitSeq(path.Clean(below), "/") {
		if err != nil {
			return -1, err
		}
		if name == ".." {
			return -1, errors.Join(unix.EXDEV, unix.Close(at))
		}
		var next int
		next, err = unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if closed := unix.Close(at); err == nil && closed != nil {
			return -1, errors.Join(closed, unix.Close(next))
		}
		at = next
	}
	var last unix.Stat_t
	if err := unix.Fstat(at, &last); err != nil {
		return -1, errors.Join(err, unix.Close(at))
	}
	if last.Dev != first.Dev {
		return -1, errors.Join(unix.EXDEV, unix.Close(at))
	}
	return at, nil
}

func (t *tree) matches(f *file) bool {
	return anyMatch(t.options.Match, f) && !anyMatch(t.options.Exclude, f)
}

func anyMatch(patterns []string, f *file) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		against := f.name
		if strings.Contains(pattern, "/") {
			against = f.path()
		}
		ok, err := doublestar.Match(pattern, against)
		return ok && err == nil
	})
}
