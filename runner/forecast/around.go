package forecast

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/runner/schedule"
)

// Night is what workflows of one zone do around one change of its clock.
type Night struct {
	Zone *time.Location
	schedule.Change
	// Rows are the workflows with a slot in that night, by name.
	Rows []NightRow
}

// NightRow is one workflow in such a night.
type NightRow struct {
	Workflow string
	// Slots are its slots from NightBefore before the change until NightAfter
	// after it, in its zone; Count is how many there are. Of more than MaxNight
	// only those next to the change are listed.
	Slots []time.Time
	Count int64
	// Hazards say what the change does to the schedule; none most often.
	Hazards []schedule.Hazard
}

// The stretch of time around a clock change that a Night looks at.
const (
	NightBefore = 6 * time.Hour
	NightAfter  = 6 * time.Hour
	MaxNight    = 12
)

// AroundDST returns what workflows do around the clock changes of a year of the
// calendar, each in its zone, ordered by time and zone. A pass over the clock
// that no workflow has a slot near is left out.
func AroundDST(year int, workflows []Workflow) []Night {
	zones := map[string][]Workflow{}
	for _, w := range workflows {
		if !w.Schedule.IsZero() {
			zones[w.Schedule.Zone().String()] = append(zones[w.Schedule.Zone().String()], w)
		}
	}
	var nights []Night
	for _, in := range zones {
		slices.SortStableFunc(in, func(a, b Workflow) int { return strings.Compare(a.Name, b.Name) })
		zone := in[0].Schedule.Zone()
		from := time.Date(year, 1, 1, 0, 0, 0, 0, zone)
		for _, change := range schedule.Changes(zone, from.Add(-time.Second), from.AddDate(1, 0, 0).Add(-time.Second)) {
			night := Night{Zone: zone, Change: change}
			for _, w := range in {
				if row := nightRow(w, change.At); row.Count > 0 || len(row.Hazards) > 0 {
					night.Rows = append(night.Rows, row)
				}
			}
			if len(night.Rows) > 0 {
				nights = append(nights, night)
			}
		}
	}
	slices.SortFunc(nights, func(a, b Night) int {
		return cmp.Or(a.At.Compare(b.At), strings.Compare(a.Zone.String(), b.Zone.String()))
	})
	return nights
}

func nightRow(w Workflow, at time.Time) NightRow {
	after, through := at.Add(-NightBefore-time.Second), at.Add(NightAfter)
	row := NightRow{Workflow: w.Name, Count: w.Schedule.Count(after, through)}
	if row.Count > MaxNight {
		after = at.Add(-time.Second)
		for range MaxNight / 2 {
			if slot, ok := w.Schedule.Prev(after); ok {
				after = slot.Add(-time.Second)
			}
		}
	}
	for slot := range w.Schedule.Slots(after, through) {
		if len(row.Slots) == MaxNight {
			break
		}
		row.Slots = append(row.Slots, slot.In(w.Schedule.Zone()))
	}
	for _, h := range w.Schedule.Hazards(at.Add(-time.Second), at) {
		if h.Kind != schedule.HazardNoDay {
			row.Hazards = append(row.Hazards, h)
		}
	}
	return row
}

// String says what the clock does, such as "at 02:00 the clock is set forward
// by 1h, to 03:00".
func (n Night) String() string {
	before := n.At.In(time.FixedZone("", int(n.Before/time.Second))).Format("15:04")
	after := n.At.In(time.FixedZone("", int(n.After/time.Second))).Format("15:04")
	direction, by := "forward", n.Shift()
	if by < 0 {
		direction, by = "back", -by
	}
	return "at " + before + " the clock is set " + direction + " by " + span(by) + ", to " + after
}
