package pages

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

const (
	// laneWidth is the width of a lane: its places are percentages.
	laneWidth = 100.0
	// laneAhead is the part of a lane that lies in the future.
	laneAhead = 4 * time.Hour
	// markWidth is the least width of a mark.
	markWidth = 1.2
)

// laneRow is a workflow along a day.
type laneRow struct {
	Name, Schedule string
	Zone           *time.Location
	State          *badge
	LastID         runner.RunID
	LastAt         *time.Time
	Took           float64
	Paused         *api.Pause
	Stale          bool
	Fresh          *meterView
	LastSuccess    *time.Time
	Next           *time.Time
	Marks          []laneMark
	Hours          []laneHour
	Due            string // the place of the next slot, empty when it lies later
	Now            string
}

// laneMark is a run, or several that cannot be told apart at this width.
type laneMark struct {
	Tone        tone
	X, Width    string
	Href, Title string
	from, to    float64
	runs        int
}

// laneHour is a line of the scale.
type laneHour struct {
	X        string
	Midnight bool
	Word     string
}

// place is where an instant lies in a lane.
func place(at, now time.Time) float64 {
	from := now.Add(-nightLength)
	return at.Sub(from).Seconds() / (nightLength + laneAhead).Seconds() * laneWidth
}

func coordinate(x float64) string { return fmt.Sprintf("%.2f%%", x) }

// scaleOf are the hours of a lane that are named.
func scaleOf(now time.Time, zone *time.Location) []laneHour {
	var hours []laneHour
	for at := now.Add(-nightLength).In(zone).Truncate(time.Hour).Add(time.Hour); at.Before(now.Add(laneAhead)); at = at.Add(time.Hour) {
		if at.Hour()%3 == 0 {
			hours = append(hours, laneHour{X: coordinate(place(at, now)), Midnight: at.Hour() == 0, Word: at.Format("15:04")})
		}
	}
	return hours
}

// mostLanes is how many workflows the overview draws.
const mostLanes = 16

// lanes are the workflows along a day: all of them when they are few, and
// otherwise those that want a look or run, then others; rest says how those are
// that are left out.
func (n night) lanes() (rows []laneRow, rest string) {
	shown := n.workflows
	if len(shown) > mostLanes {
		sorted := slices.SortedStableFunc(slices.Values(shown), func(a, b api.Workflow) int { return cmp.Compare(laneUrgency(a), laneUrgency(b)) })
		shown = sorted[:mostLanes]
		rest = restWords(sorted[mostLanes:])
	}
	for _, w := range shown {
		rows = append(rows, n.lane(w))
	}
	return rows, rest
}

// restWords says how many workflows are in which state.
func restWords(list []api.Workflow) string {
	counts, order := map[string]int{}, []string{}
	for _, w := range list {
		word := "never ran"
		if w.Last != nil {
			word = runBadge(w.Last.State, w.Last.Interrupted, false).Word
		}
		if counts[word]++; counts[word] == 1 {
			order = append(order, word)
		}
	}
	for i, word := range order {
		order[i] = fmt.Sprintf("%d %s", counts[word], word)
	}
	return count(len(list), "more workflow") + ": " + words(order)
}

// laneUrgency orders workflows, those that want a look first.
func laneUrgency(w api.Workflow) int {
	switch {
	case w.Fresh != nil && !*w.Fresh:
		return urgency(toneBad)
	case w.Last == nil:
		return urgency(toneGood) + 1
	}
	return urgency(runBadge(w.Last.State, w.Last.Interrupted, false).Tone)
}

// lane draws one workflow.
func (n night) lane(w api.Workflow) laneRow {
	zone := location(w.Zone)
	row := laneRow{Name: w.Name, Schedule: w.Schedule, Zone: zone, LastSuccess: w.LastSuccess, Next: w.Next, Fresh: freshness(w, n.now), Now: coordinate(place(n.now, n.now))}
	row.Stale = w.Fresh != nil && !*w.Fresh
	if paused(w, n.now) {
		row.Paused = w.Paused
	}
	if w.Last != nil {
		b := runBadge(w.Last.State, w.Last.Interrupted, false)
		row.State, row.LastID, row.Took = &b, w.Last.ID, w.Last.DurationSeconds
		row.LastAt = w.Last.StartedAt
		if row.LastAt == nil {
			row.LastAt = &w.Last.QueuedAt
		}
	}
	row.Hours = scaleOf(n.now, zone)
	if w.Next != nil && w.Next.Before(n.now.Add(laneAhead)) && row.Paused == nil {
		row.Due = coordinate(place(*w.Next, n.now))
	}
	row.Marks = n.marks(w.Name, zone)
	return row
}

// marks are the runs of a workflow, the earliest first.
func (n night) marks(workflow string, zone *time.Location) []laneMark {
	var marks []laneMark
	for _, r := range slices.Backward(n.runs) {
		if r.Workflow != workflow {
			continue
		}
		m := n.mark(r, zone)
		if last := len(marks) - 1; last >= 0 && marks[last].Tone == m.Tone && m.from-marks[last].to < markWidth/4 {
			marks[last].to, marks[last].runs = max(m.to, marks[last].to), marks[last].runs+1
			marks[last].Title = fmt.Sprintf("%d runs %s, the last: %s", marks[last].runs, r.State, m.Title)
			marks[last].Href = "/runs?workflow=" + workflow
			continue
		}
		marks = append(marks, m)
	}
	for i := range marks {
		marks[i].X, marks[i].Width = coordinate(marks[i].from), coordinate(max(markWidth, marks[i].to-marks[i].from))
	}
	return marks
}

func (n night) mark(r api.RunRecord, zone *time.Location) laneMark {
	began, ended := r.QueuedAt, n.now
	if r.StartedAt != nil {
		began = *r.StartedAt
	}
	if r.FinishedAt != nil {
		ended = *r.FinishedAt
	}
	b := runBadge(r.State, r.Interrupted, false)
	from, to := place(began, n.now), place(ended, n.now)
	title := fmt.Sprintf("%s at %s", b.Word, began.In(zone).Format("15:04"))
	if r.FinishedAt != nil && r.State != runner.Skipped {
		title += ", took " + tookSeconds(r.DurationSeconds)
	}
	if why := because(r.Reason); why != "" {
		title += ": " + why
	}
	return laneMark{Tone: b.Tone, Href: "/runs/" + string(r.ID), Title: title, from: max(0, from), to: max(to, from+markWidth), runs: 1}
}

// freshness says how old the last success is, as a share of how old it may be;
// nil when nothing says that.
func freshness(w api.Workflow, now time.Time) *meterView {
	if w.FreshWithinSeconds <= 0 {
		return nil
	}
	most := time.Duration(w.FreshWithinSeconds * float64(time.Second))
	if w.LastSuccess == nil {
		m := &meterView{Tone: toneIdle, Percent: 0, Text: "no success yet, one is due within " + roughly(most)}
		if w.Fresh != nil && !*w.Fresh {
			m.Tone, m.Percent, m.Text = toneBad, 100, "overdue: no success yet"
		}
		return m
	}
	age := now.Sub(*w.LastSuccess)
	share := int(100 * age.Seconds() / most.Seconds())
	m := &meterView{Tone: toneGood, Percent: min(100, max(2, share)), Text: roughly(max(age, 0)) + " ago"}
	switch {
	case w.Fresh != nil && !*w.Fresh:
		m.Tone, m.Text = toneBad, "overdue by "+roughly(max(0, age-most))
	case share > 90:
		m.Tone = toneWarn
	}
	return m
}
