package ledgertest

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/runner"
)

// testBudget: of nodes that ask for a run of a runbook at the same moment, each
// for itself, one gets it; and the limits count what all of them did.
func testBudget(t *testing.T, dsn secret.String) {
	nodes := []string{"a", "b", "c", "d"}
	sites := make([]*site, len(nodes))
	for i, node := range nodes {
		sites[i] = join(t, dsn, node, longLease)
	}
	budget := runner.Budget{Cooldown: 0, Max: 2, Per: time.Hour}
	ask := func(node int) runner.Request {
		r := Request("mend", time.Now().Add(time.Duration(node)*time.Millisecond))
		r.Trigger, r.Host, r.Overlap, r.Budget = runner.ByCheck, nodes[node], runner.OverlapSkip, &budget
		return r
	}
	// together has all of them ask, and returns the one whose run is queued.
	together := func() (winner int, run runner.RunID) {
		t.Helper()
		answers := make([]runner.Submission, len(nodes))
		var wait sync.WaitGroup
		for i, s := range sites {
			wait.Go(func() {
				list, err := s.Submit(s.ctx, ask(i))
				if err != nil {
					t.Errorf("Submit: %v", err)
					return
				}
				answers[i] = list[0]
			})
		}
		wait.Wait()
		winner = -1
		for i, a := range answers {
			switch {
			case a.State == runner.Queued && winner < 0:
				winner, run = i, a.Run
			case a.State != runner.Skipped || a.Message == "":
				t.Errorf("%s is answered %+v", nodes[i], a)
			}
		}
		return winner, run
	}
	for range budget.Max {
		winner, run := together()
		if winner < 0 {
			t.Fatal("nobody got a run")
		}
		sites[winner].finish(sites[winner].claim(run), runner.Succeeded)
	}
	if winner, _ := together(); winner >= 0 {
		t.Errorf("%s got a run beyond the budget", nodes[winner])
	}
	// The cool-down counts from the end of the last run of any node.
	budget = runner.Budget{Cooldown: time.Hour, Max: 100, Per: time.Hour}
	list, err := sites[3].Submit(t.Context(), ask(3))
	if err != nil || list[0].State != runner.Skipped || !strings.Contains(list[0].Message, "cool-down") {
		t.Errorf("within the cool-down: %+v, %v", list, err)
	}
	// What somebody asks for by hand has none.
	byHand := Request("mend", time.Now())
	byHand.Trigger = runner.ByManual
	if list, err := sites[0].Submit(t.Context(), byHand); err != nil || list[0].State != runner.Queued {
		t.Errorf("by hand: %+v, %v", list, err)
	}
}
