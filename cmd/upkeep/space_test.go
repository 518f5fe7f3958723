package main_test

import (
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ghosteam/upkeep/storage/ledger"
	"github.com/ghosteam/upkeep/storage/object/objecttest"
)

const fullWorkflows = `
workflows:
  tick:
    schedule: {every: 1s}
    start_deadline: 1s
    jobs:
      one: {kind: script, with: {run: [echo, tick]}}
  slow:
    jobs:
      one: {kind: script, with: {run: "touch begun; until test -e go; do sleep 0.05; done; seq 1 100000; echo the end"}}
      two: {kind: script, needs: [one], with: {run: [touch, done]}}
  other:
    jobs:
      one: {kind: script, with: {run: [echo, other]}}
`

// fill leaves no byte free on the disk of a folder.
func fill(t *testing.T, dir string) (path string) {
	t.Helper()
	path = filepath.Join(dir, "filler")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	// All at once, so that what is given up meanwhile is not taken too.
	var stat unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &stat); err != nil {
		t.Fatal(err)
	}
	err = unix.Fallocate(int(f.Fd()), 0, 0, int64(stat.Bfree)*stat.Bsize)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

// sound fails unless the file of the ledger is.
func sound(t *testing.T, path string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	var verdict string
	if err := db.QueryRowContext(t.Context(), "PRAGMA integrity_check").Scan(&verdict); err != nil || verdict != "ok" {
		t.Errorf("the ledger is not sound: %s (%v)", verdict, err)
	}
}

// The disk of the ledger fills up while a job runs: the ballast gives way, the
// run comes to its end and is on record, nothing new starts, the alert goes out
// at once, and when there is room again everything goes on by itself.
func TestServe_FullDisk(t *testing.T) {
	t.Parallel()
	objecttest.OnSmallDisk(t, 24<<20, func(dir string) { fullDisk(t, dir) })
}

func fullDisk(t *testing.T, dir string) {
	box := newMailbox(t)
	box.open(t)
	config := strings.Replace(mailing(box, fullWorkflows), "ballast: off", "ballast: 4MiB\nledger: sqlite:"+dir+"/upkeep.db", 1)
	h := newHouse(t, config)
	h.env = []string{"SMTP_PASSWORD=" + box.server.Password}
	ballast := filepath.Join(dir, ledger.BallastName)
	d := h.serve(t)
	h.runs(t, "tick", "succeeded")
	if info, err := os.Stat(ballast); err != nil || info.Size() != 4<<20 {
		t.Fatalf("the ballast is %v, %v", info, err)
	}
	h.upkeep(t, 0, "run", "slow", "--detach")
	eventually(t, "the job begins", func() (bool, string) { return h.has("begun"), d.said(t) })

	filler := fill(t, dir)
	d.await(t, `the disk of the ledger is full: the ballast is released`)
	eventually(t, "the ballast is gone", func() (bool, string) {
		_, err := os.Stat(ballast)
		return errors.Is(err, fs.ErrNotExist), d.said(t)
	})
	alert := arrived(t, box, 1)[0]
	for _, want := range []string{"full", dir} {
		if !strings.Contains(alert.subject+alert.text, want) {
			t.Errorf("the alert does not say %q: %s\n%s", want, alert.subject, alert.text)
		}
	}
	h.write(t, "go", "")
	h.runs(t, "slow", "succeeded")
	if !h.has("done") {
		t.Error("the run was not brought to its end")
	}
	if out, _ := h.upkeep(t, 0, "logs", "slow", "one"); !strings.HasPrefix(out, "==> one") && !strings.HasPrefix(out, "1\n") {
		t.Errorf("its output is %.100q", out)
	}
	_, told := h.upkeep(t, 75, "run", "other")
	if !strings.Contains(told, "the disk of the ledger is full: nothing new starts") || !strings.Contains(told, "hint: make room") {
		t.Errorf("a run that cannot start is told as %s", told)
	}
	h.upkeep(t, 75, "run", "other", "--detach")
	last, _ := h.upkeep(t, 0, "history", "-w", "tick", "-n", "1", "-o", "csv")
	during := time.Now().UTC()
	h.upkeep(t, 0, "prune-history")
	if again, _ := h.upkeep(t, 0, "history", "-w", "tick", "-n", "1", "-o", "csv"); again != last {
		t.Errorf("a run started on a full disk: %s", again)
	}
	sound(t, filepath.Join(dir, "upkeep.db"))

	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	d.await(t, "there is room on the disk of the ledger again")
	h.runs(t, "tick", "succeeded")
	h.upkeep(t, 0, "run", "other", "-q")
	over := arrived(t, box, 2)[1]
	if over.Get("In-Reply-To") != alert.Get("Message-Id") || !strings.Contains(over.text, "over after") {
		t.Errorf("the end is told as %s\n%s", over.subject, over.text)
	}
	if info, err := os.Stat(ballast); err != nil || info.Size() != 4<<20 {
		t.Errorf("the ballast is not back: %v, %v", info, err)
	}
	// The second in which somebody saw that nothing started.
	why, _ := h.upkeep(t, 0, "why", "tick", during.Truncate(time.Second).Format(time.RFC3339))
	if !strings.Contains(why, "did not run: ") && !strings.Contains(why, "later and succeeded") {
		t.Errorf("a slot of that time is explained as\n%s", why)
	}
	d.stop(t)
	h.startsOnFullDisk(t, dir, box)
	if got := len(box.letters(t)); got != 4 {
		t.Errorf("%d mails arrived, want exactly 4", got)
	}
	sound(t, filepath.Join(dir, "upkeep.db"))
}

// startsOnFullDisk starts the service on a disk that filled up while nothing
// ran.
func (h *house) startsOnFullDisk(t *testing.T, dir string, box *inProcess) {
	t.Helper()
	filler := fill(t, dir)
	d := h.serve(t)
	d.await(t, `the disk of the ledger is full`)
	if l := arrived(t, box, 3)[2]; !strings.Contains(l.subject, "full") {
		t.Errorf("the third mail is %s", l.subject)
	}
	h.upkeep(t, 75, "run", "other")
	// It is killed meanwhile; the next one is no better off, and says nothing new.
	d.kill(t)
	d = h.serve(t)
	d.await(t, `the disk of the ledger is full`)
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	d.await(t, "there is room on the disk of the ledger again")
	arrived(t, box, 4)
	h.upkeep(t, 0, "run", "other", "-q")
	h.runs(t, "tick", "succeeded")
	d.stop(t)
	s := soak{tick: map[string]time.Duration{"tick": time.Second}}
	s.everySlotOnce(t, readerOf(t, filepath.Join(dir, "upkeep.db")))
	t.Log(fmt.Sprint(len(box.letters(t)), " mails"))
}
