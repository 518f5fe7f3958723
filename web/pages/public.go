package pages

import (
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

// publicView is what anybody may see when the configuration says so: no names.
type publicView struct {
	Tone               tone
	Glyph              string
	Headline, Sentence string
	At                 time.Time
	Facts              []fact
}

// Public answers with how all is, in short and without names, as a page for
// people who are nobody in particular. Whether they may see it is decided by
// the caller.
func (p *Pages) Public(w http.ResponseWriter, r *http.Request, s api.Summary) {
	body, err := p.execute("public", "public", frame{Title: "Status", Zone: time.UTC, Now: p.o.Now(), Data: newPublicView(s)})
	if err != nil {
		p.o.Log.LogAttrs(r.Context(), slog.LevelError, "a page could not be rendered", slog.String("path", r.URL.Path), slog.Any("error", err))
		http.Error(w, "the status cannot be shown just now", http.StatusInternalServerError)
		return
	}
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Content-Security-Policy", policy)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // a client that has gone needs no answer
	}
}

func newPublicView(s api.Summary) publicView {
	view := publicView{At: s.At, Tone: toneIdle, Glyph: "?", Headline: "Nobody can tell", Sentence: "Some checks have not answered yet."}
	switch s.Status {
	case runner.Healthy:
		view.Tone, view.Glyph, view.Headline, view.Sentence = toneGood, "✓", "All is well", "Every check answers as it should, and the maintenance did its work."
	case runner.HealthWarning:
		view.Tone, view.Glyph, view.Headline, view.Sentence = toneWarn, "!", "Something wants a look", "What matters works; somebody should look at the rest."
	case runner.HealthCritical:
		view.Tone, view.Glyph, view.Headline, view.Sentence = toneBad, "✗", "Something is failing", "At least one check says that something does not work."
	case runner.HealthUnknown:
	}
	view.Facts = []fact{
		{Name: "Checks that are well", Text: fmt.Sprintf("%d of %d", s.Healthy, s.Checks)},
		{Name: "Open incidents", Text: strconv.Itoa(s.Incidents)},
		{Name: "Workflows", Text: strconv.Itoa(s.Workflows)},
		{Name: "Under way", Text: strconv.Itoa(s.Running)},
		{Name: "Failed last time", Text: strconv.Itoa(s.Failed)},
		{Name: "Overdue", Text: strconv.Itoa(s.Stale)},
		{Name: "The scheduler", Text: s.Daemon},
	}
	return view
}
