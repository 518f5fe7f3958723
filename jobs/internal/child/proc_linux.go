package child

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// kernelThread is PF_KTHREAD of the kernel's include/linux/sched.h.
const kernelThread = 0x00200000

// process is one entry of /proc, from its stat file (proc(5)).
type process struct {
	pid, ppid, pgid, sid int
	state                byte
	kernel               bool
	noEnviron            bool   // it is between two programs, or ending
	start                uint64 // clock ticks since boot; with pid it names a process for ever
}

// key is the part that names a process.
func (p process) key() process { return process{pid: p.pid, start: p.start} }

// dead tells that only the entry is left (a zombie).
func (p process) dead() bool { return p.state == 'Z' || p.state == 'X' || p.state == 'x' }

// parseStat reads /proc/PID/stat. The second field, the name, may hold blanks and
// parentheses, so the fields are counted from the last closing one.
func parseStat(text []byte) (process, error) {
	var p process
	open, end := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
	if open < 1 || end < open {
		return p, errors.New("no name in parentheses")
	}
	fields := bytes.Fields(text[end+1:])
	const startTime = 22 - 3 // field numbers of proc(5) count from 1 and the state is the third
	if len(fields) <= startTime || len(fields[0]) != 1 {
		return p, fmt.Errorf("%d fields after the name", len(fields))
	}
	p.state = fields[0][0]
	var err error
	number := func(b []byte) int {
		n, e := strconv.Atoi(string(b))
		err = errors.Join(err, e)
		return n
	}
	p.pid = number(bytes.TrimSpace(text[:open]))
	p.ppid, p.pgid, p.sid = number(fields[1]), number(fields[2]), number(fields[3])
	flags, ferr := strconv.ParseUint(string(fields[9-3]), 10, 64)
	p.kernel = flags&kernelThread != 0
	var serr error
	p.start, serr = strconv.ParseUint(string(fields[startTime]), 10, 64)
	const environStart = 50 - 3
	p.noEnviron = len(fields) > environStart && string(fields[environStart]) == "0"
	return p, errors.Join(err, ferr, serr)
}

// stat reads one process; fs.ErrNotExist tells that there is none.
func stat(pid int) (process, error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if errors.Is(err, unix.ESRCH) { // it ended between open and read
		err = fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	}
	if err != nil {
		return process{}, err
	}
	p, err := parseStat(text)
	if err != nil {
		return p, fmt.Errorf("read /proc/%d/stat: %w", pid, err)
	}
	return p, nil
}

// snapshot reads every process of /proc by pid. It is no instant picture: what
// starts or ends meanwhile may be missing.
func snapshot() (map[int]process, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	names, err := dir.Readdirnames(-1)
	if err = errors.Join(err, dir.Close()); err != nil {
		return nil, err
	}
	all := make(map[int]process, len(names))
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		p, err := stat(pid)
		switch {
		case err == nil:
			all[pid] = p
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
			// It has ended, or is hidden from us (hidepid) and so not ours.
		default:
			return nil, err
		}
	}
	return all, nil
}

// descent adds to found all descendants of the processes in it.
func descent(all, found map[int]process) {
	children := make(map[int][]int, len(all))
	for pid, p := range all {
		children[p.ppid] = append(children[p.ppid], pid)
	}
	var todo []int
	for pid := range found {
		todo = append(todo, pid)
	}
	for len(todo) > 0 {
		pid := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for _, kid := range children[pid] {
			if _, ok := found[kid]; !ok {
				found[kid] = all[kid]
				todo = append(todo, kid)
			}
		}
	}
}

// hasMarks tells whether the environment a process was started with holds all
// marks. An error is fs.ErrPermission or fs.ErrNotExist.
func hasMarks(pid int, marks []string) (bool, error) {
	text, err := environOf(pid)
	return containsMarks(text, marks), err
}

// environOf is the environment a process was started with, NUL-separated. An
// error is fs.ErrPermission or fs.ErrNotExist. A process in the middle of
// execve(2) has none for a moment: it is asked again.
func environOf(pid int) ([]byte, error) {
	for range 50 {
		text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
		if errors.Is(err, unix.ESRCH) {
			err = fmt.Errorf("%w: %w", fs.ErrNotExist, err)
		}
		if err != nil || len(text) > 0 {
			return text, err
		}
		if p, err := stat(pid); err != nil || p.dead() || p.kernel || !p.noEnviron {
			return nil, err // it has none, and no more to come
		}
		time.Sleep(time.Millisecond)
	}
	return nil, nil
}

// containsMarks looks for whole entries in a NUL-separated environment.
func containsMarks(environ []byte, marks []string) bool {
	entries := bytes.Split(environ, []byte{0})
	for _, mark := range marks {
		if !slices.ContainsFunc(entries, func(e []byte) bool { return string(e) == mark }) {
			return false
		}
	}
	return len(marks) > 0
}

// holdsPipe tells whether a process has one of the pipes open.
func holdsPipe(pid int, inodes []uint64) bool {
	dir := "/proc/" + strconv.Itoa(pid) + "/fd/"
	d, err := os.Open(dir)
	if err != nil {
		return false // it has ended, or is not ours to look into
	}
	names, err := d.Readdirnames(-1)
	if errors.Join(err, d.Close()) != nil {
		return false
	}
	for _, name := range names {
		link, err := os.Readlink(dir + name)
		if err != nil {
			continue
		}
		for _, inode := range inodes {
			if link == "pipe:["+strconv.FormatUint(inode, 10)+"]" {
				return true
			}
		}
	}
	return false
}

// signal sends sig to exactly this process: the descriptor pins it, and its start
// time proves that the number was not given to another in between. A process
// that has ended is no error.
func signal(p process, sig unix.Signal) error {
	fd, err := unix.PidfdOpen(p.pid, 0)
	pinned := err == nil
	switch {
	case pinned:
		defer func() { _ = unix.Close(fd) }()
	case errors.Is(err, unix.ESRCH):
		return nil
	case !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.EPERM): // before Linux 5.3, or filtered
		return fmt.Errorf("open process %d: %w", p.pid, err)
	}
	now, err := stat(p.pid)
	if errors.Is(err, fs.ErrNotExist) || err == nil && (now.start != p.start || now.dead()) {
		return nil
	}
	if err != nil {
		return err
	}
	if pinned {
		err = unix.PidfdSendSignal(fd, sig, nil, 0)
	} else {
		err = unix.Kill(p.pid, sig)
	}
	if err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("signal process %d: %w", p.pid, err)
	}
	return nil
}
