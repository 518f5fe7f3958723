package prune

import (
	"bytes"
	"encoding/binary"
	"errors"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// bufferSize is how much of a folder is read at once.
const bufferSize = 64 << 10

// entries reads an open folder and hands each name with its type (DT_REG and
// so on, DT_UNKNOWN where the file system does not say) to visit. The name is
// only valid during the call. It reads the kernel's own form, struct
// linux_dirent64 of getdents64(2), because os.File.ReadDir makes several
// objects of each name.
func entries(fd int, buffer []byte, visit func(name []byte, kind uint8) error) error {
	const headerSize = 8 + 8 + 2 + 1 // inode, offset, length of the record, type
	for {
		n, err := unix.Getdents(fd, buffer)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ENOENT):
			return nil // the folder was removed meanwhile
		case err != nil:
			return err
		case n <= 0:
			return nil
		}
		for rest := buffer[:n]; len(rest) >= headerSize; {
			length := int(binary.NativeEndian.Uint16(rest[16:]))
			if length < headerSize || length > len(rest) {
				return errors.New("the kernel returned a broken record")
			}
			name, kind := rest[headerSize:length], rest[18]
			rest = rest[length:]
			if end := bytes.IndexByte(name, 0); end >= 0 {
				name = name[:end]
			}
			if string(name) == "." || string(name) == ".." {
				continue
			}
			if err := visit(name, kind); err != nil {
				return err
			}
		}
	}
}

// openBelow opens a folder by its path below another one without following
// links and without entering another mount, bind mounts included.
func openBelow(parent int, below string) (int, error) {
	flags := uint64(unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC)
	how := unix.OpenHow{Flags: flags, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV}
	for {
		fd, err := unix.Openat2(parent, below, &how)
		switch {
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN): // something was renamed meanwhile
			continue
		case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EPERM):
			return openStepwise(parent, below)
		}
		return fd, err
	}
}

// openStepwise serves kernels before 5.6 and sandboxes that forbid openat2. It
// tells mounts apart by their device, so it does not see bind mounts of the
// same file system.
func openStepwise(parent int, below string) (int, error) {
	var first unix.Stat_t
	if err := unix.Fstat(parent, &first); err != nil {
		return -1, err
	}
	at, err := openFolder(parent, ".")
	for name := range strings.SplitSeq(path.Clean(below), "/") {
		if err != nil {
			return -1, err
		}
		if name == ".." {
			return -1, errors.Join(unix.EXDEV, unix.Close(at))
		}
		var next int
		next, err = openFolder(at, name)
		if closed := unix.Close(at); err == nil && closed != nil {
			return -1, errors.Join(closed, unix.Close(next))
		}
		at = next
	}
	if err != nil {
		return -1, err
	}
	var last unix.Stat_t
	if err := unix.Fstat(at, &last); err != nil {
		return -1, errors.Join(err, unix.Close(at))
	}
	if last.Dev != first.Dev {
		return -1, errors.Join(unix.EXDEV, unix.Close(at))
	}
	return at, nil
}

func openFolder(parent int, name string) (int, error) {
	return unix.Openat(parent, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
}
