package pages

import (
	"fmt"
	"slices"
	"time"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

// ganttView is a run along time, a row for each job.
type ganttView struct {
	Rows  []ganttRow
	Scale []ganttTick
}

// ganttTick is a line of the scale.
type ganttTick struct{ X, Word, Anchor string }

// ganttRow is a job with its attempts.
type ganttRow struct {
	Job, Kind string
	State     badge
	Tries     int
	Took      string
	Outcome   string
	Bars      []ganttBar
	Href      string
	Live      bool
	Waiting   bool // it has not begun
	Needs     string
}

// ganttBar is an attempt.
type ganttBar struct {
	Tone            tone
	X, Width, Title string
	Href            string
}

// leastBar is the least width of a bar in percent.
const leastBar = 0.6

// span is the time that a chart covers.
type span struct {
	from   time.Time
	length time.Duration
}

func (s span) percent(d time.Duration) float64 {
	return min(100, max(0, 100*d.Seconds()/s.length.Seconds()))
}

// spanOf is from the beginning of the first attempt to the end of the last, or
// now.
func spanOf(d api.RunDetail, now time.Time) span {
	var from, to time.Time
	for _, a := range d.Attempts {
		if a.StartedAt == nil {
			continue
		}
		if from.IsZero() || a.StartedAt.Before(from) {
			from = *a.StartedAt
		}
		end := now
		if a.FinishedAt != nil {
			end = *a.FinishedAt
		}
		if end.After(to) {
			to = end
		}
	}
	return span{from: from, length: max(to.Sub(from), time.Millisecond)}
}

// ganttOf draws the attempts of a run. Jobs that are still to come have rows
// without bars.
func ganttOf(d api.RunDetail, now time.Time) ganttView {
	s := spanOf(d, now)
	var view ganttView
	at := map[string]int{}
	row := func(job, kind string) *ganttRow {
		i, ok := at[job]
		if !ok {
			i = len(view.Rows)
			at[job] = i
			view.Rows = append(view.Rows, ganttRow{Job: job, Kind: kind, State: badge{Tone: toneIdle, Glyph: "…", Word: "waits"}, Waiting: true})
		}
		return &view.Rows[i]
	}
	for _, j := range d.Plan {
		if len(d.Run.Only) == 0 || slices.Contains(d.Run.Only, j.Name) {
			r := row(j.Name, j.Kind)
			r.Needs = words(j.Needs)
			if d.Run.State.Final() {
				r.State = badge{Tone: toneIdle, Glyph: "–", Word: "not begun"}
			}
		}
	}
	for _, a := range d.Attempts {
		r := row(a.Job, a.Kind)
		r.add(a, s, now, d.Run.ID)
	}
	if !s.from.IsZero() {
		view.Scale = ticks(s)
	}
	return view
}

// add puts one more attempt into the row.
func (r *ganttRow) add(a api.AttemptRecord, s span, now time.Time, id runner.RunID) {
	r.Waiting, r.State, r.Outcome, r.Live = false, badgeOf(a.State), cut(safe(outcomeOf(a)), longestError), a.State == runner.Running
	if a.StartedAt == nil {
		return
	}
	r.Tries++
	end := now
	if a.FinishedAt != nil {
		end = *a.FinishedAt
	}
	spent := max(0, end.Sub(*a.StartedAt))
	r.Took = unit.Took(spent)
	x := min(100-leastBar, s.percent(a.StartedAt.Sub(s.from)))
	width := max(leastBar, s.percent(spent))
	r.Href = logHref(id, a)
	r.Bars = append(r.Bars, ganttBar{
		Tone: r.State.Tone, X: coordinate(x), Width: coordinate(min(width, 100-x)), Href: r.Href,
		Title: fmt.Sprintf("%s, try %d: %s in %s, after %s", a.Job, a.Number, a.State, unit.Took(spent), unit.Took(a.StartedAt.Sub(s.from))),
	})
}

// logHref leads to what an attempt wrote.
func logHref(id runner.RunID, a api.AttemptRecord) string {
	return runPath(id) + "?log=" + attemptName(a.Job, a.Number) + "#log"
}

// ticks are at most six lines at round distances.
func ticks(s span) []ganttTick {
	steps := []time.Duration{
		time.Millisecond, 10 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second,
		20 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 20 * time.Minute, 30 * time.Minute, time.Hour,
		2 * time.Hour, 4 * time.Hour, 8 * time.Hour, 24 * time.Hour,
	}
	step := steps[len(steps)-1]
	for _, candidate := range steps {
		if s.length/candidate <= 5 {
			step = candidate
			break
		}
	}
	for s.length/step > 12 {
		step *= 2
	}
	var list []ganttTick
	for d := time.Duration(0); d <= s.length; d += step {
		t := ganttTick{X: coordinate(s.percent(d)), Word: unit.Took(d), Anchor: "middle"}
		switch {
		case d == 0:
			t.Word, t.Anchor = "0", "start"
		case s.percent(d) > 95:
			t.Anchor = "end"
		}
		list = append(list, t)
	}
	return list
}
