package service_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger/ledgertest"
)

// checkRuns are the runs of a runbook that were not refused, newest first.
func (r record) checkRuns(workflow string) []runner.Run {
	r.t.Helper()
	list, err := r.Runs(r.t.Context(), runner.Filter{Workflow: workflow, Triggers: []runner.Trigger{runner.ByCheck}})
	if err != nil {
		r.t.Fatal(err)
	}
	return slices.DeleteFunc(list, func(run runner.Run) bool { return run.State == runner.Skipped })
}

// TestNodes_Runbooks: a check that fires on two nodes at once starts its runbook
// on one, for the limits count over both; people are asked once; and of a check
// that one node asks the other judges nothing.
func TestNodes_Runbooks(t *testing.T) {
	t.Parallel()
	dsn, shared := ledgertest.Postgres(t), t.TempDir()
	const more = `checks:
  sick: {kind: script, runs_on: every, every: 1s, retry_every: 1s, fail_after: 1, impact: outage, timeout: 1s, with: {run: "exit 2"}}
  alone: {kind: script, every: 1s, retry_every: 1s, fail_after: 1, impact: outage, timeout: 1s, with: {run: "exit 2"}}
channels: {hook: {kind: webhook, url: "http://127.0.0.1:1/"}}
`
	const books = `  mend:
    trigger: {check: sick, evidence: true}
    limits: {cooldown: 1h, max: 1/24h, grace: 1s}
    jobs: {work: {kind: script, with: {run: "true"}}}
  asked:
    trigger: {check: sick, evidence: true}
    mode: approve
    limits: {cooldown: 1h, max: 1/24h, grace: 1s}
    jobs: {work: {kind: script, with: {run: "true"}}}
  single:
    trigger: {check: alone, evidence: true}
    limits: {cooldown: 1h, max: 1/24h, grace: 1s}
    jobs: {work: {kind: script, with: {run: "true"}}}
`
	a, b := startNode(t, dsn, "a", shared, books+more), startNode(t, dsn, "b", shared, books+more)
	r := openRecord(t, dsn)
	for _, name := range []string{"mend", "single"} {
		eventually(t, name+" has run and is judged", func() bool {
			remedies, err := r.Remedies(t.Context(), runner.RemedyFilter{Workflow: name})
			if err != nil {
				t.Fatal(err)
			}
			return len(remedies) > 0 && remedies[0].Outcome != runner.OutcomeOpen
		})
	}
	eventually(t, "people are asked", func() bool { return len(r.checkRuns("asked")) > 0 })
	eventually(t, "both nodes have thought about it", func() bool {
		started, refused := 0, 0
		for _, n := range []*node{a, b} {
			log := n.log.String()
			started += strings.Count(log, `msg="a check started a runbook" runbook=mend`)
			refused += min(1, strings.Count(log, `msg="a runbook is due and does not start" runbook=mend`))
		}
		return started == 1 && refused == 2 // who started it is refused a second time
	})
	for _, name := range []string{"mend", "asked", "single"} {
		runs := r.checkRuns(name)
		remedies, err := r.Remedies(t.Context(), runner.RemedyFilter{Workflow: name})
		if err != nil || len(runs) != 1 || len(remedies) != 1 {
			t.Errorf("%s: %d runs, remedies %+v, %v", name, len(runs), remedies, err)
			continue
		}
		if name == "single" {
			continue
		}
		if runs[0].Host == "" || remedies[0].Check != runner.CheckOn("sick", runs[0].Host) || remedies[0].Run != runs[0].ID {
			t.Errorf("%s: for %q by %+v", name, runs[0].Host, remedies[0])
		}
	}
	var owed []runner.Notice
	eventually(t, "the notice is owed", func() bool {
		list, err := r.Notices(t.Context(), runner.NoticeFilter{Channel: "hook"})
		if err != nil {
			t.Fatal(err)
		}
		owed = slices.DeleteFunc(list, func(n runner.Notice) bool { return n.Action != runner.NoticeRemind })
		return len(owed) > 0
	})
	if len(owed) != 1 {
		t.Errorf("people were asked %d times: %+v", len(owed), owed)
	}
}
