package explain

import (
	"fmt"
	"time"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/schedule"
)

// settled is how long after its start a slot may take to be on record while
// all is well: two sweeps of the ticker.
const settled = schedule.DefaultStartDeadline

// The commands that help.
const (
	statusCommand = "systemctl status upkeep"
	nodesCommand  = "upkeep nodes"
)

// absent explains a slot without a row, or the share of one node in it.
func (in *inquiry) absent(slot time.Time, h Host) (verdict Verdict, sentence, next string) {
	start := slot.Add(h.Delay)
	cursor, known := in.cursors[h.Name]
	switch {
	case in.Workflow.Elsewhere != "":
		return VerdictElsewhere, "this node does not run it: " + in.Workflow.Elsewhere, nodesCommand
	case start.After(in.Now):
		return VerdictDue, in.due(start, h), ""
	case !known:
		return in.unseen(start, h)
	case !slot.After(cursor.Since):
		return VerdictBefore, "nothing was owed yet: the service first saw this workflow on " + in.local(cursor.Since), "upkeep run " + in.Workflow.Name
	case in.Workflow.Rule != "" && cursor.Schedule != in.Workflow.Rule:
		return VerdictChanged, "the service has not taken up the present schedule: it follows " + formerRule(cursor), "systemctl reload upkeep"
	case slot.After(cursor.Through):
		return in.undecided(slot, start, h, cursor)
	case in.Keep > 0 && in.Now.Sub(slot) > in.Keep:
		return VerdictPruned, "what happened is not known any more: history is kept for " + days(in.Keep), ""
	}
	sentence = "nothing is on record for it, although the service was there: another schedule was in force then"
	if in.KeepRuns > 0 {
		sentence += fmt.Sprintf(", or it was pruned (history keeps %s runs)", thousands(int64(in.KeepRuns)))
	}
	return VerdictUnrecorded, sentence, "upkeep history --workflow " + in.Workflow.Name
}

func formerRule(cursor runner.Cursor) string {
	if cursor.Schedule == "" || cursor.Schedule == "none" {
		return "no schedule for it"
	}
	return oneLine(cursor.Schedule)
}

// due says when a slot that lies ahead starts, and what keeps it from running
// as things stand.
func (in *inquiry) due(start time.Time, h Host) string {
	text := "is due in " + span(start.Sub(in.Now))
	if h.Delay > 0 {
		text += fmt.Sprintf(" (jitter delays it by %s)", span(h.Delay))
	}
	switch {
	case h.Away != "":
		text += ", and the node is not there: " + h.Away
	case in.pause != nil && (in.pause.Until.IsZero() || start.Before(in.pause.Until)):
		text += ", and will be skipped while the workflow is paused"
	case !in.Workflow.Window.Open(start):
		text += ", and will be skipped: it lies outside the window " + in.Workflow.Window.String()
	}
	return text
}

// unseen explains a slot of a calendar that no service has looked at.
func (in *inquiry) unseen(start time.Time, h Host) (verdict Verdict, sentence, next string) {
	switch {
	case !in.node:
		return VerdictUnseen, "no service has run on this ledger yet: `upkeep serve` starts what is due", "systemctl start upkeep"
	case h.Away != "":
		return VerdictUnseen, "the node has never seen this workflow, and it is not there: " + h.Away, nodesCommand
	case in.Now.Sub(start) <= settled:
		return VerdictDue, "is due now", ""
	}
	return VerdictUnseen, "the service has never seen this workflow: it runs with an older configuration", "systemctl reload upkeep"
}

// undecided explains a slot that the service has not come to, and says what it
// would do with it now. What a node that is away can no longer run another one
// records.
func (in *inquiry) undecided(slot, start time.Time, h Host, cursor runner.Cursor) (verdict Verdict, sentence, next string) {
	if h.Away == "" && in.Now.Sub(start) <= settled {
		return VerdictDue, "is due now", ""
	}
	text := "was not started: the service has not looked at the calendar since " + in.local(cursor.Through)
	next = statusCommand
	if h.Away != "" {
		text, next = "was not started: the node is not there: "+h.Away, nodesCommand
	}
	account := schedule.Due(in.Workflow.Schedule, cursor.Through, in.Now.Add(-h.Delay), in.Workflow.Policy)
	for _, d := range account.Decisions {
		switch {
		case !d.Slot.Equal(slot) || d.Verdict == schedule.VerdictMissed:
		case h.Away != "":
			return VerdictUndecided, text + "; it runs if it is back in time, and is missed otherwise", next
		default:
			return VerdictUndecided, text + "; it will be caught up when the service is back", next
		}
	}
	if h.Away != "" {
		return VerdictUndecided, text + "; another node will record it as missed", next
	}
	return VerdictUndecided, text + "; it will be recorded as missed when the service is back", next
}
