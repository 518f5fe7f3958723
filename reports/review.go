package reports

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

// Backup is an artifact that a store holds.
type Backup struct {
	Of      JobName
	Store   string
	Created time.Time
	Bytes   int64
	// Level is how far it was proven, ProvenAt when last; both are empty for
	// what was never proven.
	Level    string
	ProvenAt time.Time
	// Damage says what is wrong with it; empty when nothing is known to be.
	Damage string
}

// Review is what a performance report is asked for.
type Review struct {
	// Project is what is looked after.
	Project string
	// Plan says which figures are wanted; its Window is that of the report.
	Plan Plan
	// Now is the end of the window.
	Now time.Time
	// Backups are what the stores hold, Unread says which could not be asked.
	Backups []Backup
	Unread  []string
}

// mostListed bounds a list in a report.
const mostListed = 50

// Document gathers what happened in the window: the figures, the runs of every
// workflow with their durations and failures, the backups with their proof, the
// checks with their latencies, incidents, how storage grows, and what changed.
func (r Review) Document(ctx context.Context, from Source) (Document, error) {
	figures, err := Measure(ctx, from, r.Plan, r.Now)
	if err != nil {
		return Document{}, err
	}
	w := window{r.Now.UTC().Add(-r.Plan.Window), r.Now.UTC()}
	d := Document{
		Title: "Performance report of " + r.Project,
		Lead:  []string{fmt.Sprintf("%s to %s (UTC), %s", instant(w.from), instant(w.until), duration(w.length().Seconds()))},
	}
	runs, err := from.runs(ctx, "", w)
	if err != nil {
		return d, fmt.Errorf("read the runs: %w", err)
	}
	by, err := from.attempts(ctx, runs)
	if err != nil {
		return d, fmt.Errorf("read the attempts: %w", err)
	}
	incidents, err := from.incidents(ctx, w)
	if err != nil {
		return d, fmt.Errorf("read the incidents: %w", err)
	}
	checks, err := r.checks(ctx, from, w, incidents)
	if err != nil {
		return d, fmt.Errorf("read the samples: %w", err)
	}
	events, err := from.happenings(ctx, w)
	if err != nil {
		return d, fmt.Errorf("read the events: %w", err)
	}
	d.Lead = append(d.Lead, headline(figures, runs, incidents))
	d.Sections = []Section{
		figuresOf(figures), workflowsOf(runs, by, w), failuresOf(runs, by), r.backups(), checks,
		incidentsOf(incidents, w), storageOf(runs, by, w), changesOf(events),
	}
	return d, nil
}

// headline is the whole in one line.
func headline(figures []Figure, runs []runner.Run, incidents []runner.Incident) string {
	count := map[Verdict]int{}
	for _, f := range figures {
		count[f.Verdict]++
	}
	bad, open := 0, 0
	for _, r := range runs {
		if r.State == runner.Failed || r.State == runner.Lost {
			bad++
		}
	}
	for _, i := range incidents {
		if i.State == runner.IncidentOpen {
			open++
		}
	}
	return fmt.Sprintf("%d of %d figures met, %d missed, %d cannot be told; %s, %d failed or lost; %s, %d open",
		count[Met], len(figures), count[Missed], count[Insufficient]+count[NoSource], plural(len(runs), "run"), bad, plural(len(incidents), "incident"), open)
}

func figuresOf(list []Figure) Section {
	s := Section{Title: "Operational figures", Table: Table{Columns: []string{"Figure", "Target", "Value", "Verdict", "Rests on", "Coverage", "Why", "Next"}}}
	for _, f := range list {
		coverage := "-"
		if f.Coverage >= 0 {
			coverage = percent(f.Coverage)
		}
		row := cells(f.Title, f.Aim.String(), f.Text, string(f.Verdict), f.Rests(), coverage, f.Why, f.Next)
		row[3].Mood = f.Verdict.mood()
		s.Table.add(row...)
		if c, ok := f.chart(); ok {
			s.Charts = append(s.Charts, c)
		}
	}
	return s
}

// chart draws the trend of a figure, when there is one.
func (f Figure) chart() (Chart, bool) {
	target := f.Aim.Target
	c := Chart{Title: f.Title, Unit: f.Aim.Unit, From: f.From, Until: f.Until, Limit: &target}
	for i, part := range (window{f.From, f.Until}).parts(TrendParts) {
		if f.Trend[i].Known {
			c.Points = append(c.Points, ChartPoint{part.from.Add(part.length() / 2), f.Trend[i].Value})
		}
	}
	return c, len(c.Points) >= 3
}

// workflowsOf counts the runs of every workflow.
func workflowsOf(runs []runner.Run, by map[runner.RunID][]runner.Attempt, w window) Section {
	s := Section{Title: "Workflows", Table: Table{
		Columns: []string{"Workflow", "Runs", "Succeeded", "Warned", "Failed", "Skipped", "Median", "p95", "Longest", "Retries"}, Empty: "nothing ran in this time",
	}}
	all := map[string][]runner.Run{}
	for _, r := range runs {
		all[r.Spec.Workflow] = append(all[r.Spec.Workflow], r)
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		count := map[runner.State]int{}
		var took []float64
		retries := 0
		chart := Chart{Title: "how long " + name + " takes", Unit: Seconds, From: w.from, Until: w.until}
		for _, r := range all[name] {
			count[r.State]++
			for _, a := range by[r.ID] {
				if a.Number > 1 {
					retries++
				}
			}
			if r.State.Done() && !r.DryRun {
				length := r.FinishedAt.Sub(r.StartedAt).Seconds()
				took = append(took, length)
				chart.Points = append(chart.Points, ChartPoint{r.StartedAt, length})
			}
		}
		times := []string{"-", "-", "-"}
		if len(took) > 0 {
			times = []string{duration(median(took)), duration(quantile(took, p95)), duration(quantile(took, 1))}
		}
		failed := count[runner.Failed] + count[runner.Lost]
		row := cells(append(append([]string{name}, numbers(len(all[name]), count[runner.Succeeded], count[runner.Warned], failed, count[runner.Skipped]+count[runner.Canceled])...),
			append(times, fmt.Sprint(retries))...)...)
		if failed > 0 {
			row[4].Mood = Bad
		}
		s.Table.add(row...)
		if len(took) >= 3 {
			s.Charts = append(s.Charts, chart)
		}
	}
	return s
}

func numbers(list ...int) []string {
	out := make([]string, len(list))
	for i, n := range list {
		out[i] = fmt.Sprint(n)
	}
	return out
}

// failuresOf lists the runs that failed or were lost, the latest first.
func failuresOf(runs []runner.Run, by map[runner.RunID][]runner.Attempt) Section {
	s := Section{Title: "Failures", Table: Table{Columns: []string{"When", "Workflow", "State", "Job", "Why", "Run"}, Empty: "no run failed in this time"}}
	for _, r := range slices.Backward(runs) {
		if r.State != runner.Failed && r.State != runner.Lost {
			continue
		}
		if len(s.Table.Rows) == mostListed {
			s.Text = append(s.Text, fmt.Sprintf("The latest %d are listed.", mostListed))
			break
		}
		job, why := "", r.Message
		for _, a := range by[r.ID] {
			if (a.State == runner.Failed || a.State == runner.Lost) && !a.Superseded {
				job, why = a.Job, cmp.Or(jobs.OneLine(a.Error), why)
			}
		}
		row := cells(instant(cmp.Or(r.FinishedAt, r.QueuedAt)), r.Spec.Workflow, string(r.State), job, why, string(r.ID))
		row[2].Mood = Bad
		s.Table.add(row...)
	}
	return s
}

// backups lists what each job keeps in each store: the newest, its proof, and
// how much there is.
func (r Review) backups() Section {
	s := Section{Title: "Backups", Table: Table{Columns: []string{"Job", "Store", "Artifacts", "Bytes", "Newest", "Size", "Proven", "Last proof"}, Empty: "no artifact is in the stores"}}
	type place struct{ job, store string }
	all := map[place][]Backup{}
	for _, b := range r.Backups {
		at := place{b.Of.String(), b.Store}
		all[at] = append(all[at], b)
	}
	places := slices.SortedFunc(maps.Keys(all), func(a, b place) int { return cmp.Or(cmp.Compare(a.job, b.job), cmp.Compare(a.store, b.store)) })
	for _, at := range places {
		list := all[at]
		slices.SortFunc(list, func(a, b Backup) int { return b.Created.Compare(a.Created) })
		total := 0.0
		for _, b := range list {
			total += float64(b.Bytes)
		}
		newest := list[0]
		row := cells(at.job, at.store, fmt.Sprint(len(list)), bytes(total), fmt.Sprintf("%s (%s ago)", instant(newest.Created), duration(r.Now.Sub(newest.Created).Seconds())),
			bytes(float64(newest.Bytes)), cmp.Or(newest.Level, "never"), instant(newest.ProvenAt))
		row[6].Mood = Good
		if newest.Level == "" || newest.Level == "L0" {
			row[6].Mood = Doubt
		}
		if newest.Damage != "" {
			row[6] = Cell{"damaged: " + newest.Damage, Bad}
		}
		s.Table.add(row...)
	}
	for _, why := range r.Unread {
		s.Text = append(s.Text, "Could not be read: "+why)
	}
	return s
}

// checks says how the checks did.
func (r Review) checks(ctx context.Context, from Source, w window, incidents []runner.Incident) (Section, error) {
	s := Section{Title: "Checks", Table: Table{Columns: []string{"Check", "Uptime", "Coverage", "Answers", "p50", "p95", "p99", "Incidents"}, Empty: "no check is configured"}}
	checks, err := from.asked(ctx, r.Plan.Checks)
	if err != nil {
		return s, err
	}
	for _, c := range checks {
		ups, err := from.series(ctx, upSeries(c.Name), w.from, w.until)
		if err != nil {
			return s, err
		}
		times, err := from.series(ctx, secondsSeries(c.Name), w.from, w.until)
		if err != nil {
			return s, err
		}
		t := within(spellsOf(ups, c.Every), w)
		uptime := "-"
		if share, ok := t.uptime(); ok {
			uptime = percent(share)
		}
		row := []string{c.Name, uptime, percent(t.coverage())}
		_, _, _, n := spread(times, p95)
		row = append(row, fmt.Sprint(max(n, samples(ups))))
		for _, q := range []float64{0.5, p95, 0.99} {
			_, middle, _, n := spread(times, q)
			if n == 0 {
				row = append(row, "-")
				continue
			}
			row = append(row, duration(middle))
		}
		chart := Chart{Title: "how long answers of " + c.Name + " take", Unit: Seconds, From: w.from, Until: w.until, Points: pointsOf(times, w)}
		faults := 0
		for _, i := range incidents {
			if i.Instance() == c.Name {
				faults++
				chart.Marks = append(chart.Marks, markOf(i, w))
			}
		}
		s.Table.add(cells(append(row, fmt.Sprint(faults))...)...)
		if len(chart.Points) > 1 {
			s.Charts = append(s.Charts, chart)
		}
	}
	return s, nil
}

// markOf draws an incident into a chart.
func markOf(i runner.Incident, w window) Mark {
	m := Mark{At: cmp.Or(i.FirstBad, i.OpenedAt), Until: i.ResolvedAt, Text: i.Title, Mood: Bad}
	if m.Until.IsZero() {
		m.Until = w.until
	}
	return m
}

func incidentsOf(list []runner.Incident, w window) Section {
	s := Section{Title: "Incidents", Table: Table{Columns: []string{"Opened", "Severity", "What", "Lasted", "Occurrences", "State", "Incident"}, Empty: "nothing was wrong in this time"}}
	for _, i := range slices.Backward(list) {
		if len(s.Table.Rows) == mostListed {
			s.Text = append(s.Text, fmt.Sprintf("The latest %d of %d are listed.", mostListed, len(list)))
			break
		}
		lasted, mood := "at least "+duration(w.until.Sub(i.OpenedAt).Seconds()), Bad
		if i.State == runner.IncidentResolved {
			lasted, mood = duration(i.ResolvedAt.Sub(cmp.Or(i.FirstBad, i.OpenedAt)).Seconds()), Plain
		}
		row := cells(instant(i.OpenedAt), string(i.Severity), i.Title, lasted, fmt.Sprint(i.Count), string(i.State), i.ID)
		row[5].Mood = mood
		s.Table.add(row...)
	}
	return s
}

// storageKind is the kind of jobs that measure how full storage is.
const storageKind = "usage"

// storageOf draws how much room things take, as the jobs of the kind usage found
// it: their values bytes.NAME and free_bytes.NAME.
func storageOf(runs []runner.Run, by map[runner.RunID][]runner.Attempt, w window) Section {
	s := Section{Title: "Storage", Table: Table{Columns: []string{"What", "First", "Last", "Change", "A day"}, Empty: "no job of the kind usage ran in this time"}}
	points := map[string][]ChartPoint{}
	for _, r := range runs {
		if r.DryRun {
			continue
		}
		for _, a := range by[r.ID] {
			if a.Kind != storageKind || !worked(a) {
				continue
			}
			for name, v := range a.Result.Values {
				if strings.HasPrefix(name, "bytes.") || strings.HasPrefix(name, "free_bytes.") {
					points[name] = append(points[name], ChartPoint{a.FinishedAt, v})
				}
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(points)) {
		list := points[name]
		kind, about, _ := strings.Cut(name, ".")
		title := "room that " + about + " takes"
		if kind == "free_bytes" {
			title = "free room of " + about
		}
		first, last := list[0], list[len(list)-1]
		change, daily := last.Value-first.Value, "-"
		if days := last.At.Sub(first.At).Hours() / 24; days >= 1 {
			daily = bytes(change / days)
		}
		s.Table.add(cells(title, bytes(first.Value), bytes(last.Value), bytes(change), daily)...)
		if len(list) > 1 {
			s.Charts = append(s.Charts, Chart{Title: title, Bytes: true, From: w.from, Until: w.until, Points: list})
		}
	}
	return s
}

func changesOf(list []runner.Happening) Section {
	s := Section{Title: "Changes", Table: Table{Columns: []string{"When", "Kind", "What", "How", "By"}, Empty: "no change is on record for this time"}}
	for _, h := range slices.Backward(list) {
		if len(s.Table.Rows) == mostListed {
			s.Text = append(s.Text, fmt.Sprintf("The latest %d of %d are listed.", mostListed, len(list)))
			break
		}
		s.Table.add(cells(instant(h.At), h.Kind, h.Subject, h.Text, h.By)...)
	}
	return s
}
