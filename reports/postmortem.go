package reports

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// Timelines reads what people and upkeep did about incidents. Its method is that
// of runner.DeskReader.
type Timelines interface {
	// Timeline returns the entries of an incident, the earliest first.
	Timeline(ctx context.Context, incident string) ([]runner.Entry, error)
}

const (
	// changedWithin is how long before a fault a change may have caused it.
	changedWithin = 24 * time.Hour
	// around is how much of a check's past is drawn before and after a fault.
	around = 30 * time.Minute
)

// PostMortem gathers what is on record of an incident, which idOrPrefix names:
// how long it took, what happened when, what was found, who was told, what had
// changed before, and how the check answered around it. timelines may be nil
// when nobody kept any. The error wraps runner.ErrNotFound when there is no such
// incident.
func PostMortem(ctx context.Context, from Source, timelines Timelines, idOrPrefix string, now time.Time) (Document, error) {
	i, err := from.Incidents.Incident(ctx, idOrPrefix)
	if err != nil {
		return Document{}, err
	}
	var entries []runner.Entry
	if timelines != nil {
		if entries, err = timelines.Timeline(ctx, i.ID); err != nil {
			return Document{}, fmt.Errorf("read the timeline: %w", err)
		}
	}
	notices, err := from.notices(ctx, i.ID)
	if err != nil {
		return Document{}, fmt.Errorf("read the notices: %w", err)
	}
	begin := cmp.Or(i.FirstBad, i.OpenedAt)
	events, err := from.happenings(ctx, window{begin.Add(-changedWithin), begin.Add(time.Second)})
	if err != nil {
		return Document{}, fmt.Errorf("read the events: %w", err)
	}
	end := i.ResolvedAt
	if end.IsZero() {
		end = now.UTC()
	}
	d := Document{Title: "Post-mortem: " + i.Title, Lead: []string{leadOf(i, begin, end)}}
	samples, err := samplesOf(ctx, from, i, window{begin.Add(-around), end.Add(around)})
	if err != nil {
		return d, fmt.Errorf("read the samples: %w", err)
	}
	d.Sections = append(d.Sections, summaryOf(i, begin, end), storyOf(i, entries, notices))
	if i.Check != "" {
		d.Sections = append(d.Sections, samples)
	}
	d.Sections = append(d.Sections, evidenceOf(i, entries), deliveriesOf(notices), changedBefore(events, begin),
		Section{Title: "To be written", Text: []string{"What was the cause?", "What helped, and what was in the way?", "What will be different next time, and who sees to it?"}})
	return d, nil
}

func leadOf(i runner.Incident, begin, end time.Time) string {
	text := fmt.Sprintf("%s, %s (UTC): lasted %s", i.Severity, instant(begin), duration(end.Sub(begin).Seconds()))
	if i.State != runner.IncidentResolved {
		text = fmt.Sprintf("%s, since %s (UTC): still open, for %s so far", i.Severity, instant(begin), duration(end.Sub(begin).Seconds()))
	}
	return text
}

// summaryOf are the facts in a table.
func summaryOf(i runner.Incident, begin, end time.Time) Section {
	s := Section{Title: "Summary", Table: Table{Columns: []string{"", ""}}}
	line := func(name, text string) {
		if text != "" && text != "-" {
			s.Table.add(cells(name, text)...)
		}
	}
	line("Incident", i.ID)
	line("What", i.Fingerprint)
	line("Reason", i.Reason)
	line("Severity", string(i.Severity))
	if i.Said() {
		line("Began", instant(i.FirstBad))
	} else {
		line("Last good answer", instant(i.LastGood))
		line("First bad answer", instant(i.FirstBad))
	}
	line("Opened", instant(i.OpenedAt))
	if !i.FirstBad.IsZero() {
		detected := duration(i.OpenedAt.Sub(i.FirstBad).Seconds())
		if !i.LastGood.IsZero() && !i.Said() {
			detected += " to " + duration(i.OpenedAt.Sub(i.LastGood).Seconds())
		}
		line("Time to detection", detected)
	}
	if !i.AckedAt.IsZero() {
		line("Taken over", fmt.Sprintf("%s by %s, after %s", instant(i.AckedAt), i.AckedBy, duration(i.AckedAt.Sub(i.OpenedAt).Seconds())))
	}
	line("Resolved", instant(i.ResolvedAt))
	line("Time to resolution", duration(end.Sub(begin).Seconds()))
	line("Occurrences", fmt.Sprint(i.Count))
	line("Caused by", i.Parent)
	line("Told", strings.Join(i.Channels, ", "))
	line("Not told because of", i.Suppressed)
	line("Run", string(i.Run))
	return s
}

// storyOf is what happened when. Without a timeline it is what the incident and
// its notices say.
func storyOf(i runner.Incident, entries []runner.Entry, notices []runner.Notice) Section {
	s := Section{Title: "Timeline", Table: Table{Columns: []string{"When", "After", "What", "By"}}}
	type moment struct {
		at             time.Time
		what, text, by string
	}
	var list []moment
	add := func(at time.Time, what, text, by string) {
		if !at.IsZero() {
			list = append(list, moment{at, what, text, by})
		}
	}
	if i.Said() {
		add(i.FirstBad, "it began", "", "")
	} else {
		add(i.LastGood, "last good answer", "", "")
		add(i.FirstBad, "first bad answer", "", "")
	}
	for _, e := range entries {
		text := e.Text
		if e.Kind == runner.EntryEvidence {
			text = cmp.Or(e.Name, "evidence")
		}
		add(e.At, string(e.Kind), text, e.By)
	}
	if len(entries) == 0 {
		add(i.OpenedAt, string(runner.EntryOpened), i.Title, "")
		add(i.AckedAt, string(runner.EntryAcked), "", i.AckedBy)
		add(i.ResolvedAt, string(runner.EntryResolved), "", string(i.Resolver))
	}
	for _, n := range notices {
		if n.State == runner.NoticeSent {
			add(n.EndedAt, "told", fmt.Sprintf("channel %s of %s", n.Channel, n.Action), "")
		}
	}
	slices.SortStableFunc(list, func(a, b moment) int { return a.at.Compare(b.at) })
	begin := cmp.Or(i.FirstBad, i.OpenedAt)
	for _, m := range list {
		after := duration(m.at.Sub(begin).Seconds())
		what := m.what
		if m.text != "" {
			what += ": " + m.text
		}
		s.Table.add(cells(instant(m.at), after, what, m.by)...)
	}
	return s
}

// samplesOf draws how the check answered around the incident.
func samplesOf(ctx context.Context, from Source, i runner.Incident, w window) (Section, error) {
	s := Section{Title: "Answers of the check"}
	if i.Check == "" {
		return s, nil
	}
	known, err := from.Samples.Series(ctx, "check."+i.Instance()+".")
	if err != nil {
		return s, err
	}
	for _, one := range known {
		list, err := from.series(ctx, one.Name, w.from, w.until)
		if err != nil {
			return s, err
		}
		if len(list) < 2 || len(s.Charts) == mostCharts {
			continue
		}
		c := Chart{Title: one.Name, Count: true, From: w.from, Until: w.until, Points: pointsOf(list, w), Marks: []Mark{markOf(i, w)}}
		if one.Name == secondsSeries(i.Instance()) || strings.Contains(one.Name, "_seconds") {
			c.Count, c.Unit = false, Seconds
		}
		s.Charts = append(s.Charts, c)
	}
	if len(s.Charts) == 0 {
		s.Text = append(s.Text, "No answers are on record for this time.")
	}
	return s, nil
}

// mostCharts bounds the charts of a post-mortem: a check has up to 40 values.
const mostCharts = 12

// evidenceOf is what was found when the fault was first seen.
func evidenceOf(i runner.Incident, entries []runner.Entry) Section {
	s := Section{Title: "Evidence"}
	for _, e := range entries {
		if e.Kind == runner.EntryEvidence {
			s.Blocks = append(s.Blocks, Block{fmt.Sprintf("%s (%s)", cmp.Or(e.Name, "evidence"), instant(e.At)), e.Text})
		}
	}
	if len(s.Blocks) == 0 {
		for _, e := range i.Evidence {
			s.Blocks = append(s.Blocks, Block{e.Name, e.Text})
		}
	}
	if len(s.Blocks) == 0 {
		s.Text = append(s.Text, "Nothing was gathered.")
	}
	return s
}

// deliveriesOf is who was told, and how long that took.
func deliveriesOf(list []runner.Notice) Section {
	s := Section{Title: "Who was told", Table: Table{Columns: []string{"Owed", "Channel", "Of", "State", "Tries", "After", "Answer"}, Empty: "nobody was told"}}
	for _, n := range list {
		after := "-"
		if !n.EndedAt.IsZero() {
			after = duration(n.EndedAt.Sub(n.CreatedAt).Seconds())
		}
		row := cells(instant(n.CreatedAt), n.Channel, string(n.Action), string(n.State), fmt.Sprint(n.Attempts), after, cmp.Or(n.Receipt, n.Error))
		if n.State == runner.NoticeDead {
			row[3].Mood = Bad
		}
		s.Table.add(row...)
	}
	return s
}

// changedBefore is what had changed before the fault began, the latest first.
func changedBefore(list []runner.Happening, begin time.Time) Section {
	s := Section{
		Title: "What had changed before",
		Table: Table{Columns: []string{"When", "Before", "Kind", "What", "How", "By"}, Empty: fmt.Sprintf("no change is on record for the %s before", duration(changedWithin.Seconds()))},
	}
	for _, h := range slices.Backward(list) {
		if len(s.Table.Rows) == mostListed {
			break
		}
		s.Table.add(cells(instant(h.At), duration(begin.Sub(h.At).Seconds()), h.Kind, h.Subject, h.Text, h.By)...)
	}
	return s
}
