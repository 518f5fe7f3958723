package pages_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
	"github.com/ghosteam/upkeep/web/pages"
)

// deskAddresses are the pages of the desk; the second half needs what only
// usualDesk has.
func deskAddresses() (always, usual []string) {
	return []string{"/backups", "/checks", "/incidents", "/kpis", "/kpis?window=7d", "/plan", "/system", "/system/config", "/login", "/logout"},
		[]string{
			"/backups?show=wrong", "/backups?show=leaving&workflow=daily&job=backup&store=x", "/backups/" + deskArtifact, "/checks/database", "/checks/database?range=7d&value=lag_bytes", "/incidents?before=" + deskIncident,
			"/incidents/" + deskIncident, "/kpis/uptime", "/plan?workflow=daily",
		}
}

// TestDesk renders every page of the desk and looks at the HTML.
func TestDesk(t *testing.T) {
	t.Parallel()
	worlds := map[string]*world{"empty": firstDesk(), "usual": usualDesk("offsite", "a usual text"), "hostile": usualDesk(hostileName, hostile)}
	for name, w := range worlds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := open(t, w, nil)
			always, usual := deskAddresses()
			addresses := append(always, "/system/access")
			if name != "empty" {
				addresses = append(addresses, usual...)
			}
			for _, address := range addresses {
				checkPage(t, p, address)
			}
		})
	}
}

// TestDesk_Says shows what a page must not leave out.
func TestDesk_Says(t *testing.T) {
	t.Parallel()
	p := open(t, usualDesk("offsite", "a usual text"), nil)
	for address, says := range map[string][]string{
		"/checks":                    {"1 of 3 checks failing", "database", "waits for its first ping", "critical above 5s", "fails after 3 bad answers", "Heartbeats"},
		"/checks/database":           {"Failing for 1 h", "response time — warns above 1s, critical above 5s", `"dash":true`, "it took too long (timeout)", "As a table", "/incidents/" + deskIncident, "Ask now", "/checks/offsite"},
		"/backups":                   {"1 of 2 jobs without a good backup", "daily.archive", "no backup", "L3 restored", "restored in 42s", "held back: a usual text", "damaged", "suspect", "2 stay, 1 go (1.0 MiB)", "-50 %"},
		"/backups/" + deskArtifact:   {"upkeep backup restore " + deskArtifact, "changes nothing", "changes something", "it was restored into a scratch place", "restoring needs the file of an identity", "1,200 rows"},
		"/incidents":                 {"a usual text works on it", "Add a silence", "in force", "to come", "seen 3 times"},
		"/incidents/" + deskIncident: {"What happened when", "Evidence: offsite", "1 h ago", "30 min before", "given up", "Approve", "restart-api", "showed it", "Try now", "Give up", "I work on it", "Silence", "Resolve"},
		"/kpis":                      {"1 of 3 targets met", "Missed: mean time to resolution", "<code>upkeep incident list</code>", "95 % of the time known"},
		"/kpis/uptime":               {"99.95 %", "check/database", "/runs/" + failedRun, "/incidents/" + deskIncident},
		"/plan":                      {"8640 slots", "every 5m", "usually 1m30s", "not: paused", "clock change", "Europe/Berlin"},
		"/system":                    {"with something missing", "missing", "Outbox", "instead of info", "Drain", "http"},
		"/system/config":             {"project: x", "<code>upkeep validate</code>", "last good one"},
		"/system/access":             {"Take back", "cancel run", "refused", "12 alike", "taken back", "Make a token"},
	} {
		body := ask(t, p, http.MethodGet, address, "").Body.String()
		for _, text := range says {
			if !strings.Contains(body, text) {
				t.Errorf("%s does not say %q", address, text)
			}
		}
	}
	if body := ask(t, p, http.MethodGet, "/checks/cron", "").Body.String(); !strings.Contains(body, "/ping/cron-7f/start") || strings.Contains(body, "Ask now") {
		t.Error("the page of a heartbeat does not say how it is told")
	}
	empty := open(t, firstDesk(), nil)
	for address, says := range map[string]string{
		"/checks": "Nothing is watched", "/backups": "No store is configured", "/incidents": "Nothing is open", "/kpis": "0 of 0 targets met", "/plan": "0 runs",
		"/system": "The daemon has all it needs", "/system/access": "There is none",
	} {
		if body := ask(t, empty, http.MethodGet, address, "").Body.String(); !strings.Contains(body, says) {
			t.Errorf("%s of a first day does not say %q", address, says)
		}
	}
}

// TestDesk_Roles shows that who may only look is offered nothing else, and that
// the API decides about those who ask all the same.
func TestDesk_Roles(t *testing.T) {
	t.Parallel()
	w := usualDesk("offsite", "text")
	w.answers["/log/levels"] = api.NewProblem(api.CodeForbidden, "ask an admin", "this needs the role admin")
	w.answers["/tokens"] = w.answers["/log/levels"]
	refused := api.NewProblem(api.CodeForbidden, "ask an admin", "this needs the role operator; eve is viewer")
	w.answers["POST /incidents/i1/ack"], w.answers["POST /drain"] = refused, refused
	p := open(t, w, func(o *pages.Options) { o.Who = viewer })
	always, usual := deskAddresses()
	for _, address := range append(always, usual...) {
		answer := ask(t, p, http.MethodGet, address, "")
		if answer.Code != http.StatusOK || strings.Contains(answer.Body.String(), "/do/") {
			t.Errorf("%s: %d, or it offers an action", address, answer.Code)
		}
	}
	if answer := ask(t, p, http.MethodGet, "/system/access", ""); answer.Code != http.StatusForbidden {
		t.Errorf("the tokens: %d", answer.Code)
	}
	for _, address := range []string{"/do/incidents/i1/ack", "/do/system/drain"} {
		answer := ask(t, p, http.MethodPost, address, "back=/system")
		if answer.Code != http.StatusSeeOther || answer.Header().Get("Location") != "/system" {
			t.Errorf("%s: %d to %s", address, answer.Code, answer.Header().Get("Location"))
		}
		checkFlash(t, p, answer.Result(), "this needs the role operator")
	}
}

// TestDesk_Actions shows what each form of the desk asks the API.
func TestDesk_Actions(t *testing.T) {
	t.Parallel()
	checkActions(t, map[string]action{
		"ack":            {"/do/incidents/i1/ack", "note=mine&for=2h&back=/incidents/i1", `POST /incidents/i1/ack {"note":"mine","until":"2026-11-23T09:00:00Z"}`, api.Done{ID: "i1"}, "/incidents/i1", "you work on it now"},
		"ack, for good":  {"/do/incidents/i1/ack", "", `POST /incidents/i1/ack {}`, api.Done{}, "/", "you work on it now"},
		"ack, nonsense":  {"/do/incidents/i1/ack", "for=soon&back=/incidents", "", nil, "/incidents", "for how long?"},
		"ack, backwards": {"/do/incidents/i1/ack", "for=-2h&back=/incidents", "", nil, "/incidents", "for how long?"},
		"note":           {"/do/incidents/i1/note", "text=seen&back=/incidents/i1", `POST /incidents/i1/note {"text":"seen"}`, api.Done{}, "/incidents/i1", "written down"},
		"note, empty":    {"/do/incidents/i1/note", "text=+", "", nil, "/", "the note says nothing"},
		"resolve":        {"/do/incidents/i1/resolve", "note=disk", `POST /incidents/i1/resolve {"note":"disk"}`, api.Done{}, "/", "resolved"},
		"resolved":       {"/do/incidents/i1/resolve", "", `POST /incidents/i1/resolve {}`, api.NewProblem(api.CodeSkipped, "", "it is resolved already"), "/", "it is resolved already"},
		"silence": {
			"/do/silences", "check=db-*&severity=warning&for=1d&why=move&back=/incidents", `POST /silences {"check":"db-*","severity":"warning","why":"move","until":"2026-11-24T07:00:00Z"}`,
			api.Silence{ID: "s", Check: "db-*"},
			"/incidents", "silenced: check db-*",
		},
		"silence, no end": {"/do/silences", "all=yes&why=move", "", nil, "/", "how long the silence lasts"},
		"end silence":     {"/do/silences/s1/end", "back=/system", "DELETE /silences/s1 ", api.Done{}, "/system", "the silence has ended"},
		"retry":           {"/do/notices/n1/retry", "back=/system", "POST /notices/n1/retry ", api.Done{}, "/system", "due now"},
		"drop":            {"/do/notices/n1/drop", "reason=old", `POST /notices/n1/drop {"reason":"old"}`, api.Done{}, "/", "given up"},
		"drain":           {"/do/system/drain", "back=/system", `POST /drain {"mode":"now"}`, api.Drain{Draining: true, Running: 2}, "/system", "2 runs under way"},
		"undrain":         {"/do/system/undrain", "", "DELETE /drain ", api.Undrained{Was: true}, "/", "runs start again"},
		"reload":          {"/do/system/reload", "", "POST /reload ", api.Reload{Changed: true}, "/", "another configuration is in force"},
		"reload, same":    {"/do/system/reload", "", "POST /reload ", api.Reload{}, "/", "nothing has changed"},
		"reload, broken":  {"/do/system/reload", "", "POST /reload ", api.Reload{Config: api.ConfigStatus{State: api.ConfigDegraded, Reason: "line 3"}, Problems: []string{"bad key"}}, "/", "line 3"},
		"level":           {"/do/system/level", "logger=http&level=debug&for=30m", `PUT /log/levels {"logger":"http","level":"debug","for_seconds":1800}`, api.LogLevels{}, "/", "debug"},
		"reset level":     {"/do/system/level/reset", "logger=http", "DELETE /log/levels ", api.LogLevelReset{Was: true}, "/", "configured level"},
		"revoke":          {"/do/tokens/t1/revoke", "", "DELETE /tokens/t1 ", api.Token{Name: "eve"}, "/system/access", "eve counts no more"},
	})
}

// TestAskCheck shows that a check is asked anew when somebody says so.
func TestAskCheck(t *testing.T) {
	t.Parallel()
	w := firstDesk()
	w.answers["/checks"] = api.NewChecks([]api.Check{{Name: "database", Answer: runner.Healthy}})
	p := open(t, w, nil)
	answer := ask(t, p, http.MethodPost, "/do/checks/database/ask", "")
	if answer.Header().Get("Location") != "/checks/database" || len(w.read) != 1 || !strings.Contains(w.read[0], "fresh=true") {
		t.Errorf("%v, asked %v", answer.Header(), w.read)
	}
	checkFlash(t, p, answer.Result(), "its answer is healthy")
}

// TestMakeToken shows that a new token is shown once, and kept nowhere.
func TestMakeToken(t *testing.T) {
	t.Parallel()
	w := firstDesk()
	w.answers["POST /tokens"] = api.TokenMade{Token: api.Token{Name: "ci", Role: "operator"}, Text: "upk_secret"}
	p := open(t, w, nil)
	answer := ask(t, p, http.MethodPost, "/do/tokens", "name=ci&role=operator&for=90d")
	if answer.Code != http.StatusOK || !strings.Contains(answer.Body.String(), "upk_secret") || answer.Header().Get("Cache-Control") != "no-store" || len(answer.Result().Cookies()) > 0 {
		t.Errorf("%d %v", answer.Code, answer.Header())
	}
	if want := `POST /tokens {"name":"ci","role":"operator","expires_at":"2027-02-21T07:00:00Z"}`; len(w.asked) != 1 || w.asked[0] != want {
		t.Errorf("asked %v", w.asked)
	}
	if answer := ask(t, p, http.MethodPost, "/do/tokens", "name=ci&role=operator&for=ever"); answer.Code != http.StatusUnprocessableEntity {
		t.Errorf("%d", answer.Code)
	}
}

// TestLogin shows the way in: right, wrong, too often, and elsewhere.
func TestLogin(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		err    error
		next   string
		status int
		to     string
		says   []string
	}{
		"right":     {nil, "/runs?state=failed", http.StatusSeeOther, "/runs?state=failed", nil},
		"elsewhere": {nil, "//evil.example/", http.StatusSeeOther, "/", nil},
		"again":     {nil, "/login?next=/runs", http.StatusSeeOther, "/", nil},
		"wrong":     {api.NewProblem(api.CodeUnauthenticated, "an admin makes one", "it does not count"), "", http.StatusUnauthorized, "", []string{"mistyped, expired or was taken back", "an admin makes one", `value="/checks"`, `aria-invalid="true"`}},
		"too often": {api.NewProblem(api.CodeTooMany, "wait for 30s", "too many logins failed from this address"), "", api.CodeTooMany.Status(), "", []string{"too many logins failed", "wait for 30s"}},
		"socket":    {api.NewProblem(api.CodeSkipped, "", "nobody logs in over the unix socket"), "", http.StatusConflict, "", []string{"nobody logs in over the unix socket"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := open(t, firstDesk(), func(o *pages.Options) {
				o.Login = func(_ http.ResponseWriter, r *http.Request) (string, error) {
					if err := r.ParseForm(); err != nil || r.PostForm.Get("token") != "upk_x" {
						t.Errorf("the form is %v", r.PostForm)
					}
					return test.next, test.err
				}
			})
			answer := ask(t, p, http.MethodPost, "/login", "token=upk_x&next=/checks")
			if answer.Code != test.status || answer.Header().Get("Location") != test.to {
				t.Fatalf("%d to %s", answer.Code, answer.Header().Get("Location"))
			}
			for _, text := range test.says {
				if !strings.Contains(answer.Body.String(), text) {
					t.Errorf("it does not say %q", text)
				}
			}
			if strings.Contains(answer.Body.String(), "upk_x") {
				t.Error("the token stands on the page")
			}
			if test.status != http.StatusSeeOther {
				checkHTML(t, name, answer.Body.String())
			}
		})
	}
}

// TestLogin_Link: who is nobody in particular is led to the login page, from there
// back, and never from the login page to itself.
func TestLogin_Link(t *testing.T) {
	t.Parallel()
	p := open(t, firstDesk(), func(o *pages.Options) {
		o.Login = func(http.ResponseWriter, *http.Request) (string, error) {
			return "", api.NewProblem(api.CodeUnauthenticated, "", "wrong")
		}
	})
	for address, link := range map[string]string{
		"/": `href="/login?next=%2F"`, "/runs?state=failed&workflow=a%26b": `href="/login?next=%2Fruns%3Fstate%3Dfailed%26workflow%3Da%2526b"`, "/nowhere": `href="/login?next=%2Fnowhere"`,
		"/login": "", "/login?next=/runs": "", "/logout": "",
	} {
		body := ask(t, p, http.MethodGet, address, "").Body.String()
		if link == "" && strings.Contains(body, `class="viewer" href="/login`) || !strings.Contains(body, link) {
			t.Errorf("%s leads to %s", address, between(body, `<a class="viewer" `, ">"))
		}
	}
	for next, want := range map[string]string{"/runs": "/runs", "/login?next=/runs": "/", "/logout": "/"} {
		if got := between(ask(t, p, http.MethodGet, loginPath(next), "").Body.String(), `name="next" value="`, `"`); got != want {
			t.Errorf("after a login that is to lead to %s one is at %s", next, got)
		}
	}
	if body := ask(t, p, http.MethodPost, "/login", "token=upk_x&next=/runs").Body.String(); strings.Contains(body, `class="viewer" href="/login`) || !strings.Contains(body, `name="next" value="/runs"`) {
		t.Error("a wrong token loses the way")
	}
}

func loginPath(next string) string { return "/login?" + url.Values{"next": {next}}.Encode() }

// TestLogout shows that the cookie goes.
func TestLogout(t *testing.T) {
	t.Parallel()
	out := false
	p := open(t, firstDesk(), func(o *pages.Options) {
		o.Logout = func(http.ResponseWriter, *http.Request) { out = true }
		o.Who = viewer
	})
	if body := ask(t, p, http.MethodGet, "/logout", "").Body.String(); out || !strings.Contains(body, "eve") {
		t.Error("looking at the page logs out, or it does not say who one is")
	}
	if answer := ask(t, p, http.MethodPost, "/logout", ""); !out || answer.Header().Get("Location") != "/login" {
		t.Errorf("%v %v", out, answer.Header())
	}
}

// TestPostMortem shows that a report is saved, under a name of plain letters.
func TestPostMortem(t *testing.T) {
	t.Parallel()
	w := usualDesk("offsite", "text")
	w.answers["/incidents/"+deskIncident+"/report"] = "# Post-mortem"
	p := open(t, w, nil)
	for end, contentType := range map[string]string{".html": "text/html; charset=utf-8", ".md": "text/markdown; charset=utf-8"} {
		answer := ask(t, p, http.MethodGet, "/incidents/"+deskIncident+"/report"+end, "")
		if answer.Code != http.StatusOK || answer.Header().Get("Content-Type") != contentType || !strings.Contains(answer.Body.String(), "# Post-mortem") {
			t.Errorf("%d %v %s", answer.Code, answer.Header(), answer.Body)
		}
		if got, want := answer.Header().Get("Content-Disposition"), `attachment; filename="post-mortem-`+deskIncident+end+`"`; got != want {
			t.Errorf("got %s", got)
		}
		if body := ask(t, p, http.MethodGet, "/incidents/"+deskIncident, "").Body.String(); !strings.Contains(body, "/incidents/"+deskIncident+"/report"+end) {
			t.Errorf("the page does not lead to %s", end)
		}
	}
	if answer := ask(t, p, http.MethodGet, "/incidents/%22%0a/report.md", ""); answer.Code != http.StatusNotFound || answer.Header().Get("Content-Disposition") != "" {
		t.Errorf("%d %v", answer.Code, answer.Header())
	}
}

// TestPublic shows what anybody may see: figures, and no name.
func TestPublic(t *testing.T) {
	t.Parallel()
	p := open(t, firstDesk(), nil)
	for health, says := range map[runner.Health]string{
		runner.Healthy: "All is well", runner.HealthWarning: "Something wants a look", runner.HealthCritical: "Something is failing", runner.HealthUnknown: "Nobody can tell",
	} {
		answer := httptest.NewRecorder()
		p.Public(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/status", nil), api.Summary{At: now(), Status: health, Daemon: "ok", Checks: 7, Healthy: 6})
		body := answer.Body.String()
		if answer.Code != http.StatusOK || !strings.Contains(body, says) || !strings.Contains(body, "6 of 7") || strings.Contains(body, "<nav") {
			t.Errorf("%s: %d %s", health, answer.Code, body)
		}
		checkHTML(t, string(health), body)
	}
}
