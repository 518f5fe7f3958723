package custody

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// HoldIdentities keeps the texts of files with age identities in memory, under
// paths by which this process can read them until release is called: what
// decrypts must not come onto the disk of a machine that was meant to be
// without it.
func HoldIdentities(texts []string) (paths []string, release func() error, err error) {
	var files []*os.File
	release = func() error {
		var errs []error
		for _, f := range files {
			errs = append(errs, f.Close())
		}
		return errors.Join(errs...)
	}
	for _, text := range texts {
		fd, err := unix.MemfdCreate("upkeep-identity", unix.MFD_CLOEXEC)
		if err != nil {
			return nil, nil, errors.Join(fmt.Errorf("keep an identity in memory: %w", err), release())
		}
		path := filepath.Join("/proc/self/fd", strconv.Itoa(fd))
		f := os.NewFile(uintptr(fd), path)
		files, paths = append(files, f), append(paths, path)
		if _, err := f.WriteString(text); err != nil {
			return nil, nil, errors.Join(fmt.Errorf("keep an identity in memory: %w", err), release())
		}
	}
	return paths, release, nil
}
