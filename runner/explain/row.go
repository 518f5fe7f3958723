package explain

import (
	"fmt"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// punctual is how late after its slot and jitter a run may start and still
// count as on time.
const punctual = 30 * time.Second

// row puts one row of the ledger into words.
func (in *inquiry) row(r runner.Run) (verdict Verdict, sentence, next string) {
	verdict = Verdict(r.State)
	if r.State == runner.Skipped {
		if r.Reason == runner.ReasonMissed {
			verdict = VerdictMissed
		}
		return verdict, in.skipped(r), in.afterSkip(r)
	}
	id := string(r.ID)
	switch r.State {
	case runner.Queued:
		if r.Approval && r.ApprovedBy == "" {
			return verdict, "waits for somebody to approve it since " + in.local(r.QueuedAt), "upkeep approve " + id
		}
		return verdict, "is queued since " + in.local(r.QueuedAt) + ": " + in.waits(r) + retried(r), "upkeep show " + id
	case runner.Running:
		return verdict, in.began(r) + " and is still under way" + canceling(r) + retried(r), "upkeep logs -f " + id
	case runner.Succeeded:
		return verdict, in.began(r) + " and succeeded" + after(r) + retried(r), ""
	case runner.Warned:
		return verdict, in.began(r) + " and succeeded with warnings" + after(r) + because(r) + retried(r), "upkeep show " + id
	case runner.Canceled:
		if r.StartedAt.IsZero() {
			return verdict, "was canceled before it began" + because(r), "upkeep retry " + id
		}
		return verdict, in.began(r) + " and was canceled" + after(r) + because(r) + retried(r), "upkeep retry " + id
	case runner.Lost:
		return verdict, in.began(r) + " and was lost: the process that ran it died" + because(r), "upkeep show " + id
	case runner.Failed:
		if r.StartedAt.IsZero() {
			return verdict, "failed before it began" + because(r), "upkeep show " + id
		}
		return verdict, in.began(r) + " and failed" + after(r) + because(r) + retried(r), "upkeep show " + id
	case runner.Skipped:
	}
	return verdict, fmt.Sprintf("is on record as %q", r.State), "upkeep show " + id
}

// began says when the run started, compared with its slot.
func (in *inquiry) began(r runner.Run) string {
	late, where := r.StartedAt.Sub(r.Slot), in.onNode(r)
	switch {
	case r.StartedAt.IsZero():
		return "is on record as begun"
	case r.Trigger == runner.ByCatchUp:
		return "was caught up " + span(late) + " later" + where
	case r.Trigger != runner.BySchedule:
		return "ran" + where + " because " + asker(r) + " asked for it at that instant"
	case late <= in.delayOf(r)+punctual:
		return "ran on time" + where
	default:
		return "started " + span(late) + " late" + where
	}
}

func asker(r runner.Run) string {
	if r.By == "" {
		return "somebody"
	}
	return oneLine(r.By)
}

func after(r runner.Run) string {
	if r.StartedAt.IsZero() || r.FinishedAt.IsZero() {
		return ""
	}
	return " after " + span(r.FinishedAt.Sub(r.StartedAt))
}

func because(r runner.Run) string {
	switch {
	case r.Message != "":
		return ": " + oneLine(r.Message)
	case r.Reason != "":
		return " (" + string(r.Reason) + ")"
	}
	return ""
}

func retried(r runner.Run) string {
	if r.ReopenedBy == "" {
		return ""
	}
	return ", after a retry by " + oneLine(r.ReopenedBy)
}

func canceling(r runner.Run) string {
	if r.CanceledBy == "" {
		return ""
	}
	return "; " + oneLine(r.CanceledBy) + " asked for its end"
}

// skipped says why a slot did not run.
func (in *inquiry) skipped(r runner.Run) string {
	text := "did not run: "
	switch r.Reason {
	case runner.ReasonOverlap:
		text += "the run before it was still open"
	case runner.ReasonPaused:
		text += "the workflow was paused"
	case runner.ReasonWindow:
		text += "the maintenance window"
	case runner.ReasonMissed:
		if r.Message == "" {
			text += "nothing was running to start it"
		}
	case runner.ReasonCondition:
		text += "its conditions ruled it out"
	case runner.ReasonSpace:
		text += "no room was left on the disk"
	default:
		if r.Reason != "" {
			text += string(r.Reason)
		} else {
			text += "skipped"
		}
	}
	if r.Message != "" {
		text = strings.TrimSuffix(text, ": ") + ": " + oneLine(r.Message)
	}
	if r.Slots > 1 {
		text += fmt.Sprintf(" (one row for %s slots from %s to %s)", thousands(r.Slots), in.local(r.Slot), in.local(r.LastSlot))
	}
	return text
}

// afterSkip is what helps now: a pause that still is in force is ended, and a
// slot that nobody made up for can be run by hand.
func (in *inquiry) afterSkip(r runner.Run) string {
	switch r.Reason {
	case runner.ReasonPaused:
		if in.pause != nil {
			return "upkeep unpause " + in.Workflow.Name
		}
	case runner.ReasonOverlap:
		return "upkeep history --workflow " + in.Workflow.Name
	case runner.ReasonCondition:
		return "upkeep show " + string(r.ID)
	default:
	}
	return "upkeep run " + in.Workflow.Name
}
