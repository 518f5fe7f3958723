package custody

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// scratchPrefix begins the names of the folders in which artifacts are laid
// down while they are proven; scratchSettled is how old one must be before its
// owner surely holds its lock.
const (
	scratchPrefix  = "upkeep-backup-"
	scratchSettled = time.Minute
)

// inScratch gives do a private folder (0700), which is removed afterwards. It
// first removes those of processes that died.
func inScratch(do func(dir string) error) (err error) {
	if err := sweepScratch(os.TempDir()); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", scratchPrefix+"*")
	if err != nil {
		return fmt.Errorf("make a working directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	lock, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("lock the working directory: %w", err)
	}
	defer lock.Close() //nolint:errcheck // only a lock, which ends with it
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("lock the working directory: %w", err)
	}
	return do(dir)
}

// sweepScratch removes the folders of this user whose owner is dead: the lock
// that it held as long as it lived is free.
func sweepScratch(parent string) error {
	found, err := filepath.Glob(filepath.Join(parent, scratchPrefix+"*"))
	if err != nil {
		return fmt.Errorf("look for old working directories: %w", err)
	}
	for _, dir := range found {
		if err := sweepOne(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove the working directory of a dead process: %w", err)
		}
	}
	return nil
}

func sweepOne(dir string) error {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil //nolint:nilerr // not a folder of ours, or gone
	}
	defer unix.Close(fd) //nolint:errcheck // it only holds a lock
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return err
	}
	if int(stat.Uid) != os.Getuid() || stat.Mode&0o777 != 0o700 || time.Since(time.Unix(stat.Mtim.Unix())) < scratchSettled {
		return nil
	}
	if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil //nolint:nilerr // its owner lives
	}
	return os.RemoveAll(dir)
}
