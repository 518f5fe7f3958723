package sqlitebackup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ghosteam/upkeep/jobs"
)

// lease is the kernel's word that nobody else on this machine has a file open
// (fcntl(2), F_SETLEASE). Who opens it then waits until it is free.
type lease struct{ f *os.File }

// leaseTries and leasePause bound how long a file is waited for that somebody
// has open: what this process had open itself a process that it begins has open
// too, for the moment before that becomes its program.
const (
	leaseTries = 20
	leasePause = 25 * time.Millisecond
)

func takeLease(ctx context.Context, path string) (*lease, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	for range leaseTries {
		_, err = unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_WRLCK)
		if !errors.Is(err, unix.EAGAIN) {
			break
		}
		select {
		case <-time.After(leasePause):
		case <-ctx.Done():
			return nil, errors.Join(context.Cause(ctx), f.Close())
		}
	}
	switch {
	case err == nil:
		return &lease{f: f}, nil
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EBUSY):
		err = inUse(path)
	default:
		err = jobs.WithHint(&jobs.RefusedError{Rail: "replace", Why: fmt.Sprintf("it cannot be told whether a program has %s open: %v", path, err)},
			"run as the owner of the file, or move it away by hand, and restore without --replace")
	}
	return nil, errors.Join(err, f.Close())
}

// holds tells whether nobody has begun to open the file meanwhile.
func (l *lease) holds() bool {
	kind, err := unix.FcntlInt(l.f.Fd(), unix.F_GETLEASE, 0)
	return err == nil && kind == unix.F_WRLCK
}

// free ends the lease.
func (l *lease) free() error { return l.f.Close() }

func inUse(path string) error {
	return jobs.WithHint(&jobs.RefusedError{Rail: "replace", Why: "a program has " + path + " open"}, "end the programs that use the database; fuser names them")
}
