package pages

import (
	"bytes"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/templates"
)

// policy is what the pages may load and run: their own files, and nothing
// inline.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// frame is what the layout shows around a page.
type frame struct {
	Title, Nav, URL, Node, Version, Refresh string
	// LogIn leads to the login page and from there back here; empty on that page
	// itself.
	LogIn   string
	Viewer  Viewer
	Menu    []menuItem
	Flashes []flash
	Zone    *time.Location
	Now     time.Time
	Data    any
}

// menuItem leads to a page.
type menuItem struct {
	Key, Label, Href string
	// Count is of what needs somebody, 0 for nothing to say.
	Count    int
	Severity string
}

// menu are the pages in order.
func menu() []menuItem {
	return []menuItem{
		{Key: "overview", Label: "Overview", Href: "/"},
		{Key: "workflows", Label: "Workflows", Href: "/workflows"},
		{Key: "runs", Label: "Runs", Href: "/runs"},
		{Key: "backups", Label: "Backups", Href: "/backups"},
		{Key: "checks", Label: "Checks", Href: "/checks"},
		{Key: "incidents", Label: "Incidents", Href: "/incidents"},
		{Key: "kpis", Label: "KPIs", Href: "/kpis"},
		{Key: "plan", Label: "Plan", Href: "/plan"},
		{Key: "system", Label: "System", Href: "/system"},
	}
}

// parse reads every template with the frame and the shared parts.
func (p *Pages) parse() (map[string]*template.Template, error) {
	names, err := fs.Glob(templates.FS, "*.html")
	if err != nil {
		return nil, err
	}
	shared, err := template.New("layout.html").Funcs(p.funcs()).ParseFS(templates.FS, "layout.html", "parts*.html")
	if err != nil {
		return nil, err
	}
	sheets := map[string]*template.Template{}
	for _, name := range names {
		if name == "layout.html" || strings.HasPrefix(name, "parts") {
			continue
		}
		sheet, err := shared.Clone()
		if err == nil {
			sheet, err = sheet.ParseFS(templates.FS, name)
		}
		if err != nil {
			return nil, err
		}
		sheets[strings.TrimSuffix(name, ".html")] = sheet
	}
	return sheets, nil
}

// render answers with a page, whole or, when one is shown already, what changed
// of it. It writes nothing before all of it is there.
func (p *Pages) render(w http.ResponseWriter, v *visit, shown page) {
	f := frame{
		Title: shown.title, Nav: shown.nav, URL: v.URL.RequestURI(), Version: p.o.Version, Viewer: p.o.Who(v.ctx),
		Zone: shown.zone, Now: v.now, Data: shown.data,
	}
	if !aboutLogin(v.URL.Path) {
		f.LogIn = loginPath(f.URL)
	}
	if shown.refresh > 0 {
		f.Refresh = unit.Duration(shown.refresh).String()
	}
	if f.Zone == nil {
		f.Zone = v.zone("")
	}
	block := "main"
	if !v.fragment() {
		block = "layout"
		f.Flashes = takeFlash(w, v.Request)
		p.furnish(v, &f)
	}
	body, err := p.execute(shown.sheet, block, f)
	if err != nil {
		p.o.Log.LogAttrs(v.ctx, slog.LevelError, "a page could not be rendered", slog.String("path", v.URL.Path), slog.Any("error", err))
		body = []byte("<!doctype html><title>upkeep</title><p>This page could not be rendered. The log of the daemon says why, under the request " +
			template.HTMLEscapeString(p.o.RequestID(v.ctx)) + ".</p>")
		shown.status = http.StatusInternalServerError
	}
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Content-Security-Policy", policy)
	header.Set("Referrer-Policy", "same-origin")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cache-Control", "no-store")
	header.Set("Vary", "HX-Request, Accept-Encoding")
	body = p.packer.pack(header, v.Request, body)
	header.Set("Content-Length", strconv.Itoa(len(body)))
	if shown.status == 0 {
		shown.status = http.StatusOK
	}
	w.WriteHeader(shown.status)
	if v.Method != http.MethodHead {
		_, _ = w.Write(body) // a client that has gone needs no answer
	}
}

func (p *Pages) execute(sheet, block string, f frame) ([]byte, error) {
	t, ok := p.sheets[sheet]
	if !ok {
		return nil, fmt.Errorf("there is no template %s", sheet)
	}
	var b bytes.Buffer
	if err := t.ExecuteTemplate(&b, block, f); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// mostCounted bounds how many open incidents the menu counts.
const mostCounted = 100

// furnish adds what the frame shows beside the page. That it is not to be had
// is no reason not to show the page.
func (p *Pages) furnish(v *visit, f *frame) {
	f.Menu = menu()
	if status, err := v.api.Status(v.ctx); err == nil {
		f.Node = status.Node
	}
	open, err := v.api.Incidents(v.ctx, runner.IncidentFilter{States: []runner.IncidentState{runner.IncidentOpen}, Limit: mostCounted})
	if err != nil {
		return
	}
	for i := range f.Menu {
		if f.Menu[i].Key == "incidents" {
			f.Menu[i].Count, f.Menu[i].Severity = len(open), worstOf(open)
		}
	}
}

// worstOf is the word for the worst of incidents.
func worstOf(list []runner.Incident) string {
	worst := ""
	for _, i := range list {
		if word := string(i.Severity); rankOf(word) > rankOf(worst) {
			worst = word
		}
	}
	return worst
}

func rankOf(severity string) int {
	switch severity {
	case "critical":
		return 3
	case "warning":
		return 2
	case "info":
		return 1
	}
	return 0
}
