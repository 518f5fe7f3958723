package pages

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

const (
	// incidentEvery is how often the page of an open incident is fetched again.
	incidentEvery = 10 * time.Second
	// mostRemedies bounds how many runs of runbooks are listed.
	mostRemedies = 20
)

// incidentView is the page of one incident.
type incidentView struct {
	ID, Path, Title string
	Severity, State badge
	Sentence        string
	Open, MayAct    bool
	Acked           bool
	About           factsView
	Evidence        []evidence
	Timeline        []entryRow
	Notices         noticeTable
	Changes         []changeRow
	Runs            []linkedRun
	Commands        []string
	Reports         []link
	Silence         silenceForm
}

// noticeTable lists notices; who may can act on them, and is led back.
type noticeTable struct {
	Label string
	Rows  []noticeRow
	Zone  *time.Location
	May   bool
	Back  string
}

// evidence is what was found when it began.
type evidence struct {
	Name, Text string
	At         time.Time
}

// entryRow is a line of the timeline.
type entryRow struct {
	At       time.Time
	Badge    badge
	What, By string
	// Text is one line, or several of evidence.
	Text string
}

// noticeRow is one message owed to one channel.
type noticeRow struct {
	ID, Path, Channel, Told, Subject, Answer, Incident string
	At                                                 time.Time
	Next                                               *time.Time
	State                                              badge
	Tries                                              int
	// Waits tells that it is owed and can be given up, Retry that it can be
	// tried at once.
	Waits, Retry bool
}

type changeRow struct {
	At                      time.Time
	Kind, Subject, Text, By string
	// Before is how long before the first bad sign it was.
	Before string
}

// linkedRun is a run that has to do with an incident.
type linkedRun struct {
	ID, Href, What, Workflow string
	State                    badge
	At                       time.Time
	// Approve tells that it waits for that.
	Approve bool
	Path    string
}

func (p *Pages) incident(v *visit) (page, error) {
	d, err := v.api.IncidentDetail(v.ctx, v.PathValue("id"))
	if err != nil {
		return page{}, err
	}
	view := newIncidentView(d, v.now)
	zone := v.zone(d.Workflow)
	view.Reports = []link{{incidentPath(d.ID) + "/report.html", "Post-mortem as HTML"}, {incidentPath(d.ID) + "/report.md", "Post-mortem as Markdown"}}
	view.MayAct, view.About.Zone = p.o.Who(v.ctx).Operator, zone
	view.Notices.Label, view.Notices.Zone, view.Notices.May, view.Notices.Back = "Notices", zone, view.MayAct, incidentPath(d.ID)
	for i := range view.Notices.Rows {
		view.Notices.Rows[i].Incident = "" // it is this one
	}
	if view.Runs, err = linkedRuns(v, d); err != nil {
		return page{}, err
	}
	shown := page{sheet: "incident", title: safe(d.Title), nav: "incidents", zone: zone, data: view}
	if view.Open {
		shown.refresh = incidentEvery
	}
	return shown, nil
}

func newIncidentView(d api.IncidentDetail, now time.Time) incidentView {
	i := d.Incident.Runner()
	view := incidentView{
		ID: d.ID, Path: url.PathEscape(d.ID), Title: d.Title, Severity: badgeOf(d.Severity), State: incidentBadge(i),
		Open: d.State == runner.IncidentOpen, Acked: d.AckedAt != nil, Sentence: incidentSentence(i, now),
		About: factsView{Facts: incidentFacts(i)}, Silence: silenceForm{Workflow: d.Workflow, Check: d.Check, Back: incidentPath(d.ID)},
	}
	for _, e := range d.Timeline {
		if e.Kind == runner.EntryEvidence {
			view.Evidence = append(view.Evidence, evidence{Name: e.Name, Text: strings.TrimRight(e.Text, "\n"), At: e.At})
			continue
		}
		view.Timeline = append(view.Timeline, newEntryRow(e))
	}
	view.Timeline = withNotices(view.Timeline, d.Notices)
	for _, n := range d.Notices {
		view.Notices.Rows = append(view.Notices.Rows, newNoticeRow(n, view.Open))
	}
	began := i.OpenedAt
	if !i.FirstBad.IsZero() {
		began = i.FirstBad
	}
	for _, h := range d.Changes {
		view.Changes = append(view.Changes, changeRow{At: h.At, Kind: h.Kind, Subject: h.Subject, Text: h.Text, By: h.By, Before: roughly(max(0, began.Sub(h.At))) + " before"})
	}
	if view.Open && d.Check != "" {
		view.Commands = append(view.Commands, shellCommand("health", "--check", d.Check, "--fresh"))
	}
	view.Commands = append(view.Commands, shellCommand("incident", "show", d.ID))
	return view
}

// incidentSentence says in one line how long it lasts or lasted, and who is on
// it.
func incidentSentence(i runner.Incident, now time.Time) string {
	length := roughly(incidentLength(i, now))
	if i.State == runner.IncidentResolved {
		return "It lasted " + length + " and is over."
	}
	text := "It has lasted " + length + " so far"
	switch {
	case i.Suppressed != "":
		text += "; nobody is told: " + suppressedWords(i.Suppressed)
	case !i.AckedAt.IsZero():
		text += "; " + i.AckedBy + " works on it"
	case len(i.Channels) > 0:
		text += "; told: " + strings.Join(i.Channels, ", ")
	default:
		text += "; no channel was told yet"
	}
	return text + "."
}

// suppressedWords says why nobody is told at present.
func suppressedWords(why string) string {
	kind, name, _ := strings.Cut(why, " ")
	switch kind {
	case "silence":
		return "somebody silenced it"
	case "parent":
		return "it is blamed on " + name
	case "window":
		return "it is within the maintenance window of " + name
	}
	return why
}

func incidentFacts(i runner.Incident) []fact {
	subject := subjectOf(i)
	facts := []fact{{Name: "About", Links: []link{subject}}}
	if subject.Href == "" {
		facts[0] = fact{Name: "About", Text: subject.Text}
	}
	add := func(name, text string) {
		if text != "" {
			facts = append(facts, fact{Name: name, Text: text})
		}
	}
	when := func(name string, at time.Time) {
		if !at.IsZero() {
			facts = append(facts, fact{Name: name, At: &at})
		}
	}
	add("Reason", strings.ReplaceAll(i.Reason, "_", " "))
	when("Last good", i.LastGood)
	when("First bad", i.FirstBad)
	when("Opened", i.OpenedAt)
	if i.Count > 1 {
		add("Seen", fmt.Sprintf("%d times", i.Count))
		when("Last seen", i.LastAt)
	}
	when("Resolved", i.ResolvedAt)
	if !i.AckedAt.IsZero() {
		add("Worked on by", i.AckedBy)
		when("Since", i.AckedAt)
		when("That counts until", i.AckedUntil)
	}
	add("Told", strings.Join(i.Channels, ", "))
	if i.Suppressed != "" {
		add("Nobody is told", suppressedWords(i.Suppressed))
	}
	if name, ok := strings.CutPrefix(i.Parent, "check/"); ok {
		facts = append(facts, fact{Name: "Caused by", Links: []link{{checkPath(name), "check " + name}}})
	} else {
		add("Caused by", i.Parent)
	}
	if i.Flapping {
		add("It comes and goes", "it stays open until it has been well for a while")
	}
	return facts
}

// newEntryRow is a line of the timeline in words.
func newEntryRow(e api.Entry) entryRow {
	row := entryRow{At: e.At, Text: e.Text, By: e.By, What: string(e.Kind), Badge: badge{Tone: toneIdle, Glyph: "·"}}
	switch e.Kind {
	case runner.EntryOpened:
		row.Badge, row.What = badge{Tone: toneBad, Glyph: "✗"}, "It was opened"
	case runner.EntryWorse:
		row.Badge, row.What = badge{Tone: toneBad, Glyph: "↑"}, "It got worse"
	case runner.EntryBetter:
		row.Badge, row.What = badge{Tone: toneWarn, Glyph: "↓"}, "It got better"
	case runner.EntryAcked:
		row.Badge, row.What = badge{Tone: toneBusy, Glyph: "▶"}, "Taken over"
	case runner.EntryUnacked:
		row.What = "Nobody works on it any more"
	case runner.EntryNote:
		row.Badge, row.What = badge{Tone: toneBusy, Glyph: "✎"}, "Note"
	case runner.EntrySuppressed:
		row.What, row.Text = "Nobody is told for now", suppressedWords(e.Text)
	case runner.EntryReleased:
		row.What = "People are told again"
	case runner.EntryFlapping:
		row.Badge, row.What = badge{Tone: toneWarn, Glyph: "~"}, "It comes and goes"
	case runner.EntrySteady:
		row.What = "It no longer comes and goes"
	case runner.EntryRunbook:
		row.Badge, row.What = badge{Tone: toneBusy, Glyph: "▶"}, "Runbook "+e.By
		row.By = ""
	case runner.EntryResolved:
		row.Badge, row.What = badge{Tone: toneGood, Glyph: "✓"}, "It was resolved"
	case runner.EntryBegan:
		row.Badge, row.What = badge{Tone: toneBusy, Glyph: "✎"}, "When it began was corrected"
	case runner.EntryEvidence: // it stands below
	}
	return row
}

// withNotices adds to a timeline when channels took what they were owed, or it
// was given up.
func withNotices(timeline []entryRow, notices []api.Notice) []entryRow {
	for _, n := range notices {
		if n.EndedAt == nil {
			continue
		}
		switch n.State {
		case runner.NoticeSent:
			timeline = append(timeline, entryRow{At: *n.EndedAt, Badge: badge{Tone: toneIdle, Glyph: "✉"}, What: n.Channel + " was told", Text: toldWords(n.Action)})
		case runner.NoticeDead:
			timeline = append(timeline, entryRow{At: *n.EndedAt, Badge: badge{Tone: toneBad, Glyph: "✉"}, What: n.Channel + " could not be told", Text: n.Error})
		case runner.NoticePending, runner.NoticeSending, runner.NoticeSuperseded:
		}
	}
	slices.SortStableFunc(timeline, func(a, b entryRow) int { return a.At.Compare(b.At) })
	return timeline
}

// toldWords says what a notice tells.
func toldWords(a runner.NoticeAction) string {
	words := map[runner.NoticeAction]string{
		runner.NoticeOpen: "that it began", runner.NoticeResolve: "that it is over", runner.NoticeRepeat: "that it lasts",
		"worse": "that it got worse", "ack": "that somebody works on it", "remind": "a reminder", "digest": "a digest", "test": "a test",
	}
	if text, ok := words[a]; ok {
		return text
	}
	return string(a)
}

// noticeBadge shows the state of a notice.
func noticeBadge(s runner.NoticeState) badge {
	b := badge{Tone: toneIdle, Glyph: "…", Word: string(s)}
	switch s {
	case runner.NoticeSent:
		b.Tone, b.Glyph = toneGood, "✓"
	case runner.NoticeDead:
		b.Tone, b.Glyph, b.Word = toneBad, "✗", "given up"
	case runner.NoticeSending:
		b.Tone, b.Glyph = toneBusy, "▶"
	case runner.NoticeSuperseded:
		b.Glyph = "–"
	case runner.NoticePending:
	}
	return b
}

func newNoticeRow(n api.Notice, current bool) noticeRow {
	row := noticeRow{
		ID: n.ID, Path: url.PathEscape(n.ID), Channel: n.Channel, Told: toldWords(n.Action), Subject: n.Subject, Answer: n.Receipt, Incident: n.Incident,
		At: n.CreatedAt, State: noticeBadge(n.State), Tries: n.Attempts,
	}
	if n.Error != "" && n.State != runner.NoticeSent {
		row.Answer = n.Error
	}
	switch n.State {
	case runner.NoticePending:
		row.Next, row.Waits, row.Retry = n.NextAt, true, true
	case runner.NoticeDead:
		row.Retry = current || n.Incident == ""
	case runner.NoticeSending, runner.NoticeSent, runner.NoticeSuperseded:
	}
	return row
}

// linkedRuns are the runs that have to do with an incident: the one that showed
// it, the one that ended it, and those that the check started.
func linkedRuns(v *visit, d api.IncidentDetail) ([]linkedRun, error) {
	var list []linkedRun
	named := func(id runner.RunID, what string) {
		if id == "" || slices.ContainsFunc(list, func(r linkedRun) bool { return r.ID == string(id) }) {
			return
		}
		r := linkedRun{ID: string(id), Href: runPath(id), What: what, Path: url.PathEscape(string(id)), State: badge{Tone: toneIdle, Glyph: "·", Word: "no longer on record"}}
		if run, err := v.api.Record(v.ctx, string(id)); err == nil {
			r.fill(run)
		}
		list = append(list, r)
	}
	named(d.Run, "showed it")
	began := d.OpenedAt
	if d.FirstBad != nil {
		began = *d.FirstBad
	}
	var runbooks []string
	for _, e := range d.Timeline {
		if e.Kind == runner.EntryRunbook && !slices.Contains(runbooks, e.By) {
			runbooks = append(runbooks, e.By)
		}
	}
	for _, name := range runbooks {
		f := runner.Filter{Workflow: name, Triggers: []runner.Trigger{runner.ByCheck}, Since: began, Limit: mostRemedies}
		if d.ResolvedAt != nil {
			f.Until = d.ResolvedAt.Add(time.Minute)
		}
		runs, err := v.api.Records(v.ctx, f)
		if err != nil {
			return nil, err
		}
		for _, run := range slices.Backward(runs) {
			r := linkedRun{ID: string(run.ID), Href: runPath(run.ID), What: "runbook", Path: url.PathEscape(string(run.ID))}
			r.fill(run)
			list = append(list, r)
		}
	}
	named(d.Resolver, "ended it")
	return list, nil
}

func (r *linkedRun) fill(run api.RunRecord) {
	r.Approve = needsApproval(run.Run)
	r.Workflow, r.State, r.At = run.Workflow, runBadge(run.State, run.Interrupted, r.Approve), run.QueuedAt
}
