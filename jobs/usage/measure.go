package usage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/dustin/go-humanize"
	"golang.org/x/sys/unix"

	"github.com/ghosteam/upkeep/jobs"
)

// blockUnit is the unit of st_blocks by POSIX, whatever the file system uses.
const blockUnit = 512

// progressEvery is how many files pass between two progress reports.
const progressEvery = 10_000

// size is what a path takes.
type size struct {
	bytes, files int64
	free, room   uint64
	device       uint64
	unreadable   int
	firstError   error
	missing      bool
}

// inode identifies a file with several names.
type inode struct{ device, number uint64 }

// meter adds up one path.
type meter struct {
	target Target
	device uint64
	seen   map[inode]bool
	// top adds up by the first element below the path.
	top  map[string]int64
	size size
}

func readable(p Target) error {
	f, err := os.Open(string(p.Path))
	if errors.Is(err, fs.ErrNotExist) && p.Missing == "ignore" {
		return nil
	}
	if err != nil {
		return explain(p, err)
	}
	return f.Close()
}

func explain(p Target, err error) error {
	hint := "check the path's permissions for the user that runs upkeep"
	if errors.Is(err, fs.ErrNotExist) {
		hint = "correct the path, or set `missing: ignore` when it may be absent"
	}
	return jobs.WithHint(fmt.Errorf("measure %s: %w", p.Path, err), hint)
}

// measure walks one path. It fails when the path itself cannot be read; what
// lies below and cannot be read is counted, since it makes the sum too small.
func measure(ctx context.Context, env *jobs.Env, p Target, top int) (size, error) {
	root := string(p.Path)
	info, err := os.Stat(root)
	if errors.Is(err, fs.ErrNotExist) && p.Missing == "ignore" {
		return size{missing: true}, nil
	}
	if err != nil {
		return size{}, explain(p, err)
	}
	m := &meter{target: p, device: statOf(info).Dev, seen: map[inode]bool{}, top: map[string]int64{}}
	// A path that is itself a symbolic link, such as a log folder moved to
	// another disk, means its target.
	resolved, err := filepath.EvalSymlinks(root)
	if err != nil {
		return size{}, explain(p, err)
	}
	err = filepath.WalkDir(resolved, func(path string, d fs.DirEntry, err error) error {
		if err := context.Cause(ctx); err != nil {
			return fmt.Errorf("measure %s: %w", root, err)
		}
		return m.visit(env, resolved, path, d, err)
	})
	if err != nil {
		return size{}, err
	}
	var stat unix.Statfs_t
	if err := unix.Statfs(resolved, &stat); err != nil {
		return size{}, explain(p, err)
	}
	m.size.device = m.device
	m.size.free = stat.Bavail * uint64(stat.Bsize)
	// Room is what ordinary users can ever fill, as df computes its percentage.
	m.size.room = m.size.free + (stat.Blocks-stat.Bfree)*uint64(stat.Bsize)
	m.print(env, top)
	return m.size, nil
}

func (m *meter) visit(env *jobs.Env, root, path string, d fs.DirEntry, err error) error {
	if err != nil {
		if path == root {
			return explain(m.target, err)
		}
		// What vanished during the walk takes no room any more.
		if !errors.Is(err, fs.ErrNotExist) {
			m.unreadable(err)
		}
		return nil
	}
	info, err := d.Info()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		m.unreadable(err)
		return nil
	}
	stat := statOf(info)
	if stat.Dev != m.device {
		if d.IsDir() {
			return fs.SkipDir
		}
		return nil
	}
	relative := strings.TrimPrefix(strings.TrimPrefix(path, root), string(filepath.Separator))
	if d.IsDir() && len(m.target.Match) > 0 || !m.counts(relative) {
		return nil
	}
	if stat.Nlink > 1 && !d.IsDir() {
		id := inode{device: stat.Dev, number: stat.Ino}
		if m.seen[id] {
			return nil
		}
		m.seen[id] = true
	}
	m.size.bytes += stat.Blocks * blockUnit
	first, _, _ := strings.Cut(relative, string(filepath.Separator))
	m.top[first] += stat.Blocks * blockUnit
	if !d.IsDir() {
		m.size.files++
		if m.size.files%progressEvery == 0 {
			env.Progress(m.size.files, 0, "files")
		}
	}
	return nil
}

func (m *meter) counts(relative string) bool {
	if len(m.target.Match) == 0 {
		return true
	}
	return slices.ContainsFunc(m.target.Match, func(pattern string) bool {
		ok, err := doublestar.Match(pattern, filepath.ToSlash(relative))
		return ok && err == nil
	})
}

func (m *meter) unreadable(err error) {
	m.size.unreadable++
	if m.size.firstError == nil {
		m.size.firstError = err
	}
}

func (m *meter) print(env *jobs.Env, top int) {
	env.Printf("%s  %d files  %s", humanize.IBytes(uint64(m.size.bytes)), m.size.files, m.target.Path)
	delete(m.top, "")
	names := make([]string, 0, len(m.top))
	for name := range m.top {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(m.top[b], m.top[a]), strings.Compare(a, b)) })
	for _, name := range names[:min(top, len(names))] {
		env.Printf("  %10s  %s", humanize.IBytes(uint64(m.top[name])), jobs.OneLine(name))
	}
}

// statOf returns the system's own description, which every file of the
// operating system has.
func statOf(info fs.FileInfo) *syscall.Stat_t {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return stat
	}
	return &syscall.Stat_t{}
}
