package main

import (
	"context"
	"time"

	"github.com/ghosteam/upkeep/reports"
	"github.com/ghosteam/upkeep/web/api"
)

// kpisElsewhere shows the figures of a service elsewhere, or with rows one of
// them and what it rests on.
func (a *app) kpisElsewhere(ctx context.Context, window time.Duration, rows bool, names ...string) error {
	c, err := a.farther()
	if err != nil {
		return err
	}
	answer, err := c.KPIs(ctx, window, rows, names...)
	if err != nil {
		return err
	}
	if rows && len(answer.KPIs) == 1 {
		return a.explainElsewhere(answer)
	}
	p := a.painter(a.std.Out)
	l := listing{columns: []string{"KPI", "TARGET", "VALUE", "VERDICT", "N", "COVERAGE", "TREND", "SOURCE", "NEXT"}, data: answer.KPIs}
	for _, v := range answer.KPIs {
		f := figureOf(answer, v)
		l.rows = append(l.rows, []string{
			f.Name, v.TargetText, f.Text, paintVerdict(p, f.Verdict), f.Rests(), coverage(f), spark(f), oneLine(f.Source, mostAbout), oneLine(next(f), mostError),
		})
	}
	return a.list(l)
}

// explainElsewhere shows what one figure of a service elsewhere rests on.
func (a *app) explainElsewhere(answer api.KPIs) error {
	v := answer.KPIs[0]
	if a.format == formatTable {
		a.tellKPI(figureOf(answer, v), v.TargetText)
	}
	l := listing{columns: []string{"FROM", "UNTIL", "WHAT", "TEXT", "ID"}, data: v, empty: "nothing is on record that it could rest on"}
	for _, r := range v.Rows {
		var until time.Time
		if r.Until != nil {
			until = *r.Until
		}
		l.rows = append(l.rows, []string{stamp(r.At), stamp(until), oneLine(r.What, mostAbout), oneLine(r.Text, mostError), r.ID})
	}
	return a.list(l)
}

// figureOf is a figure of an answer as far as it is shown.
func figureOf(answer api.KPIs, v api.KPI) reports.Figure {
	f := reports.Figure{
		Name: v.Name, Title: v.Title, Verdict: reports.Verdict(v.Verdict), Text: v.Text, N: v.N, Of: v.Of, Coverage: -1,
		Source: v.Source, Why: v.Why, Next: v.Next, From: answer.From, Until: answer.Until,
	}
	if v.Coverage != nil {
		f.Coverage = *v.Coverage
	}
	for i := range min(len(v.Trend), len(f.Trend)) {
		if at := v.Trend[i]; at != nil {
			f.Trend[i] = reports.Point{Value: *at, Known: true}
		}
	}
	for _, d := range v.More {
		f.More = append(f.More, reports.Detail(d))
	}
	return f
}
