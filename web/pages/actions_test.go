package pages_test

import (
	"context"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
	"github.com/ghosteam/upkeep/web/pages"
)

func viewer(context.Context) pages.Viewer { return pages.Viewer{Name: "eve", Role: "viewer"} }

func named(o *pages.Options) { o.RequestID = func(context.Context) string { return "the-request" } }

// TestActions shows what each form asks the API, and where one is afterwards.
func TestActions(t *testing.T) {
	t.Parallel()
	checkActions(t, map[string]action{
		"run": {
			"/do/workflows/daily/run", "param.days=14&param.tag=&dry_run=yes&back=/workflows", `POST /runs {"workflow":"daily","params":{"days":"14"},"dry_run":true,"trigger":"manual"}`,
			api.RunAccepted{Run: goodRun},
			"/runs/" + goodRun, "dry run",
		},
		"run a job": {
			"/do/workflows/daily/run", "job=prune&with_needs=yes", `POST /runs {"workflow":"daily","jobs":["prune"],"with_needs":true,"trigger":"manual"}`,
			api.RunAccepted{Run: goodRun},
			"/runs/" + goodRun, "on its way",
		},
		"pause": {
			"/do/workflows/daily/pause", "reason=move&for=8h&back=/workflows/daily", `POST /workflows/daily/pause {"reason":"move","until":"2026-11-23T15:00:00Z"}`,
			api.Pause{},
			"/workflows/daily", "daily is paused until Mon 23 Nov 15:00 UTC.",
		},
		"pause for good":   {"/do/workflows/daily/pause", "reason=move&for=", `POST /workflows/daily/pause {"reason":"move"}`, api.Pause{}, "/", "until somebody ends that"},
		"pause, no reason": {"/do/workflows/daily/pause", "reason=+&back=/workflows", "", nil, "/workflows", "a pause needs a reason"},
		"pause, nonsense":  {"/do/workflows/daily/pause", "reason=x&for=soon", "", nil, "/", "no duration"},
		"unpause":          {"/do/workflows/daily/unpause", "back=/workflows", "DELETE /workflows/daily/pause ", api.Unpaused{Was: true}, "/workflows", "has ended"},
		"cancel":           {"/do/runs/r1/cancel", "back=/runs/r1", "POST /runs/r1/cancel ", api.CancelAccepted{Before: runner.Running}, "/runs/r1", "being canceled"},
		"cancel, late":     {"/do/runs/r1/cancel", "back=/runs/r1", "POST /runs/r1/cancel ", api.CancelAccepted{Before: runner.Failed}, "/runs/r1", "had ended already"},
		"retry":            {"/do/runs/r1/retry", "from=dump", `POST /runs/r1/retry {"from":"dump"}`, api.Acted{}, "/runs/r1", "from dump"},
		"approve":          {"/do/runs/r1/approve", "back=/", "POST /runs/r1/approve ", api.Acted{}, "/", "approved"},
		"refused":          {"/do/runs/r1/retry", "back=/runs/r1", "POST /runs/r1/retry {}", api.NewProblem(api.CodeNotClaimable, "wait", "it runs still"), "/runs/r1", "it runs still"},
		"away":             {"/do/runs/r1/approve", "back=https://evil.example/", "POST /runs/r1/approve ", api.Acted{}, "/", "approved"},
		"away, no scheme":  {"/do/runs/r1/approve", "back=//evil.example/", "POST /runs/r1/approve ", api.Acted{}, "/", "approved"},
		"away, backslash":  {"/do/runs/r1/approve", "back=/%5Cevil.example/", "POST /runs/r1/approve ", api.Acted{}, "/", "approved"},
		"stranger":         {"/do/runs/r1/approve", "back=/runs/r1", "POST /runs/r1/approve ", api.NewProblem(api.CodeUnauthenticated, "", "who?"), "/login?next=%2Fruns%2Fr1", ""},
	})
}

// action is a form that somebody sends.
type action struct {
	address, form string
	// asks is what the API is asked for it, method, path and body, and answer
	// what it says; empty for nothing.
	asks   string
	answer any
	// to is where one is afterwards, says what stands there.
	to, says string
}

// checkActions sends each form on a first day.
func checkActions(t *testing.T, tests map[string]action) {
	t.Helper()
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := firstDesk()
			if test.asks != "" {
				method, rest, _ := strings.Cut(test.asks, " ")
				path, _, _ := strings.Cut(rest, " ")
				w.answers[method+" "+path] = test.answer
			}
			p := open(t, w, nil)
			answer := ask(t, p, http.MethodPost, test.address, test.form)
			if answer.Code != http.StatusSeeOther || answer.Header().Get("Location") != test.to {
				t.Errorf("%d to %s", answer.Code, answer.Header().Get("Location"))
			}
			if got := strings.Join(w.asked, "\n"); got != test.asks {
				t.Errorf("asked %s\nwant  %s", got, test.asks)
			}
			checkFlash(t, p, answer.Result(), test.says)
		})
	}
}

// TestRun_Twice: a form that is sent twice asks for one run; one that was filled
// in anew, or comes from the page loaded anew, asks for another.
func TestRun_Twice(t *testing.T) {
	t.Parallel()
	w := usualWorld("dump-all", "a usual text")
	accepted := api.RunAccepted{Run: goodRun}
	w.answers["POST /runs"] = accepted
	p := open(t, w, nil)
	for _, page := range []string{"/workflows/daily", "/workflows"} {
		once := regexp.MustCompile(`action="/do/workflows/daily/run".*?name="once" value="([^"]{20,})"`)
		var fields []string
		for range 2 {
			found := once.FindStringSubmatch(ask(t, p, http.MethodGet, page, "").Body.String())
			if found == nil {
				t.Fatalf("the form on %s does not say which it is", page)
			}
			fields = append(fields, "once="+found[1])
		}
		w.keys = nil
		const address = "/do/workflows/daily/run"
		for _, form := range []string{fields[0], fields[0], fields[0] + "&dry_run=yes", fields[1], "back=/", "back=/"} {
			ask(t, p, http.MethodPost, address, form)
		}
		ask(t, p, http.MethodPost, "/do/workflows/hourly/run", fields[0])
		if len(w.keys) != 7 || w.keys[0] != w.keys[1] {
			t.Fatalf("%s: the keys are %q", page, w.keys)
		}
		if distinct := slices.Compact(slices.Sorted(slices.Values(w.keys))); len(distinct) != 6 || distinct[0] == "" {
			t.Errorf("%s: different forms have the same keys: %q", page, w.keys)
		}
	}
	accepted.Duplicate = true
	w.answers["POST /runs"] = accepted
	checkFlash(t, p, ask(t, p, http.MethodPost, "/do/workflows/daily/run", "once=x").Result(), "was sent before")
}

// checkFlash looks at what the next page says, once.
func checkFlash(t *testing.T, p *pages.Pages, answer *http.Response, says string) {
	t.Helper()
	if says == "" {
		if len(answer.Cookies()) > 0 {
			t.Errorf("cookies: %v", answer.Cookies())
		}
		return
	}
	if len(answer.Cookies()) != 1 {
		t.Fatalf("cookies: %v", answer.Cookies())
	}
	c := answer.Cookies()[0]
	if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" {
		t.Errorf("cookie: %v", c)
	}
	shown := ask(t, p, http.MethodGet, "/", "", "Cookie", c.Name+"="+c.Value)
	if !strings.Contains(shown.Body.String(), says) {
		t.Errorf("the next page does not say %q", says)
	}
	if over := shown.Result().Cookies(); len(over) != 1 || over[0].MaxAge >= 0 {
		t.Errorf("the message would be said again: %v", over)
	}
	part := ask(t, p, http.MethodGet, "/", "", "Cookie", c.Name+"="+c.Value, "HX-Request", "true")
	if len(part.Result().Cookies()) > 0 {
		t.Error("a part of a page takes the message")
	}
}

// TestFlash_Forged shows that a message that somebody else wrote is text at
// most.
func TestFlash_Forged(t *testing.T) {
	t.Parallel()
	p := open(t, emptyWorld(), nil)
	for _, value := range []string{"", "x", "e30", "bm90IGpzb24", "eyJ0ZXh0IjoiPHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0PiIsInRvbmUiOiJcIj48In0"} {
		answer := ask(t, p, http.MethodGet, "/", "", "Cookie", "upkeep_flash="+value)
		if answer.Code != http.StatusOK {
			t.Errorf("%q: %d", value, answer.Code)
		}
		checkHTML(t, value, answer.Body.String())
	}
}
