package pages_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

// hostRuns are runs of one slot, so many hours ago, on a node for each state.
func hostRuns(hours int, states ...runner.State) []api.RunRecord {
	var list []api.RunRecord
	for i, state := range states {
		r := record(fmt.Sprintf("01a20606-35c0-7000-8%03d-%012d", hours, i+1), "daily", state, time.Duration(hours)*time.Hour)
		r.Host = fmt.Sprintf("db-%d", i+1)
		r.Node = r.Host
		switch state {
		case runner.Skipped:
			r.Reason, r.StartedAt = runner.ReasonMissed, nil
		case runner.Failed:
			r.Reason, r.Message = runner.ReasonError, "the disk of "+r.Host+" is full"
		default:
		}
		list = append(list, r)
	}
	slices.Reverse(list) // newest first
	return list
}

// everyNode is a world with a workflow that every node runs, newest slot first.
func everyNode(slots ...[]api.RunRecord) *world {
	w := usualWorld("dump-all", "text")
	detail, _ := w.answers["/workflows/daily"].(api.WorkflowDetail)
	detail.RunsOn, detail.Recent, detail.Paused = "every db", nil, nil
	list := api.Runs{Runs: []api.RunRecord{}}
	calendar := api.Calendar{Workflow: "daily", Zone: "UTC", Slots: []api.CalendarSlot{}}
	for _, slot := range slots {
		list.Runs = append(list.Runs, slot...)
		for _, r := range slot {
			detail.Recent = append(detail.Recent, api.RecentRun{ID: r.ID, State: r.State, Slot: r.Slot, StartedAt: r.StartedAt, DurationSeconds: r.DurationSeconds})
			calendar.Slots = append(calendar.Slots, api.CalendarSlot{Slot: r.Slot, Slots: 1, State: r.State, Reason: r.Reason, Run: r.ID})
			w.answers["/runs/"+string(r.ID)] = r
			w.answers["/runs/"+string(r.ID)+"/detail"] = api.RunDetail{Run: r}
		}
	}
	detail.Last = last(list.Runs[0])
	w.answers["/runs"], w.answers["/workflows/daily/slots"] = list, calendar
	w.answers["/workflows/daily"], w.answers["/workflows"] = detail, api.Workflows{Workflows: []api.Workflow{detail.Workflow}}
	w.answers["/incidents"] = api.Incidents{Incidents: []api.Incident{}}
	w.answers["/status"] = api.Status{Node: "db-1"}.Filled()
	return w
}

// TestRun_Hosts shows the run of one node beside those of the others.
func TestRun_Hosts(t *testing.T) {
	t.Parallel()
	slot := hostRuns(3, runner.Succeeded, runner.Failed, runner.Skipped, runner.Running)
	w := everyNode(slot, hostRuns(27, runner.Failed, runner.Failed))
	body := page(t, w, "/runs/"+string(slot[3].ID))
	checkHTML(t, "hosts", body)
	table := between(body, `<h2 id="hosts">`, "</section>")
	says(t, table, "1 failed, 1 running, 1 missed and 1 succeeded", "the disk of db-2 is full", "nothing ran upkeep when it was due", `<b>db-1</b> <span class="muted small">this run</span>`, runHref(slot[2]), runHref(slot[0]))
	saysNot(t, table, runHref(slot[3])) // it is this one
	if strings.Index(table, "db-2") > strings.Index(table, "db-1") {
		t.Error("the failure does not stand first")
	}
	if strings.Count(table, "<tr") != 5 {
		t.Errorf("the table has other runs than those of the slot: %s", table)
	}
	if asked := strings.Join(w.read, "\n"); !strings.Contains(asked, "slot=2026-11-23T04%3A00%3A00Z") {
		t.Errorf("asked %s", asked)
	}
	says(t, body, `<h1>daily <span class="muted">on db-1</span></h1>`)

	alone := everyNode(hostRuns(3, runner.Succeeded))
	saysNot(t, page(t, alone, runPath(hostRuns(3, runner.Succeeded)[0])), "The same slot on all nodes")
	saysNot(t, page(t, usualWorld("dump-all", "text"), "/runs/"+failedRun), "The same slot on all nodes", `<span class="muted">on `)
}

func runPath(r api.RunRecord) string { return "/runs/" + string(r.ID) }

func runHref(r api.RunRecord) string { return `href="` + runPath(r) + `"` }

// TestRun_ManyHosts: a slot on more nodes than anybody reads is counted.
func TestRun_ManyHosts(t *testing.T) {
	t.Parallel()
	states := slices.Repeat([]runner.State{runner.Succeeded}, 300)
	states[200], states[250] = runner.Failed, runner.Lost
	slot := hostRuns(3, states...)
	w := everyNode(slot)
	body := page(t, w, runPath(slot[0]))
	checkHTML(t, "many hosts", body)
	says(t, body, "1 failed, 1 lost and 298 succeeded", "And 240 more nodes: 240 succeeded.", "db-201", "db-251")
	if len(body) > mostWeight {
		t.Errorf("the page weighs %d bytes", len(body))
	}
	body = page(t, w, "/workflows/daily")
	checkHTML(t, "many hosts", body)
	says(t, body, "on 300 nodes", "1 failed, 1 lost and 298 succeeded")
	if len(body) > mostWeight {
		t.Errorf("the page weighs %d bytes", len(body))
	}
}

// TestWorkflow_Hosts: what runs on every node has one row, one mark and one slot
// for all of them, as good as the worst.
func TestWorkflow_Hosts(t *testing.T) {
	t.Parallel()
	newest := hostRuns(3, runner.Failed, runner.Succeeded, runner.Succeeded)
	w := everyNode(newest, hostRuns(27, runner.Succeeded, runner.Skipped), hostRuns(51, runner.Succeeded, runner.Succeeded))
	body := page(t, w, "/workflows/daily")
	checkHTML(t, "hosts", body)
	says(t, body, "every node labeled db, each for itself", "on 3 nodes", "1 failed and 2 succeeded", "1 missed and 1 succeeded", "1 of 2 left out", "2 succeeded")
	rows := between(body, `<h2 id="newest">`, "</section>")
	if got := strings.Count(rows, "<tr id="); got != 3 {
		t.Errorf("the newest runs have %d rows, want one for each slot", got)
	}
	if got := strings.Count(between(body, `<ol class="strip"`, "</ol>"), "<li>"); got != 3 {
		t.Errorf("the strip has %d marks, want 3", got)
	}
	if got := strings.Count(body, `class="slot"`); got != 3 {
		t.Errorf("the calendar has %d slots, want 3", got)
	}
	failed := newest[2] // of db-1
	says(t, between(body, "<h1>", "Run now"), `<a href="`+runPath(failed)+`"><span class="badge" data-tone="bad">`)
	says(t, page(t, w, "/workflows"), `<a href="`+runPath(failed)+`"`)
	says(t, page(t, w, "/runs"), `<span class="muted small">on db-3</span>`)
}

// TestOverview_Hosts: the success of the node that ran last does not hide that
// another failed.
func TestOverview_Hosts(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		slots [][]api.RunRecord
		tone  string
		says  string
	}{
		"one failed":     {[][]api.RunRecord{hostRuns(3, runner.Failed, runner.Succeeded)}, "bad", "Failed in the last 24 hours: daily"},
		"which":          {[][]api.RunRecord{hostRuns(3, runner.Succeeded, runner.Failed, runner.Succeeded)}, "bad", "</a> on db-2 <"},
		"warned":         {[][]api.RunRecord{hostRuns(3, runner.Warned, runner.Succeeded)}, "warn", "something wants a look"},
		"well by now":    {[][]api.RunRecord{hostRuns(2, runner.Succeeded, runner.Succeeded), hostRuns(3, runner.Failed, runner.Succeeded)}, "good", "All is well"},
		"not since":      {[][]api.RunRecord{hostRuns(2, runner.Skipped, runner.Succeeded), hostRuns(3, runner.Failed, runner.Succeeded)}, "bad", "Failed in the last 24 hours: daily"},
		"all succeeded":  {[][]api.RunRecord{hostRuns(3, runner.Succeeded, runner.Succeeded)}, "good", "All is well"},
		"one still runs": {[][]api.RunRecord{hostRuns(1, runner.Running, runner.Succeeded)}, "good", "All is well"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := everyNode(test.slots...)
			w.answers["/runs?state=running"] = api.Runs{Runs: []api.RunRecord{}}
			body := ask(t, open(t, w, nil), http.MethodGet, "/", "").Body.String()
			if !strings.Contains(body, `class="verdict" data-tone="`+test.tone+`"`) || !strings.Contains(body, test.says) {
				t.Errorf("it says %s, not %q", between(body, `<section class="verdict"`, "</section>"), test.says)
			}
		})
	}
}
