package pages

import (
	"fmt"
	"time"

	"github.com/ghosteam/upkeep/web/api"
)

// calendarView are the slots of a workflow in weeks.
type calendarView struct {
	Days  []calendarDay
	Names []string
	Any   bool
	// Note says what is not listed.
	Note string
}

// calendarDay is one day with its slots.
type calendarDay struct {
	Date  time.Time
	Label string
	Today bool
	Later bool
	Slots []calendarMark
	More  string
}

// calendarMark is a slot.
type calendarMark struct {
	Tone               tone
	Text, Title, Href  string
	Glyph, Time, Cause string
}

const (
	// weeksBack and weeksAhead are how much of the calendar is shown.
	weeksBack, weeksAhead = 3, 2
	// slotsPerDay is how many slots of a day are named.
	slotsPerDay = 4
	// mostSlots bounds how many slots are read.
	mostSlots = 2000
)

// calendar reads the slots of a workflow around today, and of less time when
// they are too many.
func (v *visit) calendar(workflow string, zone *time.Location) (calendarView, error) {
	today := midnight(v.now.In(zone))
	monday := today.AddDate(0, 0, -(int(today.Weekday())+6)%7)
	from, until := monday.AddDate(0, 0, -7*weeksBack), monday.AddDate(0, 0, 7*weeksAhead)
	view := calendarView{Names: []string{"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"}}
	list, err := v.api.Calendar(v.ctx, workflow, from, until, mostSlots)
	if err != nil {
		return view, err
	}
	if list.More {
		view.Note = "It is due so often that only yesterday, today and tomorrow are listed."
		if list, err = v.api.Calendar(v.ctx, workflow, today.AddDate(0, 0, -1), today.AddDate(0, 0, 2), mostSlots); err != nil {
			return view, err
		}
	}
	byDay := map[string][]api.CalendarSlot{}
	for _, s := range foldSlots(list.Slots) {
		day := s.Slot.In(zone).Format(time.DateOnly)
		byDay[day] = append(byDay[day], s)
	}
	view.Any = len(list.Slots) > 0
	for day := from; day.Before(until); day = day.AddDate(0, 0, 1) {
		view.Days = append(view.Days, dayOf(day, byDay[day.Format(time.DateOnly)], today, zone))
	}
	return view, nil
}

func dayOf(day time.Time, slots []api.CalendarSlot, today time.Time, zone *time.Location) calendarDay {
	d := calendarDay{Date: day, Label: day.Format("2"), Today: day.Equal(today), Later: day.After(today)}
	if day.Day() == 1 || day.Weekday() == time.Monday {
		d.Label = day.Format("2 Jan")
	}
	hidden := map[tone]int{}
	for i, s := range slots {
		m := markOf(s, zone)
		if len(slots) > slotsPerDay && i >= slotsPerDay-1 {
			hidden[m.Tone] += int(max(1, s.Slots))
			continue
		}
		d.Slots = append(d.Slots, m)
	}
	for _, t := range []tone{toneBad, toneWarn, toneBusy, toneGood, toneIdle} {
		if hidden[t] > 0 {
			d.Slots = append(d.Slots, calendarMark{Tone: t, Text: fmt.Sprintf("+ %d", hidden[t]), Glyph: "", Title: fmt.Sprintf("%s more", count(hidden[t], "slot"))})
		}
	}
	return d
}

func markOf(s api.CalendarSlot, zone *time.Location) calendarMark {
	m := calendarMark{Tone: toneIdle, Time: s.Slot.In(zone).Format("15:04"), Cause: string(s.Reason)}
	title := m.Time
	switch {
	case s.State != "":
		b := badgeOf(s.State)
		m.Tone, m.Glyph = b.Tone, b.Glyph
		title += " " + b.Word
	case s.Reason != "":
		m.Glyph = "–"
		title += " will not run"
	default:
		m.Glyph = "○"
		title += " is due"
	}
	if why := because(s.Reason); why != "" {
		title += ": " + why
	}
	if s.Message != "" {
		title += " (" + safe(s.Message) + ")"
	}
	if s.Slots > 1 {
		title += fmt.Sprintf("; it stands for %d slots", s.Slots)
	}
	if s.Run != "" {
		m.Href = runPath(s.Run)
		if s.DurationSeconds > 0 {
			title += ", took " + tookSeconds(s.DurationSeconds)
		}
	}
	m.Text, m.Title = m.Time, title
	return m
}
