package service_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger/ledgertest"
	"github.com/ghosteam/upkeep/storage/object/objecttest"
)

// diskWork are workflows for the test of a full disk: one writes to the disk of
// its node, when it is told to, and one only says something.
const diskWork = `  write:
    jobs:
      work:
        kind: script
        with:
          run: |
            echo "began 1 $$" >> %[2]s/trail
            until [ -e %[2]s/go ]; do sleep 0.05; done
            head -c 100000 /dev/zero > DISK/written
  say:
    overlap: allow
    jobs: {work: {kind: script, with: {run: "seq 1 2000"}}}
`

// TestNodes_FullDisk: the disk of one of two nodes is full. What its jobs write
// there fails, with a reason, and is on record, for the ledger is elsewhere. It
// begins nothing new until there is room, the other node goes on, and the fault
// is told.
func TestNodes_FullDisk(t *testing.T) {
	t.Parallel()
	objecttest.OnSmallDisk(t, 24<<20, func(dir string) {
		dsn, shared := ledgertest.Postgres(t), t.TempDir()
		work := strings.ReplaceAll(diskWork, "DISK", dir)
		a, b := startNodeIn(t, dsn, "a", shared, dir, frame+work), startNode(t, dsn, "b", shared, work)
		r := openRecord(t, dsn)
		writes := b.startsOn("write", "a")
		r.owner(writes, shared, a, b)
		filler := fillDisk(t, dir)
		if err := os.WriteFile(filepath.Join(shared, "go"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if run, attempts := r.ends(writes); run.State != runner.Failed || !slices.Equal(attempts, []string{"failed/error"}) {
			t.Errorf("what writes to the full disk: %s, attempts %v", run.State, attempts)
		}
		list, err := r.Attempts(t.Context(), writes)
		if err != nil || !strings.Contains(strings.ToLower(list[0].Error), "no space left") {
			t.Errorf("the attempt says %+v, %v", list, err)
		}
		a.logs("the disk of the ledger is full: the ballast is released")
		waits := b.startsOn("say", "a")
		for range 3 {
			if run, _ := r.ends(b.starts("say")); run.State != runner.Succeeded || run.Node != "b" {
				t.Errorf("what any node may do: %s on %s", run.State, run.Node)
			}
		}
		if run := r.run(waits); run.State != runner.Queued {
			t.Errorf("what only the node with the full disk may do is %s", run.State)
		}
		r.incident("upkeep/disk@a", runner.IncidentOpen)
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		if run, _ := r.ends(waits); run.State != runner.Succeeded || run.Node != "a" {
			t.Errorf("when there is room again: %s on %s", run.State, run.Node)
		}
		r.incident("upkeep/disk@a", runner.IncidentResolved)
	})
}

// incident waits until an incident is in a state.
func (r record) incident(fingerprint string, state runner.IncidentState) {
	r.t.Helper()
	eventually(r.t, "the incident "+fingerprint+" is "+string(state), func() bool {
		list, err := r.Incidents(r.t.Context(), runner.IncidentFilter{Fingerprint: fingerprint, States: []runner.IncidentState{state}})
		return err == nil && len(list) == 1
	})
}

// fillDisk leaves no byte free on the disk of a folder.
func fillDisk(t *testing.T, dir string) (path string) {
	t.Helper()
	path = filepath.Join(dir, "filler")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	var stat unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &stat); err != nil {
		t.Fatal(err)
	}
	if err := unix.Fallocate(int(f.Fd()), 0, 0, int64(stat.Bfree)*stat.Bsize); err != nil {
		t.Fatal(err)
	}
	return path
}
