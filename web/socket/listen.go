package socket

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ghosteam/upkeep/jobs"
)

// answerWithin is how long a daemon may take to accept a connection before its
// socket counts as stale.
const answerWithin = 2 * time.Second

// ErrInUse reports that somebody answers at the path already.
var ErrInUse = errors.New("another process serves this socket")

// Listener accepts connections at a path of the file system.
type Listener struct {
	net.Listener

	path     string
	dev, ino uint64
}

// Path returns where the listener is.
func (l *Listener) Path() string { return l.path }

// Listen makes a socket at path that only this user and root can connect to,
// at no moment anybody else. The folder must exist. The socket of a dead
// process is replaced; ErrInUse when somebody answers at path, and an error
// when something else than a socket is there. The path may be of any length.
func Listen(ctx context.Context, path string) (*Listener, error) {
	l, err := listen(ctx, path)
	if err != nil {
		if l != nil {
			err = errors.Join(err, l.Close())
		}
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	return l, nil
}

func listen(ctx context.Context, path string) (l *Listener, err error) {
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer folder.Close() //nolint:errcheck // only read
	// Two processes must not both find the socket stale. The lock is on the
	// folder's inode, so nothing is left behind.
	if err := lock(ctx, folder); err != nil {
		return nil, fmt.Errorf("lock the folder: %w", err)
	}
	if err := vacant(ctx, path); err != nil {
		return nil, err
	}
	// In a folder that nobody else may enter the mode can be set before the
	// socket can be reached, whatever the umask.
	private, err := os.MkdirTemp(filepath.Dir(path), ".upkeep-*")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(private)) }()
	bound, err := bind(ctx, private)
	if err != nil {
		return nil, err
	}
	if l, err = publish(bound, filepath.Join(private, privateName), path); err != nil {
		return nil, errors.Join(err, bound.Close())
	}
	return l, nil
}

// lock waits for an exclusive lock on an open folder; closing it frees it.
func lock(ctx context.Context, folder *os.File) error {
	for {
		err := unix.Flock(int(folder.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// vacant tells with nil that the path is free or a stale socket.
func vacant(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return jobs.WithHint(errors.New("something else than a socket is there"), "move it away, if it is not needed")
	}
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	conn, err := Dial(ctx, path)
	if err == nil {
		return errors.Join(jobs.WithHint(ErrInUse, "stop it first"), conn.Close())
	}
	if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	// It may be alive and busy, or another user's: not provably ours.
	return fmt.Errorf("%w: %w", ErrInUse, err)
}

// privateName is what the socket is called before it is published.
const privateName = "s"

// bind makes a listening socket in the folder private.
func bind(ctx context.Context, private string) (*net.UnixListener, error) {
	folder, err := os.Open(private)
	if err != nil {
		return nil, err
	}
	defer folder.Close() //nolint:errcheck // only read
	short := fmt.Sprintf("/proc/self/fd/%d/%s", folder.Fd(), privateName)
	var config net.ListenConfig
	l, err := config.Listen(ctx, "unix", short)
	if err != nil {
		return nil, err
	}
	bound, ok := l.(*net.UnixListener)
	if !ok {
		return nil, errors.Join(fmt.Errorf("a %T is not a unix listener", l), l.Close())
	}
	bound.SetUnlinkOnClose(false)
	return bound, nil
}

// publish moves a bound socket to its path.
func publish(bound *net.UnixListener, from, to string) (*Listener, error) {
	if err := os.Chmod(from, 0o600); err != nil {
		return nil, err
	}
	var at unix.Stat_t
	if err := unix.Lstat(from, &at); err != nil {
		return nil, err
	}
	if err := os.Rename(from, to); err != nil {
		return nil, err
	}
	return &Listener{Listener: bound, path: to, dev: at.Dev, ino: at.Ino}, nil
}

// Close stops listening and removes the socket, unless a successor's stands
// there by now.
func (l *Listener) Close() error {
	var errs []error
	var at unix.Stat_t
	err := unix.Lstat(l.path, &at)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		errs = append(errs, err)
	case at.Dev == l.dev && at.Ino == l.ino:
		// Removed before it stops listening, so that no successor can take its
		// place in between.
		if err := os.Remove(l.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	if err := l.Listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
