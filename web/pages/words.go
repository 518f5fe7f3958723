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

// badgeOf shows a word of the API and the command line: the state of a run or an
// attempt, how bad something is, or how a check is.
func badgeOf[W ~string](word W) badge {
	look := func(t tone, glyph string) badge { return badge{Tone: t, Glyph: glyph, Word: string(word)} }
	switch string(word) {
	case string(runner.Succeeded), string(runner.Healthy):
		return look(toneGood, "✓")
	case string(runner.Warned), string(jobs.Warning):
		return look(toneWarn, "!")
	case string(runner.Failed), string(jobs.Critical):
		return look(toneBad, "✗")
	case string(runner.Lost):
		return look(toneBad, "?")
	case string(runner.Running):
		return look(toneBusy, "▶")
	case string(runner.Queued):
		return look(toneIdle, "…")
	case string(runner.Canceled):
		return look(toneIdle, "■")
	case string(runner.Skipped):
		return look(toneIdle, "–")
	case string(jobs.Info):
		return look(toneIdle, "i")
	case string(runner.HealthUnknown):
		return look(toneIdle, "?")
	}
	return look(toneIdle, "·")
}

// runBadge shows a run: one that nobody works on though it has not ended, and one
// that starts when somebody approves it, are told apart from their state.
func runBadge(s runner.State, interrupted, approval bool) badge {
	switch {
	case interrupted:
		return badge{Tone: toneBad, Glyph: "?", Word: "interrupted"}
	case approval:
		return badge{Tone: toneWarn, Glyph: "!", Word: "waits for approval"}
	}
	return badgeOf(s)
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
