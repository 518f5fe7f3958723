package prune

import (
	"bufio"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// inode identifies a file on this machine.
type inode struct{ device, number uint64 }

// host is what the operating system offers. Tests put worse ones in its place.
type host struct {
	// lease asks for a write lease on an open file.
	lease func(fd int) error
	// proc is where the processes are listed.
	proc string
	// open opens a folder by its path below another one.
	open func(parent int, below string) (int, error)
	// untyped tells that folders do not say of what type their entries are.
	untyped bool
}

// thisHost is the machine as it is.
func thisHost() host { return host{lease: lease, proc: "/proc", open: openBelow} }

// lease asks for a write lease (fcntl(2), F_SETLEASE), which the kernel refuses
// with EAGAIN while anybody else on this machine has the file open, for reading
// or writing, or mapped into memory.
func lease(fd int) error {
	_, err := unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_WRLCK)
	return err
}

// network tells whether a file system refuses leases also when it holds no
// delegation from its server, so that a refusal says nothing.
func network(fd int) bool {
	var where unix.Statfs_t
	if err := unix.Fstatfs(fd, &where); err != nil {
		return true
	}
	switch int64(where.Type) { //nolint:unconvert // its type differs between architectures
	case unix.NFS_SUPER_MAGIC, unix.SMB_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC:
		return true
	}
	return false
}

// opened knows which files are open in processes. Where leases do not work it
// reads /proc once. It is safe for several goroutines.
type opened struct {
	host host
	// leases tells whether a lease that is refused with EAGAIN means anything.
	leases bool

	once    sync.Once
	files   map[inode]bool
	partial bool // some process could not be looked into
}

// busy tells whether anybody else has the file open, or whether that cannot be
// told, as a reason to skip it.
func (o *opened) busy(fd int, file inode) (why string) {
	if o.leases {
		switch err := o.host.lease(fd); {
		case err == nil:
			return ""
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EBUSY):
			return skipOpen
		}
	}
	// No lease for whatever reason: only root and the file's owner get one, and
	// not all file systems give any.
	o.once.Do(o.look)
	switch {
	case o.files[file]:
		return skipOpen
	case o.partial:
		// A process of somebody else may hold it open, and that cannot be
		// seen: deleting would be a guess.
		return skipUndecided
	}
	return ""
}

// look reads which files all processes have open or mapped.
func (o *opened) look() {
	o.files = map[inode]bool{}
	folders, err := filepath.Glob(filepath.Join(o.host.proc, "[0-9]*"))
	if err != nil || len(folders) == 0 {
		o.partial = true
		return
	}
	// /proc may be mounted so that it hides the processes of others
	// (hidepid=); number 1 is always one of them.
	if _, err := os.Stat(filepath.Join(o.host.proc, "1", "stat")); err != nil && os.Geteuid() != 0 {
		o.partial = true
	}
	own := strconv.Itoa(os.Getpid())
	for _, folder := range folders {
		o.lookAt(folder, filepath.Base(folder) == own)
	}
}

// lookAt reads what one process has open or mapped. One that ended meanwhile
// has nothing.
func (o *opened) lookAt(folder string, own bool) {
	o.note(filepath.Join(folder, "exe"))
	o.noteMappings(filepath.Join(folder, "maps"))
	entries, err := os.ReadDir(filepath.Join(folder, "fd"))
	if errors.Is(err, os.ErrPermission) {
		o.partial = true
	}
	for _, entry := range entries {
		if !own || writes(entry.Name()) {
			o.note(filepath.Join(folder, "fd", entry.Name()))
		}
	}
}

// writes tells whether this process has a descriptor open for writing, such as
// that of its log. For reading it has those open that it is about to delete.
func writes(descriptor string) bool {
	fd, err := strconv.Atoi(descriptor)
	if err != nil {
		return false
	}
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	return err == nil && flags&unix.O_ACCMODE != unix.O_RDONLY
}

func (o *opened) note(link string) {
	var stat unix.Stat_t
	if unix.Stat(link, &stat) == nil {
		o.files[inode{stat.Dev, stat.Ino}] = true
	}
}

// noteMappings reads what a process has mapped. Where that is hidden though its
// descriptors are not, as some sandboxes have it, these must do: hardly anybody
// maps a log and closes it.
func (o *opened) noteMappings(path string) {
	maps, err := os.Open(path)
	if err != nil {
		return
	}
	defer func() { _ = maps.Close() }() // only read
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		o.noteMapping(lines.Text())
	}
}

// noteMapping reads one line of /proc/PID/maps: range, permissions, offset,
// device (major:minor in hexadecimal), inode, path.
func (o *opened) noteMapping(line string) {
	fields := strings.Fields(line)
	if len(fields) < 6 {
		return
	}
	major, minor, _ := strings.Cut(fields[3], ":")
	high, err1 := strconv.ParseUint(major, 16, 32)
	low, err2 := strconv.ParseUint(minor, 16, 32)
	number, err3 := strconv.ParseUint(fields[4], 10, 64)
	if errors.Join(err1, err2, err3) == nil && number > 0 {
		o.files[inode{unix.Mkdev(uint32(high), uint32(low)), number}] = true
	}
}
