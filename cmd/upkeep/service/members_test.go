package service_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/cmd/upkeep/service"
	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
	"github.com/ghosteam/upkeep/web/api"
)

// roll is a list of nodes.
type roll struct {
	members []ledger.Member
	nodes   []ledger.Node
	working map[string]int
	fail    error
}

func (r roll) Members(context.Context) ([]ledger.Member, error) { return r.members, nil }
func (r roll) Nodes(context.Context) ([]ledger.Node, error)     { return r.nodes, nil }
func (r roll) Working(context.Context) (map[string]int, error)  { return r.working, r.fail }
func serving(name, instance, config string) ledger.Node {
	return ledger.Node{Name: name, Instance: instance, Host: name, PID: 7, Version: "2", Alive: true, Member: true, Facts: ledger.NodeFacts{Config: config}}
}

func TestMembersOf(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 3, 12, 0, 0, 0, time.UTC)
	draining := serving("c", "c2", "two")
	draining.Facts.Draining, draining.Labels, draining.LeaseUntil = true, []string{"x"}, now.Add(9*time.Second)
	dead := serving("c", "c1", "old")
	dead.Alive = false
	r := roll{
		members: []ledger.Member{
			{Name: "a", Version: "1"},
			{Name: "b", Version: "1"},
			{Name: "c", Version: "1", Labels: []string{"x"}},
			{Name: "d", Version: "1", Host: "dhost", LastSeen: now.Add(-time.Hour)},
			{Name: "e", Version: "1", LastSeen: now.Add(-time.Second)},
		},
		nodes: []ledger.Node{
			serving("a", "a1", "one"), serving("b", "b1", "one"), dead, draining,
			{Name: "d", Instance: "cmd", Host: "elsewhere", Alive: true, Facts: ledger.NodeFacts{Config: "cmd"}},
		},
		working: map[string]int{"a1": 2, "c1": 1, "c2": 3, "cmd": 1},
	}
	list, err := service.MembersOf(t.Context(), r)
	if err != nil || len(list) != 5 {
		t.Fatalf("%+v, %v", list, err)
	}
	if m := list[0]; m.State != api.MemberAlive || m.Running != 2 || m.Drift || m.Version != "2" || m.LeaseUntil != nil {
		t.Errorf("a: %+v", m)
	}
	if m := list[2]; m.State != api.MemberDraining || m.Running != 4 || !m.Drift || m.Config != "two" || m.LeaseUntil == nil {
		t.Errorf("c: %+v", m)
	}
	if m := list[3]; m.State != api.MemberAbsent || m.Host != "dhost" || m.Running != 1 || m.Config != "" || m.Drift || m.PID != 0 {
		t.Errorf("d, where only a command runs: %+v", m)
	}
	c := service.ClusterCheck(&configs.Config{}, list, now, 0)
	for _, want := range []string{"node c: another configuration than a, b", "node d: away for more than 2m0s"} {
		if !strings.Contains(c.Text, want) || c.OK || c.Fatal {
			t.Errorf("check: %+v, want %q", c, want)
		}
	}
	if c := service.ClusterCheck(&configs.Config{}, append(list[:2:2], list[4]), now, 0); !c.OK || c.Text != "2 of 3 nodes are there, with one configuration" {
		t.Errorf("check: %+v", c)
	}
	asking := &configs.Config{Workflows: []*configs.Workflow{
		{Name: "anywhere"}, {Name: "there", RunsOn: configs.RunsOn{Label: "x"}}, {Name: "train", RunsOn: configs.RunsOn{EveryNode: true, Label: "gpu"}},
	}}
	if c := service.ClusterCheck(asking, list, now, 0); !strings.Contains(c.Text, "no node carries the label gpu: workflow train") || strings.Contains(c.Text, "there") || c.OK {
		t.Errorf("check: %+v", c)
	}
	for ahead, want := range map[time.Duration]string{
		4 * time.Second: "", -4 * time.Second: "",
		time.Minute:              "the clock of this machine is 1m0s ahead of that of the database",
		-5120 * time.Millisecond: "the clock of this machine is 5.1s behind that of the database",
	} {
		if c := service.ClusterCheck(&configs.Config{}, list[:2], now, ahead); c.OK != (want == "") || !c.OK && c.Text != want {
			t.Errorf("clock %s: %+v, want %q", ahead, c, want)
		}
	}
	r.fail = errors.New("away")
	if _, err := service.MembersOf(t.Context(), r); !errors.Is(err, r.fail) {
		t.Errorf("got %v", err)
	}
}

// TestMembersOf_Twins: services that call themselves the same are found; one that
// was killed and started again is none.
func TestMembersOf_Twins(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 11, 3, 12, 0, 0, 0, time.UTC)
	runs := func(host string, lease, registered time.Duration) ledger.Node {
		n := serving("a", host+lease.String(), "one")
		n.Host, n.LeaseUntil, n.RegisteredAt = host, start.Add(lease), start.Add(registered)
		return n
	}
	for name, test := range map[string]struct {
		nodes []ledger.Node
		want  []string
	}{
		"one":         {[]ledger.Node{runs("m", 15*time.Second, 0)}, []string{}},
		"restarted":   {[]ledger.Node{runs("m", 15*time.Second, -time.Hour), runs("m", 20*time.Second, 5*time.Second)}, []string{}},
		"cloned":      {[]ledger.Node{runs("m", 15*time.Second, 0), runs("n", 20*time.Second, 5*time.Second)}, []string{"m:7"}},
		"one machine": {[]ledger.Node{runs("m", time.Hour, 0), runs("m", time.Hour+time.Second, 5*time.Second)}, []string{"m:7"}},
	} {
		list, err := service.MembersOf(t.Context(), roll{members: []ledger.Member{{Name: "a"}}, nodes: test.nodes})
		if err != nil || len(list) != 1 || !slices.Equal(list[0].Also, test.want) || list[0].Also == nil {
			t.Errorf("%s: %+v, %v", name, list, err)
		}
		if c := service.ClusterCheck(&configs.Config{}, list, start, 0); c.OK != (len(test.want) == 0) || !c.OK && !strings.Contains(c.Text, "m:7") {
			t.Errorf("%s: check %+v", name, c)
		}
	}
}

func TestForgetProblem(t *testing.T) {
	t.Parallel()
	for code, err := range map[api.Code]error{
		api.CodeSkipped: &ledger.MemberAliveError{Name: "a", Host: "h", PID: 7}, api.CodeNotFound: runner.ErrNotFound,
	} {
		if p, ok := errors.AsType[*api.Problem](service.ForgetProblem("a", err)); !ok || p.Code != code {
			t.Errorf("%v: got %+v, want %s", err, p, code)
		}
	}
	if err := service.ForgetProblem("a", nil); err != nil {
		t.Error(err)
	}
}

func TestOutside(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"": "", "http://127.0.0.1:8620": "", "http://[::1]:8620": "", "http://localhost:8620": "",
		"https://db-1.example:8620": "https://db-1.example:8620", "http://10.0.0.7:80": "http://10.0.0.7:80",
		"https://[::]:8620": "https://upkeep.example.com:8620", "https://0.0.0.0:8620": "https://upkeep.example.com:8620",
	} {
		if got := service.Outside("node", []string{"*.example.com", "upkeep.example.com"}, address); got != want {
			t.Errorf("%q: got %q, want %q", address, got, want)
		}
	}
}

func TestAhead(t *testing.T) {
	t.Parallel()
	said := time.Date(2026, 11, 3, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct{ before, after, want time.Duration }{
		{-time.Second, time.Second, 0},
		{0, 0, 0},
		{3 * time.Second, 4 * time.Second, 3 * time.Second},
		{-9 * time.Second, -7 * time.Second, -7 * time.Second},
	} {
		if got := service.Ahead(said.Add(c.before), said, said.Add(c.after)); got != c.want {
			t.Errorf("asked %s after, answered %s after: %s, want %s", c.before, c.after, got, c.want)
		}
	}
}
