package browsertest_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/scripts/dev/seed"
	"github.com/ghosteam/upkeep/web/api"
	"github.com/ghosteam/upkeep/web/client"
	"github.com/ghosteam/upkeep/web/pages/browsertest"
)

// seeRun starts a run from the page, watches it fail, and retries it from the
// page until it has succeeded, without loading anything anew.
func seeRun(t *testing.T, browser *browsertest.Browser) {
	t.Parallel()
	s := browsertest.Start(t, open, 0, seed.Usual)
	tab := browser.Tab(t, s.URL)
	put(t, s, "broken")
	tab.Open("/workflows/import")
	tab.Click("Run now")
	tab.Fill("#param-partner", "omega")
	tab.Follow("Run import")
	if path := tab.Path(); !strings.HasPrefix(path, "/runs/") {
		t.Fatalf("a run that was started leads to %s", path)
	}
	tab.AwaitText("The run is on its way")
	tab.AwaitText("running")
	tab.AwaitText("block 3 of omega")
	// What follows must come to a page that stays: nothing is lost of what
	// somebody has opened or scrolled to.
	browsertest.Eval[bool](tab, "document.getElementById('definition-text').open = true, window.upkeepSame = true")
	tab.AwaitText("block 8 of omega")
	browsertest.Eval[bool](tab, "window.scrollTo(0, 120), true")
	at := browsertest.Eval[float64](tab, "window.scrollY")
	tab.Shoot("run-running")
	put(t, s, "release")
	tab.AwaitText("failed")
	tab.AwaitText("the file is cut off")
	if !browsertest.Eval[bool](tab, "window.upkeepSame === true && document.getElementById('definition-text').open") {
		t.Error("the page was loaded anew, or what was open is closed")
	}
	if now := browsertest.Eval[float64](tab, "window.scrollY"); now != at && at > 0 {
		t.Errorf("the page was scrolled to %v and is at %v", at, now)
	}
	if err := os.Remove(filepath.Join(s.Dir, "broken")); err != nil {
		t.Fatal(err)
	}
	tab.Shoot("run-failed")
	browsertest.Eval[bool](tab, "window.scrollTo(0, 0), true")
	picture(t, tab, "run")
	tab.Follow("Retry from load")
	tab.Await("the end of the run", "document.querySelector('.head .badge').innerText.includes('succeeded')")
	tab.AwaitText("load")
	tab.Shoot("run-succeeded")
	tab.Accessible()
	run := strings.TrimPrefix(tab.Path(), "/runs/")
	record := runOf(t, s, run)
	if record.State != runner.Succeeded || !strings.Contains(record.By, "web") {
		t.Errorf("the run is %s, asked for by %q", record.State, record.By)
	}
	tab.Open("/runs")
	tab.AwaitText("import")
}

// seeTwice: a form that is sent twice at once starts one run, and the key by which
// that is known, which is another each time a page is read, disturbs nobody who
// looks at it.
func seeTwice(t *testing.T, browser *browsertest.Browser) {
	t.Parallel()
	s := browsertest.Start(t, open, 0, seed.Usual)
	tab := browser.Tab(t, s.URL)
	imports := func() int {
		page, err := dial(s).RunPage(t.Context(), runner.Filter{Workflow: "import", Limit: 100}, false)
		if err != nil {
			t.Fatal(err)
		}
		return len(page.Runs)
	}
	put(t, s, "release")
	before := imports()

	// Two requests at the same time, as of two clicks that both get through.
	tab.Open("/workflows/import")
	runs := browsertest.Eval[[]string](tab, `(() => { const form = document.querySelector('#run form');
		const send = () => fetch(form.action, {method: 'POST', body: new URLSearchParams(new FormData(form))}).then(r => r.status + ' ' + new URL(r.url).pathname);
		return Promise.all([send(), send(), send()]) })()`)
	if len(runs) != 3 || runs[0] != runs[1] || runs[0] != runs[2] || !strings.HasPrefix(runs[0], "200 /runs/") {
		t.Errorf("a form that is sent three times leads to %q", runs)
	}
	if now := imports(); now != before+1 {
		t.Errorf("a form that is sent three times starts %d runs", now-before)
	}
	// Two clicks by hand, from a page that is loaded anew: one more run.
	tab.Open("/workflows/import")
	tab.Click("Run now")
	tab.FollowTwice("Run import")
	// Which of the two answers the browser shows is up to it.
	tab.Await("the run", "location.pathname.startsWith('/runs/') && /is on its way|was sent before/.test(document.body.innerText)")
	if now := imports(); now != before+2 {
		t.Errorf("after a double click on the page loaded anew there are %d runs more", now-before)
	}

	// What is fetched anew has another key, and nothing else is touched by it.
	tab.Open("/workflows")
	keys := `[...document.querySelectorAll('input[name=once]')].map(i => i.value).join(' ')`
	first := browsertest.Eval[string](tab, keys)
	browsertest.Eval[bool](tab, `(() => { window.row = document.getElementById('workflow-import'); window.link = row.querySelector('a'); link.focus();
		document.addEventListener('htmx:after:swap', () => { window.swapped = true }); htmx.trigger(document.getElementById('live'), 'refresh'); return true })()`)
	tab.Await("the page is fetched anew", "window.swapped")
	if browsertest.Eval[string](tab, keys) == first {
		t.Error("the page that was fetched anew has the keys of the one before")
	}
	if !browsertest.Eval[bool](tab, "document.activeElement === window.link && document.getElementById('workflow-import') === window.row") {
		t.Error("what had the focus has lost it, or is another element")
	}
	// While a form is open nothing is fetched, so that a second click sends what
	// the first did.
	tab.Click("#run-import summary")
	first = browsertest.Eval[string](tab, keys)
	asked := `performance.getEntriesByType('resource').filter(e => e.initiatorType === 'fetch' && e.name.endsWith('/workflows')).length`
	count := browsertest.Eval[float64](tab, asked)
	browsertest.Eval[bool](tab, "htmx.trigger(document.getElementById('live'), 'refresh'), true")
	tab.Frame()
	if browsertest.Eval[float64](tab, asked) != count || browsertest.Eval[string](tab, keys) != first || !browsertest.Eval[bool](tab, "document.getElementById('run-import').open") {
		t.Error("a form that is open is exchanged or closed")
	}
}

// seePause pauses a workflow from its page and ends the pause.
func seePause(t *testing.T, browser *browsertest.Browser) {
	t.Parallel()
	s := browsertest.Start(t, open, 0, seed.Usual)
	tab := browser.Tab(t, s.URL)
	tab.Open("/workflows/daily")
	tab.Click("Pause")
	tab.Fill("#reason-daily", "the database moves <b>house</b>")
	tab.Follow("Pause daily")
	tab.AwaitText("the database moves <b>house</b>")
	tab.Open("/")
	tab.AwaitText("paused")
	tab.Open("/workflows/daily")
	tab.Follow("End the pause")
	tab.AwaitText("The pause of daily has ended")

	tab.Open("/incidents")
	tab.Follow("weekly failed: restart-api: does not answer after its restart")
	tab.AwaitText("restart-api")
	tab.Shoot("incident")
	picture(t, tab, "incident")
}

// seeLogin: who proves nothing sees the login page and nothing else; a wrong
// token is refused, the right one opens what its role may see.
func seeLogin(t *testing.T, browser *browsertest.Browser) {
	t.Parallel()
	s := browsertest.Start(t, `{listen: "127.0.0.1:0", anonymous: none}`, 0, seed.Usual)
	tab := browser.Tab(t, s.URL)
	tab.Allow("401") // a browser logs each of these answers
	viewer, operator := token(t, s, "vera", runner.RoleViewer), token(t, s, "otto", runner.RoleOperator)
	tab.Go("/workflows/daily")
	if path := tab.Path(); !strings.HasPrefix(path, "/login?next=") {
		t.Fatalf("who may not see a page is sent to %s", path)
	}
	if strings.Contains(tab.Text(), "daily") {
		t.Errorf("the login page tells what is behind it:\n%s", tab.Text())
	}
	tab.Accessible()
	tab.Shoot("login")
	tab.Fill("#token", "upk_wrong")
	tab.Follow(".door button[type=submit]")
	tab.AwaitText("does not count here")
	tab.Fill("#token", viewer)
	tab.Follow(".door button[type=submit]")
	if path := tab.Path(); path != "/workflows/daily" {
		t.Errorf("the login leads to %s", path)
	}
	tab.AwaitText("vera")
	if strings.Contains(tab.Text(), "Run now") {
		t.Error("a viewer is offered to run a workflow")
	}
	tab.Follow("Log out")
	tab.Go("/")
	if path := tab.Path(); !strings.HasPrefix(path, "/login") {
		t.Errorf("who has logged out still sees %s", path)
	}
	tab.Fill("#token", operator)
	tab.Follow(".door button[type=submit]")
	tab.Open("/workflows/daily")
	tab.AwaitText("Run now")
	if browsertest.Eval[string](tab, "document.cookie") != "" {
		t.Error("a script can read the token")
	}
	revoke(t, s, "otto")
	tab.Go("/")
	if path := tab.Path(); !strings.HasPrefix(path, "/login") {
		t.Errorf("with a token that was taken back %s is seen", path)
	}
}

// seeForgery: no other site can have the browser of somebody who is logged in
// do anything.
func seeForgery(t *testing.T, browser *browsertest.Browser) {
	t.Parallel()
	s := browsertest.Start(t, open, 0, seed.Usual)
	tab := browser.Tab(t, s.URL)
	// Another origin on this machine, as any site on the network.
	other := strings.Replace(s.URL, "127.0.0.1", "localhost", 1)
	tab.Allow("403")
	tab.Allow("frame")
	tab.Open("/")
	status := browsertest.Eval[float64](tab, `fetch('/do/workflows/daily/pause', {method: 'POST', body: new URLSearchParams({reason: 'mine', back: '/'}), redirect: 'manual'}).then(r => r.type === 'opaqueredirect' ? 303 : r.status)`)
	if status != http.StatusSeeOther {
		t.Errorf("the page itself is answered %v", status)
	}
	for header, value := range map[string]string{"Origin": other, "Sec-Fetch-Site": "cross-site"} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/do/workflows/weekly/pause", strings.NewReader(url.Values{"reason": {"forged"}}.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		request.Header.Set(header, value)
		response, err := http.DefaultTransport.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		if err = errors.Join(err, response.Body.Close()); err != nil || response.StatusCode != http.StatusForbidden {
			t.Errorf("a request with %s: %s is answered %d: %s %v", header, value, response.StatusCode, body, err)
		}
	}
	for _, w := range workflows(t, s) {
		if w.Paused != nil && w.Paused.Reason == "forged" {
			t.Error("a forged request paused a workflow")
		}
	}
}

// seeWithoutScripts reads the pages in a browser without JavaScript, and runs
// a workflow from there.
func seeWithoutScripts(t *testing.T, browser *browsertest.Browser) {
	t.Parallel()
	s := browsertest.Start(t, open, 0, seed.Usual)
	tab := browser.Tab(t, s.URL)
	tab.WithoutScripts()
	for path, wants := range map[string][]string{
		"/": {"weekly", "restart-api"}, "/workflows": {"offsite", "reindex"}, "/runs": {"succeeded"}, "/runs?state=failed": {"restart-api"},
		"/workflows/daily": {"model-drift", "Newest runs"}, "/checks": {"mlflow"}, "/incidents": {"weekly failed"}, "/plan": {"daily"}, "/kpis": {"uptime"}, "/system": {"db-1"},
	} {
		tab.Open(path)
		source := tab.Source()
		for _, want := range wants {
			if !strings.Contains(strings.ToLower(source), strings.ToLower(want)) {
				t.Errorf("%s without JavaScript lacks %q", path, want)
			}
		}
	}
	put(t, s, "release")
	// A form is sent by the browser itself.
	tab.Open("/workflows/import")
	tab.Click("Run now")
	tab.Follow("Run import")
	if !strings.Contains(tab.Source(), "The run is on its way") {
		t.Errorf("a run was not started without JavaScript: %s", tab.Path())
	}
}

// snapshot makes backups: the workflow snapshot runs twice.
func snapshot(t *testing.T, s *browsertest.Service) {
	t.Helper()
	for range 2 {
		accepted, err := dial(s).Start(t.Context(), api.RunRequest{Workflow: "snapshot", Trigger: runner.ByManual})
		if err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
			run := runOf(t, s, string(accepted.Run))
			if run.State == runner.Succeeded {
				break
			}
			if run.State.Final() || time.Now().After(deadline) {
				t.Fatalf("the run that makes a backup is %s: %s", run.State, run.Message)
			}
		}
	}
}

// put makes a file that a workflow of the story waits for.
func put(t *testing.T, s *browsertest.Service, name string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.Dir, name), nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

// dial is a client of the service by its socket: an admin.
func dial(s *browsertest.Service) *client.Client {
	return client.New(client.Options{Socket: filepath.Join(s.Dir, "var", "upkeep.sock"), By: "test"})
}

func token(t *testing.T, s *browsertest.Service, name string, role runner.Role) string {
	t.Helper()
	made, err := dial(s).CreateToken(t.Context(), api.TokenRequest{Name: name, Role: role})
	if err != nil {
		t.Fatal(err)
	}
	return made.Text
}

func revoke(t *testing.T, s *browsertest.Service, name string) {
	t.Helper()
	if _, err := dial(s).RevokeToken(t.Context(), name); err != nil {
		t.Fatal(err)
	}
}

func workflows(t *testing.T, s *browsertest.Service) []api.Workflow {
	t.Helper()
	list, err := dial(s).Workflows(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func runOf(t *testing.T, s *browsertest.Service, id string) runner.Run {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	run, err := dial(s).Run(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	return run
}
