package prune

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"golang.org/x/sys/unix"

	"github.com/ghosteam/upkeep/jobs"
)

// remove deletes the doomed files one by one and returns how many went and how
// much room that freed. It stops at the end of ctx and at an error that is not
// about one file.
func (t *tree) remove(ctx context.Context, env *jobs.Env, doomed []*file) (deleted int, freed int64, err error) {
	var open opened
	at, fd := "\x00", -1
	defer func() {
		if fd >= 0 {
			err = errors.Join(err, unix.Close(fd))
		}
	}()
	for i, f := range doomed {
		if f.dir != at {
			if fd >= 0 {
				if err := unix.Close(fd); err != nil {
					return deleted, freed, fmt.Errorf("close folder %s: %w", at, err)
				}
			}
			if at, fd, err = t.reopen(f.dir); err != nil {
				return deleted, freed, err
			}
		}
		if fd < 0 {
			t.skip(skipChanged)
			continue
		}
		what := fmt.Sprintf("delete %s (%s, %s old)", display(path.Join(t.root.Name(), f.path())), humanize.IBytes(uint64(f.blocks())), age(t.now.Sub(f.at)))
		err := env.Effect(ctx, what, func(context.Context) error {
			switch why, err := t.unlink(fd, f, &open); {
			case err != nil:
				return err
			case why != "":
				t.skip(why)
			default:
				deleted++
				freed += f.blocks()
			}
			return nil
		})
		if err != nil {
			return deleted, freed, err
		}
		env.Progress(int64(i+1), int64(len(doomed)), "files")
	}
	return deleted, freed, nil
}

// reopen opens a folder for deleting in it; fd is -1 when it is no longer the
// folder that the scan saw.
func (t *tree) reopen(below string) (string, int, error) {
	target := below
	if target == "" {
		target = "."
	}
	fd, err := openBelow(int(t.root.Fd()), target)
	switch {
	case err == nil:
		return below, fd, nil
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.EXDEV), errors.Is(err, unix.EACCES):
		return below, -1, nil
	}
	return below, -1, fmt.Errorf("open folder %s: %w", below, err)
}

// unlink deletes one file if it is still the one that the scan saw and nobody
// uses it. It returns why not otherwise.
func (t *tree) unlink(dir int, f *file, open *opened) (why string, err error) {
	fd, err := unix.Openat(dir, f.name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	switch {
	case errors.Is(err, unix.ENOENT):
		return skipGone, nil
	case errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENXIO):
		return skipChanged, nil
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return t.refused(f, err)
	case err != nil:
		return "", fmt.Errorf("open %s: %w", display(f.path()), err)
	}
	defer func() { err = errors.Join(err, unix.Close(fd)) }()
	var now unix.Stat_t
	if err := unix.Fstat(fd, &now); err != nil {
		return "", fmt.Errorf("look at %s: %w", display(f.path()), err)
	}
	switch {
	case now.Dev != f.stat.Dev, now.Ino != f.stat.Ino, now.Size != f.stat.Size, now.Mtim != f.stat.Mtim:
		return skipChanged, nil
	case now.Nlink > 1:
		return skipLink, nil
	}
	if why, err := open.busy(fd, now); why != "" || err != nil {
		return why, err
	}
	var named unix.Stat_t
	if err := unix.Fstatat(dir, f.name, &named, unix.AT_SYMLINK_NOFOLLOW); err != nil || named.Ino != now.Ino || named.Dev != now.Dev {
		return skipChanged, nil
	}
	err = unix.Unlinkat(dir, f.name, 0)
	switch {
	case errors.Is(err, unix.ENOENT):
		return skipGone, nil
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return t.refused(f, err)
	case err != nil:
		return "", fmt.Errorf("delete %s: %w", display(f.path()), err)
	}
	return "", nil
}

// refused remembers the first file that the system did not let us delete.
func (t *tree) refused(f *file, err error) (string, error) {
	if t.denied == nil {
		t.denied = fmt.Errorf("delete %s: %w", display(f.path()), err)
	}
	return skipDenied, nil
}

// display makes a file's name safe to show: quoted when it holds anything that
// a terminal or a log would not show as it is.
func display(name string) string {
	if quoted := strconv.Quote(name); quoted != `"`+name+`"` {
		return quoted
	}
	return name
}

// age writes a duration in days, or hours below two days.
func age(d time.Duration) string {
	if d >= 48*time.Hour {
		return strconv.Itoa(int(d.Hours()/24)) + "d"
	}
	if d < time.Minute {
		return d.Truncate(time.Second).String()
	}
	return strings.TrimSuffix(d.Truncate(time.Minute).String(), "0s")
}
