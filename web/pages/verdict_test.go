package pages_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

// TestOverview_Verdict shows what the first line says, and why.
func TestOverview_Verdict(t *testing.T) {
	t.Parallel()
	flow := func(name string, r api.RunRecord) api.Workflow {
		return api.Workflow{Name: name, Zone: "UTC", Jobs: []string{"a"}, Last: last(r)}
	}
	good := flow("daily", record(goodRun, "daily", runner.Succeeded, 5*time.Hour))
	never := api.Workflow{Name: "daily", Zone: "UTC", Jobs: []string{"a"}}
	stale := good
	stale.Fresh, stale.FreshWithinSeconds = new(false), 60
	halfway := flow("daily", record(runningRun, "daily", runner.Running, time.Hour))
	halfway.Last.Interrupted = true
	critical := api.Incident{ID: "i", State: runner.IncidentOpen, Severity: "critical", Title: "x", OpenedAt: ago(time.Hour)}
	flood := slices.Repeat([]api.Incident{critical}, 100)
	tests := map[string]struct {
		workflows []api.Workflow
		incidents []api.Incident
		status    api.Status
		tone      string
		says      []string
	}{
		"nothing":    {nil, nil, api.Status{}, "idle", []string{"Nothing is configured yet"}},
		"never ran":  {[]api.Workflow{never}, nil, api.Status{Next: []api.NextSlot{{Workflow: "daily", Slot: now().Add(time.Hour)}}}, "idle", []string{"Nothing has run yet", "first slot is that of daily, in 1 h"}},
		"on request": {[]api.Workflow{never}, nil, api.Status{}, "idle", []string{"Nothing has run yet", "No workflow has a schedule"}},
		"well": {
			[]api.Workflow{good, flow("weekly", record(failedRun, "weekly", runner.Succeeded, 2*time.Hour))},
			nil,
			api.Status{},
			"good",
			[]string{"All is well", "all 2 workflows ran, and every one succeeded", "No incident is open"},
		},
		"one well": {[]api.Workflow{good}, nil, api.Status{}, "good", []string{"All is well", "1 workflow ran, and it succeeded"}},
		"failed": {
			[]api.Workflow{good, flow("weekly", record(failedRun, "weekly", runner.Failed, 2*time.Hour))},
			nil,
			api.Status{},
			"bad",
			[]string{"Failed in the last 24 hours: weekly", "of which 1 failed", "upkeep retry " + failedRun, "/do/runs/" + failedRun + "/retry"},
		},
		"lost long ago": {[]api.Workflow{flow("weekly", record(failedRun, "weekly", runner.Lost, 50*time.Hour))}, nil, api.Status{}, "bad", []string{"weekly failed 2 days ago and has not run since", "nothing ran"}},
		"warned":        {[]api.Workflow{flow("daily", record(failedRun, "daily", runner.Warned, time.Hour))}, nil, api.Status{}, "warn", []string{"something wants a look", "1 with warnings"}},
		"overdue":       {[]api.Workflow{stale}, nil, api.Status{}, "bad", []string{"Not succeeded for too long: daily"}},
		"interrupted":   {[]api.Workflow{halfway}, nil, api.Status{}, "bad", []string{"1 run stopped halfway", "interrupted"}},
		"incident":      {[]api.Workflow{good}, []api.Incident{critical}, api.Status{}, "bad", []string{"1 critical incident is open", "1 incident is open"}},
		"flood":         {[]api.Workflow{good}, flood, api.Status{}, "bad", []string{"100 critical incidents are open", "At least 100 incidents are open"}},
		"degraded":      {[]api.Workflow{good}, nil, api.Status{Config: api.ConfigStatus{State: api.ConfigDegraded, Reason: "line 3"}}, "warn", []string{"something wants a look", "line 3"}},
		"undelivered":   {[]api.Workflow{good}, nil, api.Status{Outbox: api.OutboxStatus{Dead: 2}}, "warn", []string{"2 messages could not be delivered"}},
		"draining":      {[]api.Workflow{good}, nil, api.Status{Draining: true}, "warn", []string{"nothing more starts"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := emptyWorld()
			w.answers["/workflows"] = api.Workflows{Workflows: test.workflows}
			w.answers["/incidents"] = api.Incidents{Incidents: test.incidents}
			w.answers["/status"] = test.status.Filled()
			for _, f := range test.workflows {
				if f.Last != nil {
					r := record(string(f.Last.ID), f.Name, f.Last.State, now().Sub(f.Last.QueuedAt))
					r.Interrupted = f.Last.Interrupted
					w.answers["/runs/"+string(f.Last.ID)] = r
				}
			}
			body := ask(t, open(t, w, nil), http.MethodGet, "/", "").Body.String()
			if !strings.Contains(body, `class="verdict" data-tone="`+test.tone+`"`) {
				t.Errorf("another tone than %s", test.tone)
			}
			for _, words := range test.says {
				if !strings.Contains(body, words) {
					t.Errorf("it does not say %q:\n%s", words, between(body, `<section class="verdict"`, "</section>"))
				}
			}
			checkHTML(t, name, body)
		})
	}
}

func between(text, from, to string) string {
	_, rest, _ := strings.Cut(text, from)
	part, _, _ := strings.Cut(rest, to)
	return part
}
