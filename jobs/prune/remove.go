package prune

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dustin/go-humanize"
	"golang.org/x/sys/unix"

	"github.com/ghosteam/upkeep/jobs"
)

// progressEvery is how many files pass between two reports.
const progressEvery = 256

// remove deletes the doomed files, several at once. It stops at the end of ctx
// and at an error that is not about one file. In a dry run it describes them,
// in order.
func (t *tree) remove(ctx context.Context, env *jobs.Env) error {
	crew := workers
	if env.DryRun() {
		crew = 1
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var taken, finished atomic.Int64
	var wg sync.WaitGroup
	removers, failures := make([]remover, crew), make([]error, crew)
	open := &opened{host: t.host, leases: !network(int(t.root.Fd()))}
	for i := range removers {
		removers[i] = remover{tree: t, env: env, open: open, finished: &finished}
		wg.Go(func() {
			for n := int(taken.Add(1)) - 1; n < len(t.folders); n = int(taken.Add(1)) - 1 {
				if failures[i] = removers[i].folder(ctx, t.folders[n]); failures[i] != nil {
					stop(errOther)
					return
				}
			}
		})
	}
	wg.Wait()
	for i := range removers {
		t.deleted.files += removers[i].deleted.files
		t.deleted.bytes += removers[i].deleted.bytes
	}
	return errors.Join(slices.DeleteFunc(failures, func(err error) bool { return err == nil || errors.Is(err, errOther) })...)
}

// errOther ends the work of a remover because another one failed.
var errOther = errors.New("another worker failed")

// remover is one worker of a removal.
type remover struct {
	tree     *tree
	env      *jobs.Env
	open     *opened
	finished *atomic.Int64
	deleted  tally
}

// folder deletes the doomed files of one folder.
func (r *remover) folder(ctx context.Context, d *folder) (err error) {
	if !slices.ContainsFunc(d.files, func(f file) bool { return f.fate == doomed }) {
		return nil
	}
	if r.env.DryRun() {
		slices.SortFunc(d.files, func(a, b file) int { return strings.Compare(a.name, b.name) })
	}
	dir, err := r.reopen(d)
	if err != nil {
		return err
	}
	if dir >= 0 {
		defer func() { err = errors.Join(err, unix.Close(dir)) }()
	}
	for i := range d.files {
		f := &d.files[i]
		if f.fate != doomed {
			continue
		}
		if dir < 0 {
			r.tree.skip(skipChanged)
			continue
		}
		if err := r.env.Effect(ctx, r.describe(d, f), func(context.Context) error { return r.file(dir, d, f) }); err != nil {
			return err
		}
		if n := r.finished.Add(1); n%progressEvery == 0 {
			r.env.Progress(n, int64(r.tree.doomed.files), "files")
		}
	}
	return nil
}

// describe is what is about to happen to a file.
func (r *remover) describe(d *folder, f *file) string {
	name := display(path.Join(r.tree.root.Name(), d.path, f.name))
	return "delete " + name + " (" + humanize.IBytes(uint64(f.bytes())) + ", " + days(r.tree.age(f)) + " old)"
}

// reopen opens a folder for deleting in it; it is -1 when it is no longer the
// folder that the scan saw.
func (r *remover) reopen(d *folder) (int, error) {
	fd, err := r.tree.host.open(int(r.tree.root.Fd()), orDot(d.path))
	switch {
	case err == nil:
		return fd, nil
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.EXDEV), errors.Is(err, unix.EACCES):
		return -1, nil
	}
	return -1, fmt.Errorf("open folder %s: %w", display(d.path), err)
}

// file deletes one file, or counts why not.
func (r *remover) file(dir int, d *folder, f *file) error {
	why, err := r.unlink(dir, d, f)
	switch {
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		r.tree.deny(fmt.Errorf("delete %s: %w", display(d.below(f)), err))
	case err != nil:
		return fmt.Errorf("delete %s: %w", display(d.below(f)), err)
	case why != "":
		r.tree.skip(why)
	default:
		f.fate = gone
		r.deleted.add(f)
	}
	return nil
}

// unlink deletes one file if it is still the one that the scan saw and nobody
// uses it. It returns why not otherwise.
func (r *remover) unlink(dir int, d *folder, f *file) (why string, err error) {
	fd, err := unix.Openat(dir, f.name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	switch {
	case errors.Is(err, unix.ENOENT):
		return skipGone, nil
	case errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENXIO):
		return skipChanged, nil
	case err != nil:
		return "", err
	}
	// Closing gives the lease back too: deleting does not break one's own.
	defer func() { err = errors.Join(err, unix.Close(fd)) }()
	why = r.open.busy(fd, inode{d.device, f.inode})
	// Only now, when nobody can begin to write to it any more, is it compared
	// with what the scan saw: by its name, because it is the name that goes.
	var now unix.Stat_t
	if err := unix.Fstatat(dir, f.name, &now, unix.AT_SYMLINK_NOFOLLOW); err != nil || !d.holds(f, &now) {
		return skipChanged, nil
	}
	if why != "" {
		return why, nil
	}
	if now.Nlink > 1 {
		return skipLink, nil
	}
	if err := unix.Unlinkat(dir, f.name, 0); errors.Is(err, unix.ENOENT) {
		return skipGone, nil
	} else if err != nil {
		return "", err
	}
	return "", nil
}

// holds tells whether a description is that of the file which the scan saw.
func (d *folder) holds(f *file, now *unix.Stat_t) bool {
	return now.Dev == d.device && now.Ino == f.inode && now.Size == f.size && nanoseconds(now.Mtim) == f.changed
}

// display makes a file's name safe to show: quoted when it holds anything that
// a terminal or a log would not show as it is.
func display(name string) string {
	for i := range len(name) {
		if c := name[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			if quoted := strconv.Quote(name); quoted != `"`+name+`"` {
				return quoted
			}
			return name
		}
	}
	return name
}

// days writes a duration in days, or hours below two days.
func days(d time.Duration) string {
	if d >= 2*tomorrow {
		return strconv.Itoa(int(d/tomorrow)) + "d"
	}
	return strings.TrimSuffix(d.Truncate(time.Minute).String(), "0s")
}
