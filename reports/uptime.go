package reports

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// leastCoverage is the share of the window that must be on record before an
// uptime proves anything.
const leastCoverage = 0.9

// uptime is how much of the time nothing was out of order that people need.
func (m *measurement) uptime(ctx context.Context) (Figure, error) {
	p := m.plan
	f := m.figure(Uptime, "uptime", Aim{Above: true, Target: p.UptimeTarget, Unit: Share})
	f.Of, f.Source = "samples", "checks "+strings.Join(p.UptimeChecks, ", ")
	if len(p.UptimeChecks) == 0 {
		f.Source = "no check"
		f.without("no check has the impact outage", "say what an outage is: impact: outage for the checks whose failure users notice, or kpis: {uptime: {checks: [...]}}")
		return f, nil
	}
	var checks [][]spell
	for _, name := range p.UptimeChecks {
		spells, err := m.answersOf(ctx, &f, name)
		if err != nil {
			return f, err
		}
		checks = append(checks, spells)
	}
	if f.N == 0 {
		f.Rows = nil
		f.without("no answer of these checks is on record", "keep `upkeep serve` running: it asks the checks")
		return f, nil
	}
	all := together(m.window, checks)
	f.judgeUptime(within(all, m.window))
	f.trend(m.window, func(w window) (float64, bool) { return within(all, w).uptime() })
	planned, err := m.planned(ctx)
	if err != nil {
		return f, err
	}
	if len(planned) > 0 {
		rest := without(all, m.window, planned)
		if share, ok := rest.uptime(); ok {
			f.detail("without planned windows", Share.Format(share))
		}
	}
	return f, nil
}

// answersOf are the spells of a check, of which a figure gets the rows: those of
// each node when every node asks.
func (m *measurement) answersOf(ctx context.Context, f *Figure, check string) ([]spell, error) {
	every := m.plan.check(check).Every
	names, err := m.from.instances(ctx, check)
	if err != nil {
		return nil, err
	}
	var nodes [][]spell
	for _, name := range names {
		list, err := m.from.series(ctx, upSeries(name), m.window.from.Add(-max(holdFor*every, time.Hour)), m.window.until)
		if err != nil {
			return nil, err
		}
		if len(list) == 0 && len(names) > 1 {
			continue // a node that was here long ago
		}
		for _, s := range list {
			f.N += s.Count
		}
		spells := spellsOf(list, every)
		nodes = append(nodes, spells)
		f.Rows = append(f.Rows, rowsOf(name, together(m.window, [][]spell{spells}))...)
	}
	if len(nodes) == 1 {
		return nodes[0], nil
	}
	return seenBy(m.window, nodes), nil
}

// judgeUptime decides what the totals prove.
func (f *Figure) judgeUptime(t totals) {
	f.Coverage = t.coverage()
	share, ok := t.uptime()
	if !ok {
		f.short("nothing is known of the window", "")
		return
	}
	f.set(share)
	budget := time.Duration((1 - f.Aim.Target) * float64(t.all))
	if budget > 0 {
		used := float64(t.down) / float64(budget)
		f.detail("down", fmt.Sprintf("%s of %s that the target allows (%s)", duration(t.down.Seconds()), duration(budget.Seconds()), percent(used)))
	}
	switch {
	case t.down > budget:
		f.Verdict = Missed
		f.Why = "the outages are longer than the target allows in the whole window"
		f.Next = fmt.Sprintf("`upkeep kpi --explain %s` lists the outages", Uptime)
	case f.Coverage < leastCoverage:
		f.short(fmt.Sprintf("only %s of the window is on record; %s is the least", percent(f.Coverage), percent(leastCoverage)), "keep `upkeep serve` running, or look at a shorter --window")
	case f.Verdict == Missed:
		f.Next = fmt.Sprintf("`upkeep kpi --explain %s` lists the outages", Uptime)
	}
}

// planned are the times in which outages were planned: scheduled runs of the
// workflows that the plan names.
func (m *measurement) planned(ctx context.Context) ([]window, error) {
	var list []window
	for _, name := range m.plan.Planned {
		runs, err := m.from.runs(ctx, name, m.window.back(24*time.Hour))
		if err != nil {
			return nil, err
		}
		for _, r := range runs {
			if r.StartedAt.IsZero() || r.DryRun || r.Trigger != runner.BySchedule && r.Trigger != runner.ByCatchUp {
				continue
			}
			until := r.FinishedAt
			if until.IsZero() {
				until = m.window.until
			}
			list = append(list, window{r.StartedAt, until})
		}
	}
	return list, nil
}

// rowsOf lists the spells of a check as rows.
func rowsOf(check string, list []spell) []Row {
	var rows []Row
	for _, s := range list {
		text := "unknown"
		switch known := s.up + s.down; {
		case s.down > 0 && s.down >= known:
			text = "down"
		case s.down > 0:
			text = fmt.Sprintf("down for %s of it", percent(s.down/known))
		case s.up > 0 && s.up < 1:
			text = fmt.Sprintf("up, %s known", percent(s.up))
		case s.up > 0:
			text = "up"
		}
		if n := len(rows); n > 0 && rows[n-1].Text == text && rows[n-1].Until.Equal(s.from) {
			rows[n-1].Until = s.until
			continue
		}
		rows = append(rows, Row{At: s.from, Until: s.until, What: upSeries(check), Text: text})
	}
	return rows
}

// upSeries and secondsSeries are the series that the monitor keeps of a check.
func upSeries(check string) string      { return "check." + check + ".up" }
func secondsSeries(check string) string { return "check." + check + ".seconds" }
