package answer

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// ErrNotWritten says that a program left no result file.
var ErrNotWritten = errors.New("it was not written")

// Name is the name of the result file in its folder.
const Name = "result.json"

// Read reads the result file in dir: a regular file of a bounded size, without
// following links. It returns ErrNotWritten when there is none.
func Read(dir *os.File) (_ []byte, err error) {
	fd, err := unix.Openat(int(dir.Fd()), Name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, ErrNotWritten
	case errors.Is(err, unix.ELOOP):
		return nil, errors.New("it is a symbolic link")
	case err != nil:
		return nil, fmt.Errorf("open it: %w", err)
	}
	file := os.NewFile(uintptr(fd), Name)
	defer func() { err = errors.Join(err, file.Close()) }()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it is not a regular file")
	}
	text, err := io.ReadAll(io.LimitReader(file, MostBytes+1))
	switch {
	case err != nil:
		return nil, err
	case len(text) == 0:
		return nil, errors.New("it is empty")
	case len(text) > MostBytes:
		return nil, fmt.Errorf("it is larger than %d bytes", MostBytes)
	}
	return text, nil
}
