package service_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
	"github.com/ghosteam/upkeep/storage/ledger/ledgertest"
)

// gone waits until the process of the first attempt is no more.
func gone(t *testing.T, shared string) {
	t.Helper()
	eventually(t, "the process of the lost attempt is gone", func() bool { return !alive(t, shared) })
}

// alive tells whether the process of the first attempt is still there.
func alive(t *testing.T, shared string) bool {
	t.Helper()
	fields := strings.Fields(trail(t, shared))
	pid, err := strconv.Atoi(fields[2])
	if err != nil {
		t.Fatal(err)
	}
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

// TestNodes_Killed: what a node executed when it was killed goes on on another.
func TestNodes_Killed(t *testing.T) {
	t.Parallel()
	a, b, r, shared := twoNodes(t)
	id := a.starts("hang")
	owner, others := r.owner(id, shared, a, b)
	owner.signal(syscall.SIGKILL)
	died := time.Now()
	run, attempts := r.ends(id)
	t.Logf("%s took over what %s had, and was done after %s", run.Node, owner.name, time.Since(died).Round(time.Millisecond))
	if run.State != runner.Succeeded || run.Node != others[0].name || !slices.Equal(attempts, []string{"lost/crash", "succeeded"}) {
		t.Errorf("run %s on %s, attempts %v", run.State, run.Node, attempts)
	}
	gone(t, shared)
	if got := trail(t, shared); strings.Contains(got, "ended 1") || !strings.Contains(got, "ended 2") {
		t.Errorf("trail:\n%s", got)
	}
}

// TestNodes_Stopped: a node that is stopped is taken for dead; when it wakes it
// writes nothing and comes back as somebody else.
func TestNodes_Stopped(t *testing.T) {
	t.Parallel()
	a, b, r, shared := twoNodes(t)
	id := a.starts("hang")
	owner, _ := r.owner(id, shared, a, b)
	before := r.run(id).Owner
	owner.signal(syscall.SIGSTOP)
	run, attempts := r.ends(id)
	owner.signal(syscall.SIGCONT)
	owner.logs("this node is registered anew")
	if again := r.run(id); again.State != run.State || again.Epoch != run.Epoch || !slices.Equal(attempts, r.attempts(id)) {
		t.Errorf("after the wake: %+v %v, before it: %+v %v", again, r.attempts(id), run, attempts)
	}
	if run.State != runner.Succeeded || run.Owner == before || !slices.Equal(attempts, []string{"lost/crash", "succeeded"}) {
		t.Errorf("run %s, attempts %v", run.State, attempts)
	}
	gone(t, shared)
	// It goes on to be a node.
	if err := os.WriteFile(filepath.Join(shared, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if run, _ := r.ends(owner.starts("hang")); run.State != runner.Succeeded {
		t.Errorf("a later run: %s", run.State)
	}
}

// TestNodes_Restarted: a node that is killed and started again ends what it left
// at work, before it goes on.
func TestNodes_Restarted(t *testing.T) {
	t.Parallel()
	dsn, shared := ledgertest.Postgres(t), t.TempDir()
	first := startNode(t, dsn, "a", shared, "")
	r := openRecord(t, dsn)
	id := first.starts("leave")
	r.owner(id, shared, first)
	first.signal(syscall.SIGKILL)
	<-first.ended
	second := startNode(t, dsn, "a", shared, "")
	second.logs("processes of a lost attempt were still running here and have been ended")
	gone(t, shared)
	if run, attempts := r.ends(id); run.State != runner.Succeeded || !slices.Equal(attempts, []string{"lost/crash", "succeeded"}) {
		t.Errorf("run %s, attempts %v", run.State, attempts)
	}
}

// TestNodes_Canceled: a cancel on one node is heard by another, which executes
// the run.
func TestNodes_Canceled(t *testing.T) {
	t.Parallel()
	a, b, r, shared := twoNodes(t)
	id := a.starts("hang")
	owner, others := r.owner(id, shared, a, b)
	if _, err := others[0].api.Cancel(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	owner.logs(`msg="a cancel was heard" run=` + string(id) + " here=true")
	run, attempts := r.ends(id)
	if run.State != runner.Canceled || run.CanceledBy != "anna" && !strings.Contains(run.CanceledBy, "anna") || !slices.Equal(attempts, []string{"canceled/user"}) {
		t.Errorf("run %s by %q, attempts %v", run.State, run.CanceledBy, attempts)
	}
}

// TestNodes_Drained: what still runs when the drain of a node is over goes on on
// another at once, and the node leaves. Nobody else gives the run to another one
// meanwhile: leases and sweeps are far longer than all of it may take.
func TestNodes_Drained(t *testing.T) {
	t.Parallel()
	dsn, shared := ledgertest.Postgres(t), t.TempDir()
	const lease, rarely = "lease: {every: 1s, ttl: 10m}\n", sweepVariable + "=1h"
	a, b, r := startNode(t, dsn, "a", shared, lease, rarely), startNode(t, dsn, "b", shared, lease, rarely), openRecord(t, dsn)
	id := a.starts("hang")
	owner, others := r.owner(id, shared, a, b)
	owner.signal(syscall.SIGTERM)
	run, attempts := r.ends(id)
	if run.State != runner.Succeeded || run.Node != others[0].name || !slices.Equal(attempts, []string{"canceled/shutdown", "succeeded"}) {
		t.Errorf("run %s on %s, attempts %v", run.State, run.Node, attempts)
	}
	list, err := r.Attempts(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	took := list[1].StartedAt.Sub(list[0].FinishedAt)
	t.Logf("handed over in %s", took)
	if took > 10*time.Second { // a tenth of a second on a machine that has nothing else to do
		t.Errorf("handed over in %s: that was not at once", took)
	}
	select {
	case <-owner.ended:
	case <-time.After(patience):
		t.Fatal("the drained node does not end")
	}
	if code := owner.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("the drained node ended with %d", code)
	}
	nodes, err := r.Nodes(t.Context())
	if err != nil || slices.ContainsFunc(nodes, func(n ledger.Node) bool { return n.Name == owner.name }) {
		t.Errorf("nodes after the drain: %+v, %v", nodes, err)
	}
}

// TestNodes_Outage: a database that is away for less than a lease ends nothing;
// for longer it ends what runs, or not, as the node is told.
func TestNodes_Outage(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, more string
		long       bool
		want       []string
	}{
		{"short", "lease: {every: 1s, ttl: 10m}\n", false, []string{"succeeded"}},
		{"long", "", true, []string{"lost/crash", "succeeded"}},
		{"long, continue", "on_lease_loss: continue\n", true, []string{"succeeded"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dsn, shared := ledgertest.Postgres(t), t.TempDir()
			p, through := ledgertest.StartNetwork(t, dsn)
			n := startNode(t, through, "a", shared, tt.more)
			r := openRecord(t, dsn)
			id := n.starts("hang")
			r.owner(id, shared, n)
			p.Close()
			n.logs("the lease could not be renewed yet")
			switch {
			case tt.long && tt.more == "":
				n.logs("this node lost its lease")
				gone(t, shared)
			case tt.long:
				eventually(t, "the lease has ended", func() bool {
					nodes, err := r.Nodes(t.Context())
					return err == nil && !slices.ContainsFunc(nodes, func(n ledger.Node) bool { return n.Name == "a" && n.Alive })
				})
			}
			p.Open()
			if err := os.WriteFile(filepath.Join(shared, "go"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			run, attempts := r.ends(id)
			if run.State != runner.Succeeded || !slices.Equal(attempts, tt.want) {
				t.Errorf("run %s, attempts %v, want %v", run.State, attempts, tt.want)
			}
			if p.Refused.Load() == 0 {
				t.Error("the outage was not noticed by anybody")
			}
		})
	}
}

// TestNodes_AlertOnce: two nodes and two failures of one workflow are one
// incident and one message, whoever sends it.
func TestNodes_AlertOnce(t *testing.T) {
	t.Parallel()
	dsn, shared := ledgertest.Postgres(t), t.TempDir()
	var sent atomic.Int32
	hook := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { sent.Add(1) }))
	t.Cleanup(hook.Close)
	more := "channels: {hook: {kind: webhook, url: \"" + hook.URL + "\"}}\n"
	a, b := startNode(t, dsn, "a", shared, more), startNode(t, dsn, "b", shared, more)
	r := openRecord(t, dsn)
	for _, id := range []runner.RunID{a.starts("fail"), b.starts("fail")} {
		if run, _ := r.ends(id); run.State != runner.Failed && run.State != runner.Skipped {
			t.Errorf("run %s", run.State)
		}
	}
	eventually(t, "somebody is told", func() bool { return sent.Load() > 0 })
	eventually(t, "nothing is owed", func() bool {
		owed, err := r.Notices(t.Context(), runner.NoticeFilter{States: []runner.NoticeState{runner.NoticePending, runner.NoticeSending}})
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		return len(owed) == 0
	})
	if n := sent.Load(); n != 1 {
		t.Errorf("%d messages were sent", n)
	}
}
