package pages

import (
	"context"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"time"

	"github.com/ghosteam/upkeep/web/client"
	"github.com/ghosteam/upkeep/web/static"
)

// Viewer is who looks at a page.
type Viewer struct {
	// Name is the name that the API knows, empty for nobody in particular.
	Name string
	// Role is the word for what they may do.
	Role string
	// Operator tells that they may run, cancel and acknowledge; Admin that they
	// may change the daemon. Pages leave out what a viewer may not do; whether
	// somebody may is decided by the API alone.
	Operator, Admin bool
	// CanLogOut tells that a cookie of the login page says who they are.
	CanLogOut bool
}

// Options are what the pages need. All of them are required, but for those that
// have a default.
type Options struct {
	// API answers in the name of who the context of a request says.
	API *client.Client
	// Who tells who looks; the default is somebody who may do everything.
	Who func(ctx context.Context) Viewer
	// Login checks the token of a form, sets the cookie and says where to go;
	// its error is one for people. Logout takes the cookie off. Without them
	// nobody logs in.
	Login  func(w http.ResponseWriter, r *http.Request) (next string, err error)
	Logout func(w http.ResponseWriter, r *http.Request)
	// RequestID names a request in the log; the default is no name.
	RequestID func(ctx context.Context) string
	// Version is that of this program.
	Version string
	// Log gets what is wrong with a page; the default is nowhere.
	Log *slog.Logger
	// Now is the clock; the default is time.Now.
	Now func() time.Time
}

// Pages serves the pages and their files. Its methods may be called from
// several goroutines.
type Pages struct {
	o      Options
	files  *static.Files
	sheets map[string]*template.Template
	mux    *http.ServeMux
	// patterns are what the mux knows, in order.
	patterns []string
	packer   packer
}

// New reads the templates, which are part of this program; an error is a fault
// in them.
func New(o Options) (*Pages, error) {
	if o.Who == nil {
		o.Who = func(context.Context) Viewer { return Viewer{Operator: true, Admin: true} }
	}
	if o.RequestID == nil {
		o.RequestID = func(context.Context) string { return "" }
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	files, err := static.Load()
	if err != nil {
		return nil, err
	}
	p := &Pages{o: o, files: files, mux: http.NewServeMux()}
	if p.sheets, err = p.parse(); err != nil {
		return nil, fmt.Errorf("read the templates of the pages: %w", err)
	}
	p.handle("GET "+static.Prefix, files)
	p.handle("GET /favicon.ico", http.HandlerFunc(p.favicon))
	p.registerOverview()
	p.registerWorkflows()
	p.registerRuns()
	p.registerBackups()
	p.registerChecks()
	p.registerIncidents()
	p.registerKPIs()
	p.registerPlan()
	p.registerSystem()
	p.registerAccess()
	p.registerLogin()
	return p, nil
}

// Patterns are the addresses that the pages answer, as http.ServeMux writes
// them.
func (p *Pages) Patterns() []string { return append([]string{}, p.patterns...) }

// ServeHTTP answers with a page, a file or an action.
func (p *Pages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if _, pattern := p.mux.Handler(r); pattern == "" {
		p.Missing(w, r)
		return
	}
	p.mux.ServeHTTP(w, r)
}

func (p *Pages) handle(pattern string, h http.Handler) {
	p.patterns = append(p.patterns, pattern)
	p.mux.Handle(pattern, h)
}

// page is what a handler wants to be shown.
type page struct {
	// sheet is the name of its template, without .html.
	sheet string
	// title names it in the tab, nav in the menu.
	title, nav string
	// refresh is how often it is fetched again while one looks; 0 for never.
	refresh time.Duration
	// zone is that of its times, nil for the usual one.
	zone *time.Location
	// status is 0 for 200.
	status int
	data   any
}

// page registers one page. The handler reads what it needs from the API; an
// error becomes a whole page that says what is wrong.
func (p *Pages) page(pattern string, show func(v *visit) (page, error)) {
	p.handle(pattern, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := p.visit(r)
		shown, err := show(v)
		if err != nil {
			p.fail(w, v, err)
			return
		}
		p.render(w, v, shown)
	}))
}

// outcome is what became of an action: where to look now, and what to say.
type outcome struct{ to, text string }

// action registers what a form asks for. It answers with the page where one was,
// or that the outcome names, and a message about what came of it.
func (p *Pages) action(pattern string, act func(v *visit) (outcome, error)) {
	p.handle(pattern, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := p.visit(r)
		if err := r.ParseForm(); err != nil {
			p.fail(w, v, errUnreadable)
			return
		}
		done, err := act(v)
		back := localPath(r.PostForm.Get("back"))
		switch {
		case err != nil && isUnauthenticated(err):
			http.Redirect(w, r, loginPath(back), http.StatusSeeOther)
			return
		case err != nil:
			setFlash(w, r, flashOf(err))
		default:
			setFlash(w, r, flash{Tone: toneGood, Text: done.text})
			if done.to != "" {
				back = done.to
			}
		}
		http.Redirect(w, r, back, http.StatusSeeOther) //nolint:gosec // localPath lets nothing through that leads elsewhere
	}))
}

var errUnreadable = errors.New("the form cannot be read")

func (p *Pages) favicon(w http.ResponseWriter, r *http.Request) {
	address, err := p.files.URL("icon.svg")
	if err != nil {
		http.NotFound(w, r)
		return
	}
	http.Redirect(w, r, address, http.StatusFound)
}
