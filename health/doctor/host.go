package doctor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Host is the machine. The zero fields mean the real one.
type Host struct {
	// Files is the tree that holds proc, sys and etc; nil means that of this
	// machine.
	Files fs.FS
	// Space asks the file system at a path for its room. It may hang, as dead
	// shares do.
	Space func(path string) (Space, error)
	// KernelLog returns the messages of the kernel.
	KernelLog func() (string, error)
	// Clock asks the kernel how sure it is of the time.
	Clock func() (ClockState, error)
	// Program runs a program and returns what it wrote to its standard output;
	// nil where none may be run.
	Program func(ctx context.Context, argv ...string) (string, error)
	// Sample is how long the use of the processors is measured; 0 means 1 s.
	Sample time.Duration
	// Now is the present; nil means time.Now.
	Now func() time.Time
}

// Complete returns h with the real machine where it says nothing.
func (h Host) Complete() Host {
	if h.Files == nil {
		h.Files = os.DirFS("/")
	}
	if h.Space == nil {
		h.Space = statfs
	}
	if h.KernelLog == nil {
		h.KernelLog = klog
	}
	if h.Clock == nil {
		h.Clock = adjtimex
	}
	if h.Sample == 0 {
		h.Sample = time.Second
	}
	if h.Now == nil {
		h.Now = time.Now
	}
	return h
}

// Space is the room of a file system, as df counts it for ordinary users.
type Space struct {
	Total, Free, Used  uint64
	Inodes, InodesFree uint64
}

// percent is the used share in percent, and inodes that of the inodes, 0 where
// there are none.
func (s Space) percent() (used, inodes float64) {
	if all := s.Used + s.Free; all > 0 {
		used = 100 * float64(s.Used) / float64(all)
	}
	if s.Inodes > 0 {
		inodes = 100 * float64(s.Inodes-min(s.InodesFree, s.Inodes)) / float64(s.Inodes)
	}
	return used, inodes
}

func statfs(at string) (Space, error) {
	var s unix.Statfs_t
	for {
		err := unix.Statfs(at, &s)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return Space{}, fmt.Errorf("ask %s for its space: %w", at, err)
		}
		break
	}
	size := uint64(max(s.Frsize, 1))
	return Space{
		Total: s.Blocks * size, Free: s.Bavail * size, Used: (s.Blocks - min(s.Bfree, s.Blocks)) * size,
		Inodes: s.Files, InodesFree: s.Ffree,
	}, nil
}

// klog reads the kernel's messages (syslog(2), SYSLOG_ACTION_READ_ALL), which
// leaves them there.
func klog() (string, error) {
	const readAll, sizeBuffer = 3, 10
	size, err := unix.Klogctl(sizeBuffer, nil)
	if err != nil {
		return "", fmt.Errorf("read the kernel's log: %w", err)
	}
	buffer := make([]byte, min(max(size, 1<<16), 1<<24))
	n, err := unix.Klogctl(readAll, buffer)
	if err != nil {
		return "", fmt.Errorf("read the kernel's log: %w", err)
	}
	return string(buffer[:n]), nil
}

func adjtimex() (ClockState, error) {
	var t unix.Timex // no modes: nothing is changed (adjtimex(2))
	state, err := unix.Adjtimex(&t)
	if err != nil {
		return ClockState{}, fmt.Errorf("ask the kernel for its clock: %w", err)
	}
	const timeError = 5
	return ClockState{
		Synchronized: state != timeError && t.Status&unix.STA_UNSYNC == 0,
		ErrorSeconds: float64(t.Maxerror) / 1e6,
	}, nil
}

// mostRead bounds what is read of one file of proc.
const mostRead = 1 << 20

// read reads the beginning of a file.
func (h Host) read(name string) (text string, err error) {
	f, err := h.Files.Open(name)
	if err != nil {
		return "", fmt.Errorf("read /%s: %w", name, reason(err))
	}
	defer func() { _ = f.Close() }() // it was only read
	content, err := io.ReadAll(io.LimitReader(f, mostRead))
	if err != nil {
		return "", fmt.Errorf("read /%s: %w", name, reason(err))
	}
	return string(content), nil
}

// reason is an error of a file without its path.
func reason(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}

// pids lists the processes.
func (h Host) pids() ([]int, error) {
	entries, err := fs.ReadDir(h.Files, "proc")
	if err != nil {
		return nil, fmt.Errorf("list the processes: %w", reason(err))
	}
	var out []int
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil && pid > 0 {
			out = append(out, pid)
		}
	}
	slices.Sort(out)
	return out, nil
}

// users returns the names of users by their numbers, as far as a file tells.
func (h Host) users() map[string]string {
	text, err := h.read("etc/passwd")
	if err != nil {
		return nil // numbers will do
	}
	out := map[string]string{}
	for line := range strings.Lines(text) {
		f := strings.Split(line, ":")
		if len(f) > 3 {
			out[f[2]] = f[0]
		}
	}
	return out
}

// keyed reads lines of NAME: VALUE UNIT or NAME VALUE, as in meminfo and vmstat.
// Lines without a number are left out.
func keyed(text string) map[string]uint64 {
	out := map[string]uint64{}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		if n, err := strconv.ParseUint(f[1], 10, 64); err == nil {
			if len(f) > 2 && f[2] == "kB" {
				n = scaled(n)
			}
			out[strings.TrimSuffix(f[0], ":")] = n
		}
	}
	return out
}

// scaled is n KiB in bytes.
func scaled(n uint64) uint64 {
	const most = 1<<64 - 1
	if n > most/1024 {
		return most
	}
	return n * 1024
}

// UnitOf returns the service of systemd in whose cgroup a process is, or "".
func (h Host) UnitOf(pid int) string { return h.unitOf(pid) }

// unitOf is UnitOf.
func (h Host) unitOf(pid int) string {
	text, err := h.read(path.Join("proc", strconv.Itoa(pid), "cgroup"))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(text) {
		_, at, _ := strings.Cut(strings.TrimSpace(line), "::")
		for _, part := range slices.Backward(strings.Split(at, "/")) {
			if strings.HasSuffix(part, ".service") {
				return part
			}
		}
	}
	return ""
}

// argv splits what /proc/PID/cmdline holds.
func argv(cmdline string) []string {
	text := bytes.TrimRight([]byte(cmdline), "\x00")
	if len(text) == 0 {
		return nil
	}
	return strings.Split(string(text), "\x00")
}
