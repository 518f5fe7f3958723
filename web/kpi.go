package web

import (
	"context"
	"net/http"
	"time"

	"github.com/ghosteam/upkeep/web/api"
)

// KPIs computes operational figures.
type KPIs interface {
	// KPIs returns the figures of these names, or all, over a window before now;
	// 0 is the window of the configuration. With rows they say what they were
	// computed from. CodeInvalid for a name that is none.
	KPIs(ctx context.Context, window time.Duration, rows bool, names ...string) (api.KPIs, error)
}

// registerKPIs adds the operational figures.
func (s *Server) registerKPIs() {
	add(s, operation{
		id: "list-kpis", method: http.MethodGet, path: "/kpis", tag: "facts", summary: "Compute the operational figures",
		doc: "Each figure comes with its target, a verdict, on how much it rests, and a trend.",
	}, s.listKPIs)
}

// shortestKPIs and longestKPIs bound the window of figures.
const (
	shortestKPIs = time.Hour
	longestKPIs  = 2 * 366 * 24 * time.Hour
)

type listKPIs struct {
	Window string   `query:"window" maxLength:"20" doc:"how far back, such as 30d; by default as the configuration says"`
	Name   []string `query:"name" maxItems:"20" doc:"only these figures, with commas between"`
	Rows   bool     `query:"rows" doc:"also what they were computed from"`
}

func (s *Server) listKPIs(ctx context.Context, in *listKPIs) (*reply[api.KPIs], error) {
	window, err := windowOf(in.Window)
	if err != nil {
		return nil, err
	}
	list, err := s.o.KPIs.KPIs(ctx, window, in.Rows, in.Name...)
	if err != nil {
		return nil, err
	}
	return ok(list)
}
