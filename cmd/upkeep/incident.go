package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web"
	"github.com/ghosteam/upkeep/web/api"
)

func newIncident(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "incident",
		Short: "Look at what is wrong, and work on it",
		Long: `A workflow that failed, was lost, missed its slot or has not succeeded for too long, and
a check that says that something is not well, becomes an incident: it has a beginning,
a timeline and an end.

INCIDENT is its ID, the beginning of one, the name of a check or a workflow for its
newest incident, or ` + "`last`" + `.`,
		Example: "  upkeep incident list\n  upkeep incident show database\n  upkeep incident ack last --note \"looking\"",
	}
	return withCommands(cmd, newIncidentList(a), newIncidentShow(a), newIncidentAck(a), newIncidentNote(a), newIncidentResolve(a), newIncidentReport(a))
}

func newIncidentList(a *app) *cobra.Command {
	var all bool
	var limit int
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the open incidents, newest first",
		Long:    "List the open incidents, newest first; --all adds those that are resolved.",
		Example: "  upkeep incident list\n  upkeep incident list --all -n 20 -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.listIncidents(cmd.Context(), all, limit)
		},
	}
	a.outputFlag(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "also what is resolved")
	cmd.Flags().IntVarP(&limit, "limit", "n", 50, "at most this many (`N`)")
	return cmd
}

func (a *app) listIncidents(ctx context.Context, all bool, limit int) error {
	reader, err := a.readLatest(ctx, limit)
	if err != nil {
		return err
	}
	defer reader.Close()
	f := runner.IncidentFilter{Limit: limit}
	if !all {
		f.States = []runner.IncidentState{runner.IncidentOpen}
	}
	list, err := reader.alerts.Incidents(ctx, f)
	if err != nil {
		return err
	}
	l := listing{columns: []string{"OPENED", "STATE", "SEVERITY", "AGE", "COUNT", "INCIDENT", "TITLE"}, empty: "no incident is open"}
	if all {
		l.empty = "there was no incident"
	}
	views := []api.Incident{}
	for _, i := range list {
		views = append(views, api.NewIncident(i))
		l.rows = append(l.rows, []string{
			stamp(i.OpenedAt), standing(i), string(i.Severity), lasted(i, time.Now()), strconv.Itoa(i.Count), i.ID, oneLine(i.Title, mostError),
		})
	}
	l.data = views
	return a.list(l)
}

// standing says in one word how an incident is.
func standing(i runner.Incident) string {
	switch {
	case i.State == runner.IncidentResolved:
		return string(i.State)
	case i.Flapping:
		return "flapping"
	case i.Suppressed != "":
		return "suppressed"
	case !i.AckedAt.IsZero():
		return "acked"
	}
	return string(i.State)
}

// lasted says how long an incident has lasted, or did.
func lasted(i runner.Incident, now time.Time) string {
	if !i.ResolvedAt.IsZero() {
		now = i.ResolvedAt
	}
	return unit.Took(max(now.Sub(i.OpenedAt), 0).Round(time.Second))
}

func newIncidentShow(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show INCIDENT",
		Short: "Tell what happened in one incident",
		Long: `Tell what happened in one incident: its timeline with what was found when it began, who
was told and what their channels answered, and what had changed in the hour before.
INCIDENT is its ID, the beginning of one, the name of a check or a workflow for its
newest incident, or ` + "`last`" + `. -o csv shows the timeline.`,
		Example:           "  upkeep incident show last\n  upkeep incident show database -o json",
		ValidArgsFunction: a.completeIncidents,
		RunE: func(cmd *cobra.Command, given []string) error {
			return a.showIncident(cmd.Context(), given[0])
		},
	}
	a.outputFlag(cmd)
	return cmd
}

// incidentStory is an incident with all that is known of it.
type incidentStory struct {
	runner.Incident

	timeline []runner.Entry
	notices  []runner.Notice
	changes  []runner.Happening
}

func readStory(ctx context.Context, reader history, text string) (incidentStory, error) {
	incident, err := findIncident(ctx, reader, text)
	if err != nil {
		return incidentStory{}, err
	}
	s := incidentStory{Incident: incident}
	if s.timeline, err = reader.desk.Timeline(ctx, incident.ID); err != nil {
		return s, err
	}
	notices, err := reader.alerts.Notices(ctx, runner.NoticeFilter{Incident: incident.ID, Limit: mostOfIncident})
	if err != nil {
		return s, err
	}
	s.notices = web.Earliest(notices)
	f := incident.Changes()
	f.Limit = mostOfIncident
	s.changes, err = reader.facts.Happenings(ctx, f)
	return s, err
}

func (a *app) showIncident(ctx context.Context, text string) error {
	reader, err := a.openReader(ctx)
	if err != nil {
		return err
	}
	defer reader.Close()
	s, err := readStory(ctx, reader, text)
	if err != nil {
		return err
	}
	if a.format == formatTable {
		return a.tell(a.std.Out, s)
	}
	l := listing{columns: []string{"AT", "WHAT", "NAME", "TEXT", "BY"}, data: api.NewIncidentDetail(s.Incident, s.timeline, s.notices, s.changes)}
	for _, e := range s.timeline {
		l.rows = append(l.rows, []string{stamp(e.At), string(e.Kind), e.Name, e.Text, e.By})
	}
	return a.list(l)
}

// tell writes the story of an incident for people.
func (a *app) tell(w io.Writer, s incidentStory) error {
	p := a.painter(w)
	if err := writeTable(w, []string{"", ""}, s.facts(p)); err != nil {
		return err
	}
	section := func(title string) { fmt.Fprintf(w, "\n%s\n", p.bold(title)) }
	section("what happened")
	tellTimeline(w, s.timeline)
	section("who was told")
	var rows [][]string
	for _, n := range s.notices {
		answer := n.Receipt
		if n.Error != "" {
			answer = n.Error
		}
		rows = append(rows, []string{"  " + stamp(n.CreatedAt), n.Channel, string(n.Action), string(n.State), strconv.Itoa(n.Attempts), oneLine(answer, mostError)})
	}
	if len(rows) == 0 {
		fmt.Fprintln(w, "  nobody")
	} else if err := writeTable(w, []string{"  AT", "CHANNEL", "TOLD", "STATE", "TRIES", "ANSWER"}, rows); err != nil {
		return err
	}
	section("what had changed in the hour before")
	rows = nil
	for _, h := range s.changes {
		rows = append(rows, []string{"  " + stamp(h.At), h.Kind, oneLine(h.Subject, mostAbout), oneLine(h.Text, mostError), h.By})
	}
	if len(rows) == 0 {
		fmt.Fprintln(w, "  nothing that is on record")
	} else if err := writeTable(w, []string{"", "", "", "", ""}, rows); err != nil {
		return err
	}
	fmt.Fprintln(w)
	for _, c := range s.commands() {
		fmt.Fprintf(w, "%s %s\n", p.faint(c[0]), a.again(c[1]))
	}
	return nil
}

// facts are what is known of the incident itself.
func (s incidentStory) facts(p painter) [][]string {
	facts := [][]string{
		{"incident", s.ID},
		{"title", p.bold(oneLine(s.Title, 0))},
		{"state", fmt.Sprintf("%s, %s, for %s", standing(s.Incident), s.Severity, lasted(s.Incident, time.Now()))},
		{"what", s.Fingerprint + " (" + s.Reason + ")"},
	}
	fact := func(name, value string) {
		if value != "" && value != "-" {
			facts = append(facts, []string{name, oneLine(value, 0)})
		}
	}
	if s.Said() {
		fact("began", stamp(s.FirstBad))
	} else {
		fact("last good", stamp(s.LastGood))
		fact("first bad", stamp(s.FirstBad))
	}
	fact("opened", stamp(s.OpenedAt))
	if s.Count > 1 {
		fact("seen", fmt.Sprintf("%d times, last at %s", s.Count, stamp(s.LastAt)))
	}
	fact("resolved", stamp(s.ResolvedAt))
	if !s.AckedAt.IsZero() {
		who := s.AckedBy + " since " + stamp(s.AckedAt)
		if !s.AckedUntil.IsZero() {
			who += " until " + stamp(s.AckedUntil)
		}
		fact("worked on by", who)
	}
	fact("nobody is told", s.Suppressed)
	fact("caused by", s.Parent)
	fact("run", string(s.Fault.Run))
	fact("ended by run", string(s.Resolver))
	fact("told", strings.Join(s.Channels, ", "))
	return facts
}

// tellTimeline writes entries, those of several lines indented.
func tellTimeline(w io.Writer, timeline []runner.Entry) {
	for _, e := range timeline {
		line := fmt.Sprintf("  %s  %-10s", stamp(e.At), e.Kind)
		if e.By != "" {
			line += "  by " + e.By
		}
		if e.Kind == runner.EntryEvidence {
			fmt.Fprintf(w, "%s  %s\n", line, oneLine(e.Name, 0))
			for text := range strings.Lines(e.Text) {
				fmt.Fprintf(w, "      %s\n", oneLine(text, 0))
			}
			continue
		}
		if e.Text != "" {
			line += "  " + oneLine(e.Text, 0)
		}
		fmt.Fprintln(w, strings.TrimRight(line, " "))
	}
}

// commands says what to type next.
func (s incidentStory) commands() [][2]string {
	var out [][2]string
	if s.State == runner.IncidentOpen {
		out = append(out, [2]string{"say that you work on it:", "incident ack " + s.ID})
		if s.Check != "" {
			out = append(out, [2]string{"how the check is now:", "health --check " + s.Instance() + " --fresh"})
		}
	}
	if s.Fault.Run != "" {
		out = append(out, [2]string{"the run that showed it:", "show " + string(s.Fault.Run)}, [2]string{"what it wrote:", "logs " + string(s.Fault.Run)})
	}
	if s.Workflow != "" {
		out = append(out, [2]string{"the runs before:", "history --workflow " + s.Workflow})
	}
	return append(out, [2]string{"write something down:", "incident note " + s.ID + " TEXT"})
}

func newIncidentAck(a *app) *cobra.Command {
	var note, lasts string
	cmd := &cobra.Command{
		Use:   "ack INCIDENT",
		Short: "Say that you work on an incident",
		Long: `Say that you work on an incident: it is not repeated and not escalated until the time
that --for or a date behind it says, or until it gets worse. Who was told of it is told
that.`,
		Example:           "  upkeep incident ack last\n  upkeep incident ack database --for 2h --note \"disk is being replaced\"",
		ValidArgsFunction: a.completeIncidents,
		RunE: func(cmd *cobra.Command, given []string) error {
			until, err := parseUntil(lasts, time.Local, time.Now())
			if err != nil {
				return usagef("--for %q is neither a duration (2h), nor a date, nor an instant", lasts)
			}
			return a.changeIncident(cmd.Context(), "ack", given[0], func(ctx context.Context, d deskWorker, id string) error {
				return d.AckIncident(ctx, id, note, until)
			}, "you work on it")
		},
	}
	cmd.Flags().StringVar(&note, "note", "", "what else to say (`TEXT`)")
	cmd.Flags().StringVar(&lasts, "for", "", "how long that counts: a duration, a date or an instant (`WHEN`)")
	return cmd
}

func newIncidentNote(a *app) *cobra.Command {
	var began string
	cmd := &cobra.Command{
		Use:   "note INCIDENT TEXT",
		Short: "Write something down about an incident",
		Long: `Add a line to the timeline of an incident, with your name. --started-at says when the
fault really began, which may be long before a check saw it: ` + "`upkeep kpi`" + ` counts the
time to detection from then on.`,
		Example: "  upkeep incident note database \"the pool was exhausted\"\n" +
			"  upkeep incident note database \"the first customers called\" --started-at \"2026-11-20 09:15\"",
		ValidArgsFunction: a.completeIncidents,
		RunE: func(cmd *cobra.Command, given []string) error {
			if strings.TrimSpace(given[1]) == "" {
				return usagef("the note says nothing")
			}
			return a.changeIncident(cmd.Context(), "note", given[0], beganAt(began, func(ctx context.Context, d deskWorker, id string) error {
				return d.NoteIncident(ctx, id, given[1])
			}), "written down")
		},
	}
	startedAt(cmd, &began)
	return cmd
}

func newIncidentResolve(a *app) *cobra.Command {
	var note, began string
	cmd := &cobra.Command{
		Use:   "resolve INCIDENT",
		Short: "End an incident by hand",
		Long: `End an incident by hand; who was told of it is told that. What is still wrong becomes a
new incident when it shows again. --started-at says when the fault really began, as with
` + "`incident note`" + `.`,
		Example: "  upkeep incident resolve last --note \"fixed by a new disk\"\n" +
			"  upkeep incident resolve database --started-at 3h",
		ValidArgsFunction: a.completeIncidents,
		RunE: func(cmd *cobra.Command, given []string) error {
			return a.changeIncident(cmd.Context(), "resolve", given[0], beganAt(began, func(ctx context.Context, d deskWorker, id string) error {
				return d.ResolveIncident(ctx, id, note)
			}), "resolved")
		},
	}
	cmd.Flags().StringVar(&note, "note", "", "how it was fixed (`TEXT`)")
	startedAt(cmd, &began)
	return cmd
}

// changeIncident does something about one incident and says so.
func (a *app) changeIncident(ctx context.Context, command, text string, do func(context.Context, deskWorker, string) error, done string) error {
	reader, err := a.openReader(ctx)
	if err != nil {
		return err
	}
	incident, err := findIncident(ctx, reader, text)
	reader.Close()
	if err != nil {
		return err
	}
	return a.onDesk(ctx, "upkeep incident "+command, func(ctx context.Context, d deskWorker) error {
		err := do(ctx, d, incident.ID)
		if errors.Is(err, runner.ErrIncidentState) {
			return skippedf("", "incident %s is resolved", incident.ID)
		}
		if err == nil {
			fmt.Fprintf(a.std.Out, "%s: %s\n", oneLine(incident.Title, mostError), done)
		}
		return err
	})
}
