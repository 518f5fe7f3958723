package alerts

import (
	"context"
	"fmt"
	"time"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/schedule"
)

const (
	// weeklyLate is how late the digest of a week may be sent, after downtime.
	weeklyLate = 12 * time.Hour
	// weeklyBack is how far its latest slot lies back at most.
	weeklyBack = 8 * 24 * time.Hour
)

// Weekly is the digest of the week: what happened, told whether anything is
// wrong or not, so that silence means something.
type Weekly struct {
	Schedule schedule.Schedule
	// To are the channels that are told; none means that there is no digest.
	To []string
	// Report says what happened in [from, until): a subject of one line and a
	// text without secrets.
	Report func(ctx context.Context, from, until time.Time) (subject, text string, err error)
}

// weekly owes the digest whose slot has come and returns the next slot. The ID
// of its notices follows from the slot: none is owed twice.
func (d *Dispatcher) weekly(ctx context.Context, now time.Time) (next time.Time, err error) {
	w := d.o.Weekly()
	if len(w.To) == 0 || w.Schedule.IsZero() {
		return time.Time{}, nil
	}
	next, _ = w.Schedule.Next(now)
	last, ok := w.Schedule.Prev(now)
	if !ok || now.Sub(last) > weeklyLate || d.week.Equal(last) {
		return next, nil
	}
	before, ok := w.Schedule.Prev(last.Add(-time.Second))
	if !ok || last.Sub(before) > weeklyBack {
		before = last.AddDate(0, 0, -7)
	}
	subject, text, err := w.Report(ctx, before, last)
	if err != nil {
		return next, fmt.Errorf("write the digest of the week: %w", err)
	}
	var notices []runner.Notice
	for _, channel := range w.To {
		notices = append(notices, runner.Notice{
			ID:      runner.DerivedID(last, "weekly", last.UTC().Format(time.RFC3339), channel),
			Channel: channel, Action: runner.NoticeWeekly, Subject: subject, Text: text,
		})
	}
	if err := d.o.Incidents.Owe(ctx, notices...); err != nil {
		return next, err
	}
	d.week = last
	d.Wake()
	return next, nil
}
