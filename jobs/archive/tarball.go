package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/user"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/artifact"
)

// tarball writes one archive.
type tarball struct {
	job      *Job
	env      *jobs.Env
	sources  []source
	expected int64 // bytes, by the survey
	notes    *notes
	// owner and modified replace what the files have, unless they are unset.
	owner    *owner
	modified time.Time
	owners   owners
	skipped  atomic.Int64

	// What follows belongs to the goroutine that walks.
	next   *load
	xattrs xattrReader
	// links are the files with several names, until all of them were met.
	links map[inode]*linked

	order, work chan *load

	// What follows belongs to the goroutine that writes.
	data, index io.Writer
	totals      Totals
	done        int64 // bytes read
	// torn are to be read once more, which again tells is under way.
	torn      []*member
	tornBytes int64
	again     bool
}

// newTarball returns a tarball of what the survey found.
func (j *Job) newTarball(env *jobs.Env, sources []source, seen survey, said *notes) (*tarball, error) {
	t := &tarball{job: j, env: env, sources: sources, expected: seen.data, notes: said, links: map[inode]*linked{}}
	var err error
	if t.owner, err = j.options.owner(); err != nil {
		return nil, err
	}
	t.modified, err = j.options.modified()
	return t, err
}

// produce writes the tar and, beside it, the index.
func (t *tarball) produce(ctx context.Context, w *artifact.Writer) (artifact.Note, error) {
	data, err := w.Stream(streamTar)
	if err != nil {
		return artifact.Note{}, err
	}
	index, err := w.Stream(streamIndex)
	if err != nil {
		return artifact.Note{}, err
	}
	t.data, t.index = data, index
	if err := t.pump(ctx, t.walk); err != nil {
		return artifact.Note{}, err
	}
	if len(t.torn) > 0 {
		t.again = true
		if err := t.pump(ctx, t.retry); err != nil {
			return artifact.Note{}, err
		}
	}
	// Two blocks of zeros end a tar.
	if _, err := t.data.Write(make([]byte, 2*blockBytes)); err != nil {
		return artifact.Note{}, fmt.Errorf("end the tar: %w", err)
	}
	t.totals.Skipped = t.skipped.Load()
	if err := errors.Join(data.Close(), index.Close()); err != nil {
		return artifact.Note{}, err
	}
	return artifact.Note{Details: t.details()}, nil
}

// walk enqueues everything below the sources.
func (t *tarball) walk(ctx context.Context) error {
	files := 0
	w := t.job.walker(t.env, t.notes)
	w.visit = func(ctx context.Context, n *node) error {
		if n.mode() == unix.S_IFREG {
			files++
		}
		return t.visit(ctx, n)
	}
	w.unreadable = t.unreadable
	for _, s := range t.sources {
		before := files
		if err := w.source(ctx, s); err != nil {
			return err
		}
		if files == before && !t.job.options.AllowEmpty {
			return fmt.Errorf("every file of %s vanished before it could be saved", s.path)
		}
	}
	return nil
}

func (t *tarball) details() Details {
	o := t.job.options
	d := Details{Totals: t.totals, Exclude: o.Exclude, ExcludeCaches: o.ExcludeCaches, FollowMounts: o.FollowMounts}
	for _, s := range t.sources {
		d.Sources = append(d.Sources, Source{Path: Name(s.path), Name: Name(s.name)})
	}
	return d
}

// unreadable applies the policy about what cannot be read.
func (t *tarball) unreadable(disk string, err error) error {
	if t.job.options.Unreadable == policyFail {
		return jobs.WithHint(fmt.Errorf("read %s: %w", shown(disk), err), hintUnreadable)
	}
	t.notes.add(unreadable, shown(disk))
	t.skipped.Add(1)
	return nil
}

// visit adds one entry.
func (t *tarball) visit(ctx context.Context, n *node) error {
	switch n.mode() {
	case unix.S_IFREG:
		return t.file(ctx, n)
	case unix.S_IFDIR:
		if n.name == "." {
			return nil
		}
		return t.add(ctx, n, -1, typeDir, "")
	case unix.S_IFLNK:
		target, err := readlink(n)
		if err != nil {
			return t.unopened(n, err)
		}
		return t.add(ctx, n, -1, typeSymlink, target)
	}
	t.notes.add(special, shown(n.disk))
	t.skipped.Add(1)
	return nil
}

// unopened is for entries that were there when they were listed.
func (t *tarball) unopened(n *node, err error) error {
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ELOOP) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENXIO) {
		t.notes.add(vanished, shown(n.disk))
		t.skipped.Add(1)
		return nil
	}
	return t.unreadable(n.disk, err)
}

func readlink(n *node) (string, error) {
	for size := 256; ; size *= 2 {
		buf := make([]byte, size)
		got, err := unix.Readlinkat(n.dir, n.base, buf)
		if err != nil {
			return "", fmt.Errorf("readlink: %w", err)
		}
		if got < size {
			return string(buf[:got]), nil
		}
	}
}

// settle counts a member that was written, and judges how it was read.
func (t *tarball) settle(m *member) error {
	t.totals.add(m.entry)
	if m.unsized {
		t.notes.add(unsized, shown(m.disk))
	}
	if m.failed != nil {
		if err := t.unreadable(m.disk, m.failed); err != nil {
			return err
		}
	}
	switch {
	case m.entry.Torn == "":
		return nil
	case t.retriable(m):
		t.torn = append(t.torn, m)
		t.tornBytes += m.stat.Size
		return nil
	}
	return t.changed(m)
}

// changed applies the policy about files that change while they are read.
func (t *tarball) changed(m *member) error {
	if t.job.options.Changed == policyFail {
		return jobs.WithHint(fmt.Errorf("%s %s while it was read", shown(m.disk), m.entry.Torn),
			"stop what writes to it, exclude it, or set changed: warn")
	}
	if m.entry.Torn == changeGrew {
		t.notes.add(grown, shown(m.disk))
	} else {
		t.notes.add(torn, shown(m.disk))
	}
	return nil
}

// progress reports every 4 MiB.
func (t *tarball) progress(n int64) {
	t.done += n
	if t.done>>22 != (t.done-n)>>22 {
		t.env.Progress(t.done, max(t.expected, t.done), "bytes")
	}
}

// owner is a user and a group by their numbers.
type owner struct {
	uid, gid uint32
}

// owners knows the names of users and groups.
type owners struct {
	mu    sync.Mutex
	names map[uint64]string
}

// name returns the name of a user or group, or nothing when it has none.
func (o *owners) name(id uint32, group bool) string {
	key := uint64(id)
	if group {
		key |= 1 << 32
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if name, ok := o.names[key]; ok {
		return name
	}
	name := ""
	if group {
		if g, err := user.LookupGroupId(strconv.Itoa(int(id))); err == nil {
			name = g.Name
		}
	} else if u, err := user.LookupId(strconv.Itoa(int(id))); err == nil {
		name = u.Username
	}
	if o.names == nil {
		o.names = map[uint64]string{}
	}
	o.names[key] = name
	return name
}
