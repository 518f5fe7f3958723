package explain

import (
	"fmt"
	"time"

	"github.com/ghosteam/upkeep/runner/schedule"
)

// settled is how long after its start a slot may take to be on record while
// all is well: two sweeps of the ticker.
const settled = schedule.DefaultStartDeadline

const statusCommand = "systemctl status upkeep"

// absent explains a slot without a row.
func (in *inquiry) absent(slot time.Time) (verdict Verdict, sentence, next string) {
	start := slot.Add(in.Workflow.Delay)
	switch {
	case in.Workflow.Elsewhere != "":
		return VerdictElsewhere, "this node does not run it: " + in.Workflow.Elsewhere, "upkeep nodes"
	case start.After(in.Now):
		return VerdictDue, in.due(start), ""
	case in.cursor == nil:
		return in.unseen(start)
	case !slot.After(in.cursor.Since):
		return VerdictBefore, "nothing was owed yet: the service first saw this workflow on " + in.local(in.cursor.Since), "upkeep run " + in.Workflow.Name
	case in.Workflow.Rule != "" && in.cursor.Schedule != in.Workflow.Rule:
		return VerdictChanged, "the service has not taken up the present schedule: it follows " + in.formerRule(), "systemctl reload upkeep"
	case slot.After(in.cursor.Through):
		return in.undecided(slot, start)
	case in.Keep > 0 && in.Now.Sub(slot) > in.Keep:
		return VerdictPruned, "what happened is not known any more: history is kept for " + days(in.Keep), ""
	}
	sentence = "nothing is on record for it, although the service was there: another schedule was in force then"
	if in.KeepRuns > 0 {
		sentence += fmt.Sprintf(", or it was pruned (history keeps %s runs)", thousands(int64(in.KeepRuns)))
	}
	return VerdictUnrecorded, sentence, "upkeep history --workflow " + in.Workflow.Name
}

func (in *inquiry) formerRule() string {
	if in.cursor.Schedule == "" || in.cursor.Schedule == "none" {
		return "no schedule for it"
	}
	return oneLine(in.cursor.Schedule)
}

// due says when a slot that lies ahead starts, and what keeps it from running
// as things stand.
func (in *inquiry) due(start time.Time) string {
	text := "is due in " + span(start.Sub(in.Now))
	if in.Workflow.Delay > 0 {
		text += fmt.Sprintf(" (jitter delays it by %s)", span(in.Workflow.Delay))
	}
	switch {
	case in.pause != nil && (in.pause.Until.IsZero() || start.Before(in.pause.Until)):
		text += ", and will be skipped while the workflow is paused"
	case !in.Workflow.Window.Open(start):
		text += ", and will be skipped: it lies outside the window " + in.Workflow.Window.String()
	}
	return text
}

// unseen explains a slot of a calendar that no service has looked at.
func (in *inquiry) unseen(start time.Time) (verdict Verdict, sentence, next string) {
	switch {
	case !in.node:
		return VerdictUnseen, "no service has run on this ledger yet: `upkeep serve` starts what is due", "systemctl start upkeep"
	case in.Now.Sub(start) <= settled:
		return VerdictDue, "is due now", ""
	}
	return VerdictUnseen, "the service has never seen this workflow: it runs with an older configuration", "systemctl reload upkeep"
}

// undecided explains a slot that the service has not come to, and says what it
// would do with it now.
func (in *inquiry) undecided(slot, start time.Time) (verdict Verdict, sentence, next string) {
	if in.Now.Sub(start) <= settled {
		return VerdictDue, "is due now", ""
	}
	text := "was not started: the service has not looked at the calendar since " + in.local(in.cursor.Through)
	account := schedule.Due(in.Workflow.Schedule, in.cursor.Through, in.Now.Add(-in.Workflow.Delay), in.Workflow.Policy)
	for _, d := range account.Decisions {
		if d.Slot.Equal(slot) && d.Verdict != schedule.VerdictMissed {
			return VerdictUndecided, text + "; it will be caught up when the service is back", statusCommand
		}
	}
	return VerdictUndecided, text + "; it will be recorded as missed when the service is back", statusCommand
}
