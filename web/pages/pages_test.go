package pages_test

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ghosteam/upkeep/web/api"
	"github.com/ghosteam/upkeep/web/pages"
)

// addresses are the pages of the shell, with what a usual world has.
func addresses() []string {
	return []string{
		"/", "/workflows", "/workflows/daily", "/runs", "/runs?workflow=daily&state=failed,lost&trigger=schedule&since=7d", "/runs?since=2026-11-01",
		"/runs?before=" + goodRun, "/runs/" + failedRun, "/runs/" + failedRun + "?log=dump.1", "/runs/" + runningRun,
	}
}

// mostWeight is what one page may weigh beside its files, in bytes.
const mostWeight = 60 << 10

// TestPages renders every page of the shell and looks at the HTML.
func TestPages(t *testing.T) {
	t.Parallel()
	worlds := map[string]*world{"empty": emptyWorld(), "usual": usualWorld("dump-all", "a usual text"), "hostile": usualWorld(hostileName, hostile)}
	for name, w := range worlds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := open(t, w, nil)
			for _, address := range addresses() {
				if name == "empty" && (strings.Contains(address, "/daily") || strings.Contains(address, "/runs/")) {
					continue
				}
				checkPage(t, p, address)
			}
		})
	}
}

// checkPage renders one page and looks at its HTML, its headers, and what of it is
// fetched while one looks.
func checkPage(t *testing.T, p *pages.Pages, address string) {
	t.Helper()
	answer := ask(t, p, http.MethodGet, address, "")
	if answer.Code != http.StatusOK {
		t.Fatalf("%s: %d %s", address, answer.Code, answer.Body)
	}
	checkHTML(t, address, answer.Body.String())
	if answer.Body.Len() > mostWeight {
		t.Errorf("%s weighs %d bytes", address, answer.Body.Len())
	}
	policy := answer.Header().Get("Content-Security-Policy")
	if strings.Contains(policy, "unsafe") || !strings.Contains(policy, "default-src 'none'") || answer.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("%s: %v", address, answer.Header())
	}
	part := ask(t, p, http.MethodGet, address, "", "HX-Request", "true")
	if part.Code != http.StatusOK || strings.Contains(part.Body.String(), "<html") || !strings.Contains(answer.Body.String(), strings.TrimSpace(part.Body.String())[:100]) {
		t.Errorf("%s: what changed is no part of the page: %d %.200s", address, part.Code, part.Body)
	}
}

// hostile is what somebody would write who wants to break a page.
const hostile = "<script>alert(1)</script>\"'></textarea><img src=x onerror=alert(2)>\u202eevil\x1b[31m\x00</script><!--{{.}}"

// hostileName is one as nobody can configure it, and a ledger may still have.
const hostileName = "<script>alert(1)</script>\"'></textarea><img src=x onerror=alert(2)></script><!--{{.}} /../%2e"

// checkHTML looks for what makes a page wrong or unsafe.
func checkHTML(t *testing.T, address, text string) {
	t.Helper()
	for _, wrong := range []string{"<script>alert", "<img src=x", "onerror=alert(2)>", "\u202e", "\x1b", "\x00", "ZgotmplZ", "<no value>", "%!", " style=", "javascript:"} {
		if strings.Contains(text, wrong) {
			i := strings.Index(text, wrong)
			t.Errorf("%s has %q: …%s…", address, wrong, text[max(0, i-80):min(len(text), i+80)])
		}
	}
	if inline := regexp.MustCompile(`<script(?:>| type="text| defer>)`).FindString(text); inline != "" {
		t.Errorf("%s has an inline script: %s", address, inline)
	}
	ids, labels, fields, err := readHTML(text)
	if err != nil {
		t.Fatalf("%s: %v", address, err)
	}
	for id, n := range ids {
		if n > 1 {
			t.Errorf("%s has %d elements of the id %q", address, n, id)
		}
	}
	for _, id := range fields {
		if id == "" || !labels[id] {
			t.Errorf("%s: a field has no label: %q", address, id)
		}
	}
	if n := strings.Count(text, "<h1"); n != 1 {
		t.Errorf("%s has %d headings of the first rank", address, n)
	}
}

// readHTML reads a page, whose elements have to be nested well, and returns how
// often each id occurs, the ids that have a label, and those of fields that
// need one.
func readHTML(text string) (ids map[string]int, labels map[string]bool, fields []string, err error) {
	d := xml.NewDecoder(strings.NewReader(text))
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	ids, labels = map[string]int{}, map[string]bool{}
	var open []string
	for {
		token, err := d.RawToken()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, nil, nil, err
		}
		switch e := token.(type) {
		case xml.StartElement:
			if !selfClosing(e.Name.Local) {
				open = append(open, e.Name.Local)
			}
			attr := map[string]string{}
			for _, a := range e.Attr {
				if strings.HasPrefix(a.Name.Local, "on") {
					return nil, nil, nil, fmt.Errorf("<%s> has the attribute %s", e.Name.Local, a.Name.Local)
				}
				attr[a.Name.Local] = a.Value
			}
			if attr["id"] != "" {
				ids[attr["id"]]++
			}
			switch e.Name.Local {
			case "label":
				labels[attr["for"]] = true
			case "input", "select", "textarea":
				inside := len(open) > 0 && slices.Contains(open, "label")
				if attr["type"] != "hidden" && attr["aria-label"] == "" && !inside {
					fields = append(fields, attr["id"])
				}
			}
		case xml.EndElement:
			if selfClosing(e.Name.Local) {
				continue
			}
			if len(open) == 0 || open[len(open)-1] != e.Name.Local {
				return nil, nil, nil, fmt.Errorf("</%s> closes %v", e.Name.Local, open)
			}
			open = open[:len(open)-1]
		}
	}
	if len(open) > 0 {
		return nil, nil, nil, fmt.Errorf("%v stay open", open)
	}
	return ids, labels, fields, nil
}

func selfClosing(name string) bool {
	return slices.Contains([]string{"meta", "link", "input", "br", "hr", "img"}, name)
}

// TestPages_Roles shows that who may only look is offered nothing else.
func TestPages_Roles(t *testing.T) {
	t.Parallel()
	p := open(t, usualWorld("dump-all", "text"), func(o *pages.Options) {
		o.Who = viewer
	})
	for _, address := range addresses() {
		if body := ask(t, p, http.MethodGet, address, "").Body.String(); strings.Contains(body, "/do/") {
			t.Errorf("%s offers an action", address)
		}
	}
}

// TestPages_Errors shows that an error is a page of its own, whole, with its
// status and the request's name.
func TestPages_Errors(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		problem *api.Problem
		status  int
		says    string
	}{
		"not found": {api.NewProblem(api.CodeNotFound, "look elsewhere", "there is no such workflow"), 404, "there is no such workflow"},
		"forbidden": {api.NewProblem(api.CodeForbidden, "ask an admin", "this needs the role viewer"), 403, "ask an admin"},
		"internal":  {api.NewProblem(api.CodeInternal, "", "broken"), 500, "the-request"},
		"busy":      {api.NewProblem(api.CodeUnavailable, "", "not now"), 503, "not now"},
		"stranger":  {api.NewProblem(api.CodeUnauthenticated, "", "who?"), 303, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := emptyWorld()
			w.answers["/workflows/x y"] = test.problem
			p := open(t, w, named)
			answer := ask(t, p, http.MethodGet, "/workflows/x%20y?a=b", "")
			if answer.Code != test.status || !strings.Contains(answer.Body.String(), test.says) {
				t.Errorf("%d %s", answer.Code, answer.Body)
			}
			if test.status == 303 {
				if to := answer.Header().Get("Location"); to != "/login?next=%2Fworkflows%2Fx%2520y%3Fa%3Db" {
					t.Errorf("sent to %s", to)
				}
				return
			}
			checkHTML(t, name, answer.Body.String())
			if !strings.Contains(answer.Body.String(), "the-request") {
				t.Error("the request is not named")
			}
		})
	}
	p := open(t, emptyWorld(), named)
	if answer := ask(t, p, http.MethodGet, "/nowhere", ""); answer.Code != 404 || !strings.Contains(answer.Body.String(), "nothing at this address") {
		t.Errorf("%d %s", answer.Code, answer.Body)
	}
}
