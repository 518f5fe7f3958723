package crypt

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Lend writes the keys where Load finds them while this process lives: into a
// file that exists in its memory alone, which no other user can open and no
// disk ever holds. It returns no path when there are no keys. The caller calls
// back when nobody reads it any more.
func (k Keys) Lend() (path string, back func() error, err error) {
	if len(k) == 0 {
		return "", func() error { return nil }, nil
	}
	fd, err := unix.MemfdCreate("upkeep-keys", unix.MFD_CLOEXEC)
	if err != nil {
		return "", nil, fmt.Errorf("lend keys: %w", err)
	}
	f := os.NewFile(uintptr(fd), "keys in memory")
	err = f.Chmod(0o600)
	for _, key := range k {
		text, ok := key.(fmt.Stringer)
		if !ok {
			err = errors.Join(err, errors.New("a key has no text form"))
			break
		}
		_, writeErr := fmt.Fprintln(f, text)
		err = errors.Join(err, writeErr)
	}
	if err != nil {
		return "", nil, errors.Join(fmt.Errorf("lend keys: %w", err), f.Close())
	}
	return fmt.Sprintf("/proc/self/fd/%d", fd), f.Close, nil
}
