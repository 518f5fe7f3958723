package pages_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

// page reads one page of a world.
func page(t *testing.T, w *world, address string) string {
	t.Helper()
	answer := ask(t, open(t, w, nil), http.MethodGet, address, "")
	if answer.Code != http.StatusOK {
		t.Fatalf("%s: %d %s", address, answer.Code, answer.Body)
	}
	return answer.Body.String()
}

// says fails for words that a page has not.
func says(t *testing.T, body string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(body, w) {
			t.Errorf("the page does not say %q", w)
		}
	}
}

func saysNot(t *testing.T, body string, words ...string) {
	t.Helper()
	for _, w := range words {
		if strings.Contains(body, w) {
			t.Errorf("the page says %q", w)
		}
	}
}

func TestRun(t *testing.T) {
	t.Parallel()
	w := usualWorld("dump-all", "disk full")
	body := page(t, w, "/runs/"+failedRun)
	says(t, body, "disk full", "Retry from dump", "2 attempts", "dump, try 1: failed in 30s", "dump, try 2: failed in 30s, after 1m", "2,048", "4.0 KiB", "&#43;100.0 %", "not begun", "needs dump",
		`href="/runs/`+failedRun+`?log=dump.2#log" aria-current="true"`, `href="/backups/a1"`, `href="/incidents/i1"`)
	saysNot(t, body, "Cancel this run", `data-live="true"`, "hx-get")
	body = page(t, w, "/runs/"+failedRun+"?log=dump.1")
	says(t, body, `href="/runs/`+failedRun+`?log=dump.1#log" aria-current="true"`)
	body = page(t, w, "/runs/"+runningRun)
	says(t, body, "about 1 min left", "Cancel this run", `data-live="true"`, `data-run="`+runningRun+`"`, `hx-get="/runs/`+runningRun+`"`, `data-next="22"`,
		`data-events="/api/v1/runs/`+runningRun+`/attempts/sync/1/output/events"`, "needs sync", "waits")
	saysNot(t, body, "Retry the run")
}

func TestRun_Approval(t *testing.T) {
	t.Parallel()
	w := emptyWorld()
	r := record(runningRun, "careful", runner.Queued, time.Minute)
	r.StartedAt, r.Approval = nil, true
	w.answers["/runs/"+runningRun+"/detail"] = api.RunDetail{Run: r, Live: true, Plan: api.FilledGraph([]api.JobNode{{Name: "a", Kind: "script"}})}
	body := page(t, w, "/runs/"+runningRun)
	says(t, body, "waits for approval", "/approve")
	saysNot(t, body, "What it wrote")
}

// TestRun_LongLog shows that a page stays small and says what it leaves out.
func TestRun_LongLog(t *testing.T) {
	t.Parallel()
	w := usualWorld("dump-all", "text")
	var b strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&b, "line %d\n", i)
	}
	w.output = b.String() + "\xe2\x82" // the beginning of a character whose rest is still to come
	body := page(t, w, "/runs/"+runningRun)
	says(t, body, "line 19999", "These are the last 32 KiB of", fmt.Sprintf(`data-next="%d"`, b.Len()))
	saysNot(t, body, "line 100\n", `\xe2`)
	if len(body) > mostWeight {
		t.Errorf("the page weighs %d bytes", len(body))
	}
	says(t, page(t, w, "/runs/"+failedRun), `\xe2\x82`)
}

func TestRuns(t *testing.T) {
	t.Parallel()
	w := usualWorld("dump-all", "text")
	body := page(t, w, "/runs?workflow=gone&state=failed,lost&trigger=check&since=2026-11-01&before="+goodRun)
	says(t, body, `<option value="gone" selected>`, `<option value="failed,lost" selected>`, `<option value="check" selected>`, `since 2026-11-01</option>`, "← newest", "older →",
		"/runs?before="+goodRun+"&amp;since=2026-11-01&amp;state=failed%2Clost&amp;trigger=check&amp;workflow=gone")
	saysNot(t, body, "hx-get") // an older page does not change
	asked := w.read[len(w.read)-1]
	for _, address := range w.read {
		if strings.HasPrefix(address, "/api/v1/runs?") {
			asked = address
		}
	}
	for _, part := range []string{"before=" + goodRun, "jobs=false", "limit=50", "since=2026-11-01T00%3A00%3A00Z", "state=failed%2Clost", "trigger=check", "workflow=gone"} {
		if !strings.Contains(asked, part) {
			t.Errorf("asked %s without %s", asked, part)
		}
	}
	if answer := ask(t, open(t, w, nil), http.MethodGet, "/runs?since=soon", ""); answer.Code != http.StatusUnprocessableEntity {
		t.Errorf("nonsense: %d", answer.Code)
	}
	empty := emptyWorld()
	says(t, page(t, empty, "/runs"), "Nothing has run yet", "upkeep run WORKFLOW")
	says(t, page(t, empty, "/runs?state=failed"), "No run fits")
}

// TestRun_Times shows that times are in the zone of the workflow, with UTC
// beside.
func TestRun_Times(t *testing.T) {
	t.Parallel()
	w := usualWorld("dump-all", "text")
	body := page(t, w, "/workflows/daily")
	says(t, body, `<time datetime="2026-11-23T02:00:00Z" title="Mon 2026-11-23 03:00:00 CET = 02:00:00 UTC" data-form="">today 03:00</time>`,
		`<time datetime="2026-11-24T02:00:00Z" title="Tue 2026-11-24 03:00:00 CET = 02:00:00 UTC" data-form="">tomorrow 03:00</time>`, "in 19 h")
}

func TestWorkflow(t *testing.T) {
	t.Parallel()
	w := usualWorld("dump-all", "text")
	body := page(t, w, "/workflows/daily")
	says(t, body, "backup, pgbackup", `name="param.days" value="7"`, `<option selected>a</option>`, "retried twice", "paused", "1m20s")
}

// many is a world of so many workflows, of which the last failed.
func many(n int) *world {
	w := emptyWorld()
	list := []api.Workflow{}
	for i := range n {
		f := api.Workflow{Name: fmt.Sprintf("w-%05d", i), Schedule: "every day", Zone: "UTC", Jobs: []string{"a"}}
		if i > 0 {
			f.Last = last(record(goodRun, f.Name, runner.Succeeded, time.Hour))
		}
		if i == n-1 {
			f.Last = last(record(failedRun, f.Name, runner.Failed, time.Hour))
		}
		list = append(list, f)
	}
	w.answers["/workflows"] = api.Workflows{Workflows: list}
	w.answers["/runs/"+failedRun] = record(failedRun, "w", runner.Failed, time.Hour)
	return w
}

// TestWorkflows_Many: pages stay small and useful with more workflows than anybody
// reads.
func TestWorkflows_Many(t *testing.T) {
	t.Parallel()
	w := many(400)
	p := open(t, w, nil)
	read := func(address string) string {
		body := ask(t, p, http.MethodGet, address, "").Body.String()
		checkHTML(t, address, body)
		if packed := ask(t, p, http.MethodGet, address, "", "Accept-Encoding", "gzip").Body.Len(); packed > mostWeight/2 {
			t.Errorf("%s weighs %d bytes on the wire", address, packed)
		}
		return body
	}
	body := read("/")
	says(t, body, `id="lane-w-00399"`, "And 384 more workflows: 383 succeeded and 1 never ran.")
	saysNot(t, body, `id="lane-w-00000"`)
	body = read("/workflows")
	says(t, body, "400 workflows", `id="workflow-w-00049"`, `href="/workflows?after=w-00049" rel="next">more`)
	saysNot(t, body, `id="workflow-w-00050"`, "← first")
	body = read("/workflows?after=w-00379")
	says(t, body, `id="workflow-w-00399"`, `href="/workflows" rel="first">← first`)
	saysNot(t, body, `id="workflow-w-00379"`, "more →")
	says(t, read("/workflows?q=W-0039"), "10 of 400 workflows", `id="workflow-w-00390"`, `value="W-0039"`)
	says(t, read("/workflows?q=%3Cb%3E"), "No workflow fits")
	body = read("/runs?workflow=w-00007")
	says(t, body, `name="workflow" value="w-00007"`)
	saysNot(t, body, `<select id="f-workflow"`)
	few := page(t, many(12), "/workflows")
	saysNot(t, few, `role="search"`, "more →")
	saysNot(t, page(t, many(16), "/"), "more workflow")
}

// TestWorkflow_Often shows that a workflow that is due every minute has a
// calendar too.
func TestWorkflow_Often(t *testing.T) {
	t.Parallel()
	w := usualWorld("dump-all", "text")
	calendar := api.Calendar{Zone: "UTC", More: true, Slots: []api.CalendarSlot{}}
	for i := range 600 {
		calendar.Slots = append(calendar.Slots, api.CalendarSlot{Slot: ago(time.Duration(600-i) * time.Minute), Slots: 1, State: runner.Succeeded, Run: goodRun})
	}
	w.answers["/workflows/daily/slots"] = calendar
	body := page(t, w, "/workflows/daily")
	says(t, body, "It is due so often", "slots more")
	checkHTML(t, "often", body)
	if len(body) > mostWeight {
		t.Errorf("the page weighs %d bytes", len(body))
	}
}
