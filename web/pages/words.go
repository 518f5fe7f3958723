package pages

import (
	"strings"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

// tone is how good something is. Style sheets color it; a glyph and a word
// beside it say the same.
type tone string

const (
	toneGood tone = "good"
	toneWarn tone = "warn"
	toneBad  tone = "bad"
	toneBusy tone = "busy" // it goes on
	toneIdle tone = "idle" // nothing to say, or not begun
)

// badge is a state as people see it.
type badge struct {
	Tone        tone
	Glyph, Word string
}

// stateBadge shows the state of a run or an attempt. The words are those of the
// API and the command line.
func stateBadge(s runner.State) badge {
	b := badge{Word: string(s)}
	switch s {
	case runner.Succeeded:
		b.Tone, b.Glyph = toneGood, "✓"
	case runner.Warned:
		b.Tone, b.Glyph = toneWarn, "!"
	case runner.Failed:
		b.Tone, b.Glyph = toneBad, "✗"
	case runner.Lost:
		b.Tone, b.Glyph = toneBad, "?"
	case runner.Canceled:
		b.Tone, b.Glyph = toneIdle, "■"
	case runner.Skipped:
		b.Tone, b.Glyph = toneIdle, "–"
	case runner.Running:
		b.Tone, b.Glyph = toneBusy, "▶"
	case runner.Queued:
		b.Tone, b.Glyph = toneIdle, "…"
	default:
		b.Tone, b.Glyph = toneIdle, "·"
	}
	return b
}

// interruptedBadge is of a run that has not ended and that nobody works on.
func interruptedBadge() badge { return badge{Tone: toneBad, Glyph: "?", Word: "interrupted"} }

// approvalBadge is of a run that starts when somebody approves it.
func approvalBadge() badge { return badge{Tone: toneWarn, Glyph: "!", Word: "waits for approval"} }

// severityBadge shows how bad a finding or an incident is.
func severityBadge(s jobs.Severity) badge {
	switch s {
	case jobs.Critical:
		return badge{Tone: toneBad, Glyph: "✗", Word: string(s)}
	case jobs.Warning:
		return badge{Tone: toneWarn, Glyph: "!", Word: string(s)}
	default:
		return badge{Tone: toneIdle, Glyph: "i", Word: string(s)}
	}
}

// healthBadge shows how a check is.
func healthBadge(h runner.Health) badge {
	switch h {
	case runner.Healthy:
		return badge{Tone: toneGood, Glyph: "✓", Word: string(h)}
	case runner.HealthWarning:
		return badge{Tone: toneWarn, Glyph: "!", Word: string(h)}
	case runner.HealthCritical:
		return badge{Tone: toneBad, Glyph: "✗", Word: string(h)}
	default:
		return badge{Tone: toneIdle, Glyph: "?", Word: string(h)}
	}
}

// because says what a reason means, in half a sentence.
func because(r runner.Reason) string {
	switch r {
	case runner.ReasonError:
		return "the job returned an error"
	case runner.ReasonPermanent:
		return "the job returned an error that no retry can cure"
	case runner.ReasonFindings:
		return "what it found decided that"
	case runner.ReasonPanic:
		return "the code of the job panicked"
	case runner.ReasonTimeout:
		return "it took longer than it may"
	case runner.ReasonUser:
		return "a person canceled it"
	case runner.ReasonRefused:
		return "a safety rail refused"
	case runner.ReasonOverlap:
		return "the run before it had not ended"
	case runner.ReasonWindow:
		return "it was outside of the maintenance window"
	case runner.ReasonPaused:
		return "the workflow was paused"
	case runner.ReasonMissed:
		return "nothing ran upkeep when it was due, and catch-up did not apply"
	case runner.ReasonCondition:
		return "its condition or what it needs ruled it out"
	case runner.ReasonShutdown:
		return "upkeep was stopped in good order"
	case runner.ReasonCrash:
		return "the process that ran it died"
	case runner.ReasonLockLost:
		return "its lease or a lock was lost"
	case runner.ReasonSpec:
		return "the workflow as it was recorded no longer loads"
	case runner.ReasonSpace:
		return "no room was left on the disk"
	}
	return ""
}

// triggered says why a run exists.
func triggered(t runner.Trigger) string {
	switch t {
	case runner.BySchedule:
		return "by its schedule"
	case runner.ByCatchUp:
		return "to catch up on a missed slot"
	case runner.ByManual:
		return "by hand"
	case runner.ByAPI:
		return "through the API"
	case runner.ByCheck:
		return "by a check"
	}
	return strings.ReplaceAll(string(t), "_", " ")
}

// words joins with commas, and with "and" before the last.
func words(list []string) string {
	switch len(list) {
	case 0:
		return ""
	case 1:
		return list[0]
	}
	return strings.Join(list[:len(list)-1], ", ") + " and " + list[len(list)-1]
}
