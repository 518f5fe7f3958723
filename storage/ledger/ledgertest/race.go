package ledgertest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
)

// slots are n due slots of one workflow.
func slots(n int) []runner.Request {
	list := make([]runner.Request, n)
	for i := range list {
		list[i] = Request("race", Midnight().Add(time.Duration(i)*time.Minute))
	}
	return list
}

// testRaces: several nodes submit the same slots and claim the same runs.
func testRaces(t *testing.T, dsn secret.String) {
	const nodes, perNode, count = 2, 3, 200
	var sites []*site
	for i := range nodes {
		sites = append(sites, join(t, dsn, fmt.Sprintf("node-%d", i), longLease))
	}
	var mu sync.Mutex
	fresh, winners := map[runner.RunID]int{}, map[runner.RunID][]runner.Claim{}
	compete := func(work func(s *site)) {
		var wait sync.WaitGroup
		for _, s := range sites {
			for range perNode {
				wait.Go(func() { work(s) })
			}
		}
		wait.Wait()
	}
	compete(func(s *site) {
		for chunk := range slices.Chunk(slots(count), 50) {
			answers, err := s.Submit(s.ctx, chunk...)
			if err != nil {
				t.Errorf("Submit: %v", err)
				return
			}
			mu.Lock()
			for _, a := range answers {
				if !a.Duplicate {
					fresh[a.Run]++
				}
			}
			mu.Unlock()
		}
	})
	ids := sites[0].pending()
	if len(ids) != count || len(fresh) != count {
		t.Fatalf("%d runs are on record and %d were answered as new, want %d", len(ids), len(fresh), count)
	}
	compete(func(s *site) {
		for _, id := range ids {
			c, _, err := s.Claim(s.ctx, id)
			if errors.Is(err, runner.ErrNotClaimable) {
				continue
			}
			if err != nil {
				t.Errorf("Claim: %v", err)
				return
			}
			mu.Lock()
			winners[id] = append(winners[id], c)
			mu.Unlock()
		}
	})
	for _, id := range ids {
		if fresh[id] != 1 || len(winners[id]) != 1 || winners[id][0].Epoch != 1 {
			t.Errorf("run %s: recorded %d times, claimed as %+v", id, fresh[id], winners[id])
		}
	}
}

// testDeadlocks: transactions that want the same things in opposite orders.
func testDeadlocks(t *testing.T, dsn secret.String) {
	a, b := join(t, dsn, "a", longLease), join(t, dsn, "b", longLease)
	there := slots(40)
	back := slices.Clone(there)
	slices.Reverse(back)
	first, second := a.running(), b.running()
	locks := []string{"one", "two", "three", "four"}
	step := func(round int, locks []string) runner.Step {
		var s runner.Step
		for i, lock := range locks {
			s.Begun = append(s.Begun, runner.Start{Attempt: Attempt(fmt.Sprintf("job-%d-%d", round, i), 1), Locks: []string{lock}})
		}
		return s
	}
	play := func(s *site, c runner.Claim, requests []runner.Request, locks []string) {
		for round := range 10 {
			moved := slices.Clone(requests)
			for i := range moved {
				moved[i].Slot = moved[i].Slot.AddDate(round, 0, 0)
			}
			if _, err := s.Submit(s.ctx, moved...); err != nil {
				t.Errorf("Submit: %v", err)
			}
			if _, err := s.Advance(s.ctx, c, step(round, locks)); err != nil {
				t.Errorf("Advance: %v", err)
			}
			for i := range locks {
				end := Ended(Attempt(fmt.Sprintf("job-%d-%d", round, i), 1), runner.Skipped)
				if _, err := s.Advance(s.ctx, c, runner.Step{Ended: []runner.End{{Attempt: end}}}); err != nil {
					t.Errorf("Advance: %v", err)
				}
			}
		}
	}
	reversed := slices.Clone(locks)
	slices.Reverse(reversed)
	var wait sync.WaitGroup
	wait.Go(func() { play(a, first, there, locks) })
	wait.Go(func() { play(b, second, back, reversed) })
	wait.Wait()
	if len(a.held()) > 0 {
		t.Errorf("locks are left: %v", a.held())
	}
}

func testCanceled(t *testing.T, dsn secret.String) {
	s := join(t, dsn, "a", longLease)
	c := s.running()
	before := s.state(c.Run)
	why := errors.New("the caller went home")
	ctx, cancel := context.WithCancelCause(s.ctx)
	cancel(why)
	gone := &site{Ledger: s.Ledger, t: t, ctx: ctx}
	for what, write := range writes(gone) {
		if err := write(c); !errors.Is(err, why) {
			t.Errorf("%s with an ended context: %v, want its cause", what, err)
		}
	}
	if _, err := s.Submit(ctx, Request("w", Midnight())); !errors.Is(err, why) {
		t.Errorf("Submit with an ended context: %v, want its cause", err)
	}
	if _, err := s.Runs(ctx, runner.Filter{}); !errors.Is(err, why) {
		t.Errorf("Runs with an ended context: %v, want its cause", err)
	}
	same(t, "the run", before, s.state(c.Run))
	s.finish(c, runner.Succeeded)
}

func testReaderOnly(t *testing.T, dsn secret.String) {
	if _, err := ledger.OpenReader(t.Context(), ledger.Options{DSN: dsn}); !errors.Is(err, ledger.ErrMissing) {
		t.Errorf("OpenReader of nothing: %v, want ErrMissing", err)
	}
	s := join(t, dsn, "a", longLease)
	id := s.queued()
	r, err := ledger.OpenReader(t.Context(), ledger.Options{DSN: dsn})
	if err != nil {
		t.Fatalf("OpenReader: %v", err)
	}
	defer func() {
		if err := r.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}()
	for _, id := range append([]runner.RunID{id}, s.queued()) {
		got, err := r.Run(t.Context(), string(id))
		if err != nil {
			t.Fatalf("Run: %v", err)
		}
		same(t, "the run as others read it", s.run(id), got)
	}
	nodes, err := r.Nodes(t.Context())
	if err != nil || len(nodes) != 1 || !nodes[0].Alive {
		t.Errorf("Nodes = %+v, %v", nodes, err)
	}
}
