package email

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/ghosteam/upkeep/alerts"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

const (
	// longestLine bounds a line of a body in characters, mostLines a text.
	longestLine = 1000
	mostLines   = 100
)

// view is what the templates show.
type view struct {
	Verdict, Color string
	Title          string
	// Lead is a sentence under the title; Text is the body of reminders.
	Lead, Text string
	Facts      []fact
	Failures   []failure
	Commands   []alerts.Command
	Footer     string
	// Headers are headers of our own, for people's filters.
	Headers map[string]string
}

type fact struct{ Name, Value string }

type failure struct {
	Head, Error, Hint string
	Output            []string
	Cut               bool
}

func newView(m alerts.Message) view {
	v := view{Title: jobs.OneLine(m.Title), Text: multiLine(m.Text)}
	for _, c := range m.Commands {
		v.Commands = append(v.Commands, alerts.Command{Does: line(c.Does), Line: line(c.Line)})
	}
	v.Verdict, v.Color = verdictOf(m)
	v.Lead = lead(m)
	v.Facts = facts(m)
	for _, f := range m.Failures {
		shown := failure{Head: head(f), Error: multiLine(f.Error), Hint: multiLine(f.Hint), Cut: f.Cut}
		for _, text := range f.Output {
			shown.Output = append(shown.Output, line(text))
		}
		v.Failures = append(v.Failures, shown)
	}
	v.Footer = "upkeep"
	if m.Node != "" {
		v.Footer += " on " + jobs.OneLine(m.Node)
	}
	if m.Project != "" {
		v.Footer += ", project " + jobs.OneLine(m.Project)
	}
	v.Headers = map[string]string{"X-Upkeep-Action": string(m.Action)}
	if m.Incident != nil {
		v.Headers["X-Upkeep-Severity"] = jobs.OneLine(string(m.Incident.Severity))
		v.Headers["X-Upkeep-Reason"] = jobs.OneLine(m.Incident.Reason)
		v.Headers["X-Upkeep-Incident"] = jobs.OneLine(m.Incident.ID)
		if m.Incident.Workflow != "" {
			v.Headers["X-Upkeep-Workflow"] = jobs.OneLine(m.Incident.Workflow)
		}
	}
	return v
}

// lead says what the mail is, where the title does not.
func lead(m alerts.Message) string {
	switch {
	case m.Action == runner.NoticeResolve && m.Combined:
		return fmt.Sprintf("It was down for %s. The mail about its beginning could not be sent in time; this one stands for both.", long(m.Down()))
	case m.Action == runner.NoticeResolve:
		return fmt.Sprintf("It was down for %s.", long(m.Down()))
	case m.Action == runner.NoticeRepeat && m.Incident != nil:
		return fmt.Sprintf("Nobody has acknowledged it, and it lasts: %s by now.", long(m.At.Sub(m.Incident.OpenedAt)))
	case m.Action == runner.NoticeTest && m.Text == "":
		return "Somebody tries whether this channel works. Nothing is wrong."
	case m.Action == runner.NoticeOpen && m.Incident != nil && m.Incident.Count > 1:
		return fmt.Sprintf("It happened %d times before this mail could be sent.", m.Incident.Count)
	}
	return ""
}

func facts(m alerts.Message) []fact {
	var out []fact
	add := func(name, value string) {
		if value = jobs.OneLine(value); value != "" {
			out = append(out, fact{name, value})
		}
	}
	when := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.In(m.At.Location()).Format("Mon 2006-01-02 15:04:05 MST")
	}
	if i := m.Incident; i != nil {
		add("Workflow", i.Workflow)
		add("Check", i.Check)
		if m.Action == runner.NoticeResolve {
			if i.Title != m.Title {
				add("What was wrong", i.Title)
			}
			add("Wrong since", when(i.OpenedAt))
			add("Right since", when(i.ResolvedAt))
			if i.Count > 1 {
				add("Happened", fmt.Sprintf("%d times, last %s", i.Count, when(i.LastAt)))
			}
		} else {
			add("Severity", string(i.Severity))
			add("Wrong since", when(i.OpenedAt))
			if i.Count > 1 && m.Action != runner.NoticeOpen {
				add("Happened", fmt.Sprintf("%d times, last %s", i.Count, when(i.LastAt)))
			}
			add("Acknowledged by", i.AckedBy)
		}
	} else {
		add("Sent", when(m.At))
	}
	if r := m.Run; r != nil {
		add("Run", string(r.ID))
		add("State", stateOf(string(r.State), string(r.Reason)))
		add("Because", r.Message)
		add("Due", when(r.Slot))
		add("Started", when(r.StartedAt))
		if !r.StartedAt.IsZero() && r.FinishedAt.After(r.StartedAt) {
			add("Ended", when(r.FinishedAt)+", after "+long(r.FinishedAt.Sub(r.StartedAt)))
		}
		add("Trigger", trigger(*r))
		add("Ran on", r.Node)
	}
	return out
}

func stateOf(state, reason string) string {
	if reason == "" {
		return state
	}
	return state + " (" + reason + ")"
}

func trigger(r runner.Run) string {
	if r.By == "" {
		return string(r.Trigger)
	}
	return string(r.Trigger) + ", by " + r.By
}

func head(f alerts.Failure) string {
	line := fmt.Sprintf("job %s (%s) %s", f.Job, f.Kind, stateOf(string(f.State), string(f.Reason)))
	if f.ExitCode > 0 {
		line += fmt.Sprintf(", exit code %d", f.ExitCode)
	}
	if f.Number > 1 {
		line += fmt.Sprintf(", attempt %d", f.Number)
	}
	if !f.StartedAt.IsZero() && f.FinishedAt.After(f.StartedAt) {
		line += ", after " + long(f.FinishedAt.Sub(f.StartedAt))
	}
	return jobs.OneLine(line)
}

// line makes foreign text fit for one line of a body: valid, bounded, without
// control characters and without those that turn the direction of writing.
func line(text string) string {
	text = strings.Map(func(c rune) rune {
		if !unicode.IsGraphic(c) {
			return ' '
		}
		return c
	}, strings.ToValidUTF8(text, "?"))
	text = strings.TrimRight(text, " ")
	if runes := []rune(text); len(runes) > longestLine {
		text = string(runes[:longestLine-1]) + "…"
	}
	return text
}

// multiLine makes foreign text fit for a body, line by line.
func multiLine(text string) string {
	var lines []string
	for part := range strings.Lines(text) {
		if len(lines) == mostLines {
			lines = append(lines, "…")
			break
		}
		lines = append(lines, line(part))
	}
	return strings.TrimSpace(strings.Join(lines, "\n"))
}

// long writes d for people.
func long(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(time.Second / 10).String()
	}
	return d.Round(time.Second).String()
}
