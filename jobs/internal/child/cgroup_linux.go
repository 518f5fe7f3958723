package child

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// cgroupPrefix begins the name of every cgroup made here.
const cgroupPrefix = "upkeep-"

// cgroupTree is a tree whose members the kernel knows.
type cgroupTree struct {
	family *family
	path   string
	fd     int
	main   *member
	exited func() bool
	gone   bool // the cgroup is removed
}

// newCgroup makes the cgroup of one command below parent.
func newCgroup(parent string, marks []string, seq *atomic.Uint64) (*cgroupTree, error) {
	for {
		name := fmt.Sprintf("%s%s:%d-%d", cgroupPrefix, cgroupName(marks), os.Getpid(), seq.Add(1))
		path := filepath.Join(parent, name)
		switch err := unix.Mkdir(path, 0o755); {
		case errors.Is(err, unix.EEXIST): // of a dead process with our number
			continue
		case err != nil:
			return nil, &fs.PathError{Op: "mkdir", Path: path, Err: err}
		}
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, errors.Join(&fs.PathError{Op: "open", Path: path, Err: err}, unix.Rmdir(path))
		}
		return &cgroupTree{path: path, fd: fd}, nil
	}
}

// cgroupName joins the values of the marks by colons: the cgroups of a run all
// begin with the same text. Other bytes than letters, digits, '-', '_' and '.'
// are percent-encoded and long values cut, with a digest to tell them apart; only
// the first four marks count, since a name has 255 bytes at most.
func cgroupName(marks []string) string {
	marks = marks[:min(len(marks), 4)]
	parts := make([]string, 0, len(marks))
	for _, mark := range marks {
		_, value, _ := strings.Cut(mark, "=")
		var b strings.Builder
		for _, c := range []byte(value) {
			switch {
			case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("-_.", c) >= 0:
				b.WriteByte(c)
			default:
				fmt.Fprintf(&b, "%%%02X", c)
			}
		}
		part := b.String()
		if len(part) > 48 {
			sum := sha256.Sum256([]byte(value))
			part = part[:31] + "+" + hex.EncodeToString(sum[:8])
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ":")
}

func (t *cgroupTree) living() ([]process, error) {
	if t.gone {
		return nil, nil
	}
	if t.exited() {
		// To remove it is the cheapest question whether it is empty; zombies do not
		// count. One with folders below is looked into.
		if unix.Rmdir(t.path) == nil {
			t.gone = true
			return nil, nil
		}
		populated, err := cgroupPopulated(t.path)
		if err != nil || !populated {
			return nil, err
		}
	}
	pids, err := cgroupMembers(t.path)
	if err != nil {
		return nil, err
	}
	found := make([]process, 0, len(pids))
	for _, pid := range pids {
		if pid == t.main.pid {
			continue
		}
		p, err := stat(pid)
		switch {
		case err == nil && !p.dead():
			found = append(found, p)
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return nil, err
		}
	}
	return found, nil
}

func (t *cgroupTree) kill() error {
	if t.gone {
		return nil
	}
	return cgroupKill(t.path)
}

func (t *cgroupTree) release() error {
	t.close()
	if t.gone {
		return t.family.reap()
	}
	// A killed process keeps the cgroup busy until the kernel has taken it
	// apart, which on a loaded machine is a moment after it stopped counting
	// as alive.
	for deadline := time.Now().Add(removeWait); ; time.Sleep(removePause) {
		err := errors.Join(cgroupRemove(t.path), t.family.reap())
		if !errors.Is(err, unix.EBUSY) || time.Now().After(deadline) {
			return err
		}
	}
}

// removeWait bounds the wait for a cgroup to become removable, removePause is
// the time between two tries.
const (
	removeWait  = 2 * time.Second
	removePause = 5 * time.Millisecond
)

// close gives back the descriptor, which only the fork needs.
func (t *cgroupTree) close() {
	if t.fd >= 0 {
		_ = unix.Close(t.fd)
		t.fd = -1
	}
}

// cgroupPopulated tells whether a process that is no zombie is in the cgroup or
// below it.
func cgroupPopulated(path string) (bool, error) {
	text, err := os.ReadFile(path + "/cgroup.events")
	return bytes.Contains(text, []byte("populated 1")), err
}

// cgroupKill sends SIGKILL to everything in the cgroup and below it, at one
// moment: forking does not help (cgroup.kill, Linux 5.14).
func cgroupKill(path string) error {
	return os.WriteFile(path+"/cgroup.kill", []byte("1"), 0)
}

// cgroupMembers lists the processes in the cgroup and below it.
func cgroupMembers(path string) ([]int, error) {
	var pids []int
	err := eachCgroup(path, func(dir string) error {
		text, err := os.ReadFile(dir + "/cgroup.procs")
		if errors.Is(err, unix.EOPNOTSUPP) {
			return nil // a threaded one: its processes are listed above it
		}
		for field := range bytes.FieldsSeq(text) {
			pid, perr := strconv.Atoi(string(field))
			if perr == nil && pid > 0 { // 0: seen from inside another pid namespace
				pids = append(pids, pid)
			}
		}
		return err
	})
	return pids, err
}

// cgroupRemove removes the cgroup and those a child made below it.
func cgroupRemove(path string) error {
	err := unix.Rmdir(path)
	if errors.Is(err, unix.EBUSY) || errors.Is(err, unix.ENOTEMPTY) {
		var dirs []string
		if err := eachCgroup(path, func(dir string) error { dirs = append(dirs, dir); return nil }); err != nil {
			return err
		}
		for _, dir := range slices.Backward(dirs) { // the deepest come last
			err = unix.Rmdir(dir)
		}
	}
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return &fs.PathError{Op: "remove cgroup", Path: path, Err: err}
	}
	return nil
}

// eachCgroup visits a cgroup and all below it, parents first; what vanishes
// meanwhile is passed over.
func eachCgroup(path string, visit func(string) error) error {
	return filepath.WalkDir(path, func(dir string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			err = visit(dir)
		}
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) {
			return nil
		}
		return err
	})
}

// cgroupParent finds the folder of the cgroup this process is in and proves, by
// doing it, that cgroups can be made and killed there. Empty: they cannot.
func cgroupParent() string {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return ""
	}
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return ""
	}
	for _, dir := range cgroupDirs(string(mounts), string(own)) {
		if probeCgroup(dir) == nil {
			return dir
		}
	}
	return ""
}

// probeCgroup makes, kills and removes an empty cgroup.
func probeCgroup(parent string) error {
	var seq atomic.Uint64
	t, err := newCgroup(parent, []string{"probe=probe"}, &seq)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(t.fd) }()
	return errors.Join(cgroupKill(t.path), cgroupRemove(t.path))
}

// cgroupMounts are the version 2 mounts in a mountinfo text (proc(5)): mount
// point and the cgroup that is mounted there.
func cgroupMounts(mountinfo string) [][2]string {
	var found [][2]string
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	for line := range strings.Lines(mountinfo) {
		before, after, ok := strings.Cut(line, " - ")
		fields := strings.Fields(before)
		if !ok || len(fields) < 6 || !strings.HasPrefix(after, "cgroup2 ") {
			continue
		}
		found = append(found, [2]string{unescape.Replace(fields[4]), unescape.Replace(fields[3])})
	}
	return found
}

// cgroupDirs are the folders in which the cgroup of a process can be seen, from
// the texts of its mountinfo and cgroup files. A hybrid system has the version 2
// tree beside the others; in a container the mount may begin below the root.
func cgroupDirs(mountinfo, cgroup string) []string {
	own, ok := "", false
	for line := range strings.Lines(cgroup) {
		if path, found := strings.CutPrefix(line, "0::"); found {
			own, ok = strings.TrimSuffix(path, "\n"), true
		}
	}
	if !ok || strings.HasPrefix(own, "/..") { // outside of our namespace
		return nil
	}
	var dirs []string
	for _, mount := range cgroupMounts(mountinfo) {
		below := own
		if mount[1] != "/" {
			rest, found := strings.CutPrefix(own, mount[1])
			if !found || rest != "" && rest[0] != '/' {
				continue
			}
			below = rest
		}
		dirs = append(dirs, filepath.Join(mount[0], below))
	}
	return dirs
}
