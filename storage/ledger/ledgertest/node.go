package ledgertest

import (
	"errors"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
)

func testLease(t *testing.T, dsn secret.String) {
	const ttl = shortLease
	s, other := join(t, dsn, "a", ttl), join(t, dsn, "b", longLease)
	c := s.running()
	// Kept alive well beyond its first lease.
	for end := time.Now().Add(5 * ttl / 4); time.Now().Before(end); time.Sleep(ttl / 10) {
		if err := s.Heartbeat(s.ctx); err != nil {
			t.Fatalf("Heartbeat: %v", err)
		}
		if left := s.LeaseLeft(); left <= 0 || left > ttl {
			t.Fatalf("LeaseLeft = %s right after a heartbeat", left)
		}
	}
	if got := other.pending(); len(got) > 0 {
		t.Errorf("runs of a living node are pending: %v", got)
	}
	eventually(t, "the node is dead", func() bool { return len(other.pending()) == 1 })
	if left := s.LeaseLeft(); left > 0 {
		t.Errorf("LeaseLeft = %s when others see it dead", left)
	}
	other.claim(c.Run)
	if err := s.Heartbeat(s.ctx); !errors.Is(err, runner.ErrLeaseLost) {
		t.Errorf("a late heartbeat: %v, want ErrLeaseLost", err)
	}
	if err := s.Register(s.ctx); err != nil {
		t.Fatalf("Register again: %v", err)
	}
	s.claim(s.queued())
}

func testNodes(t *testing.T, dsn secret.String) {
	l := Open(t, dsn, func(o *ledger.Options) {
		o.Node, o.Labels, o.LeaseTTL, o.Instance = "b", []string{"db", "gpu"}, longLease, "instance-b"
	})
	b := &site{Ledger: l, t: t, ctx: t.Context()}
	if _, _, err := b.Claim(b.ctx, b.queued()); err == nil || errors.Is(err, runner.ErrNotClaimable) {
		t.Errorf("claim before Register: %v, want another error", err)
	}
	if err := b.Register(b.ctx); err != nil {
		t.Fatalf("Register: %v", err)
	}
	a := join(t, dsn, "a", longLease)
	nodes, err := a.Nodes(a.ctx)
	if err != nil || len(nodes) != 2 {
		t.Fatalf("Nodes = %+v, %v, want two", nodes, err)
	}
	n := nodes[1]
	if nodes[0].Name != "a" || n.Instance != "instance-b" || n.Name != "b" || !n.Alive || n.PID == 0 || n.Host == "" || n.Version != "test" {
		t.Errorf("nodes: %+v", nodes)
	}
	same(t, "labels", []string{"db", "gpu"}, n.Labels)
	if left := time.Until(n.LeaseUntil); left < longLease-time.Minute || left > longLease+time.Minute {
		t.Errorf("the lease ends in %s, want about %s", left, longLease)
	}
	if err := b.Leave(b.ctx); err != nil {
		t.Fatalf("Leave: %v", err)
	}
	if err := b.Leave(b.ctx); err != nil {
		t.Errorf("Leave again: %v", err)
	}
	if nodes, err := a.Nodes(a.ctx); err != nil || len(nodes) != 1 {
		t.Errorf("Nodes after Leave = %+v, %v", nodes, err)
	}
}

func testPending(t *testing.T, dsn secret.String) {
	a, b := join(t, dsn, "a", longLease), join(t, dsn, "b", longLease)
	var ids []runner.RunID
	for range 6 {
		ids = append(ids, a.queued())
	}
	ended, orphan, mine := a.claim(ids[1]), b.claim(ids[2]), a.claim(ids[3])
	a.finish(ended, runner.Failed)
	same(t, "pending", []runner.RunID{ids[0], ids[4], ids[5]}, a.pending())
	if err := b.Leave(b.ctx); err != nil {
		t.Fatalf("Leave: %v", err)
	}
	same(t, "pending", []runner.RunID{ids[0], orphan.Run, ids[4], ids[5]}, a.pending())
	var pages []runner.RunID
	for after := runner.RunID(""); ; {
		page, err := a.Pending(a.ctx, after, 3)
		if err != nil {
			t.Fatalf("Pending: %v", err)
		}
		if len(page) == 0 {
			break
		}
		pages, after = append(pages, page...), page[len(page)-1]
	}
	same(t, "pending by pages", a.pending(), pages)
	if err := a.Release(a.ctx, mine); err != nil {
		t.Fatalf("Release: %v", err)
	}
	same(t, "pending", []runner.RunID{ids[0], orphan.Run, ids[3], ids[4], ids[5]}, a.pending())
}
