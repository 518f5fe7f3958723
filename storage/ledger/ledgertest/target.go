package ledgertest

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/runner"
)

// testTargets: who may claim what, by labels; what a queue is told.
func testTargets(t *testing.T, dsn secret.String) {
	s := join(t, dsn, "a", longLease, "db", "gpu")
	at := Midnight()
	for _, test := range []struct {
		target runner.Target
		fits   bool
	}{{"", true}, {runner.OnLabel("db"), true}, {runner.OnLabel("gpu"), true}, {runner.OnLabel("web"), false}, {runner.OnNode("a"), true}} {
		at = at.Add(time.Hour)
		request := Request("w", at)
		request.Target = test.target
		id := s.submit(request)[0]
		_, run, err := s.Claim(s.ctx, id)
		if test.fits != (err == nil) || err != nil && !errors.Is(err, runner.ErrNotClaimable) {
			t.Errorf("a run for %s: %v", test.target, err)
		}
		if err == nil && run.Target != test.target {
			t.Errorf("claimed for %q, want %q", run.Target, test.target)
		}
	}
	for _, target := range []runner.Target{"db", "node:", "label:", "Label:db"} {
		request := Request("w", at.Add(time.Minute))
		request.Target = target
		if _, err := s.Submit(s.ctx, request); err == nil {
			t.Errorf("the target %q was accepted", target)
		}
	}
}

func testDeliveries(t *testing.T, dsn secret.String) {
	s := join(t, dsn, "a", longLease)
	at := Midnight()
	labeled, hosted, plain := Request("w", at), Request("w", at.Add(time.Second)), Request("w", at.Add(time.Minute))
	labeled.Target, hosted.Host, hosted.Target = runner.OnLabel("db"), "a", runner.OnLabel("gone")
	ids := s.submit(labeled, hosted, plain)
	c := s.claim(ids[2])
	ended := s.running()
	s.finish(ended, runner.Succeeded)
	got, err := s.Deliveries(s.ctx, ids[2], ids[0], ended.Run, ids[1], ids[0], "none")
	if err != nil {
		t.Fatal(err)
	}
	same(t, "what is to be delivered", []runner.Delivery{
		{Run: ids[0], Target: runner.OnLabel("db")}, {Run: ids[1], Target: runner.OnNode("a")}, {Run: ids[2], Epoch: c.Epoch},
	}, got)
	if got, err := s.Deliveries(s.ctx); err != nil || len(got) != 0 {
		t.Errorf("of no runs: %v, %v", got, err)
	}
}

// testExpire: what has not begun in time ends as missed, and nothing else does.
func testExpire(t *testing.T, dsn secret.String) {
	s := join(t, dsn, "a", longLease)
	at := Midnight()
	request := func(startBy time.Time) runner.Request {
		at = at.Add(time.Hour)
		r := Request("w", at)
		r.StartBy = startBy
		return r
	}
	past, future := time.Now().Add(-time.Minute), time.Now().Add(time.Hour)
	late, early, never := request(past), request(future), request(time.Time{})
	late.Target = runner.OnLabel("db")
	waits, begun, given := request(past), request(past), request(past)
	waits.Approval = true
	ids := s.submit(late, early, never, waits, begun, given)
	s.claim(ids[4])
	if err := s.Release(s.ctx, s.claim(ids[5])); err != nil {
		t.Fatal(err)
	}
	expired, err := s.Expire(s.ctx)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "what expired", ids[:1], expired)
	run := s.run(ids[0])
	if run.State != runner.Skipped || run.Reason != runner.ReasonMissed || run.FinishedAt.IsZero() || !strings.Contains(run.Message, "nodes labeled db") || !run.StartBy.Equal(past.Truncate(time.Microsecond)) {
		t.Errorf("it ended as %+v", run)
	}
	for i, want := range []runner.State{runner.Queued, runner.Queued, runner.Queued, runner.Running, runner.Queued} {
		if got := s.run(ids[i+1]).State; got != want {
			t.Errorf("run %d is %s, want %s", i+1, got, want)
		}
	}
	if expired, err := s.Expire(s.ctx); err != nil || len(expired) != 0 {
		t.Errorf("again: %v, %v", expired, err)
	}
}

// testSlotFilter: the runs of one slot on all nodes.
func testSlotFilter(t *testing.T, dsn secret.String) {
	s := join(t, dsn, "a", longLease)
	at := Midnight()
	request := func(workflow, host string, slot time.Time) runner.Request {
		r := Request(workflow, slot)
		r.Host = host
		return r
	}
	skipped := request("w", "c", at)
	skipped.State, skipped.Reason = runner.Skipped, runner.ReasonMissed
	ids := s.submit(request("w", "a", at), request("w", "b", at), skipped, request("w", "a", at.Add(time.Second)), request("v", "a", at), request("w", "d", at.Add(time.Second-time.Microsecond)))
	for name, test := range map[string]struct {
		filter runner.Filter
		want   []runner.RunID
	}{
		"all":     {runner.Filter{Workflow: "w", Slot: at}, []runner.RunID{ids[5], ids[2], ids[1], ids[0]}},
		"limited": {runner.Filter{Workflow: "w", Slot: at, Limit: 2}, []runner.RunID{ids[5], ids[2]}},
		"before":  {runner.Filter{Workflow: "w", Slot: at, Before: ids[2]}, []runner.RunID{ids[1], ids[0]}},
		"state":   {runner.Filter{Workflow: "w", Slot: at, States: []runner.State{runner.Skipped}}, []runner.RunID{ids[2]}},
		"trigger": {runner.Filter{Workflow: "w", Slot: at, Triggers: []runner.Trigger{runner.ByManual}}, nil},
		"none":    {runner.Filter{Workflow: "w", Slot: at.Add(-time.Second)}, nil},
	} {
		runs, err := s.Runs(s.ctx, test.filter)
		if err != nil {
			t.Fatal(err)
		}
		var got []runner.RunID
		for _, run := range runs {
			got = append(got, run.ID)
		}
		same(t, name, test.want, got)
	}
	if _, err := s.Runs(s.ctx, runner.Filter{Slot: at}); err == nil {
		t.Error("a slot of no workflow was looked for")
	}
}
