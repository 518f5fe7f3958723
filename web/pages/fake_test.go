package pages_test

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
	"github.com/ghosteam/upkeep/web/client"
	"github.com/ghosteam/upkeep/web/pages"
)

// now is when every test looks.
func now() time.Time { return time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC) }

// world is an API that answers what a test put into it, and remembers what it
// was asked to do.
type world struct {
	answers map[string]any // by path below /api/v1; a *api.Problem is an error
	output  string

	mu    sync.Mutex
	asked []string // method, path, body of what is no GET
	read  []string // addresses of GET
	keys  []string // of requests for runs
}

// emptyWorld is that of a first day.
func emptyWorld() *world {
	return &world{answers: map[string]any{
		"/workflows": api.Workflows{Workflows: []api.Workflow{}}, "/runs": api.Runs{Runs: []api.RunRecord{}},
		"/incidents": api.Incidents{Incidents: []api.Incident{}}, "/status": api.Status{Node: "db-1", Version: "1.2.3"}.Filled(),
		"/checks": api.Checks{Checks: []api.Check{}, OverallStatus: runner.Healthy}, "/locks": api.Locks{Locks: []api.Lock{}}, "/nodes": api.Nodes{Nodes: []api.Node{}, Members: []api.Member{}},
	}}
}

// RoundTrip answers as the API does.
func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	path := strings.TrimPrefix(r.URL.Path, "/api/v1")
	body := []byte{}
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
	}
	w.mu.Lock()
	if r.Method == http.MethodGet {
		w.read = append(w.read, r.URL.RequestURI())
	} else {
		w.asked = append(w.asked, r.Method+" "+path+" "+string(body))
	}
	if key, known := r.Header["Idempotency-Key"]; known {
		w.keys = append(w.keys, key...)
	}
	w.mu.Unlock()
	if strings.HasSuffix(path, "/output") {
		return response(http.StatusOK, "text/plain", []byte(w.output), http.Header{"Upkeep-Output-Head": {"0"}, "Upkeep-Output-Cut": {"0"}}), nil
	}
	answer, known := w.answers[r.Method+" "+path]
	if state := r.URL.Query().Get("state"); !known && state != "" {
		answer, known = w.answers[path+"?state="+state]
	}
	if !known {
		answer, known = w.answers[path]
	}
	if !known {
		answer = api.NewProblem(api.CodeNotFound, "", "the world has no "+r.Method+" "+path)
	}
	status, contentType := http.StatusOK, "application/json"
	if p, ok := answer.(*api.Problem); ok {
		status, contentType = p.Status, "application/problem+json"
	}
	text, err := json.Marshal(answer)
	return response(status, contentType, text, nil), err
}

func response(status int, contentType string, body []byte, more http.Header) *http.Response {
	header := http.Header{"Content-Type": {contentType}}
	maps.Copy(header, more)
	return &http.Response{StatusCode: status, Status: http.StatusText(status), Header: header, Body: io.NopCloser(bytes.NewReader(body))}
}

// open makes the pages of a world.
func open(t *testing.T, w *world, change func(*pages.Options)) *pages.Pages {
	t.Helper()
	o := pages.Options{API: client.New(client.Options{Transport: w, Patience: -1}), Now: now}
	if change != nil {
		change(&o)
	}
	p, err := pages.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// ask answers one request.
func ask(t *testing.T, p *pages.Pages, method, address, form string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, address, strings.NewReader(form))
	if form != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	p.ServeHTTP(w, r)
	return w
}

// ago is an instant before now.
func ago(d time.Duration) time.Time { return now().Add(-d) }

// record is a run that ended so long ago.
func record(id, workflow string, state runner.State, since time.Duration) api.RunRecord {
	r := api.RunRecord{Run: api.Run{
		ID: runner.RunID(id), Workflow: workflow, State: state, Trigger: runner.BySchedule, Slot: ago(since), QueuedAt: ago(since),
		StartedAt: new(ago(since)), Params: map[string]string{}, Jobs: map[string]api.Job{}, By: "cron", Node: "db-1",
	}, Only: []string{}}
	if state.Final() {
		r.FinishedAt, r.DurationSeconds = new(ago(since).Add(90*time.Second)), 90
	}
	return r
}

func last(r api.RunRecord) *api.Last {
	return &api.Last{ID: r.ID, State: r.State, Reason: r.Reason, QueuedAt: r.QueuedAt, StartedAt: r.StartedAt, FinishedAt: r.FinishedAt, DurationSeconds: r.DurationSeconds}
}

// The runs of usualWorld.
const (
	goodRun    = "01a20606-35c0-7000-8000-000000000001"
	failedRun  = "01a20606-35c0-7000-8000-000000000002"
	runningRun = "01a20606-35c0-7000-8000-000000000003"
)

// usualWorld has a workflow that is well, one that failed, one that is paused
// and one that runs. Texts that people and programs write are name.
func usualWorld(name, text string) *world {
	w := emptyWorld()
	good, failed, running := record(goodRun, "daily", runner.Succeeded, 5*time.Hour), record(failedRun, name, runner.Failed, 3*time.Hour), record(runningRun, "hourly", runner.Running, time.Minute)
	failed.Reason, failed.Message = runner.ReasonError, text
	failed.Jobs = map[string]api.Job{"dump": {Kind: "script", State: runner.Failed, Reason: runner.ReasonError, Attempts: 1, Error: text, Hint: text, Values: map[string]float64{}}}
	running.Jobs = map[string]api.Job{"sync": {Kind: "script", State: runner.Running, Values: map[string]float64{}}}
	recent := []api.RecentRun{
		{ID: goodRun, State: runner.Succeeded, Slot: ago(5 * time.Hour), StartedAt: new(ago(5 * time.Hour)), DurationSeconds: 90},
		{ID: failedRun, State: runner.Warned, Slot: ago(29 * time.Hour), StartedAt: new(ago(29 * time.Hour)), DurationSeconds: 70, Reason: runner.ReasonFindings},
	}
	list := []api.Workflow{
		{
			Name: "daily", Description: text, Schedule: "every day at 03:00 Europe/Berlin", Zone: "Europe/Berlin", Next: new(now().Add(19 * time.Hour)), Jobs: []string{"backup", "prune"},
			Last: last(good), LastSuccess: good.FinishedAt, FreshWithinSeconds: 26 * 3600, Fresh: new(true), Recent: recent, Usual: &api.UsualDuration{Runs: 2, MedianSeconds: 80, P95Seconds: 90, MaxSeconds: 90},
		},
		{Name: name, Schedule: "every hour", Zone: "UTC", Next: new(now().Add(time.Hour)), Jobs: []string{"dump"}, Last: last(failed), FreshWithinSeconds: 3600, Fresh: new(false)},
		{Name: "reports", Schedule: "on request", Zone: "UTC", Jobs: []string{"report"}, Paused: &api.Pause{Workflow: "reports", By: text, Reason: text, Since: ago(time.Hour)}},
		{Name: "hourly", Schedule: "every hour", Zone: "UTC", Jobs: []string{"sync", "check"}, Last: last(running), Running: 1},
	}
	w.answers["/workflows"] = api.Workflows{Workflows: list}
	w.answers["/runs"] = api.Runs{Runs: []api.RunRecord{running, failed, good}, Next: goodRun}
	for _, r := range []api.RunRecord{good, failed, running} {
		w.answers["/runs/"+string(r.ID)] = r
	}
	w.answers["/workflows/daily"] = api.WorkflowDetail{
		Workflow: list[0], Definition: text, Digest: strings.Repeat("ab", 32), Overlap: "skip", Timeout: 3600, CatchUp: "the last missed slot runs",
		Graph: []api.JobNode{
			{Name: "backup", Kind: "pgbackup", Description: text, When: "success", Retries: 2, TimeoutSeconds: 60},
			{Name: "prune", Kind: "prune", Needs: []string{"backup"}, When: "always", If: text, Locks: []string{text}},
		},
		Params: []api.WorkflowParam{{Name: "days", Type: "int", Default: "7", Description: text}, {Name: "mode", Type: "enum", Values: []string{"a", "b"}, Default: "a"}, {Name: "loud", Type: "bool"}},
	}.Filled()
	w.answers["/workflows/daily/slots"] = api.Calendar{Workflow: "daily", Zone: "Europe/Berlin", Slots: []api.CalendarSlot{
		{Slot: ago(29 * time.Hour), Slots: 1, State: runner.Skipped, Reason: runner.ReasonPaused, Message: text, Run: failedRun},
		{Slot: ago(5 * time.Hour), Slots: 1, State: runner.Succeeded, Run: goodRun, DurationSeconds: 90},
		{Slot: now().Add(19 * time.Hour), Slots: 1},
	}}
	w.answers["/incidents"] = api.Incidents{Incidents: []api.Incident{{ID: "i1", State: runner.IncidentOpen, Title: text, Severity: "critical", OpenedAt: ago(3 * time.Hour), Channels: []string{}}}}
	status := api.Status{Node: "db-1", Version: "1.2.3", Next: []api.NextSlot{{Workflow: "daily", Slot: now().Add(19 * time.Hour)}}, Disk: api.DiskStatus{Path: "/var", FreeBytes: 4 << 30, TotalBytes: 10 << 30}}
	status.Problems = []api.StatusCheck{{Name: "ticker", Text: text}}
	w.answers["/status"] = status.Filled()
	w.answers["/runs/"+failedRun+"/detail"] = detailOf(failed, text)
	w.answers["/runs/"+runningRun+"/detail"] = liveDetail(running)
	w.output = text + "\nsecond line\n"
	return w
}

func detailOf(r api.RunRecord, text string) api.RunDetail {
	r.Spec = api.Spec{Text: text, Digest: strings.Repeat("cd", 32)}
	r.Params = map[string]string{"days": text}
	attempt := func(number int, superseded bool, began time.Duration) api.AttemptRecord {
		return api.AttemptRecord{Run: r.ID, Attempt: api.Attempt{
			Job: "dump", Kind: "script", Number: number, State: runner.Failed, Reason: runner.ReasonError, Error: text, Hint: text, Superseded: superseded, StartedAt: new(ago(began)),
			FinishedAt: new(ago(began).Add(30 * time.Second)), DurationSeconds: 30, OutputBytes: 20,
		}}
	}
	return api.RunDetail{
		Run: r, Attempts: []api.AttemptRecord{attempt(1, true, 3*time.Hour), attempt(2, false, 3*time.Hour-time.Minute)},
		Plan:      api.FilledGraph([]api.JobNode{{Name: "dump", Kind: "script", When: "success"}, {Name: "after", Kind: "script", Needs: []string{"dump"}, When: "success"}}),
		Good:      last(record(goodRun, r.Workflow, runner.Succeeded, 27*time.Hour)),
		Values:    []api.ComparedValue{{Job: "dump", Name: text, Value: new(2048.0), Before: new(1024.0), Change: new(1.0)}, {Job: "dump", Name: "size_bytes", Value: new(4096.0)}},
		Artifacts: []api.RunArtifact{{Job: "dump", Store: "local", ID: "a1", Key: text, Bytes: 100}}, Retry: []string{"dump", "after"},
		Incidents: []api.IncidentOfRun{{ID: "i1", Title: text, State: runner.IncidentOpen}},
	}
}

func liveDetail(r api.RunRecord) api.RunDetail {
	return api.RunDetail{
		Run: r, Live: true, Estimate: new(90.0), Attempts: []api.AttemptRecord{{Run: r.ID, Attempt: api.Attempt{Job: "sync", Kind: "script", Number: 1, State: runner.Running, StartedAt: new(ago(time.Minute))}}},
		Plan: api.FilledGraph([]api.JobNode{{Name: "sync", Kind: "script"}, {Name: "check", Kind: "script", Needs: []string{"sync"}}}),
	}
}
