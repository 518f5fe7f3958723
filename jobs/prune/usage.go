package prune

import (
	"bufio"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// usage is which files all processes had open or mapped at an instant.
type usage struct {
	files map[inode]struct{}
	// mapped are inode numbers without their device: what /proc says of
	// mappings is not always the device that stat says.
	mapped map[uint64]struct{}
	// partial tells that some process could not be looked into, blind that
	// there may be users of files that no process shows.
	partial, blind bool

	at   time.Time
	cost time.Duration
}

// whole tells whether a file that is not in it is open nowhere.
func (u *usage) whole() bool { return !u.partial && !u.blind }

func (u *usage) suspects(file inode) bool {
	if _, ok := u.files[file]; ok {
		return true
	}
	_, ok := u.mapped[file.number]
	return ok
}

// firstNamespace is the inode of the PID namespace in which all processes are
// seen, PROC_PID_INIT_INO of linux/proc_ns.h.
const firstNamespace = 0xEFFFFFFC

// look reads which files all processes have open or mapped. Processes whose
// threads do not share their descriptors show those of the first.
func (h host) look() *usage {
	u := &usage{files: map[inode]struct{}{}, mapped: map[uint64]struct{}{}, at: h.tick()}
	defer func() { u.cost = h.tick().Sub(u.at) }()
	u.lookBeyond(h)
	folders, err := filepath.Glob(filepath.Join(h.proc, "[0-9]*"))
	if err != nil || len(folders) == 0 {
		u.partial = true
		return u
	}
	// /proc may be mounted so that it hides the processes of others
	// (hidepid=); number 1 is always one of them.
	if _, err := os.Stat(filepath.Join(h.proc, "1", "stat")); err != nil && os.Geteuid() != 0 {
		u.partial = true
	}
	for _, folder := range folders {
		u.lookAt(folder)
	}
	return u
}

// lookBeyond finds out whether files may be in use by what no process shows:
// processes outside of this container, and servers inside the kernel.
func (u *usage) lookBeyond(h host) {
	var stat unix.Stat_t
	if err := unix.Stat(filepath.Join(h.proc, "self", "ns", "pid"), &stat); err != nil || stat.Ino != firstNamespace {
		u.blind = true
	}
	for _, server := range []string{filepath.Join(h.proc, "net", "rpc", "nfsd"), filepath.Join(h.sys, "module", "ksmbd")} {
		if unix.Stat(server, &stat) == nil {
			u.blind = true
		}
	}
	// The files behind loop devices and swap are open inside the kernel.
	loops, err := filepath.Glob(filepath.Join(h.sys, "block", "loop*", "loop", "backing_file"))
	if err != nil {
		u.blind = true
	}
	for _, loop := range loops {
		if text, err := os.ReadFile(loop); err == nil {
			u.note(strings.TrimSuffix(string(text), "\n"))
		}
	}
	if text, err := os.ReadFile(filepath.Join(h.proc, "swaps")); err == nil {
		for line := range strings.Lines(string(text)) {
			if path, _, ok := strings.Cut(line, " "); ok && strings.HasPrefix(path, "/") {
				u.note(path)
			}
		}
	}
}

// lookAt reads what one process has open or mapped. One that ended meanwhile
// has nothing.
func (u *usage) lookAt(folder string) {
	u.note(filepath.Join(folder, "exe"))
	u.noteMappings(filepath.Join(folder, "maps"))
	dir, err := unix.Open(filepath.Join(folder, "fd"), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		u.partial = u.partial || errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM)
		return
	}
	defer func() { _ = unix.Close(dir) }() // only read
	err = entries(dir, make([]byte, 8<<10), func(name []byte, _ uint8) error {
		u.noteDescriptor(dir, string(name))
		return nil
	})
	if err != nil && !errors.Is(err, unix.ESRCH) {
		u.partial = true
	}
}

// noteDescriptor notes what a process has open.
func (u *usage) noteDescriptor(dir int, name string) {
	var stat unix.Stat_t
	if unix.Fstatat(dir, name, &stat, 0) != nil {
		return
	}
	switch stat.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		u.files[inode{stat.Dev, stat.Ino}] = struct{}{}
	case 0:
		// An io_uring may keep files open that are not among the descriptors.
		var target [64]byte
		if n, err := unix.Readlinkat(dir, name, target[:]); err == nil && strings.Contains(string(target[:n]), "io_uring") {
			u.blind = true
		}
	}
}

func (u *usage) note(path string) {
	var stat unix.Stat_t
	if unix.Stat(path, &stat) == nil {
		u.files[inode{stat.Dev, stat.Ino}] = struct{}{}
	}
}

// noteMappings reads what a process has mapped. Where that is hidden though its
// descriptors are not, as some sandboxes have it of the first process, these
// must do: hardly anybody maps a log and closes it.
func (u *usage) noteMappings(path string) {
	maps, err := os.Open(path)
	if err != nil {
		return
	}
	defer func() { _ = maps.Close() }() // only read
	lines := bufio.NewScanner(maps)
	for lines.Scan() {
		u.noteMapping(lines.Bytes())
	}
	if err := lines.Err(); err != nil && !errors.Is(err, unix.ESRCH) {
		u.blind = true
	}
}

// noteMapping reads one line of /proc/PID/maps: range, permissions, offset,
// device (major:minor in hexadecimal), inode, path.
func (u *usage) noteMapping(line []byte) {
	field := 0
	for word := range strings.SplitSeq(string(line), " ") {
		if field++; field < 5 {
			continue
		}
		if number, err := strconv.ParseUint(word, 10, 64); err == nil && number > 0 {
			u.mapped[number] = struct{}{}
		}
		return
	}
}
