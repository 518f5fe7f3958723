package pgbackup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/artifact"
	"github.com/ghosteam/upkeep/jobs/internal/child"
)

const (
	// homePrefix begins the name of the folder of a throwaway server.
	homePrefix = "upkeep-drill-"
	// homeSettled is how old such a folder must be before its owner surely
	// holds its lock.
	homeSettled = time.Minute
	// longestSocket is how long the path of a unix socket may be (unix(7)).
	longestSocket = 107
	// homeMark is the variable by which the processes of a server are found.
	homeMark = "UPKEEP_DRILL"
)

// home is the folder of a throwaway server. We own it and hold a lock on it as
// long as we live; what is in it belongs to the user that the server runs as.
type home struct {
	dir  string
	lock *os.File
	// user runs the server; empty for ourselves.
	user    string
	account child.Account
}

// newHome makes a folder that the server's user can reach, whose path is short
// enough for a socket: in the attempt's own folder, or else in one for
// temporary files.
func newHome(env *jobs.Env) (_ *home, err error) {
	h := &home{}
	if os.Geteuid() == 0 { // postgres refuses to run as root
		for _, name := range []string{"postgres", "nobody"} {
			if h.account, err = child.LookupUser(name); err == nil {
				h.user = name
				break
			}
		}
		if h.user == "" {
			return nil, jobs.WithHint(errors.New("PostgreSQL refuses to run as root, and there is neither a user postgres nor nobody"),
				"make a user postgres, or run upkeep as another user")
		}
	}
	for _, parent := range []string{env.WorkDir, os.TempDir(), "/tmp"} {
		if len(parent)+len(homePrefix)+len("0123456789/socket/.s.PGSQL.5432") > longestSocket || strings.ContainsAny(parent, `,"'`) || !h.reaches(parent) {
			continue
		}
		if err := h.settle(parent); err != nil {
			return nil, fmt.Errorf("make a folder for a throwaway server: %w", err)
		}
		return h, nil
	}
	return nil, jobs.WithHint(errors.New("there is no folder for temporary files that the throwaway server could use"), "set TMPDIR to a folder with a short path that everybody can enter")
}

// reaches tells whether the server's user can walk to a folder.
func (h *home) reaches(dir string) bool {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return false
	}
	for at := dir; h.user != ""; at = filepath.Dir(at) {
		var stat unix.Stat_t
		if unix.Stat(at, &stat) != nil {
			return false
		}
		bit := uint32(0o001)
		switch {
		case stat.Uid == h.account.UID:
			bit = 0o100
		case stat.Gid == h.account.GID:
			bit = 0o010
		}
		if stat.Mode&bit == 0 {
			return false
		}
		if at == "/" {
			break
		}
	}
	return true
}

// settle makes the folder and what is in it.
func (h *home) settle(parent string) (err error) {
	if h.dir, err = os.MkdirTemp(parent, homePrefix); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, h.remove())
		}
	}()
	if h.lock, err = os.Open(h.dir); err != nil {
		return err
	}
	if err := unix.Flock(int(h.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return err
	}
	if h.user != "" {
		if err := os.Chmod(h.dir, 0o711); err != nil { //nolint:gosec // its user must walk through; nobody can look around
			return err
		}
	}
	for _, dir := range []string{h.data(), h.socket()} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
		if err := h.give(dir); err != nil {
			return err
		}
	}
	return nil
}

// give hands a folder to the server's user.
func (h *home) give(dir string) error {
	if h.user == "" {
		return nil
	}
	return os.Lchown(dir, int(h.account.UID), int(h.account.GID))
}

func (h *home) data() string   { return filepath.Join(h.dir, "data") }
func (h *home) socket() string { return filepath.Join(h.dir, "socket") }
func (h *home) mark() string   { return homeMark + "=" + filepath.Base(h.dir) }

// hasRoom refuses when less is free than is needed.
func (h *home) hasRoom(needed int64) error {
	free, err := artifact.FreeBytes(h.dir)
	if err != nil {
		return err
	}
	if free < needed {
		return jobs.WithHint(&jobs.RefusedError{Rail: "free space", Why: fmt.Sprintf("%s has %s free, but a throwaway server may need %s",
			filepath.Dir(h.dir), artifact.Bytes(free), artifact.Bytes(needed))}, "free space there, or set TMPDIR")
	}
	return nil
}

// remove deletes the folder.
func (h *home) remove() error {
	err := os.RemoveAll(h.dir)
	if h.lock != nil {
		err = errors.Join(err, h.lock.Close())
	}
	if err != nil {
		return fmt.Errorf("remove the throwaway server: %w", err)
	}
	return nil
}

// sweepHomes ends and removes the throwaway servers whose owner is dead: those
// of this user in folders for temporary files whose lock is free.
func sweepHomes(ctx context.Context, env *jobs.Env) error {
	parents := []string{filepath.Clean(os.TempDir()), "/tmp"}
	if parents[0] == parents[1] {
		parents = parents[:1]
	}
	for _, parent := range parents {
		found, err := filepath.Glob(filepath.Join(parent, homePrefix+"*"))
		if err != nil {
			return fmt.Errorf("look for throwaway servers of dead drills: %w", err)
		}
		for _, dir := range found {
			if err := sweepHome(ctx, env, dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("remove a throwaway server of a dead drill: %w", err)
			}
		}
	}
	return nil
}

func sweepHome(ctx context.Context, env *jobs.Env, dir string) error {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil //nolint:nilerr // not a folder of ours, or gone
	}
	defer unix.Close(fd) //nolint:errcheck // it only holds a lock
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return err
	}
	if int(stat.Uid) != os.Geteuid() || stat.Mode&0o066 != 0 || time.Since(time.Unix(stat.Mtim.Unix())) < homeSettled {
		return nil
	}
	if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil //nolint:nilerr // its owner lives
	}
	return env.Effect(ctx, "remove the throwaway server "+dir+", which a dead drill left behind", func(ctx context.Context) error {
		mark := (&home{dir: dir}).mark()
		if _, err := child.KillMarked(ctx, child.Sweep{Marks: []string{mark}, Grace: -1}); err != nil {
			return err
		}
		return os.RemoveAll(dir)
	})
}
