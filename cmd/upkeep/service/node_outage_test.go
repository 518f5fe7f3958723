package service_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
	"github.com/ghosteam/upkeep/storage/ledger/ledgertest"
)

// TestNodes_OutageContinued: a node that goes on without a lease, as it is told,
// is no hindrance to the others, and changes nothing of what they did when it is
// back. (Here both are on one machine, so that who takes over ends the job too.)
func TestNodes_OutageContinued(t *testing.T) {
	t.Parallel()
	dsn, shared := ledgertest.Postgres(t), t.TempDir()
	p, through := ledgertest.StartNetwork(t, dsn)
	const more = "on_lease_loss: continue\n"
	a := startNode(t, through, "a", shared, more)
	r := openRecord(t, dsn)
	id := a.starts("hang")
	r.owner(id, shared, a)
	startNode(t, dsn, "b", shared, more)
	p.Close()
	want := []string{"lost/crash", "succeeded"}
	if run, attempts := r.ends(id); run.State != runner.Succeeded || run.Node != "b" || !slices.Equal(attempts, want) {
		t.Errorf("run %s on %s, attempts %v, want %v", run.State, run.Node, attempts, want)
	}
	gone(t, shared)
	p.Open()
	eventually(t, "a is back", func() bool {
		nodes, err := r.Nodes(t.Context())
		return err == nil && slices.ContainsFunc(nodes, func(n ledger.Node) bool { return n.Name == "a" && n.Alive })
	})
	if strings.Contains(trail(t, shared), "ended 1") {
		t.Error("the job that was taken over came to its end by itself")
	}
	if attempts := r.attempts(id); !slices.Equal(attempts, want) {
		t.Errorf("attempts at last %v, want %v", attempts, want)
	}
}
