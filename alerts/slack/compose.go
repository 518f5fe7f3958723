package slack

import (
	"fmt"
	"strings"

	"github.com/ghosteam/upkeep/alerts"
	"github.com/ghosteam/upkeep/alerts/internal/wording"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

// The colors of the bar, by severity.
const (
	green  = "#36a64f"
	orange = "#ff9900"
	red    = "#ff0000"
)

func colorOf(m alerts.Message) string {
	if m.Action == runner.NoticeResolve {
		return green
	}
	switch wording.Severity(m) {
	case jobs.Info:
		return green
	case jobs.Warning:
		return orange
	default:
		return red
	}
}

// compose writes the message. The same message always gives the same JSON.
func compose(m alerts.Message) message {
	headline := wording.Headline(m)
	if m.Project != "" {
		headline = wording.One("[" + wording.One(m.Project) + "] " + headline)
	}
	no := false
	out := message{
		Text: fallback(headline), UnfurlLinks: &no, UnfurlMedia: &no,
		Attachments: []attachment{{Color: colorOf(m), Fallback: fallback(headline), Blocks: body(m, headline)}},
	}
	title := plain(headline, longestHeader)
	out.Blocks = []block{{Type: "header", BlockID: identity(m), Text: &title}}
	return out
}

// calling adds who is called to a message, when there is reason to call.
func (c *Channel) calling(m alerts.Message, out message) message {
	begins := m.Action == runner.NoticeOpen || m.Action == runner.NoticeWorse || m.Action == runner.NoticeDigest
	if !begins || wording.Severity(m) != jobs.Critical || len(c.o.Mention) == 0 {
		return out
	}
	var names []string
	for _, name := range c.o.Mention {
		names = append(names, mention(name))
	}
	t := marked(strings.Join(names, " "))
	out.Blocks = append(out.Blocks, block{Type: "section", Text: &t})
	return out
}

// identity names the notice, the same for every attempt to send it.
func identity(m alerts.Message) string { return fit("notice/"+wording.Line(m.ID), longestID) }

// body is what stands beside the colored bar.
func body(m alerts.Message, headline string) []block {
	l := &layout{max: mostBlocks - 1, size: longestHeader} // without the header
	if units(headline) > longestHeader {
		l.paragraph(headline)
	}
	l.paragraph(wording.Lead(m))
	l.paragraph(wording.Lines(m.Text))
	l.fields(pairs(m))
	for _, f := range wording.Failures(m) {
		l.failure(f)
	}
	if lines := commands(m); len(lines) > 0 {
		l.code(lines, false)
	}
	l.context(wording.Footer(m), "notice "+wording.Line(m.ID))
	return l.blocks
}

// pairs are the fields: first those that everybody looks for.
func pairs(m alerts.Message) [][2]string {
	stamp := wording.When(m, m.At)
	if stamp == "" {
		stamp = "unknown"
	}
	out := [][2]string{{"Severity", string(wording.Severity(m))}, {"Timestamp", stamp}}
	for _, f := range wording.Facts(m) {
		if f.Name != "Severity" && f.Name != "Sent" {
			out = append(out, [2]string{f.Name, f.Value})
		}
	}
	return out
}

func (l *layout) failure(f wording.Failure) {
	var b strings.Builder
	b.WriteString(f.Head)
	if f.Error != "" {
		fmt.Fprintf(&b, "\nerror: %s", f.Error)
	}
	if f.Hint != "" {
		fmt.Fprintf(&b, "\nhint: %s", f.Hint)
	}
	t := plain(b.String(), longestSection)
	l.add(block{Type: "section", Text: &t}, units(t.Text))
	l.code(f.Output, f.Cut)
}

// commands are what to type next, as lines of code.
func commands(m alerts.Message) []string {
	var lines []string
	for _, c := range wording.Commands(m) {
		if c.Line == "" {
			continue
		}
		if c.Does != "" {
			c.Line += "   # " + c.Does
		}
		lines = append(lines, c.Line)
	}
	return lines
}
