package child

import (
	"errors"

	"golang.org/x/sys/unix"
)

// tree is the set of processes of one command, its main process included.
type tree interface {
	// living returns the processes of the tree that are alive, without the main
	// one. It reaps those it may reap.
	living() ([]process, error)
	// kill sends SIGKILL to all of the tree. New ones may have been born when it
	// returns: the caller repeats until living returns none. An error tells that
	// some could not be killed; the others were.
	kill() error
	// release gives back what the tree used; an error leaves it behind.
	release() error
}

// walkTree finds the tree in /proc, without the help of a cgroup.
type walkTree struct {
	family *family
	main   *member
	exited func() bool
	known  map[process]bool // found once; later nothing may be left that tells
}

func (t *walkTree) living() ([]process, error) {
	t.family.mu.Lock()
	defer t.family.mu.Unlock()
	orphans, err := t.family.orphans()
	if err != nil {
		return nil, err
	}
	if len(orphans) == 0 && t.exited() {
		return nil, nil // whoever is left has an ancestor that we adopted
	}
	all, err := snapshot()
	if err != nil {
		return nil, err
	}
	found := map[int]process{}
	if main, ok := all[t.main.pid]; ok {
		found[main.pid] = main
	}
	for pid, p := range all {
		if p.sid == t.main.pid || t.known[p.key()] {
			found[pid] = p
		}
	}
	for _, p := range orphans {
		if t.owns(p, all) {
			found[p.pid] = p
		}
	}
	descent(all, found)
	delete(found, t.main.pid)
	processes := make([]process, 0, len(found))
	for _, p := range found {
		if !p.dead() {
			processes = append(processes, p)
			t.known[p.key()] = true
		}
	}
	return processes, nil
}

func (t *walkTree) kill() error {
	var errs []error
	// The main process is not reaped before its tree is gone, so its number still
	// means its group: one call gets all of it, however fast it forks.
	if err := unix.Kill(-t.main.pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
		errs = append(errs, err)
	}
	living, err := t.living()
	errs = append(errs, err)
	for _, p := range living {
		errs = append(errs, signal(p, unix.SIGKILL))
	}
	return errors.Join(errs...)
}

// release has nothing to do: living has reaped whatever ended.
func (t *walkTree) release() error { return nil }

// owns decides whether an adopted orphan was started by this command. What it
// inherited tells: its session and the marks in its environment. One that has none
// of these belongs to the command when no other could have started it.
func (t *walkTree) owns(p process, all map[int]process) bool {
	if m := t.family.mains[p.sid]; m != nil {
		return m == t.main
	}
	var marked []*member
	for _, m := range t.family.mains {
		// What cannot be read has no marks; the elimination below decides.
		if ok, err := hasMarks(p.pid, m.marks); err == nil && ok {
			marked = append(marked, m)
		}
	}
	if len(marked) == 1 {
		return marked[0] == t.main
	}
	if t.family.pid == 1 {
		return false // process 1 also adopts strangers
	}
	for pid, m := range t.family.mains {
		older := all[pid].start <= p.start
		if m == t.main && !older || m != t.main && older {
			return false
		}
	}
	return true
}

// holders are the processes younger than the main one that have one of its pipes
// open, wherever they are. An older one (a service manager) was handed the pipe.
func holders(f *family, main *member) ([]process, error) {
	f.mu.Lock() // no child is between fork and exec, holding copies of everything
	defer f.mu.Unlock()
	all, err := snapshot()
	if err != nil {
		return nil, err
	}
	var found []process
	for pid, p := range all {
		own := pid == f.pid || p.ppid == f.pid && p.sid == f.sid // also a fork of other code before its exec
		if !own && p.start >= all[main.pid].start && holdsPipe(pid, main.inodes) {
			found = append(found, p)
		}
	}
	return found, nil
}
