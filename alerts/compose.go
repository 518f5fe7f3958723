package alerts

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

const (
	// mostFailures and mostLines bound what a message repeats.
	mostFailures = 5
	mostLines    = 20
)

// Origin is what messages say about where they come from.
type Origin struct {
	Project, Node string
	// Zone is that in which times are shown; nil means UTC.
	Zone *time.Location
	// Command is how upkeep is called here, such as "upkeep" or
	// "upkeep -c /srv/upkeep.yaml"; empty means "upkeep".
	Command string
}

// message makes the message of a notice.
func (d *Dispatcher) message(ctx context.Context, n runner.Notice) (Message, error) {
	m := NewMessage(d.o.Origin, n)
	if n.Action == runner.NoticeChange {
		return m, d.addChange(ctx, &m, n)
	}
	if n.Incident == "" {
		return m, nil
	}
	incident, err := d.o.Records.Incident(ctx, n.Incident)
	if errors.Is(err, runner.ErrNotFound) {
		return Message{}, &PermanentError{Err: fmt.Errorf("the incident is no longer on record: %w", err)}
	}
	if err != nil {
		return Message{}, fmt.Errorf("read the incident: %w", err)
	}
	m.Incident = &incident
	m.Title = titleOf(n.Action, incident, m.At)
	id := incident.Run
	if n.Action == runner.NoticeResolve {
		id = incident.Resolver
	}
	if n.Action != runner.NoticeOpen {
		if m.Thread, m.ThreadReceipt, err = d.thread(ctx, n); err != nil {
			return Message{}, err
		}
	}
	if m.Thread != "" && incident.Run != "" {
		if m.Was, err = d.failed(ctx, incident.Run); err != nil {
			return Message{}, err
		}
	}
	if id != "" {
		if err := d.addRun(ctx, &m, id); err != nil {
			return Message{}, err
		}
	}
	if err := d.addStory(ctx, &m); err != nil {
		return Message{}, err
	}
	m.Commands = commands(m, d.o.Origin)
	return m, nil
}

// NewMessage makes the message of a notice that belongs to no incident: a
// reminder, a test or a digest.
func NewMessage(o Origin, n runner.Notice) Message {
	zone := o.Zone
	if zone == nil {
		zone = time.UTC
	}
	return Message{
		ID: n.ID, Action: n.Action, Combined: n.Combined, Project: o.Project, Node: o.Node,
		At: n.CreatedAt.In(zone), Title: jobs.OneLine(n.Subject), Text: n.Text,
	}
}

// titleOf says in one line what a notice tells of an incident.
func titleOf(action runner.NoticeAction, i runner.Incident, at time.Time) string {
	switch action {
	case runner.NoticeResolve:
		return recovery(i)
	case runner.NoticeWorse:
		return jobs.OneLine("now " + string(i.Severity) + ": " + i.Title)
	case runner.NoticeRepeat:
		return jobs.OneLine("still, after " + rough(at.Sub(i.OpenedAt)) + ": " + i.Title)
	case runner.NoticeAck:
		return jobs.OneLine(cmp.Or(i.AckedBy, "somebody") + " works on it: " + i.Title)
	default:
		return i.Title
	}
}

// recovery says in one line that a fault is over.
func recovery(i runner.Incident) string {
	down := rough(i.ResolvedAt.Sub(i.OpenedAt))
	if i.Workflow == "" {
		return jobs.OneLine("over after " + down + ": " + i.Title)
	}
	what := i.Workflow
	if _, host, ok := strings.Cut(i.Fingerprint, "@"); ok {
		what += " on " + host
	}
	return jobs.OneLine(what + " works again after " + down)
}

// thread returns the ID of the notice of the incident's beginning and its
// receipt, when the same channel accepted it, or the ID of the digest that stood
// for it.
func (d *Dispatcher) thread(ctx context.Context, n runner.Notice) (id, receipt string, err error) {
	const page = 500
	filter := runner.NoticeFilter{Incident: n.Incident, Channel: n.Channel, States: []runner.NoticeState{runner.NoticeSent}, Limit: page}
	for {
		sent, err := d.o.Records.Notices(ctx, filter)
		if err != nil {
			return "", "", fmt.Errorf("read the notices of the incident: %w", err)
		}
		for _, earlier := range sent {
			filter.Before = earlier.ID
			if earlier.Action != runner.NoticeOpen {
				continue
			}
			if rest, found := strings.CutPrefix(earlier.Receipt, digestReceipt); found {
				id, _, _ = strings.Cut(rest, ": ")
				return id, "", nil // the digest is not this incident's alone
			}
			return earlier.ID, earlier.Receipt, nil
		}
		if len(sent) < page { // repetitions may fill pages
			return "", "", nil
		}
	}
}

// addRun adds the run and, of a fault, what failed in it. A run that is no
// longer on record is left out.
func (d *Dispatcher) addRun(ctx context.Context, m *Message, id runner.RunID) error {
	run, err := d.o.Records.Run(ctx, string(id))
	if errors.Is(err, runner.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read run %s: %w", id, err)
	}
	m.Run = &run
	if m.Action == runner.NoticeResolve || m.Action == runner.NoticeAck {
		return nil
	}
	m.Failures, err = d.failed(ctx, run.ID)
	return err
}

// failed returns what failed in a run; nothing when it is no longer on record.
func (d *Dispatcher) failed(ctx context.Context, id runner.RunID) ([]Failure, error) {
	attempts, err := d.o.Records.Attempts(ctx, id)
	if err != nil && !errors.Is(err, runner.ErrNotFound) {
		return nil, fmt.Errorf("read the attempts of run %s: %w", id, err)
	}
	var out []Failure
	for _, a := range failures(attempts) {
		output, err := d.o.Records.Output(ctx, a.Key())
		if err != nil && !errors.Is(err, runner.ErrNotFound) {
			return nil, fmt.Errorf("read the output of job %s: %w", a.Job, err)
		}
		f := Failure{Attempt: a}
		f.Output, f.Cut = lastLines(output, mostLines)
		out = append(out, f)
	}
	return out, nil
}

// failures returns the last attempt of each job that failed for good, in the
// order in which they ended, at most five.
func failures(attempts []runner.Attempt) []runner.Attempt {
	last := map[string]runner.Attempt{}
	for _, a := range attempts {
		if !a.Superseded && a.Number >= last[a.Job].Number {
			last[a.Job] = a
		}
	}
	var bad []runner.Attempt
	for _, a := range last {
		if a.State == runner.Failed || a.State == runner.Lost || a.State == runner.Canceled {
			bad = append(bad, a)
		}
	}
	slices.SortFunc(bad, func(a, b runner.Attempt) int {
		return cmp.Or(a.FinishedAt.Compare(b.FinishedAt), cmp.Compare(a.Job, b.Job))
	})
	return bad[:min(len(bad), mostFailures)]
}

// commands says what to type next.
func commands(m Message, o Origin) []Command {
	program := cmp.Or(o.Command, "upkeep")
	var out []Command
	add := func(does, format string, args ...any) {
		out = append(out, Command{Does: does, Line: program + " " + fmt.Sprintf(format, args...)})
	}
	if m.Action == runner.NoticeAck {
		add("what is known", "incident show %s", m.Incident.ID)
		return out
	}
	if m.Action == runner.NoticeResolve {
		if m.Run != nil {
			add("what it did", "show %s", m.Run.ID)
		}
		if m.Incident.Workflow != "" {
			add("the runs before it", "history --workflow %s", m.Incident.Workflow)
		}
		return out
	}
	switch m.Incident.Reason {
	case ReasonDiskFull:
		add("make room in the history", "prune-history")
		return out
	case ReasonReload:
		add("what is wrong, with lines", "validate")
		return out
	}
	ran := m.Run != nil && m.Incident.Reason != ReasonMissed
	if ran {
		add("what happened", "show %s", m.Run.ID)
		add("all of the output", "logs %s", m.Run.ID)
		add("go on from what failed, once it is repaired", "retry %s", m.Run.ID)
	}
	if workflow := m.Incident.Workflow; workflow != "" {
		if !ran {
			day := m.At
			if m.Run != nil {
				day = m.Run.Slot.In(m.At.Location())
			}
			add("why it did not run", "why %s %s", workflow, day.Format(time.DateOnly))
			add("run it now", "run %s", workflow)
		}
		add("the runs before it", "history --workflow %s", workflow)
	}
	add("say that you work on it", "incident ack %s", m.Incident.ID)
	return out
}
