package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/gofrs/flock"

	"github.com/ghosteam/upkeep/jobs"
)

// Holder is the process that holds the lock file of an SQLite ledger. The lock
// file contains it as JSON.
type Holder struct {
	// PID and Process identify the process; Process is empty where the system
	// does not tell.
	PID     int    `json:"pid"`
	Process string `json:"process,omitempty"`
	// Host and Node are where it runs, Command what was called.
	Host    string `json:"host"`
	Node    string `json:"node"`
	Command string `json:"command,omitempty"`
	// Since is when it took the lock, UTC.
	Since time.Time `json:"since"`
}

// LockedError reports that another process executes the runs of the ledger.
type LockedError struct {
	// Path is the ledger's file.
	Path string
	// Holder is zero when the lock file does not tell.
	Holder Holder
}

// Error names the ledger and its holder.
func (e *LockedError) Error() string {
	if e.Holder.PID == 0 {
		return fmt.Sprintf("the ledger %s is in use by another process", e.Path)
	}
	command := e.Holder.Command
	if command == "" {
		command = "a process"
	}
	return fmt.Sprintf("the ledger %s is in use by %s (pid %d on %s) since %s",
		e.Path, command, e.Holder.PID, e.Holder.Host, e.Holder.Since.Format(time.RFC3339))
}

// lockFile is the lock beside the file of an SQLite ledger. The kernel frees
// it when its holder dies; what stands in the file only names the holder.
type lockFile struct {
	path string
	file *flock.Flock
}

func newLockFile(path string) *lockFile {
	return &lockFile{path: path, file: flock.New(path, flock.SetFlag(os.O_CREATE|os.O_RDWR), flock.SetPermissions(0o600))}
}

// held tells whether this process holds the lock.
func (f *lockFile) held() bool { return f != nil && f.file.Locked() }

// take locks the file and writes h into it; *LockedError when another process
// was faster.
func (f *lockFile) take(ledger string, h Holder) error {
	got, err := f.file.TryLock()
	if err != nil {
		return fmt.Errorf("lock the ledger: %w", ownersOnly(err))
	}
	if !got {
		return jobs.WithHint(&LockedError{Path: ledger, Holder: readHolder(f.path)}, "wait until it has ended, or stop it")
	}
	text, err := json.Marshal(h)
	if err == nil {
		// The file is not replaced by a new one: its inode is the lock.
		err = os.WriteFile(f.path, append(text, '\n'), 0o600)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("name the holder of the ledger: %w", err), f.file.Unlock())
	}
	return nil
}

// readHolder returns what the lock file says. A file that is just being
// written or was damaged says nothing.
func readHolder(path string) Holder {
	var h Holder
	text, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(text, &h) != nil {
		return Holder{}
	}
	return h
}

// check fails when the lock file was removed or replaced, so that another
// process can hold a lock of the same name.
func (f *lockFile) check() error {
	ours, err := f.file.Stat()
	if err != nil {
		return err
	}
	there, err := os.Stat(f.path)
	if err != nil {
		return err
	}
	if !os.SameFile(ours, there) {
		return fmt.Errorf("the lock file %s was replaced", f.path)
	}
	return nil
}

// release frees the lock. It leaves the file, because removing it would let
// two processes lock two files of the same name.
func (f *lockFile) release() error {
	if !f.held() {
		return nil
	}
	var err error
	if f.check() == nil { // else the file of that name is not ours
		err = os.Truncate(f.path, 0)
	}
	return errors.Join(err, f.file.Unlock())
}

// lastHold is how long a lock may outlive the process that took it: a child
// that it was just starting has its files open until it becomes another
// program.
const lastHold = 2 * time.Second

// Lock takes the lock file of an SQLite ledger, which makes this process the
// only one that executes runs; *LockedError names another holder. It does not
// wait for a living one, and calling it again is harmless. On PostgreSQL it
// does nothing: there leases and epochs keep several processes apart.
func (l *Ledger) Lock(ctx context.Context) error {
	if l.lock == nil || l.lock.held() {
		return nil
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	host, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("find the host's name: %w", err)
	}
	ledger := l.lock.path[:len(l.lock.path)-len(".lock")]
	mine := Holder{
		PID: os.Getpid(), Process: processOf(os.Getpid()), Host: host, Node: l.o.Node,
		Command: cleanLine(l.o.Command, maxShortText), Since: time.Now().UTC().Truncate(time.Millisecond),
	}
	for began := time.Now(); ; {
		err := l.lock.take(ledger, mine)
		locked, ok := errors.AsType[*LockedError](err)
		if !ok || !provablyDead(locked.Holder.Host, locked.Holder.PID, locked.Holder.Process, true) || time.Since(began) > lastHold {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(lastHold / 100):
		}
	}
}
