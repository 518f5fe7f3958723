package email

import (
	"github.com/ghosteam/upkeep/alerts"
	"github.com/ghosteam/upkeep/alerts/internal/wording"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

// view is what the templates show.
type view struct {
	Verdict, Color string
	Title          string
	// Lead is a sentence under the title; Text is the body of reminders, tests and
	// digests, or a note.
	Lead, Text string
	Facts      []wording.Fact
	Failures   []wording.Failure
	Commands   []alerts.Command
	Footer     string
	// Headers are headers of our own, for people's filters.
	Headers map[string]string
}

func newView(m alerts.Message) view {
	v := view{
		Title: wording.One(m.Title), Verdict: wording.Verdict(m), Color: colorOf(m), Lead: wording.Lead(m), Text: wording.Lines(m.Text),
		Facts: wording.Facts(m), Failures: wording.Failures(m), Commands: wording.Commands(m), Footer: wording.Footer(m),
		Headers: map[string]string{"X-Upkeep-Action": string(m.Action)},
	}
	if i := m.Incident; i != nil {
		for name, value := range map[string]string{
			"Severity": string(i.Severity), "Reason": i.Reason, "Incident": i.ID, "Workflow": i.Workflow, "Check": i.Check,
		} {
			if value = wording.One(value); value != "" {
				v.Headers["X-Upkeep-"+name] = value
			}
		}
	}
	return v
}

// colorOf is that of the bar and of the verdict, dark enough for text.
func colorOf(m alerts.Message) string {
	const green, blue, orange, red = "#1a7f37", "#0969da", "#9a6700", "#cf222e"
	switch m.Action {
	case runner.NoticeResolve:
		return green
	case runner.NoticeRemind, runner.NoticeTest, runner.NoticeAck, runner.NoticeWeekly, runner.NoticeChange:
		return blue
	default:
	}
	switch wording.Severity(m) {
	case jobs.Critical:
		return red
	case jobs.Warning:
		return orange
	default:
		return blue
	}
}
