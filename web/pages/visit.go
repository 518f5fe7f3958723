package pages

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/ghosteam/upkeep/web/api"
	"github.com/ghosteam/upkeep/web/client"
)

// visit is one request for a page.
type visit struct {
	*http.Request

	ctx context.Context
	api *client.Client
	now time.Time
	// workflows are the configured ones, read once, zones the time zones by the
	// names of workflows that were asked for.
	workflows func() ([]api.Workflow, error)
	zones     map[string]*time.Location
}

func (p *Pages) visit(r *http.Request) *visit {
	ctx := r.Context()
	return &visit{
		Request: r, ctx: ctx, api: p.o.API, now: p.o.Now(), zones: map[string]*time.Location{},
		workflows: sync.OnceValues(func() ([]api.Workflow, error) { return p.o.API.Workflows(ctx) }),
	}
}

// fragment tells that a page that is shown already wants what changed.
func (v *visit) fragment() bool { return v.Header.Get("HX-Request") == "true" }

// query is a parameter of the address without space around it.
func (v *visit) query(name string) string { return strings.TrimSpace(v.URL.Query().Get(name)) }

// with is the address of the page with parameters changed; empty values leave
// them out.
func (v *visit) with(pairs ...string) string {
	q := v.URL.Query()
	for i := 0; i+1 < len(pairs); i += 2 {
		q.Del(pairs[i])
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	if len(q) == 0 {
		return v.URL.Path
	}
	return v.URL.Path + "?" + q.Encode()
}

// zone is the time zone of a workflow, or the usual one when the workflow is not
// configured: that of most workflows.
func (v *visit) zone(workflow string) *time.Location {
	zone, known := v.zones[workflow]
	if !known {
		zone = v.zoneOf(workflow)
		v.zones[workflow] = zone
	}
	return zone
}

func (v *visit) zoneOf(workflow string) *time.Location {
	list, err := v.workflows()
	if err != nil {
		return time.UTC
	}
	count := map[string]int{}
	usual := ""
	for _, w := range list {
		if w.Name == workflow {
			return location(w.Zone)
		}
		if count[w.Zone]++; count[w.Zone] > count[usual] {
			usual = w.Zone
		}
	}
	return location(usual)
}

func location(name string) *time.Location {
	zone, err := time.LoadLocation(name)
	if err != nil {
		return time.UTC
	}
	return zone
}

// localPath is an address of these pages, or the overview for anything else.
func localPath(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || !strings.HasPrefix(address, "/") ||
		strings.HasPrefix(address, "//") || strings.ContainsAny(address, "\\\r\n\t") {
		return "/"
	}
	return address
}

// aboutLogin tells whether a path is one to log in or out at: nobody wants to be
// led back there.
func aboutLogin(path string) bool { return path == "/login" || path == "/logout" }

// landing is where one is after a login that is asked to lead to an address.
func landing(next string) string {
	next = localPath(next)
	if u, err := url.Parse(next); err != nil || aboutLogin(u.Path) {
		return "/"
	}
	return next
}

func loginPath(next string) string { return "/login?" + url.Values{"next": {next}}.Encode() }
