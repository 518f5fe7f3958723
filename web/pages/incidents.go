package pages

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

const (
	// mostOpen bounds how many open incidents are listed.
	mostOpen = 200
	// resolvedPage is how many resolved ones stand on a page.
	resolvedPage = 30
	// incidentsEvery is how often the page of the incidents is fetched again.
	incidentsEvery = 10 * time.Second
)

// incidentsView is the page of all incidents.
type incidentsView struct {
	Tone               tone
	Glyph              string
	Headline, Sentence string
	Open, Resolved     incidentTable
	// More tells that more are open than are listed.
	More        bool
	Silences    silenceTable
	Silence     silenceForm
	Pager       pagerView
	First       bool // the newest resolved ones are shown
	EmptyOpen   emptyView
	EmptyClosed emptyView
}

// incidentTable lists incidents.
type incidentTable struct {
	Label string
	Rows  []incidentRow
	Zone  *time.Location
}

// silenceTable lists silences; who may can end them, and is led back.
type silenceTable struct {
	Rows []silenceRow
	Zone *time.Location
	May  bool
	Back string
}

// silenceForm is what the form for a silence is filled with.
type silenceForm struct{ Workflow, Check, Back string }

// incidentRow is one incident in a list.
type incidentRow struct {
	ID, Href, Title   string
	Severity, State   badge
	At                time.Time
	Lasted            string
	Subject           link
	Count             int
	Told, Who, Reason string
}

// silenceRow is one silence.
type silenceRow struct {
	ID, What, Why, By string
	Since, Until      time.Time
	// State is "in force", "to come", or "over".
	State badge
	// Path is its ID for an address; empty when it is over.
	Path string
}

func (p *Pages) registerIncidents() {
	p.page("GET /incidents", p.incidents)
	p.page("GET /incidents/{id}", p.incident)
	p.download("GET /incidents/{id}/report.html", "text/html; charset=utf-8", func(v *visit) ([]byte, error) { return v.api.PostMortem(v.ctx, v.PathValue("id"), true) })
	p.download("GET /incidents/{id}/report.md", "text/markdown; charset=utf-8", func(v *visit) ([]byte, error) { return v.api.PostMortem(v.ctx, v.PathValue("id"), false) })
	p.registerDesk()
}

func (p *Pages) incidents(v *visit) (page, error) {
	open, err := v.api.Incidents(v.ctx, runner.IncidentFilter{States: []runner.IncidentState{runner.IncidentOpen}, Limit: mostOpen})
	if err != nil {
		return page{}, err
	}
	before := v.query("before")
	resolved, err := v.api.Incidents(v.ctx, runner.IncidentFilter{
		States: []runner.IncidentState{runner.IncidentResolved}, Before: before, Limit: resolvedPage + 1,
	})
	if err != nil {
		return page{}, err
	}
	silences, err := v.api.Silences(v.ctx, false)
	if err != nil {
		return page{}, err
	}
	zone := v.zone("")
	view := incidentsView{
		First: before == "", More: len(open) == mostOpen, Silence: silenceForm{Back: "/incidents"},
		Open: incidentTable{Label: "Open incidents", Zone: zone}, Resolved: incidentTable{Label: "Resolved incidents", Zone: zone},
		Silences: silenceTable{Zone: zone, May: p.o.Who(v.ctx).Operator, Back: "/incidents"},
	}
	view.Tone, view.Glyph, view.Headline, view.Sentence = incidentsSentence(open)
	view.EmptyOpen = emptyView{Title: "Nothing is wrong that upkeep knows of", Text: "A failed, lost or missed workflow and a check that is not well would stand here."}
	view.EmptyClosed = emptyView{Title: "No incident was ever resolved", Text: "What was wrong and is over stays here with its timeline."}
	for _, i := range open {
		view.Open.Rows = append(view.Open.Rows, newIncidentRow(i, v.now))
	}
	if before != "" {
		view.Pager.First = v.with("before", "")
	}
	if len(resolved) > resolvedPage {
		resolved = resolved[:resolvedPage]
		view.Pager.Next = v.with("before", resolved[resolvedPage-1].ID)
	}
	for _, i := range resolved {
		view.Resolved.Rows = append(view.Resolved.Rows, newIncidentRow(i, v.now))
	}
	for _, s := range silences {
		view.Silences.Rows = append(view.Silences.Rows, newSilenceRow(s, v.now))
	}
	return page{sheet: "incidents", title: "Incidents", nav: "incidents", refresh: incidentsEvery, data: view}, nil
}

// incidentsSentence says in a few words, and in one line, what is open.
func incidentsSentence(open []runner.Incident) (t tone, glyph, headline, sentence string) {
	critical, acked, quiet := 0, 0, 0
	for _, i := range open {
		if i.Severity == "critical" {
			critical++
		}
		if !i.AckedAt.IsZero() {
			acked++
		}
		if i.Suppressed != "" {
			quiet++
		}
	}
	if len(open) == 0 {
		return toneGood, "✓", "Nothing is open", "No fault is on record that has not ended."
	}
	headline = count(len(open), "open incident")
	var parts []string
	if critical > 0 {
		parts = append(parts, fmt.Sprintf("%d critical", critical))
	}
	switch {
	case acked == len(open) && acked == 1:
		parts = append(parts, "somebody works on it")
	case acked == len(open):
		parts = append(parts, "somebody works on each")
	case acked > 0:
		parts = append(parts, fmt.Sprintf("somebody works on %d of them", acked))
	default:
		parts = append(parts, "nobody has taken over "+map[bool]string{true: "it", false: "any"}[len(open) == 1]+" yet")
	}
	if quiet > 0 {
		parts = append(parts, fmt.Sprintf("nobody is told of %d", quiet))
	}
	sentence = strings.ToUpper(parts[0][:1]) + strings.Join(parts, "; ")[1:] + "."
	if critical > 0 {
		return toneBad, "✗", headline, sentence
	}
	return toneWarn, "!", headline, sentence
}

func newIncidentRow(i runner.Incident, now time.Time) incidentRow {
	row := incidentRow{
		ID: i.ID, Href: incidentPath(i.ID), Title: i.Title, Severity: badgeOf(i.Severity), State: incidentBadge(i),
		At: i.OpenedAt, Lasted: roughly(incidentLength(i, now)), Subject: subjectOf(i), Count: i.Count, Told: strings.Join(i.Channels, ", "),
		Reason: strings.ReplaceAll(i.Reason, "_", " "),
	}
	if i.State == runner.IncidentOpen {
		row.Who = i.AckedBy
	}
	if i.Reason == "check" || i.Reason == string(i.Severity) {
		row.Reason = "" // it says nothing that does not stand beside it
	}
	if !i.FirstBad.IsZero() {
		row.At = i.FirstBad
	}
	return row
}

// subjectOf is what an incident is about.
func subjectOf(i runner.Incident) link {
	switch {
	case i.Check != "":
		return link{checkPath(i.Instance()), "check " + i.Instance()}
	case i.Workflow != "":
		return link{workflowPath(i.Workflow), "workflow " + i.Workflow}
	}
	return link{"", i.Fingerprint}
}

// incidentBadge says where an incident stands.
func incidentBadge(i runner.Incident) badge {
	switch {
	case i.State == runner.IncidentResolved:
		return badge{Tone: toneGood, Glyph: "✓", Word: "resolved"}
	case i.Suppressed != "":
		return badge{Tone: toneIdle, Glyph: "–", Word: "suppressed"}
	case !i.AckedAt.IsZero():
		return badge{Tone: toneBusy, Glyph: "▶", Word: "acked"}
	case i.Flapping:
		return badge{Tone: toneWarn, Glyph: "~", Word: "flapping"}
	case i.Severity == "critical":
		return badge{Tone: toneBad, Glyph: "✗", Word: "open"}
	}
	return badge{Tone: toneWarn, Glyph: "!", Word: "open"}
}

func newSilenceRow(s runner.Silence, now time.Time) silenceRow {
	row := silenceRow{ID: s.ID, What: silencedWords(s), Why: s.Why, By: s.By, Since: s.Since, Until: s.Until, Path: url.PathEscape(s.ID)}
	switch {
	case !s.EndedAt.IsZero() || !now.Before(s.Until):
		row.State, row.Path = badge{Tone: toneIdle, Glyph: "■", Word: "over"}, ""
	case now.Before(s.Since):
		row.State = badge{Tone: toneIdle, Glyph: "…", Word: "to come"}
	default:
		row.State = badge{Tone: toneBusy, Glyph: "▶", Word: "in force"}
	}
	return row
}

// silencedWords says which incidents a silence is about.
func silencedWords(s runner.Silence) string {
	var parts []string
	for _, part := range []struct{ name, value string }{
		{"workflow", s.Workflow}, {"check", s.Check}, {"reason", s.Reason}, {"severity", s.Severity},
	} {
		if part.value != "" {
			parts = append(parts, part.name+" "+part.value)
		}
	}
	if len(parts) == 0 {
		return "every incident"
	}
	return strings.Join(parts, ", ")
}
