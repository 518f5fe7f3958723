package service

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/reports"
	"github.com/ghosteam/upkeep/storage/ledger"
	"github.com/ghosteam/upkeep/web"
	"github.com/ghosteam/upkeep/web/api"
)

// kpis are the operational figures as the API shows them.
type kpis struct{ e *Engine }

var _ web.KPIs = kpis{}

// KPIs implements web.KPIs.
func (k kpis) KPIs(ctx context.Context, window time.Duration, rows bool, names ...string) (api.KPIs, error) {
	for _, name := range names {
		if !slices.Contains(reports.Names(), name) {
			return api.KPIs{}, api.NewProblem(api.CodeInvalid, "GET /api/v1/kpis lists them all", "there is no such figure")
		}
	}
	plan := k.e.Config().KPIs
	if window > 0 {
		plan.Window = window
	}
	now := time.Now()
	list, err := reports.Measure(ctx, SourceOf(k.e.ledger.Reader), plan, now, names...)
	if err != nil {
		return api.KPIs{}, err
	}
	return KPIsOf(plan, now, list, rows), nil
}

// SourceOf is a ledger as reports read it.
func SourceOf(r *ledger.Reader) reports.Source {
	return reports.Source{Runs: r, Samples: r, Incidents: r, Events: r}
}

// KPIsOf are figures as the API shows them.
func KPIsOf(plan reports.Plan, now time.Time, list []reports.Figure, rows bool) api.KPIs {
	out := api.KPIs{From: now.Add(-plan.Window).UTC(), Until: now.UTC(), KPIs: make([]api.KPI, len(list))}
	for i, f := range list {
		out.KPIs[i] = kpiOf(f, rows)
	}
	return out
}

func kpiOf(f reports.Figure, rows bool) api.KPI {
	v := api.KPI{
		Name: f.Name, Title: f.Title, Target: f.Aim.Target, TargetText: f.Aim.String(), Above: f.Aim.Above, Unit: string(f.Aim.Unit),
		Text: f.Text, Verdict: string(f.Verdict), N: f.N, Of: f.Of, Source: f.Source, Why: f.Why, Next: f.Next,
		More: []api.KPIDetail{}, Trend: []*float64{}, Rows: []api.KPIRow{},
		Value: finite(f.Value, f.Known), Low: finite(f.Low, f.Known), High: finite(f.High, f.Known), Coverage: finite(f.Coverage, f.Coverage >= 0),
	}
	for _, d := range f.More {
		v.More = append(v.More, api.KPIDetail(d))
	}
	for _, p := range f.Trend {
		v.Trend = append(v.Trend, finite(p.Value, p.Known))
	}
	if !rows {
		return v
	}
	for _, r := range f.Rows {
		v.Rows = append(v.Rows, api.KPIRow{At: r.At.UTC(), Until: api.Instant(r.Until), What: r.What, ID: r.ID, Text: r.Text})
	}
	return v
}

// finite is a number for JSON, which has no word for what has no bound.
func finite(v float64, known bool) *float64 {
	if !known || math.IsInf(v, 0) || math.IsNaN(v) {
		return nil
	}
	return &v
}

// KPIPlan is the plan of the figures of a configuration over another window; 0
// keeps that of the configuration.
func KPIPlan(cfg *configs.Config, window time.Duration) reports.Plan {
	plan := cfg.KPIs
	if window > 0 {
		plan.Window = window
	}
	return plan
}
