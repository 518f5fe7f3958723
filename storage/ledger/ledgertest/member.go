package ledgertest

import (
	"errors"
	"slices"
	"testing"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
)

// member opens the ledger as a service of a node does, and registers it.
func member(t *testing.T, dsn secret.String, node, version string, labels ...string) *site {
	t.Helper()
	l := Open(t, dsn, func(o *ledger.Options) {
		o.Node, o.Version, o.Labels, o.LeaseTTL, o.Member = node, version, labels, longLease, true
	})
	s := &site{Ledger: l, t: t, ctx: t.Context()}
	if err := s.Register(s.ctx); err != nil {
		t.Fatalf("register %s: %v", node, err)
	}
	return s
}

func (s *site) members() []ledger.Member {
	s.t.Helper()
	list, err := s.Members(s.ctx)
	if err != nil {
		s.t.Fatalf("Members: %v", err)
	}
	return list
}

func testMembers(t *testing.T, dsn secret.String) {
	command := join(t, dsn, "laptop", longLease)
	b := member(t, dsn, "b", "1.0", "db", "gpu")
	a := member(t, dsn, "a", "1.0")
	list := a.members()
	if len(list) != 2 || list[0].Name != "a" || list[1].Name != "b" {
		t.Fatalf("members: %+v, want a and b, and no command", list)
	}
	was := list[1]
	if !was.Alive || was.Version != "1.0" || was.Host == "" || was.FirstSeen.IsZero() || was.LastSeen.Before(was.FirstSeen) {
		t.Errorf("member b: %+v", was)
	}
	same(t, "labels", []string{"db", "gpu"}, was.Labels)

	var alive *ledger.MemberAliveError
	if err := a.Forget(a.ctx, "b"); !errors.As(err, &alive) || alive.Name != "b" || alive.PID == 0 {
		t.Errorf("forget a node that is there: %v, want *MemberAliveError", err)
	}
	if err := a.Forget(a.ctx, "laptop"); !errors.Is(err, runner.ErrNotFound) {
		t.Errorf("forget a command: %v, want ErrNotFound", err)
	}
	if err := b.Leave(b.ctx); err != nil {
		t.Fatalf("Leave: %v", err)
	}
	gone := a.members()[1]
	if gone.Alive || gone.LastSeen.Before(was.LastSeen) || !gone.FirstSeen.Equal(was.FirstSeen) {
		t.Errorf("b after it left: %+v, before %+v", gone, was)
	}
	if back := member(t, dsn, "b", "1.1", "db").members()[1]; !back.Alive || back.Version != "1.1" || len(back.Labels) != 1 || !back.FirstSeen.Equal(was.FirstSeen) {
		t.Errorf("b of another version: %+v", back)
	}
	a.claim(a.queued())
	a.claim(a.queued())
	command.claim(command.queued())
	counts, err := a.Working(a.ctx)
	if err != nil {
		t.Fatalf("Working: %v", err)
	}
	same(t, "what runs", map[string]int{a.Instance(): 2, command.Instance(): 1}, counts)
	if err := a.Leave(a.ctx); err != nil {
		t.Fatalf("Leave: %v", err)
	}
	for _, f := range []string{"workflow/w@a", "upkeep/disk@a", "workflow/w@aa", "check/system@a", "workflow/a"} {
		command.raise(fault(f))
	}
	if err := command.Forget(command.ctx, "a"); err != nil {
		t.Errorf("Forget: %v", err)
	}
	var open []string
	for _, i := range command.incidents(runner.IncidentFilter{States: []runner.IncidentState{runner.IncidentOpen}}) {
		open = append(open, i.Fingerprint)
	}
	slices.Sort(open)
	same(t, "what only the forgotten node could have ended is over", []string{"check/system@a", "workflow/a", "workflow/w@aa"}, open)
	if list := command.members(); len(list) != 1 || list[0].Name != "b" {
		t.Errorf("members without a: %+v", list)
	}
	if err := command.Forget(command.ctx, "a"); !errors.Is(err, runner.ErrNotFound) {
		t.Errorf("forget twice: %v, want ErrNotFound", err)
	}
}

func testAnnounced(t *testing.T, dsn secret.String) {
	l := Open(t, dsn, func(o *ledger.Options) { o.Node, o.LeaseTTL = "a", shortLease })
	s := &site{Ledger: l, t: t, ctx: t.Context()}
	look := func(want ledger.NodeFacts) {
		t.Helper()
		nodes, err := s.Nodes(s.ctx)
		if err != nil || len(nodes) == 0 {
			t.Fatalf("Nodes = %+v, %v", nodes, err)
		}
		same(t, "facts", want, nodes[len(nodes)-1].Facts)
	}
	tell := func(facts ledger.NodeFacts) {
		t.Helper()
		if err := s.Announce(s.ctx, facts); err != nil {
			t.Fatalf("Announce: %v", err)
		}
	}
	first := ledger.NodeFacts{Config: "d1", Path: "/etc/upkeep.yaml", Web: "https://a.example:8620"}
	tell(first)
	if err := s.Register(s.ctx); err != nil {
		t.Fatalf("Register: %v", err)
	}
	look(first)
	second := ledger.NodeFacts{Config: "d2", Path: "/etc/upkeep.yaml", Draining: true}
	tell(second)
	tell(second)
	look(second)
	eventually(t, "the lease is lost", func() bool { return s.LeaseLeft() <= 0 })
	if err := s.Heartbeat(s.ctx); !errors.Is(err, runner.ErrLeaseLost) {
		t.Fatalf("a late heartbeat: %v, want ErrLeaseLost", err)
	}
	if err := s.Register(s.ctx); err != nil {
		t.Fatalf("Register again: %v", err)
	}
	look(second)
}
