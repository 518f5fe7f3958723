package service

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
	"github.com/ghosteam/upkeep/web"
	"github.com/ghosteam/upkeep/web/api"
)

// announceEvery is how often a service looks whether what it says of itself is
// on record.
const announceEvery = 10 * time.Second

// absentFor is how long a node may be away before that is a problem: a restart
// is none.
const absentFor = 2 * time.Minute

// twinsAfter is how far the lease of a service reaches beyond the start of
// another one of its name when they run beside each other. Longer leases of dead
// ones look like that for a while.
const twinsAfter = time.Minute

// memberReader is what the ledger knows about nodes.
type memberReader interface {
	Members(ctx context.Context) ([]ledger.Member, error)
	Nodes(ctx context.Context) ([]ledger.Node, error)
	Working(ctx context.Context) (map[string]int, error)
}

// clockOff is how far the clock of a node may be from that of the database:
// slots are decided by the one, leases go by the other.
const clockOff = 5 * time.Second

// cluster is the nodes as the API shows them.
type cluster struct{ e *Engine }

var _ web.Cluster = cluster{}

// Members implements web.Cluster.
func (c cluster) Members(ctx context.Context) ([]api.Member, error) {
	return MembersOf(ctx, c.e.ledger)
}

// Forget implements web.Cluster.
func (c cluster) Forget(ctx context.Context, name string) error {
	return ForgetProblem(name, c.e.ledger.Forget(ctx, name))
}

// ForgetProblem is why a node was not forgotten, as the API answers it.
func ForgetProblem(name string, err error) error {
	if alive, is := errors.AsType[*ledger.MemberAliveError](err); is {
		return api.NewProblem(api.CodeSkipped, "stop upkeep there first; a node that comes back belongs to the system again", alive.Error())
	}
	if errors.Is(err, runner.ErrNotFound) {
		return api.NewProblem(api.CodeNotFound, "`upkeep nodes` lists the nodes", "there is no node "+name)
	}
	return err
}

// MembersOf lists the nodes that belong to the system, ordered by name.
func MembersOf(ctx context.Context, l memberReader) ([]api.Member, error) {
	members, err := l.Members(ctx)
	if err != nil {
		return nil, err
	}
	nodes, err := l.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	working, err := l.Working(ctx)
	if err != nil {
		return nil, err
	}
	list := make([]api.Member, len(members))
	for i, m := range members {
		list[i] = memberOf(m, nodes, working)
	}
	markDrift(list)
	return list, nil
}

// memberOf is a member with what its instances say.
func memberOf(m ledger.Member, nodes []ledger.Node, working map[string]int) api.Member {
	v := api.Member{
		Also: []string{}, Name: m.Name, State: api.MemberAbsent, Host: m.Host, Version: m.Version, Labels: append([]string{}, m.Labels...),
		FirstSeen: m.FirstSeen.UTC(), LastSeen: m.LastSeen.UTC(),
	}
	var before ledger.Node
	for _, n := range nodes {
		if n.Name != m.Name {
			continue
		}
		v.Running += working[n.Instance]
		if !n.Member || !n.Alive {
			continue
		}
		// Of several services of one name the last one is shown.
		if before.Instance != "" && beside(before, n) {
			v.Also = append(v.Also, fmt.Sprintf("%s:%d", before.Host, before.PID))
		}
		before = n
		v.State, v.Host, v.PID, v.Version, v.Labels = api.MemberAlive, n.Host, n.PID, n.Version, append([]string{}, n.Labels...)
		if n.Facts.Draining {
			v.State = api.MemberDraining
		}
		v.StartedAt, v.LeaseUntil = api.Instant(n.RegisteredAt), api.Instant(n.LeaseUntil)
		v.Config, v.ConfigPath, v.Web = n.Facts.Config, n.Facts.Path, n.Facts.Web
	}
	return v
}

// beside tells whether two services of one name run beside each other: a
// service that was killed, and started again on the same machine, seems to for
// the rest of its lease.
func beside(older, newer ledger.Node) bool {
	return older.Host != newer.Host || older.LeaseUntil.Sub(newer.RegisteredAt) > twinsAfter
}

// markDrift marks the nodes whose configuration is not that of most. When as
// many have one as another, that of the first by name counts.
func markDrift(list []api.Member) {
	usual := usualConfig(list)
	for i := range list {
		list[i].Drift = list[i].Config != "" && list[i].Config != usual
	}
}

func usualConfig(list []api.Member) string {
	count := map[string]int{}
	for _, m := range list {
		if m.Config != "" {
			count[m.Config]++
		}
	}
	usual := ""
	for _, m := range list {
		if m.Config != "" && (usual == "" || count[m.Config] > count[usual]) {
			usual = m.Config
		}
	}
	return usual
}

// ClusterCheck says what is wrong with the nodes that share a ledger: nodes
// that go by another configuration, such as have been away for long, what cfg
// asks for that none of them may run, and the clock of this machine, which is
// ahead of the database's.
func ClusterCheck(cfg *configs.Config, list []api.Member, now time.Time, ahead time.Duration) api.StatusCheck {
	c := api.StatusCheck{Name: "cluster", OK: true}
	var drift, usual, away, twins []string
	there := 0
	for _, m := range list {
		if len(m.Also) > 0 {
			twins = append(twins, fmt.Sprintf("%s (%s:%d, %s)", m.Name, m.Host, m.PID, strings.Join(m.Also, ", ")))
		}
		switch {
		case m.State == api.MemberAbsent && now.Sub(m.LastSeen) > absentFor:
			away = append(away, m.Name)
		case m.State == api.MemberAbsent:
		case m.Drift:
			there, drift = there+1, append(drift, m.Name)
		default:
			there, usual = there+1, append(usual, m.Name)
		}
	}
	var wrong []string
	if len(twins) > 0 {
		wrong = append(wrong, "several services with one name, give each its own `node`: "+strings.Join(twins, ", "))
	}
	if len(drift) > 0 {
		wrong = append(wrong, fmt.Sprintf("%s: another configuration than %s", namesOf("node", drift), strings.Join(usual, ", ")))
	}
	if len(away) > 0 {
		wrong = append(wrong, fmt.Sprintf("%s: away for more than %s; `upkeep nodes forget` if for good", namesOf("node", away), absentFor))
	}
	for _, unserved := range Unserved(cfg, list) {
		wrong = append(wrong, "no node carries the "+unserved)
	}
	if off := ahead.Abs(); off >= clockOff {
		way := "ahead of"
		if ahead < 0 {
			way = "behind"
		}
		wrong = append(wrong, fmt.Sprintf("the clock of this machine is %s %s that of the database", off.Round(100*time.Millisecond), way))
	}
	if c.OK = len(wrong) == 0; !c.OK {
		c.Text = strings.Join(wrong, "; ")
		return c
	}
	c.Text = fmt.Sprintf("%d of %d nodes are there, with one configuration", there, len(list))
	return c
}

// Unserved says what cfg asks for that none of the nodes may run.
func Unserved(cfg *configs.Config, list []api.Member) []string {
	labels := make([][]string, len(list))
	for i, m := range list {
		labels[i] = m.Labels
	}
	return cfg.Unserved(labels)
}

// namesOf is "node a" or "nodes a, b".
func namesOf(what string, names []string) string {
	if len(names) > 1 {
		what += "s"
	}
	return what + " " + strings.Join(names, ", ")
}

// clusterCheck looks at the other nodes; false when there cannot be any.
func (f facts) clusterCheck(ctx context.Context) (api.StatusCheck, bool) {
	if f.e.Config().Ledger.Dialect != "postgres" {
		return api.StatusCheck{}, false
	}
	ctx, cancel := context.WithTimeoutCause(ctx, time.Second, fmt.Errorf("no answer within %s", time.Second))
	defer cancel()
	list, err := MembersOf(ctx, f.e.ledger)
	if err != nil {
		return api.StatusCheck{Name: "cluster", Text: "the nodes are not known: " + firstLine(err)}, true
	}
	before := time.Now()
	said, err := f.e.ledger.Now(ctx)
	if err != nil {
		return api.StatusCheck{Name: "cluster", Text: "the clock of the database is not known: " + firstLine(err)}, true
	}
	now := time.Now()
	return ClusterCheck(f.e.Config(), list, now, Ahead(before, said, now)), true
}

// Ahead is by how much at least a clock that showed before and after is ahead of
// another one that showed said in between; negative when it is behind. A slow
// answer hides a difference and never makes one.
func Ahead(before, said, after time.Time) time.Duration {
	switch {
	case before.After(said):
		return before.Sub(said)
	case after.Before(said):
		return after.Sub(said)
	default:
		return 0
	}
}

// digest remembers what the configuration in force has in common with those of
// other nodes: to compute it takes a walk through all of it. It is safe for use
// by several goroutines.
type digest struct {
	mu  sync.Mutex
	cfg *configs.Config
	sum string
}

func (d *digest) of(cfg *configs.Config) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cfg != cfg {
		d.cfg, d.sum = cfg, cfg.SharedDigest()
	}
	return d.sum
}

// announce puts on record what the others are to know of this node.
func (d *Daemon) announce(ctx context.Context) error {
	cfg := d.Config()
	return d.ledger.Announce(ctx, ledger.NodeFacts{
		Config: d.digest.of(cfg), Path: cfg.Path, Draining: d.gate.has(holdDrain) || d.gate.has(holdEnd), Web: outside(cfg.Node, cfg.Web.Hosts, d.web()),
	})
}

// announceNow is announce when something changed; the chore repeats it if it
// fails.
func (d *Daemon) announceNow(ctx context.Context) {
	if err := d.announce(ctx); err != nil {
		d.o.Log.WarnContext(ctx, "tell the other nodes about this one", "error", err)
	}
}

// outside is the address of the pages for others; empty when they are for this
// machine alone. names are those that requests may be for.
func outside(node string, names []string, address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return ""
	}
	ip := net.ParseIP(u.Hostname())
	switch {
	case u.Hostname() == "localhost", ip != nil && ip.IsLoopback():
		return ""
	case ip == nil || !ip.IsUnspecified():
		return address
	}
	// It listens everywhere: the name under which people know it.
	host, err := os.Hostname()
	if err != nil {
		host = node
	}
	if at := slices.IndexFunc(names, func(name string) bool { return name != "" && !strings.HasPrefix(name, "*") }); at >= 0 {
		host = names[at]
	}
	u.Host = net.JoinHostPort(host, u.Port())
	return u.String()
}
