package ledger_test

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/storage/ledger"
)

// A process that is killed just when it starts a child leaves its lock to that
// child until the child has become another program. Whoever comes next waits
// for that moment, and only then.
func TestLock_OutlivesItsHolder(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		alive bool // the holder that the file names
		want  bool // that the lock is got in the end
	}{
		"a dead holder":   {alive: false, want: true},
		"a living holder": {alive: true, want: false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "upkeep.db")
			holder := ledger.Holder{PID: os.Getpid(), Command: "upkeep serve"}
			if !tt.alive {
				gone := exec.Command("true")
				if err := gone.Run(); err != nil {
					t.Fatal(err)
				}
				holder.PID = gone.Process.Pid
			}
			heir := inherit(t, path+".lock", holder, "0.4")
			began := time.Now()
			l, err := ledger.Open(t.Context(), ledger.Options{DSN: secret.New("sqlite:" + path), Exclusive: true})
			if tt.want {
				if err != nil {
					t.Fatalf("after %s: %v", time.Since(began), err)
				}
				if err := l.Close(); err != nil {
					t.Error(err)
				}
			} else if _, locked := errors.AsType[*ledger.LockedError](err); !locked {
				t.Errorf("got %v, want that the ledger is locked", err)
			}
			if err := heir.Wait(); err != nil {
				t.Error(err)
			}
		})
	}
}

// inherit makes a process that lives for so many seconds and has a lock that
// somebody else took.
func inherit(t *testing.T, path string, holder ledger.Holder, seconds string) *exec.Cmd {
	t.Helper()
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	holder.Host = host
	text, err := json.Marshal(holder)
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	if _, err := file.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		t.Fatal(err)
	}
	heir := exec.Command("sleep", seconds)
	heir.ExtraFiles = []*os.File{file}
	if err := heir.Start(); err != nil {
		t.Fatal(err)
	}
	return heir
}
