// Package wording says in words what a message tells, for all channels alike:
// its verdict, its facts, what failed and what was found. It makes foreign text
// fit to be shown and refuses to know how a channel marks it up.
package wording

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/ghosteam/upkeep/alerts"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

const (
	// longestLine bounds a line of a body in characters, mostLines a text.
	longestLine = 1000
	mostLines   = 100
	// longestOne bounds what is looked at for a short line, in bytes: much may be
	// white space.
	longestOne = 16 << 10
)

// Severity returns how grave it is what m tells of: that of its incident, or of
// the worst fault of a digest that lasts; Info for what belongs to none, and
// Critical for a word that nobody knows.
func Severity(m alerts.Message) jobs.Severity {
	worst := jobs.Info
	for _, item := range m.Items {
		if item.Action != runner.NoticeResolve {
			worst = worse(worst, item.Incident)
		}
	}
	return worse(worst, m.Incident)
}

func worse(s jobs.Severity, i *runner.Incident) jobs.Severity {
	switch {
	case i == nil:
		return s
	case i.Severity.Rank() < 0:
		return jobs.Critical
	case i.Severity.Rank() > s.Rank():
		return i.Severity
	}
	return s
}

// Verdict says in one word in capitals how things stand.
func Verdict(m alerts.Message) string {
	switch m.Action {
	case runner.NoticeResolve:
		return "RESOLVED"
	case runner.NoticeRemind:
		return "REMINDER"
	case runner.NoticeTest:
		return "TEST"
	case runner.NoticeAck:
		return "ACKNOWLEDGED"
	case runner.NoticeDigest:
		return "ALERTS"
	case runner.NoticeWeekly:
		return "WEEK"
	case runner.NoticeChange:
		return "CHANGE"
	default:
	}
	if m.Incident == nil {
		return strings.ToUpper(string(jobs.Critical))
	}
	return strings.ToUpper(string(Severity(m)))
}

// Headline is the verdict and the title, one line.
func Headline(m alerts.Message) string { return One(Verdict(m) + ": " + m.Title) }

// Lead says what the message is, where the title does not; it may be empty.
func Lead(m alerts.Message) string {
	i := m.Incident
	switch {
	case m.Action == runner.NoticeResolve && m.Combined:
		return fmt.Sprintf("It was down for %s. The message about its beginning could not be sent in time; this one stands for both.", Long(m.Down()))
	case m.Action == runner.NoticeResolve:
		return fmt.Sprintf("It was down for %s.", Long(m.Down()))
	case m.Action == runner.NoticeTest && m.Text == "":
		return "Somebody tries whether this channel works. Nothing is wrong."
	case i == nil:
		return ""
	case m.Action == runner.NoticeRepeat:
		return fmt.Sprintf("Nobody has acknowledged it, and it lasts: %s by now.", Long(max(0, m.At.Sub(i.OpenedAt))))
	case m.Action == runner.NoticeAck:
		return acknowledged(m)
	case m.Action == runner.NoticeOpen && i.Count > 1:
		return fmt.Sprintf("It happened %d times before this message could be sent.", i.Count)
	}
	return ""
}

func acknowledged(m alerts.Message) string {
	who := One(m.Incident.AckedBy)
	if who == "" {
		who = "Somebody"
	}
	if until := When(m, m.Incident.AckedUntil); until != "" {
		return fmt.Sprintf("%s works on it; nobody is reminded until %s.", who, until)
	}
	return who + " works on it."
}

// When writes an instant in the zone of the message, to the second; the zero
// time is empty.
func When(m alerts.Message, t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.In(m.At.Location()).Format("Mon 2006-01-02 15:04:05 MST")
}

// Footer says where the message comes from.
func Footer(m alerts.Message) string {
	line := "upkeep"
	if m.Node != "" {
		line += " on " + One(m.Node)
	}
	if m.Project != "" {
		line += ", project " + One(m.Project)
	}
	return line
}

// Commands returns the commands of m, each fit for one line.
func Commands(m alerts.Message) []alerts.Command {
	var out []alerts.Command
	for _, c := range m.Commands {
		out = append(out, alerts.Command{Does: Line(c.Does), Line: Line(c.Line)})
	}
	return out
}

// One makes foreign text fit for a short line, as jobs.OneLine does, and does not
// look at more of it than could matter.
func One(text string) string { return jobs.OneLine(head(text, longestOne)) }

// head returns the beginning of a text, at most so many bytes.
func head(text string, most int) string {
	if len(text) <= most {
		return text
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most]
}

// Line makes foreign text fit for one line of a body: valid, at most 1000
// characters, without control characters and without those that turn the
// direction of writing.
func Line(text string) string {
	text = head(text, utf8.UTFMax*(longestLine+1))
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

// Lines makes foreign text fit for a body, line by line, at most 100.
func Lines(text string) string {
	var lines []string
	for part := range strings.Lines(text) {
		if len(lines) == mostLines {
			lines = append(lines, "…")
			break
		}
		lines = append(lines, Line(part))
	}
	return strings.TrimSpace(strings.Join(lines, "\n"))
}

// Long writes d for people.
func Long(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(time.Second / 10).String()
	}
	return d.Round(time.Second).String()
}
