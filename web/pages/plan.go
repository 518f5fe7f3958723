package pages

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/web/api"
)

const (
	// planDays is how far the plan looks ahead.
	planDays = 30
	// mostPlanned bounds how many slots it asks for.
	mostPlanned = 1500
	// manyADay folds the slots of a workflow on one day into one line.
	manyADay = 4
)

// planView is the page of what is to come.
type planView struct {
	Sentence    string
	From, Until time.Time
	Workflows   []tab
	Often       []plannedRow
	Hazards     []hazardRow
	Weeks       [][]planDay
	More        bool
	Empty       emptyView
}

// planDay is a day of the calendar, in the zone of the page.
type planDay struct {
	Date  time.Time
	Today bool
	// Month tells that the month is to be named.
	Month bool
	// Outside tells that the plan does not reach it.
	Outside bool
	Slots   []plannedRow
	// Clock says that the clock changes on it.
	Clock string
}

// plannedRow is a slot to come, or several of one workflow.
type plannedRow struct {
	Workflow, Href string
	At             time.Time
	// Clock is the time of day in the zone of the page, Times what stands for
	// several.
	Clock, Usual, Note, Rule string
	Tone                     tone
	Count                    int
	Ends                     *time.Time
	Reason                   string
}

// hazardRow is something about the plan that a person should know.
type hazardRow struct {
	Badge      badge
	Text, Hint string
	At         *time.Time
}

func (p *Pages) registerPlan() { p.page("GET /plan", p.plan) }

func (p *Pages) plan(v *visit) (page, error) {
	workflow := v.query("workflow")
	zone := v.zone(workflow)
	until := midnight(v.now.In(zone)).AddDate(0, 0, planDays+1)
	plan, err := v.api.Plan(v.ctx, workflow, v.now, until, mostPlanned)
	if err != nil {
		return page{}, err
	}
	configured, err := v.workflows()
	if err != nil {
		return page{}, err
	}
	view := newPlanView(plan, v.now, until, zone)
	view.Workflows = []tab{{Text: "all workflows", Href: v.with("workflow", ""), Current: workflow == ""}}
	for _, w := range configured {
		if w.Next != nil || w.Name == workflow {
			view.Workflows = append(view.Workflows, tab{Text: w.Name, Href: v.with("workflow", w.Name), Current: w.Name == workflow})
		}
	}
	return page{sheet: "plan", title: "Plan", nav: "plan", zone: zone, refresh: 5 * time.Minute, data: view}, nil
}

func newPlanView(plan api.Plan, now, until time.Time, zone *time.Location) planView {
	view := planView{
		From: now, Until: until, More: plan.More,
		Empty: emptyView{Title: "Nothing is due in the next 30 days", Text: "Workflows without a schedule run when somebody asks for them.", Command: "upkeep list"},
	}
	byDay := map[time.Time][]plannedRow{}
	single := 0
	for _, s := range plan.Slots {
		row := newPlannedRow(s, zone)
		if s.Slots > 1 {
			view.Often = append(view.Often, row)
			continue
		}
		single++
		day := midnight(s.Slot.In(zone))
		byDay[day] = append(byDay[day], row)
	}
	clocks := map[time.Time]string{}
	for _, r := range plan.Remarks {
		b := badgeOf(r.Severity)
		b.Word = hazardWord(r.Rule)
		view.Hazards = append(view.Hazards, hazardRow{Badge: b, Text: r.Text, Hint: r.Hint, At: r.At})
		if r.Rule == "clock" && r.At != nil {
			clocks[midnight(r.At.In(zone))] = "the clock changes"
		}
	}
	view.Sentence = planSentence(single, view.Often, plan.Remarks)
	view.Weeks = weeksOf(now, until, zone, byDay, clocks)
	return view
}

func planSentence(single int, often []plannedRow, remarks []api.Remark) string {
	text := count(single, "run")
	if len(often) > 0 {
		text += " and " + count(len(often), "workflow") + " that run" + map[bool]string{true: "s"}[len(often) == 1] + " often"
	}
	hazards := 0
	for _, r := range remarks {
		if r.Severity != "info" {
			hazards++
		}
	}
	if hazards > 0 {
		return text + "; " + count(hazards, "thing") + " could go wrong."
	}
	return text + "; nothing stands in the way."
}

// hazardWord is a word for what a remark is about.
func hazardWord(rule string) string {
	words := map[string]string{
		"overlap": "meets itself", "busy": "too many at once", "lock": "same lock", "database": "same database", "window": "window",
		"timeout": "near its timeout", "clock": "clock change", "month": "no such day", "pause": "paused", "empty": "never due",
		"together": "same minute", "unknown": "not known",
	}
	if word, ok := words[rule]; ok {
		return word
	}
	return strings.ReplaceAll(rule, "_", " ")
}

func newPlannedRow(s api.PlannedSlot, zone *time.Location) plannedRow {
	row := plannedRow{
		Workflow: s.Workflow, Href: workflowPath(s.Workflow), At: s.Slot, Clock: s.Slot.In(zone).Format("15:04"), Note: s.Note,
		Tone: toneBusy, Count: int(max(s.Slots, 1)), Ends: s.EndsAt, Reason: strings.ReplaceAll(string(s.Reason), "_", " "),
	}
	if s.UsualSeconds > 0 {
		row.Usual = tookSeconds(s.UsualSeconds)
	}
	if s.Slots > 1 {
		row.Rule, _, _ = strings.Cut(s.Note, ": ")
		row.Note = ""
	}
	switch {
	case s.Reason != "":
		row.Tone = toneIdle
	case s.Note != "" && s.Slots <= 1, len(s.Beside) > 0:
		row.Tone = toneWarn
	}
	if row.Note == "" && len(s.Beside) > 0 {
		row.Note = "beside " + words(s.Beside)
	}
	return row
}

// weeksOf puts days into weeks that begin on Monday.
func weeksOf(now, until time.Time, zone *time.Location, byDay map[time.Time][]plannedRow, clocks map[time.Time]string) [][]planDay {
	today := midnight(now.In(zone))
	first := today.AddDate(0, 0, -(int(today.Weekday())+6)%7)
	var weeks [][]planDay
	for day := first; day.Before(until); day = day.AddDate(0, 0, 7) {
		var week []planDay
		for i := range 7 {
			at := day.AddDate(0, 0, i)
			week = append(week, planDay{
				Date: at, Today: at.Equal(today), Month: at.Day() == 1 || i == 0 || at.Equal(today), Outside: at.Before(today) || !at.Before(until), Slots: foldDay(byDay[at]), Clock: clocks[at],
			})
		}
		weeks = append(weeks, week)
	}
	return weeks
}

// foldDay makes one line of a workflow that is due often on a day.
func foldDay(rows []plannedRow) []plannedRow {
	times := map[string]int{}
	for _, r := range rows {
		times[r.Workflow]++
	}
	var out []plannedRow
	at := map[string]int{}
	for _, r := range rows {
		if times[r.Workflow] < manyADay {
			out = append(out, r)
			continue
		}
		if i, ok := at[r.Workflow]; ok {
			out[i].Count++
			out[i].Rule = "until " + r.Clock
			if r.Tone != toneBusy {
				out[i].Tone, out[i].Note = r.Tone, cmp.Or(out[i].Note, r.Note)
			}
			continue
		}
		at[r.Workflow] = len(out)
		out = append(out, r)
	}
	slices.SortStableFunc(out, func(a, b plannedRow) int { return a.At.Compare(b.At) })
	return out
}
