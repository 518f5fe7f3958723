package archive

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	// maxXattrs bounds the extended attributes of one entry, names and values;
	// readers of tar refuse extended headers of more than 1 MiB.
	maxXattrs = 512 << 10
	// maxXattr is the longest value, and maxXattrList the longest list of
	// names, that Linux knows (xattr(7)).
	maxXattr, maxXattrList = 64 << 10, 64 << 10
)

// errTooManyXattrs says that attributes do not fit into a tar.
var errTooManyXattrs = errors.New("the extended attributes are too large")

// xattrReader reads extended attributes. It belongs to one goroutine.
type xattrReader struct {
	names, value []byte
	// without are the devices whose file systems have none.
	without map[uint64]bool
}

// read returns the extended attributes of an open file or directory. ACLs are
// among them.
func (x *xattrReader) read(fd int, device uint64) (map[string][]byte, error) {
	if x.without[device] {
		return nil, nil
	}
	if x.names == nil {
		x.names, x.value, x.without = make([]byte, maxXattrList), make([]byte, maxXattr), map[uint64]bool{}
	}
	n, err := unix.Flistxattr(fd, x.names)
	switch {
	case errors.Is(err, unix.ENOTSUP):
		x.without[device] = true
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("list the extended attributes: %w", err)
	case n == 0:
		return nil, nil
	}
	out, total := map[string][]byte{}, 0
	for name := range strings.SplitSeq(strings.TrimSuffix(string(x.names[:n]), "\x00"), "\x00") {
		if !saved(name) {
			continue
		}
		size, err := unix.Fgetxattr(fd, name, x.value)
		switch {
		case errors.Is(err, unix.ENODATA), errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES), errors.Is(err, unix.ENOTSUP):
			continue // removed since, or not ours to see
		case err != nil:
			return nil, fmt.Errorf("read the extended attribute %q: %w", name, err)
		}
		if total += len(name) + size; total > maxXattrs || strings.Contains(name, "=") {
			return nil, errTooManyXattrs
		}
		out[name] = append([]byte{}, x.value[:size]...)
	}
	if len(out) == 0 {
		return nil, nil
	}
	return out, nil
}

// saved tells whether an attribute describes the file rather than the machine:
// what users, ACLs, capabilities and root's programs put there.
func saved(name string) bool {
	return strings.HasPrefix(name, "user.") || strings.HasPrefix(name, "trusted.") || isACL(name) ||
		strings.HasPrefix(name, "security.") && name != "security.ima" && name != "security.evm" && name != "security.selinux"
}

func isACL(name string) bool {
	return name == "system.posix_acl_access" || name == "system.posix_acl_default"
}

// setXattrs sets the attributes that late chooses: those for which the mode
// and the owner must be set before, or the others. It returns the names of
// those that this user, or this file system, cannot have.
func setXattrs(f *os.File, attrs map[string][]byte, late bool) (refused []string, err error) {
	for name, value := range attrs {
		if strings.HasPrefix(name, "user.") == late {
			continue
		}
		if !saved(name) {
			refused = append(refused, name)
			continue
		}
		err := unix.Fsetxattr(int(f.Fd()), name, value, 0)
		switch {
		case errors.Is(err, unix.ENOTSUP), errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES), errors.Is(err, unix.EINVAL), errors.Is(err, unix.E2BIG):
			refused = append(refused, name)
		case err != nil:
			return refused, fmt.Errorf("set the extended attribute %q: %w", name, err)
		}
	}
	return refused, nil
}
