package web

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"html"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

// Shown says what anybody may see without being known.
type Shown struct{ Status, Badges bool }

// registerPublic adds what anybody may see, if the configuration says so.
func (s *Server) registerPublic() {
	s.mux.HandleFunc("GET /status", s.serveSummary)
	s.mux.HandleFunc("GET /badge/{file}", s.serveBadge)
}

// publicFor is how long others may keep what anybody may see.
const publicFor = "public, max-age=60"

// summaryLooks bounds how many open incidents are counted.
const summaryLooks = 1000

// serveSummary answers in short how all is, without names.
func (s *Server) serveSummary(w http.ResponseWriter, r *http.Request) {
	if !s.o.Public().Status {
		writeProblem(r.Context(), w, api.NewProblem(api.CodeNotFound, "", "there is nothing at this address"))
		return
	}
	summary, err := s.summary(r.Context())
	if err != nil {
		writeProblem(r.Context(), w, s.explain(r.Context(), "get-summary", err))
		return
	}
	w.Header().Set("Cache-Control", publicFor)
	w.Header().Set("Vary", "Accept")
	if browses(r) && s.pages != nil {
		s.pages.Public(w, r, summary)
		return
	}
	writeJSON(w, http.StatusOK, summary)
}

func (s *Server) summary(ctx context.Context) (api.Summary, error) {
	out := api.Summary{At: time.Now().UTC().Truncate(time.Second), Status: runner.Healthy, Daemon: s.health(ctx).Status}
	views, err := s.workflows(ctx, s.o.Catalog.Workflows(), 0)
	if err != nil {
		return out, err
	}
	for _, v := range views {
		out.Workflows++
		out.Running += v.Running
		switch {
		case v.Last != nil && (v.Last.State == runner.Failed || v.Last.State == runner.Lost):
			out.Failed++
		case v.Fresh != nil && !*v.Fresh:
			out.Stale++
		}
	}
	open, err := s.o.Alerts.Incidents(ctx, runner.IncidentFilter{States: []runner.IncidentState{runner.IncidentOpen}, Limit: summaryLooks})
	if err != nil {
		return out, err
	}
	out.Incidents = len(open)
	checks, err := s.monitor().Checks(ctx, false)
	if err == nil { // a process that watches nothing has none
		out.Status = api.NewSystemHealth(checks, out.At).OverallStatus
		out.Checks = len(checks)
		for _, c := range checks {
			if c.Health == runner.Healthy {
				out.Healthy++
			}
		}
	}
	if out.Status == runner.Healthy && (out.Failed > 0 || out.Stale > 0 || out.Incidents > 0 || out.Daemon != healthOK) {
		out.Status = runner.HealthWarning
	}
	return out, nil
}

// serveBadge answers how a workflow is as a small picture. What is not
// configured looks like what has never run, so that nobody finds out names.
func (s *Server) serveBadge(w http.ResponseWriter, r *http.Request) {
	name, isSVG := strings.CutSuffix(r.PathValue("file"), ".svg")
	if !s.o.Public().Badges || !isSVG {
		writeProblem(r.Context(), w, api.NewProblem(api.CodeNotFound, "", "there is nothing at this address"))
		return
	}
	word, color := "unknown", "#6b7280"
	label := "maintenance"
	configured := s.o.Catalog.Workflows()
	if at := slices.IndexFunc(configured, func(c Workflow) bool { return c.Name == name }); at >= 0 {
		views, err := s.workflows(r.Context(), configured[at:at+1], 0)
		if err != nil {
			writeProblem(r.Context(), w, s.explain(r.Context(), "get-badge", err))
			return
		}
		if views[0].Last != nil {
			label = name
			word, color = badgeWord(views[0])
		}
	}
	picture := badge(label, word, color)
	header := w.Header()
	header.Set("Content-Type", "image/svg+xml; charset=utf-8")
	header.Set("Cache-Control", publicFor)
	sum := sha256.Sum256(picture)
	header.Set("ETag", `"`+hex.EncodeToString(sum[:8])+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(picture))
}

// badgeWord is how a workflow is, and the color of it.
func badgeWord(v api.Workflow) (word, color string) {
	const green, amber, red, blue, gray = "#15803d", "#b45309", "#b91c1c", "#1d4ed8", "#6b7280"
	last := v.Last
	switch {
	case v.Paused != nil:
		return "paused", gray
	case last.State == runner.Failed, last.State == runner.Lost:
		return string(last.State), red
	case v.Fresh != nil && !*v.Fresh:
		return "stale", red
	case last.State == runner.Warned, last.State == runner.Canceled:
		return string(last.State), amber
	case last.State == runner.Succeeded:
		return string(last.State), green
	case last.State == runner.Running, last.State == runner.Queued:
		return string(last.State), blue
	}
	return string(last.State), gray
}

// badge draws a label beside a word. The width of letters is that of a usual
// font, and the text is fitted into it.
func badge(label, word, color string) []byte {
	const letter, pad, height = 7, 10, 20
	left, right := utf8.RuneCountInString(label)*letter+2*pad, utf8.RuneCountInString(word)*letter+2*pad
	l, v := html.EscapeString(label), html.EscapeString(word)
	return fmt.Appendf(nil, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" role="img" aria-label="%s: %s"><title>%s: %s</title>`+
		`<rect width="%d" height="%d" rx="3" fill="#374151"/><rect x="%d" width="%d" height="%d" rx="3" fill="%s"/><rect x="%d" width="4" height="%d" fill="%s"/>`+
		`<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" text-anchor="middle">`+
		`<text x="%d" y="14" textLength="%d">%s</text><text x="%d" y="14" textLength="%d">%s</text></g></svg>`+"\n",
		left+right, height, l, v, l, v, left+right, height, left, right, height, color, left, height, color,
		left/2, left-2*pad, l, left+right/2, right-2*pad, v)
}
