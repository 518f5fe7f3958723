package child

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// family is what this process knows of its children. The kernel keeps one list of
// them per process, so there is one family.
type family struct {
	// mu orders the list of children: it is held for reading while a command is
	// started or reaped, and for writing while orphans are told from commands, so
	// that a main process is never taken for an orphan.
	mu sync.RWMutex
	// small guards mains among the readers of mu.
	small sync.Mutex
	mains map[int]*member
	// adopts tells that orphans of our descendants become our children.
	adopts atomic.Bool
	pid    int
	sid    int
}

// member is a command under way: its main process is alive or not yet reaped.
type member struct {
	pid    int
	marks  []string
	inodes []uint64
}

func newFamily() *family {
	f := &family{mains: map[int]*member{}, pid: os.Getpid()}
	if sid, err := unix.Getsid(0); err == nil {
		f.sid = sid
	}
	f.adopts.Store(f.pid == 1)
	return f
}

// adopt makes this process the parent of orphans among its descendants
// (PR_SET_CHILD_SUBREAPER). It is cheap and may be repeated.
func (f *family) adopt() error {
	if f.adopts.Load() {
		return nil
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become a subreaper: %w", err)
	}
	f.adopts.Store(true)
	return nil
}

// bear starts a command by fork and enters its main process.
func (f *family) bear(m *member, fork func() (int, error)) error {
	f.mu.RLock()
	defer f.mu.RUnlock()
	pid, err := fork()
	if err != nil {
		return err
	}
	f.small.Lock()
	defer f.small.Unlock()
	m.pid = pid
	f.mains[pid] = m
	return nil
}

// bury reaps the main process of a command, which must have ended.
func (f *family) bury(m *member) (status unix.WaitStatus, usage unix.Rusage, err error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	for {
		_, err = unix.Wait4(m.pid, &status, 0, &usage)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	f.small.Lock()
	defer f.small.Unlock()
	if f.mains[m.pid] == m { // the number may be in use again
		delete(f.mains, m.pid)
	}
	return status, usage, err
}

// roots are the main processes of all commands under way.
func (f *family) roots() []int {
	f.small.Lock()
	defer f.small.Unlock()
	pids := make([]int, 0, len(f.mains))
	for pid := range f.mains {
		pids = append(pids, pid)
	}
	return pids
}

// orphans reaps every adopted process that has ended and returns those that
// live. The caller holds mu for writing.
func (f *family) orphans() ([]process, error) {
	pids, err := f.children()
	if err != nil {
		return nil, err
	}
	var living []process
	for _, pid := range pids {
		if f.mains[pid] != nil {
			continue
		}
		p, err := stat(pid)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if p.sid == f.sid {
			continue // started by other code of this process: it waits for it itself
		}
		if !p.dead() {
			living = append(living, p)
			continue
		}
		// Anything but success means that somebody else has reaped it.
		_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil)
	}
	return living, nil
}

// children lists the children of this process. Orphans are handed to its first
// thread, whose list the kernel shows (CONFIG_PROC_CHILDREN); it is complete as
// long as no child is reaped meanwhile, which mu sees to.
func (f *family) children() ([]int, error) {
	self := strconv.Itoa(f.pid)
	text, err := os.ReadFile("/proc/self/task/" + self + "/children")
	if errors.Is(err, fs.ErrNotExist) {
		all, err := snapshot()
		if err != nil {
			return nil, err
		}
		var pids []int
		for pid, p := range all {
			if p.ppid == f.pid {
				pids = append(pids, pid)
			}
		}
		return pids, nil
	}
	if err != nil {
		return nil, err
	}
	var pids []int
	for field := range bytes.FieldsSeq(text) {
		pid, err := strconv.Atoi(string(field))
		if err != nil {
			return nil, fmt.Errorf("read the children of this process: %w", err)
		}
		pids = append(pids, pid)
	}
	return pids, nil
}

// reap buries adopted orphans that have ended, when there can be any.
func (f *family) reap() error {
	if !f.adopts.Load() {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	_, err := f.orphans()
	return err
}
