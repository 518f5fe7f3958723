package wording

import (
	"fmt"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/alerts"
	"github.com/ghosteam/upkeep/runner"
)

// Fact is something that is known, under its name; both are one line.
type Fact struct{ Name, Value string }

// facts collects what is not empty.
type facts struct {
	m    alerts.Message
	list []Fact
}

func (f *facts) add(name, value string) {
	if value = One(value); value != "" {
		f.list = append(f.list, Fact{name, value})
	}
}

func (f *facts) when(name string, t time.Time) { f.add(name, When(f.m, t)) }

// Facts returns what is known about the incident and the run, the most
// important first.
func Facts(m alerts.Message) []Fact {
	f := &facts{m: m}
	if m.Incident == nil {
		f.when("Sent", m.At)
	} else {
		f.incident(m.Incident)
	}
	if m.Run != nil {
		f.run(m.Run)
	}
	return f.list
}

func (f *facts) incident(i *runner.Incident) {
	f.add("Workflow", i.Workflow)
	f.add("Check", i.Check)
	if f.m.Action == runner.NoticeResolve {
		if i.Title != f.m.Title {
			f.add("What was wrong", i.Title)
		}
		f.when("Wrong since", i.OpenedAt)
		f.when("Right since", i.ResolvedAt)
		if i.Count > 1 {
			f.add("Happened", fmt.Sprintf("%d times, last %s", i.Count, When(f.m, i.LastAt)))
		}
		return
	}
	f.add("Severity", string(i.Severity))
	f.when("Wrong since", i.OpenedAt)
	f.when("Last good answer", i.LastGood)
	f.when("First bad answer", i.FirstBad)
	if i.Count > 1 && f.m.Action != runner.NoticeOpen {
		f.add("Happened", fmt.Sprintf("%d times, last %s", i.Count, When(f.m, i.LastAt)))
	}
	f.add("Changed before", changed(f.m))
	f.add("Acknowledged by", i.AckedBy)
	if i.Flapping {
		f.add("Flapping", "it comes and goes")
	}
}

func (f *facts) run(r *runner.Run) {
	f.add("Run", string(r.ID))
	f.add("State", stateOf(string(r.State), string(r.Reason)))
	f.add("Because", r.Message)
	f.when("Due", r.Slot)
	f.when("Started", r.StartedAt)
	if !r.StartedAt.IsZero() && r.FinishedAt.After(r.StartedAt) {
		f.add("Ended", When(f.m, r.FinishedAt)+", after "+Long(r.FinishedAt.Sub(r.StartedAt)))
	}
	trigger := string(r.Trigger)
	if r.By != "" {
		trigger += ", by " + One(r.By)
	}
	f.add("Trigger", trigger)
	f.add("Ran on", r.Node)
}

func stateOf(state, reason string) string {
	if reason == "" {
		return state
	}
	return state + " (" + reason + ")"
}

// Failure is a job that failed, in words.
type Failure struct {
	// Head names it in one line; Error and Hint have up to 100.
	Head, Error, Hint string
	// Output are the last lines that it wrote; Cut tells that there was more.
	Output []string
	Cut    bool
	// Found tells that it is evidence, not what a job wrote.
	Found bool
}

// mostEvidence bounds the lines of one piece of evidence.
const mostEvidence = 20

// Failures returns the failures of m in words, and then the evidence: what was
// found when the fault began.
func Failures(m alerts.Message) []Failure {
	var out []Failure
	for _, f := range m.Failures {
		shown := Failure{Head: headOf(f), Error: Lines(f.Error), Hint: Lines(f.Hint), Cut: f.Cut}
		for _, text := range f.Output {
			shown.Output = append(shown.Output, Line(text))
		}
		out = append(out, shown)
	}
	for _, e := range m.Evidence {
		lines := strings.Split(strings.TrimSpace(Lines(e.Text)), "\n")
		shown := Failure{Head: One("found: " + e.Name), Found: true, Output: lines[:min(len(lines), mostEvidence)]}
		if rest := len(lines) - mostEvidence; rest > 0 {
			shown.Output = append(shown.Output, fmt.Sprintf("… and %d lines more: upkeep incident show", rest))
		}
		out = append(out, shown)
	}
	return out
}

// changed says in one line what had changed before the fault.
func changed(m alerts.Message) string {
	var list []string
	for _, h := range m.Changes {
		list = append(list, fmt.Sprintf("%s %s, %s: %s", One(h.Kind), One(h.Subject), h.At.In(m.At.Location()).Format("15:04:05"), One(h.Text)))
	}
	return strings.Join(list, "; ")
}

func headOf(f alerts.Failure) string {
	line := fmt.Sprintf("job %s (%s) %s", One(f.Job), One(f.Kind), stateOf(string(f.State), string(f.Reason)))
	if f.ExitCode > 0 {
		line += fmt.Sprintf(", exit code %d", f.ExitCode)
	}
	if f.Number > 1 {
		line += fmt.Sprintf(", attempt %d", f.Number)
	}
	if !f.StartedAt.IsZero() && f.FinishedAt.After(f.StartedAt) {
		line += ", after " + Long(f.FinishedAt.Sub(f.StartedAt))
	}
	return One(line)
}
