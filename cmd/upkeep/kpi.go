package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/cmd/upkeep/service"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/reports"
)

// shortestWindow and longestWindow bound --window.
const (
	shortestWindow = time.Hour
	longestWindow  = 2 * 366 * 24 * time.Hour
)

func newKPI(a *app) *cobra.Command {
	var window, explain string
	cmd := &cobra.Command{
		Use:   "kpi",
		Short: "Show the operational figures with their targets",
		Long: `Show the operational figures over a window: the target, the value, whether it is met,
on how much it rests, for how much of the window something is on record, and how it
went. A verdict is one of met, missed, insufficient data and no source: what cannot be
told is not said to be met. The targets stand under ` + "`kpis:`" + ` in the configuration.

--explain NAME says what decides one figure, and lists the rows on record that it was
computed from.`,
		Example: "  upkeep kpi\n  upkeep kpi --window 7d -o json\n  upkeep kpi --explain uptime",
		RunE: func(cmd *cobra.Command, _ []string) error {
			back, err := windowOf(window)
			if err != nil {
				return err
			}
			if explain != "" {
				return a.explainKPI(cmd.Context(), back, explain)
			}
			return a.listKPIs(cmd.Context(), back)
		},
	}
	a.outputFlag(cmd)
	cmd.Flags().StringVar(&window, "window", "", "how far to look back (`TIME`), such as 7d; without it, as the configuration says")
	cmd.Flags().StringVar(&explain, "explain", "", "what one figure (`NAME`) rests on")
	completeFlag(cmd, "explain", completeWords(reports.Names()))
	return cmd
}

// windowOf reads --window; empty is 0.
func windowOf(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	window, err := unit.ParseDuration(text)
	if err != nil || window < shortestWindow || window > longestWindow {
		return 0, usagef("--window %q is not a duration from 1h to %s, such as 30d", text, unit.Duration(longestWindow))
	}
	return window, nil
}

// figures computes figures on the ledger, with a service and without.
func (a *app) figures(ctx context.Context, window time.Duration, names ...string) (plan reports.Plan, now time.Time, list []reports.Figure, err error) {
	cfg, err := a.loadForReading()
	if err != nil {
		return plan, now, nil, err
	}
	reader, err := a.openHistory(ctx, cfg)
	if err != nil {
		return plan, now, nil, err
	}
	defer reader.Close()
	plan, now = service.KPIPlan(cfg, window), time.Now()
	list, err = reports.Measure(ctx, reader.source(), plan, now, names...)
	return plan, now, list, err
}

// source is the ledger as reports read it.
func (h history) source() reports.Source {
	return reports.Source{Runs: h.Reader, Samples: h.facts, Incidents: h.alerts, Events: h.facts}
}

func (a *app) listKPIs(ctx context.Context, window time.Duration) error {
	if a.farServer() != "" {
		return a.kpisElsewhere(ctx, window, false)
	}
	plan, now, list, err := a.figures(ctx, window)
	if err != nil {
		return err
	}
	p := a.painter(a.std.Out)
	l := listing{
		columns: []string{"KPI", "TARGET", "VALUE", "VERDICT", "N", "COVERAGE", "TREND", "SOURCE", "NEXT"},
		data:    service.KPIsOf(plan, now, list, false).KPIs,
	}
	for _, f := range list {
		l.rows = append(l.rows, []string{
			f.Name, f.Aim.String(), f.Text, paintVerdict(p, f.Verdict), f.Rests(), coverage(f), spark(f), oneLine(f.Source, mostAbout), oneLine(next(f), mostError),
		})
	}
	return a.list(l)
}

// next is what there is to do, or else why the verdict is what it is.
func next(f reports.Figure) string {
	if f.Next == "" {
		return f.Why
	}
	return f.Next
}

func coverage(f reports.Figure) string {
	if f.Coverage < 0 {
		return "-"
	}
	return reports.Share.Format(f.Coverage)
}

func paintVerdict(p painter, v reports.Verdict) string {
	switch v {
	case reports.Met:
		return p.paint("32", string(v))
	case reports.Missed:
		return p.red(string(v))
	case reports.Insufficient:
		return p.yellow(string(v))
	default:
		return p.faint(string(v))
	}
}

// spark draws a trend with one character for each part of the window.
func spark(f reports.Figure) string {
	const levels = "▁▂▃▄▅▆▇█"
	low, high, known := 0.0, 0.0, false
	for _, p := range f.Trend {
		if p.Known && !known {
			low, high, known = p.Value, p.Value, true
		}
		if p.Known {
			low, high = min(low, p.Value), max(high, p.Value)
		}
	}
	if !known {
		return "-"
	}
	glyphs := []rune(levels)
	var b strings.Builder
	for _, p := range f.Trend {
		switch {
		case !p.Known:
			b.WriteByte(' ')
		case high == low:
			b.WriteRune(glyphs[len(glyphs)/2])
		default:
			b.WriteRune(glyphs[int((p.Value-low)/(high-low)*float64(len(glyphs)-1)+0.5)])
		}
	}
	return b.String()
}

// explainKPI shows what one figure rests on.
func (a *app) explainKPI(ctx context.Context, window time.Duration, name string) error {
	if !slices.Contains(reports.Names(), name) {
		return notFoundf("there is "+strings.Join(reports.Names(), ", "), "there is no figure %q", name)
	}
	if a.farServer() != "" {
		return a.kpisElsewhere(ctx, window, true, name)
	}
	plan, now, list, err := a.figures(ctx, window, name)
	if err != nil {
		return err
	}
	f := list[0]
	if a.format == formatTable {
		a.tellKPI(f, f.Aim.String())
	}
	l := listing{columns: []string{"FROM", "UNTIL", "WHAT", "TEXT", "ID"}, data: service.KPIsOf(plan, now, list, true).KPIs[0], empty: "nothing is on record that it could rest on"}
	for _, r := range f.Rows {
		l.rows = append(l.rows, []string{stamp(r.At), stamp(r.Until), oneLine(r.What, mostAbout), oneLine(r.Text, mostError), r.ID})
	}
	return a.list(l)
}

func (a *app) tellKPI(f reports.Figure, target string) {
	p := a.painter(a.std.Out)
	line := func(name, text string) {
		if text != "" {
			fmt.Fprintf(a.std.Out, "%-10s %s\n", name, oneLine(text, 0))
		}
	}
	fmt.Fprintf(a.std.Out, "%s: %s, %s\n", p.bold(f.Title), f.Text, paintVerdict(p, f.Verdict))
	line("target", target)
	line("window", stamp(f.From)+" to "+stamp(f.Until))
	line("source", f.Source)
	line("rests on", f.Rests())
	line("coverage", coverage(f))
	line("why", f.Why)
	line("next", f.Next)
	for _, d := range f.More {
		line(d.Name, d.Text)
	}
	fmt.Fprintln(a.std.Out)
}
