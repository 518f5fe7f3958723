package archive

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ghosteam/upkeep/storage/object"
)

// file restores a regular file.
func (e *extractor) file(name string, entry Entry, h *tar.Header, content io.Reader) (err error) {
	if entry.Again {
		if err := e.replace(name); err != nil {
			return err
		}
	}
	f, err := e.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := e.fill(f, entry, content); err != nil {
		return err
	}
	return e.attributes(f, entry, h)
}

// replace removes the torn file that another entry of its name follows.
func (e *extractor) replace(name string) error {
	info, err := e.root.Lstat(name)
	if err != nil || !info.Mode().IsRegular() {
		return fmt.Errorf("%w: it replaces what is not there", object.ErrDamaged)
	}
	return e.root.Remove(name)
}

// fill writes the content of a file, of a sparse one only the data.
func (e *extractor) fill(f *os.File, entry Entry, content io.Reader) error {
	if !entry.Sparse {
		_, err := io.CopyBuffer(struct{ io.Writer }{f}, content, e.buf)
		return err
	}
	for _, s := range entry.Data {
		w := io.NewOffsetWriter(f, s[0])
		n, err := io.CopyBuffer(struct{ io.Writer }{w}, io.LimitReader(content, s[1]), e.buf)
		if err == nil && n < s[1] {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
	}
	return f.Truncate(entry.Bytes)
}

// attributes sets owner, extended attributes, mode and time of an open file or
// directory, in the order in which the kernel does not undo or forbid any.
func (e *extractor) attributes(f *os.File, entry Entry, h *tar.Header) error {
	if e.Owners {
		if err := f.Chown(h.Uid, h.Gid); err != nil {
			return err
		}
	}
	attrs := e.permitted(entry.Xattrs)
	early, err := setXattrs(f, attrs, false)
	if err != nil {
		return err
	}
	if err := f.Chmod(e.mode(h)); err != nil {
		return err
	}
	late, err := setXattrs(f, attrs, true)
	if err != nil {
		return err
	}
	if len(early)+len(late) > 0 {
		e.out.XattrsLost++
		if len(e.out.Xattrs) < samples {
			e.out.Xattrs = append(e.out.Xattrs, shown(string(entry.Name)))
		}
	}
	// The time of an open file, without a way through names that could change.
	self := fmt.Sprintf("/proc/self/fd/%d", f.Fd())
	return unix.UtimesNanoAt(unix.AT_FDCWD, self, timesOf(entry), 0)
}

// permitted returns the attributes that the extraction is to restore.
func (e *extractor) permitted(attrs map[string][]byte) map[string][]byte {
	if e.Owners {
		return attrs
	}
	var out map[string][]byte
	for name, value := range attrs {
		if strings.HasPrefix(name, "user.") || isACL(name) {
			if out == nil {
				out = map[string][]byte{}
			}
			out[name] = value
		}
	}
	return out
}

// timesOf returns the times of access and of change of an entry.
func timesOf(e Entry) []unix.Timespec {
	t := unix.Timespec{Sec: e.Modified.Unix(), Nsec: int64(e.Modified.Nanosecond())}
	return []unix.Timespec{t, t}
}
