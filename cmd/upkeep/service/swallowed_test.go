package service_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger/ledgertest"
	"github.com/ghosteam/upkeep/web/api"
)

// TestNodes_Swallowed: between a node and its database everything vanishes
// without a word, and what was on the way never arrives. When the network is
// back, the node hears what was asked meanwhile, and begins what only it may do.
func TestNodes_Swallowed(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, more string
		lost       bool
		want       []string
	}{
		{"for less than a lease", "lease: {every: 1s, ttl: 10m}\n", false, []string{"canceled/user"}},
		{"for more than a lease", "", true, []string{"lost/crash", "succeeded"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dsn, shared := ledgertest.Postgres(t), t.TempDir()
			p, through := ledgertest.StartNetwork(t, dsn)
			a, b := startNode(t, through, "a", shared, tt.more), startNode(t, dsn, "b", shared, tt.more)
			r := openRecord(t, dsn)
			id := b.startsOn("hang", "a")
			r.owner(id, shared, a)
			p.Swallow()
			meanwhile := b.startsOn("hang", "a")
			a.logs("the lease could not be renewed yet")
			if tt.lost {
				a.logs("this node lost its lease")
				gone(t, shared)
			} else if _, err := b.api.Cancel(t.Context(), id); err != nil {
				t.Fatal(err)
			}
			heard := p.Swallowed.Load()
			p.Heal()
			began := time.Now()
			eventually(t, "what was delivered meanwhile begins", func() bool { return r.run(meanwhile).State != runner.Queued })
			took := time.Since(began)
			run, attempts := r.ends(id)
			if err := os.WriteFile(filepath.Join(shared, "go"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			t.Logf("what only this node may do began %s after the network was back, what it had is over after %s; %d messages were swallowed",
				took.Round(time.Millisecond), time.Since(began).Round(time.Millisecond), p.Swallowed.Load())
			if !slices.Equal(attempts, tt.want) || run.Node != "a" {
				t.Errorf("run %s on %s, attempts %v, want %v", run.State, run.Node, attempts, tt.want)
			}
			if later, _ := r.ends(meanwhile); later.State != runner.Succeeded || later.Node != "a" {
				t.Errorf("the later run: %s on %s", later.State, later.Node)
			}
			if heard == 0 {
				t.Error("nothing was swallowed")
			}
			if tt.lost != strings.Contains(a.log.String(), "this node is registered anew") {
				t.Errorf("registered anew: want %t", tt.lost)
			}
		})
	}
}

// startsOn has a workflow run on a node.
func (n *node) startsOn(workflow, where string) runner.RunID {
	n.t.Helper()
	accepted, err := n.api.Start(n.t.Context(), api.RunRequest{Workflow: workflow, On: where, Trigger: runner.ByAPI, Alert: true})
	if err != nil {
		n.t.Fatalf("start %s through %s on %s: %v", workflow, n.name, where, err)
	}
	return accepted.Run
}
