package prune

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// inode identifies a file on this machine.
type inode struct{ device, number uint64 }

// opened knows which files are open in processes. It asks the kernel for a
// lease, which is refused while anybody else has the file open; where leases
// do not work it reads /proc once.
type opened struct {
	looked  bool
	files   map[inode]bool
	partial bool
}

// busy tells whether another process has the file open, or whether that cannot
// be told, as a reason to skip it.
func (o *opened) busy(fd int, stat unix.Stat_t) (why string, err error) {
	_, err = unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_WRLCK)
	switch {
	case err == nil:
		// Nobody else has it open. The lease is given back, because deleting
		// would break it.
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_UNLCK); err != nil {
			return "", fmt.Errorf("give a lease back: %w", err)
		}
		return "", nil
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EBUSY):
		return skipOpen, nil
	case !errors.Is(err, unix.EACCES) && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EOPNOTSUPP):
		return "", fmt.Errorf("ask for a lease: %w", err)
	}
	if err := o.look(); err != nil {
		return "", err
	}
	switch {
	case o.files[inode{stat.Dev, stat.Ino}]:
		return skipOpen, nil
	case o.partial:
		// A process of somebody else may hold it open, and that cannot be
		// seen: deleting would be a guess.
		return skipUndecided, nil
	}
	return "", nil
}

// look reads which files all processes have open.
func (o *opened) look() error {
	if o.looked {
		return nil
	}
	o.looked, o.files = true, map[inode]bool{}
	folders, err := filepath.Glob("/proc/[0-9]*/fd")
	if err != nil || len(folders) == 0 {
		return fmt.Errorf("list open files: %w", errors.Join(err, errors.New("/proc shows no processes")))
	}
	for _, folder := range folders {
		if filepath.Base(filepath.Dir(folder)) == fmt.Sprint(os.Getpid()) {
			continue
		}
		entries, err := os.ReadDir(folder)
		if errors.Is(err, os.ErrPermission) {
			o.partial = true
		}
		for _, entry := range entries {
			var stat unix.Stat_t
			if unix.Stat(filepath.Join(folder, entry.Name()), &stat) == nil {
				o.files[inode{stat.Dev, stat.Ino}] = true
			}
		}
	}
	return nil
}
