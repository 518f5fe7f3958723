package service_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
	"github.com/ghosteam/upkeep/storage/ledger/ledgertest"
	"github.com/ghosteam/upkeep/web/api"
)

// away is two workflows that each node runs, or each with a label.
const away = `  all:
    schedule: {every: 2s}
    runs_on: every
    start_deadline: 10s
    catch_up: {run: none}
    overlap: allow
    jobs: {work: {kind: script, with: {run: "true"}}}
  dbs:
    schedule: {every: 3s}
    runs_on: {every: {label: db}}
    start_deadline: 10s
    catch_up: {run: none}
    overlap: allow
    jobs: {work: {kind: script, with: {run: "true"}}}
`

// startDeadline is that of away.
const startDeadline = 10 * time.Second

// absence is a test of nodes that go and come back.
type absence struct {
	record

	a *node
}

// every is the intervals of the workflows of away, whose slots are the multiples
// of them since 1970.
func (absence) every() map[string]time.Duration {
	return map[string]time.Duration{"all": 2 * time.Second, "dbs": 3 * time.Second}
}

// slots are those of a workflow in (from, until].
func (x absence) slots(workflow string, from, until time.Time) (list []time.Time) {
	every := int64(x.every()[workflow] / time.Second)
	for at := from.Unix() + 1; at <= until.Unix(); at++ {
		if at%every == 0 {
			list = append(list, time.Unix(at, 0).UTC())
		}
	}
	return list
}

// hosts are the nodes of the test that run a workflow, there or not.
func (absence) hosts(workflow string) []string {
	if workflow == "dbs" {
		return []string{"b", "c"}
	}
	return []string{"a", "b", "c"}
}

// ran waits until a node has run each of its workflows for a slot after an
// instant, and returns the latest of these slots.
func (x absence) ran(host string, after time.Time) (latest time.Time) {
	x.t.Helper()
	for workflow := range x.every() {
		if !slices.Contains(x.hosts(workflow), host) {
			continue
		}
		eventually(x.t, host+" runs "+workflow, func() bool {
			list, err := x.Runs(x.t.Context(), runner.Filter{Workflow: workflow, States: []runner.State{runner.Succeeded}, Limit: 100})
			if err != nil {
				x.t.Fatal(err)
			}
			at := slices.IndexFunc(list, func(run runner.Run) bool {
				return run.Host == host && run.Node == host && run.Slot.After(after)
			})
			if at >= 0 && list[at].Slot.After(latest) {
				latest = list[at].Slot
			}
			return at >= 0
		})
	}
	return latest
}

// TestNodes_Absent: what a node that is away misses of the workflows that each
// node runs, or each with its label, is on record as missed, each slot once for
// each node, and told once; the others go on, and so does the node when it is back.
func TestNodes_Absent(t *testing.T) {
	t.Parallel()
	dsn, shared := ledgertest.Postgres(t), t.TempDir()
	var sent atomic.Int32
	hook := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { sent.Add(1) }))
	t.Cleanup(hook.Close)
	more, soon := away+"channels: {hook: {kind: webhook, url: \""+hook.URL+"\"}}\n", absentVariable+"=500ms"
	const labeled = "labels: [db]\n"
	a, b := startNode(t, dsn, "a", shared, more, soon), startNode(t, dsn, "b", shared, more+labeled, soon)
	x := absence{openRecord(t, dsn), a}
	joined := x.ran("b", x.ran("a", time.Time{})) // both are at work from here on
	b.signal(syscall.SIGKILL)
	<-b.ended
	died := time.Now()
	eventually(t, "b is known to be away", func() bool { return !x.alive("b") })
	// Another one joins and leaves: it misses what b misses from then on.
	c := ledgertest.Open(t, dsn, func(o *ledger.Options) { o.Node, o.LeaseTTL, o.Labels, o.Member = "c", time.Hour, []string{"db"}, true })
	if err := c.Register(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the calendars of c begin", func() bool {
		cursors, err := x.Cursors(t.Context(), "c")
		if err != nil {
			t.Fatal(err)
		}
		return len(cursors) == len(x.every())
	})
	left := time.Now()
	until := left.Add(6 * time.Second)
	for workflow := range x.every() {
		x.missed(workflow, died, left, until)
	}
	x.toldOnce()
	x.seen(died, until)

	if err := x.Forget(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	startNode(t, dsn, "b", shared, more+labeled, soon)
	again := x.ran("b", time.Now())
	x.ran("a", again)
	for workflow := range x.every() {
		x.complete(workflow, joined, again)
	}
	x.toldOnce()
	if sent.Load() == 0 {
		t.Error("nothing was sent")
	}
}

// alive tells whether a node is there.
func (x absence) alive(name string) bool {
	x.t.Helper()
	list, err := x.Members(x.t.Context())
	if err != nil {
		x.t.Fatal(err)
	}
	return slices.ContainsFunc(list, func(m ledger.Member) bool { return m.Name == name && m.Alive })
}

// missed waits until the slots of a workflow in (died, until] are on record as
// missed by b, and those since left as missed by c, while a runs its own.
func (x absence) missed(workflow string, died, left, until time.Time) {
	x.t.Helper()
	want := map[string]string{}
	for _, host := range x.hosts(workflow) {
		from, state := map[string]time.Time{"a": died, "b": died, "c": left}[host], "skipped/missed"
		if host == "a" {
			state = "succeeded"
		}
		for _, slot := range x.slots(workflow, from, until) {
			want[key(host, slot)] = state
		}
	}
	if len(want) < 5 {
		x.t.Fatalf("too little is expected of %s: %v", workflow, want)
	}
	var got map[string]string
	eventually(x.t, "what b and c miss of "+workflow+" is on record", func() bool {
		got = x.shares(workflow, died, until)
		for at := range want {
			if got[at] == "" || got[at] == "queued" || got[at] == "running" {
				return false
			}
		}
		return true
	})
	for at, state := range want {
		if got[at] != state {
			x.t.Errorf("%s of %s is %s, want %s", at, workflow, got[at], state)
		}
	}
	list, err := x.Slots(x.t.Context(), workflow, died, until, 1000)
	if err != nil {
		x.t.Fatal(err)
	}
	both := false
	for _, run := range list {
		if run.Host != "a" && !strings.HasPrefix(run.Message, "the node "+run.Host+" was not there: ") {
			x.t.Errorf("%s of %s says %q", key(run.Host, run.Slot), workflow, run.Message)
		}
		if early := run.FinishedAt.Sub(run.Slot); run.Host != "a" && early < startDeadline {
			x.t.Errorf("%s of %s is missed after %s, before its deadline of %s", key(run.Host, run.Slot), workflow, early, startDeadline)
		}
		both = both || run.Host == "b" && strings.HasSuffix(run.Message, "; the same on c")
	}
	if !both {
		x.t.Errorf("no slot of %s says of b that c missed the same", workflow)
	}
}

// toldOnce looks that one incident of each workflow was opened and told, that of b.
func (x absence) toldOnce() {
	x.t.Helper()
	incidents, err := x.Incidents(x.t.Context(), runner.IncidentFilter{})
	if err != nil {
		x.t.Fatal(err)
	}
	told := map[string]int{}
	for _, i := range incidents {
		if i.Workflow == "" {
			continue
		}
		told[i.Fingerprint] += 0
		eventually(x.t, "nobody waits to be told of "+i.Fingerprint, func() bool {
			notices, err := x.Notices(x.t.Context(), runner.NoticeFilter{Incident: i.ID})
			if err != nil {
				x.t.Fatal(err)
			}
			opens, sent := 0, 0
			for _, n := range notices {
				if n.Action == runner.NoticeOpen {
					opens++
				}
				if n.Action == runner.NoticeOpen && n.State == runner.NoticeSent {
					sent++
				}
			}
			told[i.Fingerprint] = max(told[i.Fingerprint], opens)
			return sent == opens
		})
	}
	if diff := cmp.Diff(map[string]int{"workflow/all@b": 1, "workflow/dbs@b": 1}, told); diff != "" {
		x.t.Errorf("told (-want +got):\n%s", diff)
	}
}

// seen looks that a person sees a slot of each workflow with all nodes' shares.
func (x absence) seen(died, until time.Time) {
	x.t.Helper()
	for workflow := range x.every() {
		slots := x.slots(workflow, died, until)
		slot := slots[len(slots)-1]
		why, err := x.a.api.Why(x.t.Context(), workflow, slot.Format(time.RFC3339), "")
		at := slices.IndexFunc(why.Slots, func(e api.Explained) bool { return e.Slot != nil && e.Slot.Equal(slot) })
		if err != nil || at < 0 {
			x.t.Fatalf("why %s at %s: %+v, %v", workflow, slot, why, err)
		}
		var got, want []string
		for _, h := range why.Slots[at].Hosts {
			got = append(got, fmt.Sprintf("%s %s/%s", h.Host, h.State, h.Reason))
		}
		for _, host := range x.hosts(workflow) {
			state := "skipped/missed"
			if host == "a" {
				state = "succeeded/"
			}
			want = append(want, host+" "+state)
		}
		if diff := cmp.Diff(want, got); diff != "" || why.Slots[at].State != runner.Skipped {
			x.t.Errorf("why %s, as a whole %s (-want +got):\n%s", workflow, why.Slots[at].State, diff)
		}
	}
	list, err := x.a.api.Members(x.t.Context())
	if err != nil || !slices.ContainsFunc(list, func(m api.Member) bool { return m.Name == "b" && m.State == api.MemberAbsent }) {
		x.t.Errorf("nodes: %+v, %v", list, err)
	}
}

// complete looks that each slot of a workflow in (from, until] is on record for a,
// which ran it, and for b, which ran it or missed it.
func (x absence) complete(workflow string, from, until time.Time) {
	x.t.Helper()
	var got map[string]string
	eventually(x.t, "what began of "+workflow+" ends", func() bool {
		got = x.shares(workflow, from, until)
		for _, state := range got {
			if state == "queued" || state == "running" {
				return false
			}
		}
		return true
	})
	want, missed := map[string]bool{}, 0
	for _, host := range []string{"a", "b"} {
		if !slices.Contains(x.hosts(workflow), host) {
			continue
		}
		for _, slot := range x.slots(workflow, from, until) {
			at := key(host, slot)
			want[at] = true
			switch state := got[at]; {
			case state == "skipped/missed" && host == "b":
				missed++
			case state != "succeeded":
				x.t.Errorf("%s of %s is %q", at, workflow, state)
			}
		}
	}
	for at := range got {
		if !want[at] && !strings.HasPrefix(at, "c ") {
			x.t.Errorf("%s of %s is on record and no slot", at, workflow)
		}
	}
	x.t.Logf("%s: %d shares of a and b, %d of them missed", workflow, len(want), missed)
}
