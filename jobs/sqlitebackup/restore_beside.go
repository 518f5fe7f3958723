package sqlitebackup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/ghosteam/upkeep/jobs/internal/crypt"
	"github.com/ghosteam/upkeep/storage/object"
)

// beside is a restored database under a name of ours in the folder of its
// target. As long as its process lives it holds a lock on the file, so that
// another process knows whether it may be removed.
type beside struct {
	f    *os.File
	path string
}

// besidePattern matches the files that restores to a target make.
func besidePattern(target string) string {
	sum := sha256.Sum256([]byte(filepath.Base(target)))
	return object.ReservedPrefix + "restore-" + hex.EncodeToString(sum[:])[:12] + "-*.tmp"
}

// restoreBeside writes the database of a backup beside its target, durably, and
// proves it. The caller removes it, or renames it and closes it.
func restoreBeside(ctx context.Context, a *object.Artifact, target string, want Details, keys crypt.Keys) (_ *beside, err error) {
	f, err := os.CreateTemp(filepath.Dir(target), besidePattern(target))
	if err != nil {
		return nil, err
	}
	b := &beside{f: f, path: f.Name()}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.remove())
		}
	}()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, fmt.Errorf("lock %s: %w", b.path, err)
	}
	if err := errors.Join(fetch(ctx, a, f, keys), f.Sync()); err != nil {
		return nil, err
	}
	return b, sound(ctx, b.path, want)
}

// close frees the file after it was renamed.
func (b *beside) close() error { return b.f.Close() }

// remove removes the file.
func (b *beside) remove() error { return errors.Join(os.Remove(b.path), b.f.Close()) }

// abandoned lists the files of restores to a target of which the process is
// dead: those that nobody has locked.
func abandoned(target string) ([]string, error) {
	found, err := filepath.Glob(filepath.Join(escapeGlob(filepath.Dir(target)), besidePattern(target)))
	if err != nil {
		return nil, fmt.Errorf("look for unfinished restores: %w", err)
	}
	var out []string
	for _, path := range found {
		dead, err := isDead(path)
		if err != nil {
			return nil, err
		}
		if dead {
			out = append(out, path)
		}
	}
	return out, nil
}

func isDead(path string) (dead bool, err error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return false, nil //nolint:nilerr // gone, or not one of ours
	}
	defer func() { err = errors.Join(err, unix.Close(fd)) }()
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return false, fmt.Errorf("look at %s: %w", path, err)
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFREG || int(stat.Uid) != os.Geteuid() {
		return false, nil
	}
	return unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) == nil, nil
}

// escapeGlob makes a path match itself only.
func escapeGlob(path string) string {
	var out []byte
	for i := range len(path) {
		if c := path[i]; c == '*' || c == '?' || c == '[' || c == '\\' {
			out = append(out, '\\')
		}
		out = append(out, path[i])
	}
	return string(out)
}
