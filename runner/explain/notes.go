package explain

import (
	"fmt"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/runner/schedule"
)

// notes are the sentences about the whole stretch of time.
func (in *inquiry) notes(a *Answer) []string {
	var notes []string
	name, s := in.Workflow.Name, in.Workflow.Schedule
	if s.IsZero() {
		notes = append(notes, name+" has no schedule: it runs on request only, with `upkeep run "+name+"`")
	} else {
		notes = append(notes, name+" is due "+s.Describe())
		if s.Count(in.From.Add(-1), in.Until.Add(-1)) == 0 {
			notes = append(notes, in.empty())
		}
		notes = append(notes, in.hazards(len(a.Slots) == 0)...)
	}
	if a.Unlisted > 0 {
		notes = append(notes, fmt.Sprintf("%s more slots follow; name a time to see them: upkeep why %s %s",
			thousands(a.Unlisted), name, a.Slots[len(a.Slots)-1].Slot.In(in.zone).Format("2006-01-02 15:04")))
	}
	for _, r := range in.folded {
		if !in.told[r.ID] {
			_, sentence, _ := in.row(r)
			notes = append(notes, "slots that the present schedule does not have: it "+sentence)
		}
	}
	if p := in.pause; p != nil {
		text := fmt.Sprintf("it is paused now, by %s since %s", oneLine(p.By), in.local(p.Since))
		if !p.Until.IsZero() {
			text += " until " + in.local(p.Until)
		}
		notes = append(notes, text+": "+oneLine(p.Why))
	}
	for _, r := range in.asked {
		_, sentence, _ := in.row(r)
		where := in.onNode(r)
		sentence = strings.TrimPrefix(sentence, "ran"+where+" because "+asker(r)+" asked for it at that instant and ")
		if r.Host != "" {
			where = " for " + oneLine(r.Host)
		}
		notes = append(notes, fmt.Sprintf("%s asked for a run%s on %s: it %s", asker(r), where, in.local(r.Slot), sentence))
	}
	return notes
}

// empty says where the slots next to a stretch without any are.
func (in *inquiry) empty() string {
	text := "it has no slot from " + in.local(in.From) + " to " + in.local(in.Until)
	var near []string
	if slot, ok := in.Workflow.Schedule.Prev(in.From.Add(-1)); ok {
		near = append(near, "the one before was on "+in.local(slot))
	}
	if slot, ok := in.Workflow.Schedule.Next(in.Until.Add(-1)); ok {
		near = append(near, "the next is on "+in.local(slot))
	}
	if len(near) == 0 {
		return text
	}
	return text + ": " + strings.Join(near, ", ")
}

// hazards say what clock changes do in that time and, when there is nothing to
// answer, whether its month has no such day.
func (in *inquiry) hazards(months bool) []string {
	// A change of the clock that is asked about may lie at the very beginning.
	from := in.From.Add(-time.Second)
	if months {
		local := in.From.In(in.zone)
		from = time.Date(local.Year(), local.Month(), 1, 0, 0, 0, 0, in.zone).Add(-time.Second)
	}
	var notes []string
	for _, h := range in.Workflow.Schedule.Hazards(from, in.Until.Add(-1)) {
		if h.Kind == schedule.HazardNoDay && months || h.Kind != schedule.HazardNoDay && !h.At.Before(in.From) {
			notes = append(notes, h.Text)
		}
	}
	return notes
}
