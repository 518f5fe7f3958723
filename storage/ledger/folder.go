package ledger

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ghosteam/upkeep/jobs"
)

// preparePath returns the absolute path of the ledger's file with all links
// resolved, so that one file has one lock, after making its folder.
func preparePath(path string, o Options) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("find the ledger: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", fmt.Errorf("make the ledger's folder: %w", ownersOnly(err))
	}
	resolved, err := filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) {
		resolved, err = filepath.EvalSymlinks(filepath.Dir(path))
		resolved = filepath.Join(resolved, filepath.Base(path))
	}
	if err != nil {
		return "", fmt.Errorf("find the ledger: %w", err)
	}
	info, err := os.Stat(resolved)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return "", fmt.Errorf("open the ledger: %w", err)
	case !info.Mode().IsRegular():
		return "", fmt.Errorf("open the ledger: %s is not a regular file", resolved)
	case info.Mode().Perm()&0o022 != 0:
		o.Log.Warn("other users may write to the ledger", "path", resolved, "mode", info.Mode().Perm().String())
	}
	return resolved, checkFilesystem(filepath.Dir(resolved), o)
}

// createFile makes an empty private file unless something is there. SQLite
// gives its -wal and -shm files the same permissions.
func createFile(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return ownersOnly(err)
	}
	return f.Close()
}

// ownersOnly adds a hint to an error about permissions.
func ownersOnly(err error) error {
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return jobs.WithHint(err, "run upkeep as the user who owns the ledger, or as root")
}

// verdict is what a kind of file system means for a ledger.
type verdict int

const (
	trusted verdict = iota
	doubtful
	refused
)

// judgeFilesystem names the file systems on which SQLite's locks or shared
// memory cannot be relied on (https://www.sqlite.org/wal.html: "WAL does not
// work over a network filesystem"), by the magic numbers of statfs(2).
func judgeFilesystem(magic int64) (name string, v verdict) {
	switch uint32(magic) {
	case 0x6969:
		return "NFS", refused
	case 0xff534d42, 0xfe534d42, 0x517b:
		return "CIFS", refused
	case 0x5346414f, 0x6b414653:
		return "AFS", refused
	case 0x00c36400:
		return "Ceph", refused
	case 0x0bd00bd0:
		return "Lustre", refused //nolint:misspell // its name
	case 0x7461636f, 0x01161970:
		return "cluster", refused // OCFS2, GFS2
	case 0x65735546:
		return "FUSE", doubtful
	case 0x01021997:
		return "9p", doubtful
	}
	return "", trusted
}

func checkFilesystem(folder string, o Options) error {
	var stat unix.Statfs_t
	if err := unix.Statfs(folder, &stat); err != nil {
		return fmt.Errorf("look at the file system of %s: %w", folder, err)
	}
	return judgeFolder(folder, int64(stat.Type), o)
}

func judgeFolder(folder string, magic int64, o Options) error {
	name, v := judgeFilesystem(magic)
	switch v {
	case refused:
		return jobs.WithHint(fmt.Errorf("%s lies on a network file system (%s), where SQLite cannot keep a ledger whole", folder, name),
			"put the ledger on a local disk, or use PostgreSQL when several machines share it")
	case doubtful:
		o.Log.Warn("the ledger lies on a file system whose locks may not be reliable", "folder", folder, "file_system", name)
	case trusted:
	}
	return nil
}

// lockFolder waits for the right to be the only process that sets up a ledger
// in folder, and returns how to give it back.
func lockFolder(ctx context.Context, folder string) (unlock func(), err error) {
	f, err := os.Open(folder)
	if err != nil {
		return nil, err
	}
	pause := time.NewTicker(10 * time.Millisecond)
	defer pause.Stop()
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			// Closing the only descriptor frees the lock; nothing was written
			// through it, so its error says nothing.
			return func() { _ = f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return nil, errors.Join(fmt.Errorf("lock the folder %s: %w", folder, err), f.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("wait for another process that sets up the ledger: %w", context.Cause(ctx)), f.Close())
		case <-pause.C:
		}
	}
}
