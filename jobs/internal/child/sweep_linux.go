package child

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Sweep says which leftovers of a dead process are to be ended.
type Sweep struct {
	// Marks are the leading Marks of the commands, all of which must match: those of
	// a run, or of a run and one of its jobs. None is an error.
	Marks []string
	// Spare are further lists of marks: what carries all marks of one of them, its
	// descendants and cgroups are left alone.
	Spare [][]string
	// Since is when the first of these commands can have started. A process which
	// is younger, could be one of them and may not be looked into is counted in
	// Swept.Unreadable; with a zero Since none is.
	Since time.Time
	// Grace is the time between TERM and KILL; 0 means DefaultGrace, a negative one
	// KILL at once.
	Grace time.Duration
}

// Swept is what a sweep found.
type Swept struct {
	// Killed counts the processes that were ended.
	Killed int
	// Remaining counts those which could not be ended.
	Remaining int
	// Unreadable counts the processes that could belong to it, but whose
	// environment this process may not read.
	Unreadable int
	// Cgroups counts the cgroups removed.
	Cgroups int
}

// KillMarked ends all processes that carry the marks in the environment they were
// started with, their descendants, and whatever is in a cgroup made for these
// marks, wherever the cgroup is; then it removes the cgroups. It is for the
// commands of a process that is dead: those this process has under way are spared,
// and so are this process and its ancestors. The caller must own what the marks
// name, since a living owner elsewhere on the host loses its processes too.
//
// The error is a *LeftoverError when processes or cgroups remain. When ctx ends
// nothing more is signaled and the error wraps its cause.
func KillMarked(ctx context.Context, s Sweep) (Swept, error) {
	w, err := newSweeper(s)
	if err != nil {
		return Swept{}, fmt.Errorf("sweep processes: %w", err)
	}
	found, err := w.pass(ctx, unix.SIGTERM, orDefault(s.Grace, DefaultGrace))
	if err == nil && len(found) > 0 {
		found, err = w.pass(ctx, unix.SIGKILL, killWait)
	}
	swept := Swept{Killed: len(w.seen) - len(found), Remaining: len(found), Unreadable: w.unreadable}
	if err != nil {
		return swept, fmt.Errorf("sweep processes: %w", err)
	}
	err = w.failed
	for _, dir := range w.cgroups {
		if rerr := cgroupRemove(dir); rerr != nil {
			err = errors.Join(err, rerr)
			continue
		}
		swept.Cgroups++
	}
	err = errors.Join(err, w.family.reap())
	if len(found) > 0 || err != nil {
		pids := slices.Sorted(maps.Keys(found))
		return swept, &LeftoverError{Name: strings.Join(s.Marks, " "), PIDs: pids, Err: err}
	}
	return swept, nil
}

// CountMarked counts the processes that KillMarked would end.
func CountMarked(marks []string) (int, error) {
	w, err := newSweeper(Sweep{Marks: marks})
	if err != nil {
		return 0, fmt.Errorf("look for processes: %w", err)
	}
	found, err := w.find()
	if err != nil {
		return 0, fmt.Errorf("look for processes: %w", err)
	}
	return len(found), nil
}

func newSweeper(s Sweep) (*sweeper, error) {
	if len(s.Marks) == 0 {
		return nil, errors.New("no marks, everything would match")
	}
	for _, marks := range append([][]string{s.Marks}, s.Spare...) {
		if err := checkMarks(marks); err != nil {
			return nil, err
		}
	}
	return &sweeper{Sweep: s, family: thisProcess().family, seen: map[process]bool{}}, nil
}

// sweeper is one sweep under way.
type sweeper struct {
	Sweep
	family     *family
	seen       map[process]bool // pid and start of everything that was signaled
	cgroups    []string         // found for the marks, without those that hold a spared process
	unreadable int
	failed     error // the last reason why one could not be signaled
}

// pass signals all that is found, again and again what is newly found, until none
// is left or the time is over. It returns what is left.
func (w *sweeper) pass(ctx context.Context, sig unix.Signal, within time.Duration) (map[int]process, error) {
	told := map[process]bool{}
	for began, pause := time.Now(), time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		found, err := w.find()
		if err != nil || len(found) == 0 || sig == unix.SIGTERM && within == 0 {
			w.failed = nil
			return found, err
		}
		w.signal(found, told, sig)
		if time.Since(began) > within {
			return found, nil
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// signal tells every process once to end, or kills it however often.
func (w *sweeper) signal(found map[int]process, told map[process]bool, sig unix.Signal) {
	if sig == unix.SIGKILL {
		for _, dir := range w.cgroups {
			if err := cgroupKill(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
				w.failed = err
			}
		}
	}
	for _, p := range found {
		key := p.key()
		w.seen[key] = true
		if told[key] && sig != unix.SIGKILL {
			continue
		}
		told[key] = true
		err := signal(p, sig)
		if err == nil && sig != unix.SIGKILL {
			err = signal(p, unix.SIGCONT)
		}
		if err != nil {
			w.failed = err
		}
	}
}

// find looks for everything that belongs to the marks.
func (w *sweeper) find() (map[int]process, error) {
	all, err := snapshot()
	if err != nil {
		return nil, err
	}
	boot, err := bootTime()
	if err != nil {
		return nil, err
	}
	spared, err := w.spared(all)
	if err != nil {
		return nil, err
	}
	found := map[int]process{}
	w.unreadable = 0
	for pid, p := range all {
		if spared[pid] || p.dead() || p.kernel {
			continue
		}
		marked, err := hasMarks(pid, w.Marks)
		switch {
		case marked:
			found[pid] = p
		case err == nil, errors.Is(err, fs.ErrNotExist):
		case errors.Is(err, fs.ErrPermission):
			if w.suspect(p, boot) {
				w.unreadable++
			}
		default:
			return nil, err
		}
	}
	if err := w.findCgroups(all, spared, found); err != nil {
		return nil, err
	}
	descent(all, found)
	maps.DeleteFunc(found, func(pid int, p process) bool { return spared[pid] || p.dead() })
	return found, nil
}

// findCgroups adds the members of the cgroups that were made for the marks.
func (w *sweeper) findCgroups(all map[int]process, spared map[int]bool, found map[int]process) error {
	dirs, err := markedCgroups(w.Marks)
	if err != nil {
		return err
	}
	w.cgroups = nil
	for _, dir := range dirs {
		pids, err := cgroupMembers(dir)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(pids, func(pid int) bool { return spared[pid] }) {
			continue
		}
		w.cgroups = append(w.cgroups, dir)
		for _, pid := range pids {
			if p, ok := all[pid]; ok {
				found[pid] = p
			}
		}
	}
	return nil
}

// spared are this process, its ancestors, the commands it has under way, and
// what Spare names.
func (w *sweeper) spared(all map[int]process) (map[int]bool, error) {
	own := map[int]process{}
	for _, pid := range w.family.roots() {
		own[pid] = all[pid]
	}
	for _, marks := range w.Spare {
		if err := named(all, marks, own); err != nil {
			return nil, err
		}
	}
	descent(all, own)
	spared := map[int]bool{}
	for pid := range own {
		spared[pid] = true
	}
	for pid := w.family.pid; pid > 0 && !spared[pid]; pid = all[pid].ppid {
		spared[pid] = true
	}
	return spared, nil
}

// named adds the processes that carry the marks or are in a cgroup made for
// them.
func named(all map[int]process, marks []string, to map[int]process) error {
	for pid, p := range all {
		if p.dead() || p.kernel {
			continue
		}
		marked, err := hasMarks(pid, marks)
		switch {
		case marked:
			to[pid] = p
		case err == nil, errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		default:
			return err
		}
	}
	dirs, err := markedCgroups(marks)
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		pids, err := cgroupMembers(dir)
		if err != nil {
			return err
		}
		for _, pid := range pids {
			to[pid] = all[pid]
		}
	}
	return nil
}

// suspect tells whether a process that may not be looked into could be ours: it
// is young enough and, unless we are root, runs under our number.
func (w *sweeper) suspect(p process, boot time.Time) bool {
	const ticks, slack = 100, 2 * time.Second // USER_HZ; the boot time is exact to a second
	if w.Since.IsZero() || boot.Add(time.Duration(p.start)*(time.Second/ticks)).Before(w.Since.Add(-slack)) {
		return false
	}
	if os.Geteuid() == 0 {
		return true
	}
	text, err := os.ReadFile("/proc/" + strconv.Itoa(p.pid) + "/status")
	if err != nil {
		return false
	}
	for line := range bytes.Lines(text) {
		if ids, ok := bytes.CutPrefix(line, []byte("Uid:")); ok {
			fields := bytes.Fields(ids)
			return len(fields) > 0 && string(fields[0]) == strconv.Itoa(os.Getuid())
		}
	}
	return false
}

// bootTime is when the host booted, in whole seconds (proc(5), btime of stat).
func bootTime() (time.Time, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return time.Time{}, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "btime "); ok {
			seconds, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
			return time.Unix(seconds, 0), err
		}
	}
	return time.Time{}, errors.New("read /proc/stat: no btime")
}

// markedCgroups are the cgroups made for these marks or more particular ones.
func markedCgroups(marks []string) ([]string, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	prefix := cgroupPrefix + cgroupName(marks) + ":"
	var found []string
	for _, mount := range cgroupMounts(string(mounts)) {
		err := filepath.WalkDir(mount[0], func(dir string, d fs.DirEntry, err error) error {
			switch {
			case err != nil: // it has vanished, or is closed to us and so not ours
				return nil
			case d.IsDir() && strings.HasPrefix(d.Name(), prefix):
				found = append(found, dir)
				return fs.SkipDir
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}
