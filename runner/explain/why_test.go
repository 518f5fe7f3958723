package explain_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/explain"
	"github.com/ghosteam/upkeep/runner/schedule"
)

func parse(t testing.TB, rule schedule.Rule) schedule.Schedule {
	t.Helper()
	s, err := schedule.Parse(rule)
	if err != nil {
		t.Fatalf("Parse(%+v): %v", rule, err)
	}
	return s
}

// spell writes an answer as lines.
func spell(a explain.Answer) []string {
	var lines []string
	for _, s := range a.Slots {
		text := fmt.Sprintf("%s %s: %s", s.Local, s.Verdict, s.Sentence)
		if s.Next != "" {
			text += " [" + s.Next + "]"
		}
		lines = append(lines, text)
	}
	for _, note := range a.Notes {
		lines = append(lines, "note: "+note)
	}
	return lines
}

func expect(t *testing.T, want string, a explain.Answer) {
	t.Helper()
	var lines []string
	for line := range strings.Lines(want) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	if diff := cmp.Diff(lines, spell(a)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// scene is one question and the ledger it meets.
type scene struct {
	t      *testing.T
	zone   *time.Location
	memory *memory
	q      explain.Question
}

// newScene is a daily workflow at 02:30 in Berlin on a service that has run
// for long; now is Monday 2026-11-23, 12:00 UTC.
func newScene(t *testing.T) *scene {
	berlin := location(t, "Europe/Berlin")
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	s := &scene{t: t, zone: berlin, memory: &memory{}}
	s.q = explain.Question{
		Workflow: explain.Workflow{Name: "daily", Schedule: parse(t, schedule.Rule{Daily: "02:30", Zone: berlin}), Rule: "rule"},
		Now:      now, Node: "db-1", Keep: 180 * 24 * time.Hour, KeepRuns: 10_000,
	}
	s.memory.cursors = []runner.Cursor{{
		CalendarKey: runner.CalendarKey{Workflow: "daily"}, Schedule: "rule", Through: now, Since: now.AddDate(-1, 0, 0),
	}}
	return s
}

func (s *scene) ask(date string) explain.Answer {
	s.t.Helper()
	var err error
	if s.q.From, s.q.Until, err = explain.ParseDate(date, s.zone, s.q.Now); err != nil {
		s.t.Fatal(err)
	}
	a, err := explain.Why(s.t.Context(), s.memory, s.q)
	if err != nil {
		s.t.Fatal(err)
	}
	return a
}

const dueDaily = "note: daily is due every day at 02:30 Europe/Berlin"

func TestWhy_Rows(t *testing.T) {
	t.Parallel()
	slot := time.Date(2026, 11, 22, 1, 30, 0, 0, time.UTC)
	skipped := func(reason runner.Reason, message string) func(*runner.Run) {
		return func(r *runner.Run) {
			r.State, r.Reason, r.Message = runner.Skipped, reason, message
			r.StartedAt, r.FinishedAt = time.Time{}, slot
		}
	}
	tests := []struct {
		name   string
		change func(*runner.Run)
		want   string
	}{
		{"Succeeded", nil, "succeeded: ran on time and succeeded after 12m"},
		{"Late", func(r *runner.Run) {
			r.StartedAt = slot.Add(14 * time.Minute)
			r.FinishedAt = slot.Add(15 * time.Minute)
		}, "succeeded: started 14m late and succeeded after 1m"},
		{"CaughtUp", func(r *runner.Run) {
			r.Trigger, r.StartedAt, r.FinishedAt = runner.ByCatchUp, slot.Add(5*time.Hour+12*time.Minute), slot.Add(6*time.Hour)
		}, "succeeded: was caught up 5h12m later and succeeded after 48m"},
		{"Warned", func(r *runner.Run) { r.State, r.Message = runner.Warned, "health: CPU\nbusy" }, "warned: ran on time and succeeded with warnings after 12m: health: CPU busy [upkeep show run-1]"},
		{"Failed", func(r *runner.Run) { r.State, r.Reason = runner.Failed, runner.ReasonTimeout }, "failed: ran on time and failed after 12m (timeout) [upkeep show run-1]"},
		{"FailedBefore", func(r *runner.Run) {
			r.State, r.Reason, r.Message, r.StartedAt = runner.Failed, runner.ReasonSpec, "the workflow no longer loads", time.Time{}
		}, "failed: failed before it began: the workflow no longer loads [upkeep show run-1]"},
		{"Retried", func(r *runner.Run) { r.ReopenedBy = "anna@db-1 (cli)" }, "succeeded: ran on time and succeeded after 12m, after a retry by anna@db-1 (cli)"},
		{"Lost", func(r *runner.Run) { r.State, r.Reason = runner.Lost, runner.ReasonCrash }, "lost: ran on time and was lost: the process that ran it died (crash) [upkeep show run-1]"},
		{"Canceled", func(r *runner.Run) {
			r.State, r.Reason, r.Message = runner.Canceled, runner.ReasonUser, "canceled by anna"
		}, "canceled: ran on time and was canceled after 12m: canceled by anna [upkeep retry run-1]"},
		{"CanceledBefore", func(r *runner.Run) {
			r.State, r.Reason, r.StartedAt = runner.Canceled, runner.ReasonUser, time.Time{}
		}, "canceled: was canceled before it began (user) [upkeep retry run-1]"},
		{"Running", func(r *runner.Run) { r.State, r.FinishedAt, r.CanceledBy = runner.Running, time.Time{}, "anna" }, "running: ran on time and is still under way; anna asked for its end [upkeep logs -f run-1]"},
		{"Queued", func(r *runner.Run) { r.State, r.StartedAt, r.FinishedAt = runner.Queued, time.Time{}, time.Time{} }, "queued: is queued since Sun 2026-11-22 02:30:00 CET: it waits for its turn [upkeep show run-1]"},
		{"Approval", func(r *runner.Run) {
			r.State, r.StartedAt, r.FinishedAt, r.Approval = runner.Queued, time.Time{}, time.Time{}, true
		}, "queued: waits for somebody to approve it since Sun 2026-11-22 02:30:00 CET [upkeep approve run-1]"},
		{"Overlap", skipped(runner.ReasonOverlap, "run run-0 was still running since 2026-11-21T01:30:00Z"), "skipped: did not run: the run before it was still open: run run-0 was still running since 2026-11-21T01:30:00Z [upkeep history --workflow daily]"},
		{"Paused", skipped(runner.ReasonPaused, "paused by anna: migration"), "skipped: did not run: the workflow was paused: paused by anna: migration [upkeep run daily]"},
		{"Window", skipped(runner.ReasonWindow, "outside 03:00-05:00"), "skipped: did not run: the maintenance window: outside 03:00-05:00 [upkeep run daily]"},
		{"Missed", skipped(runner.ReasonMissed, "nothing was running to start it, and catch_up is none"), "missed: did not run: nothing was running to start it, and catch_up is none [upkeep run daily]"},
		{"Condition", skipped(runner.ReasonCondition, "every job was skipped"), "skipped: did not run: its conditions ruled it out: every job was skipped [upkeep show run-1]"},
		{"Space", skipped(runner.ReasonSpace, ""), "skipped: did not run: no room was left on the disk [upkeep run daily]"},
		{"NoReason", skipped("", ""), "skipped: did not run: skipped [upkeep run daily]"},
		{"TakenByHand", func(r *runner.Run) { r.Trigger, r.By = runner.ByManual, "anna" }, "succeeded: ran because anna asked for it at that instant and succeeded after 12m"},
		{"Folded", func(r *runner.Run) {
			skipped(runner.ReasonMissed, "more than 1000 slots were missed")(r)
			r.Slot, r.LastSlot, r.Slots = slot.AddDate(0, 0, -1234), slot, 1235
		}, "missed: did not run: more than 1000 slots were missed (one row for 1,235 slots from Fri 2023-07-07 03:30:00 CEST to Sun 2026-11-22 02:30:00 CET) [upkeep run daily]"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			s.memory.add("daily", slot, test.change)
			s.memory.add("other", slot, nil)
			expect(t, "Sun 2026-11-22 02:30:00 CET "+test.want+"\n"+dueDaily, s.ask("sunday"))
		})
	}
}

func TestWhy_NoRow(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, date string
		change     func(*scene)
		want       string
	}{
		{"Due", "tomorrow", nil, "Tue 2026-11-24 02:30:00 CET due: is due in 13h30m"},
		{"DueWithJitter", "tomorrow", func(s *scene) { s.q.Workflow.Delay = 5 * time.Minute }, "Tue 2026-11-24 02:30:00 CET due: is due in 13h35m (jitter delays it by 5m)"},
		{"DuePaused", "tomorrow", func(s *scene) {
			s.memory.pauses = []runner.Pause{{Workflow: "daily", By: "anna", Why: "disk", Since: s.q.Now.Add(-time.Hour), Until: s.q.Now.AddDate(0, 0, 3)}}
		}, `Tue 2026-11-24 02:30:00 CET due: is due in 13h30m, and will be skipped while the workflow is paused
			` + dueDaily + `
			note: it is paused now, by anna since Mon 2026-11-23 12:00:00 CET until Thu 2026-11-26 13:00:00 CET: disk`},
		{"DueOutsideWindow", "tomorrow", func(s *scene) {
			w, err := schedule.ParseWindow(schedule.WindowRule{Allow: []string{"03:00-05:00"}, Zone: s.zone})
			if err != nil {
				s.t.Fatal(err)
			}
			s.q.Workflow.Window = w
		}, "Tue 2026-11-24 02:30:00 CET due: is due in 13h30m, and will be skipped: it lies outside the window 03:00-05:00"},
		{"DueNow", "today", func(s *scene) {
			s.q.Now = time.Date(2026, 11, 23, 1, 30, 20, 0, time.UTC)
			s.memory.cursors[0].Through = s.q.Now.Add(-time.Minute)
		}, "Mon 2026-11-23 02:30:00 CET due: is due now"},
		{"Undecided", "today", func(s *scene) {
			s.memory.cursors[0].Through = time.Date(2026, 11, 23, 1, 0, 0, 0, time.UTC)
		}, "Mon 2026-11-23 02:30:00 CET undecided: was not started: the service has not looked at the calendar since Mon 2026-11-23 02:00:00 CET; it will be recorded as missed when the service is back [systemctl status upkeep]"},
		{"UndecidedCatchUp", "today", func(s *scene) {
			s.q.Workflow.Policy.CatchUp = schedule.CatchUp{Run: schedule.CatchUpLast, Within: 24 * time.Hour}
			s.memory.cursors[0].Through = time.Date(2026, 11, 20, 1, 0, 0, 0, time.UTC)
		}, "Mon 2026-11-23 02:30:00 CET undecided: was not started: the service has not looked at the calendar since Fri 2026-11-20 02:00:00 CET; it will be caught up when the service is back [systemctl status upkeep]"},
		{
			"NeverServed", "today", func(s *scene) { s.memory.cursors = nil },
			"Mon 2026-11-23 02:30:00 CET unseen: no service has run on this ledger yet: `upkeep serve` starts what is due [systemctl start upkeep]",
		},
		{
			"NotTakenUp", "today", func(s *scene) { s.memory.cursors[0].Workflow = "other" },
			"Mon 2026-11-23 02:30:00 CET unseen: the service has never seen this workflow: it runs with an older configuration [systemctl reload upkeep]",
		},
		{
			"Before", "2025-11-20", nil,
			"Thu 2025-11-20 02:30:00 CET before: nothing was owed yet: the service first saw this workflow on Sun 2025-11-23 13:00:00 CET [upkeep run daily]",
		},
		{
			"Changed", "today", func(s *scene) { s.memory.cursors[0].Schedule = `daily "03:30" Europe/Berlin` },
			`Mon 2026-11-23 02:30:00 CET changed: the service has not taken up the present schedule: it follows daily "03:30" Europe/Berlin [systemctl reload upkeep]`,
		},
		{
			"ChangedFromNone", "today", func(s *scene) { s.memory.cursors[0].Schedule = "none" },
			`Mon 2026-11-23 02:30:00 CET changed: the service has not taken up the present schedule: it follows no schedule for it [systemctl reload upkeep]`,
		},
		{"Pruned", "2026-01-10", nil, "Sat 2026-01-10 02:30:00 CET pruned: what happened is not known any more: history is kept for 180 days"},
		{
			"Unrecorded", "yesterday", nil,
			"Sun 2026-11-22 02:30:00 CET unrecorded: nothing is on record for it, although the service was there: another schedule was in force then, or it was pruned (history keeps 10,000 runs) [upkeep history --workflow daily]",
		},
		{
			"Elsewhere", "yesterday", func(s *scene) { s.q.Workflow.Elsewhere = "it runs on nodes with the label db" },
			"Sun 2026-11-22 02:30:00 CET elsewhere: this node does not run it: it runs on nodes with the label db [upkeep nodes]",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			if test.change != nil {
				test.change(s)
			}
			want := test.want
			if !strings.Contains(want, dueDaily) {
				want += "\n" + dueDaily
			}
			expect(t, want, s.ask(test.date))
		})
	}
}

// TestWhy_ClockChanges asks about the switch nights of four zones.
func TestWhy_ClockChanges(t *testing.T) {
	t.Parallel()
	tests := []struct {
		zone, daily, date string
		dst               schedule.DST
		want              string
	}{
		{"Europe/Berlin", "02:30", "2026-03-29", "", `
			Sun 2026-03-29 03:00:00 CEST succeeded: ran on time and succeeded after 12m
			note: daily is due every day at 02:30 Europe/Berlin
			note: 2026-03-29 02:30 does not exist in Europe/Berlin; it runs at 03:00 instead`},
		{"Europe/Berlin", "02:30", "2026-03-29 02:30", "", `
			Sun 2026-03-29 03:00:00 CEST succeeded: ran on time and succeeded after 12m
			note: daily is due every day at 02:30 Europe/Berlin
			note: 2026-03-29 02:30 does not exist in Europe/Berlin; it runs at 03:00 instead`},
		{"Europe/Berlin", "02:30", "2026-03-29", schedule.DSTSkip, `
			note: daily is due every day at 02:30 Europe/Berlin (clock changes: skip)
			note: it has no slot from Sun 2026-03-29 00:00:00 CET to Mon 2026-03-30 00:00:00 CEST: the one before was on Sat 2026-03-28 02:30:00 CET, the next is on Mon 2026-03-30 02:30:00 CEST
			note: 2026-03-29 02:30 does not exist in Europe/Berlin; it is left out (dst: skip)`},
		{"Europe/Berlin", "02:30", "2026-10-25", schedule.DSTBoth, `
			Sun 2026-10-25 02:30:00 CEST succeeded: ran on time and succeeded after 12m
			Sun 2026-10-25 02:30:00 CET succeeded: ran on time and succeeded after 12m
			note: daily is due every day at 02:30 Europe/Berlin (clock changes: both)
			note: 2026-10-25 02:30 occurs twice in Europe/Berlin; it runs both times (dst: both)`},
		{"America/New_York", "01:30", "2026-11-01 01:30", "", `
			Sun 2026-11-01 01:30:00 EDT succeeded: ran on time and succeeded after 12m
			note: daily is due every day at 01:30 America/New_York
			note: 2026-11-01 01:30 occurs twice in America/New_York; it runs the first time`},
		{"America/New_York", "02:15", "2026-03-08", "", `
			Sun 2026-03-08 03:00:00 EDT succeeded: ran on time and succeeded after 12m
			note: daily is due every day at 02:15 America/New_York
			note: 2026-03-08 02:15 does not exist in America/New_York; it runs at 03:00 instead`},
		{"Australia/Sydney", "02:30", "2026-10-04", "", `
			Sun 2026-10-04 03:00:00 AEDT succeeded: ran on time and succeeded after 12m
			note: daily is due every day at 02:30 Australia/Sydney
			note: 2026-10-04 02:30 does not exist in Australia/Sydney; it runs at 03:00 instead`},
		{"Australia/Sydney", "02:30", "2026-04-05", "", `
			Sun 2026-04-05 02:30:00 AEDT succeeded: ran on time and succeeded after 12m
			note: daily is due every day at 02:30 Australia/Sydney
			note: 2026-04-05 02:30 occurs twice in Australia/Sydney; it runs the first time`},
		{"Australia/Lord_Howe", "02:15", "2026-10-04 02:15", "", `
			Sun 2026-10-04 02:30:00 +11 succeeded: ran on time and succeeded after 12m
			note: daily is due every day at 02:15 Australia/Lord_Howe
			note: 2026-10-04 02:15 does not exist in Australia/Lord_Howe; it runs at 02:30 instead`},
		{"Australia/Lord_Howe", "01:45", "2026-04-05", schedule.DSTBoth, `
			Sun 2026-04-05 01:45:00 +11 succeeded: ran on time and succeeded after 12m
			Sun 2026-04-05 01:45:00 +1030 succeeded: ran on time and succeeded after 12m
			note: daily is due every day at 01:45 Australia/Lord_Howe (clock changes: both)
			note: 2026-04-05 01:45 occurs twice in Australia/Lord_Howe; it runs both times (dst: both)`},
	}
	for _, test := range tests {
		t.Run(test.zone+" "+test.date+" "+string(test.dst), func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			s.zone = location(t, test.zone)
			s.q.Workflow.Schedule = parse(t, schedule.Rule{Daily: test.daily, Zone: s.zone, DST: test.dst})
			for slot := range s.q.Workflow.Schedule.Slots(s.q.Now.AddDate(-1, 0, 0), s.q.Now) {
				s.memory.add("daily", slot, nil)
			}
			expect(t, test.want, s.ask(test.date))
		})
	}
}

func TestWhy_Notes(t *testing.T) {
	t.Parallel()
	t.Run("NoSuchDay", func(t *testing.T) {
		t.Parallel()
		s := newScene(t)
		s.q.Workflow.Schedule = parse(t, schedule.Rule{Monthly: "31 04:30", Zone: s.zone})
		expect(t, `
			note: daily is due on the 31st of every month at 04:30 Europe/Berlin
			note: it has no slot from Thu 2026-04-30 00:00:00 CEST to Fri 2026-05-01 00:00:00 CEST: the one before was on Tue 2026-03-31 04:30:00 CEST, the next is on Sun 2026-05-31 04:30:00 CEST
			note: April 2026 has no such day: on the 31st of every month`, s.ask("04-30"))
	})
	t.Run("OnRequest", func(t *testing.T) {
		t.Parallel()
		s := newScene(t)
		s.q.Workflow.Schedule, s.q.Workflow.Zone = schedule.Schedule{}, s.zone
		s.memory.add("daily", time.Date(2026, 11, 22, 10, 5, 0, 123e3, time.UTC), func(r *runner.Run) {
			r.Trigger, r.By, r.State, r.Message = runner.ByManual, "anna@db-1 (cli)", runner.Failed, "backup: no room"
		})
		a := s.ask("sunday")
		expect(t, "note: daily has no schedule: it runs on request only, with `upkeep run daily`\n"+
			"note: anna@db-1 (cli) asked for a run on Sun 2026-11-22 11:05:00 CET: it failed after 12m: backup: no room", a)
		if len(a.Asked) != 1 {
			t.Errorf("Asked: %v", a.Asked)
		}
	})
	t.Run("ScheduleWasAnotherOne", func(t *testing.T) {
		t.Parallel()
		s := newScene(t)
		s.memory.add("daily", time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC), nil)
		a := s.ask("sunday")
		expect(t, `
			Sun 2026-11-22 02:30:00 CET unrecorded: nothing is on record for it, although the service was there: another schedule was in force then, or it was pruned (history keeps 10,000 runs) [upkeep history --workflow daily]
			Sun 2026-11-22 04:00:00 CET succeeded: ran on time and succeeded after 12m (the present schedule does not have this slot)
			`+dueDaily, a)
		if !a.Slots[1].Unscheduled || a.Slots[0].Unscheduled {
			t.Error("the wrong slot is unscheduled")
		}
	})
	t.Run("FoldedUnderAnotherSchedule", func(t *testing.T) {
		t.Parallel()
		s := newScene(t)
		s.q.Workflow.Schedule = parse(t, schedule.Rule{Weekly: "fri 02:30", Zone: s.zone})
		from := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
		s.memory.add("daily", from, func(r *runner.Run) {
			r.State, r.Reason, r.Slots, r.LastSlot = runner.Skipped, runner.ReasonMissed, 20_000, from.AddDate(0, 0, 21).Add(6*time.Hour)
		})
		expect(t, `
			note: daily is due every Friday at 02:30 Europe/Berlin
			note: it has no slot from Sun 2026-11-22 00:00:00 CET to Mon 2026-11-23 00:00:00 CET: the one before was on Fri 2026-11-20 02:30:00 CET, the next is on Fri 2026-11-27 02:30:00 CET
			note: slots that the present schedule does not have: it did not run: nothing was running to start it (one row for 20,000 slots from Sun 2026-11-01 01:00:00 CET to Sun 2026-11-22 07:00:00 CET)`, s.ask("sunday"))
	})
	t.Run("PausedNow", func(t *testing.T) {
		t.Parallel()
		s := newScene(t)
		s.memory.pauses = []runner.Pause{{Workflow: "daily", By: "anna", Why: "broken\ndisk", Since: s.q.Now.Add(-48 * time.Hour)}}
		s.memory.add("daily", time.Date(2026, 11, 22, 1, 30, 0, 0, time.UTC), func(r *runner.Run) {
			r.State, r.Reason, r.Message = runner.Skipped, runner.ReasonPaused, "paused by anna: broken disk"
		})
		expect(t, `
			Sun 2026-11-22 02:30:00 CET skipped: did not run: the workflow was paused: paused by anna: broken disk [upkeep unpause daily]
			`+dueDaily+`
			note: it is paused now, by anna since Sat 2026-11-21 13:00:00 CET: broken disk`, s.ask("sunday"))
	})
	t.Run("EveryNode", func(t *testing.T) {
		t.Parallel()
		s := newScene(t)
		s.q.Workflow.Hosts = []explain.Host{{Name: "db-1"}}
		s.memory.cursors[0].Host = "db-1"
		slot := time.Date(2026, 11, 22, 1, 30, 0, 0, time.UTC)
		s.memory.add("daily", slot, func(r *runner.Run) { r.Host = "db-1" })
		s.memory.add("daily", slot, func(r *runner.Run) { r.Host, r.State, r.Message = "db-2", runner.Failed, "no room" })
		s.memory.add("daily", slot.AddDate(0, 0, -1), func(r *runner.Run) { r.Host = "db-2" })
		expect(t, `
			Sun 2026-11-22 02:30:00 CET failed: db-1: ran on time and succeeded after 12m; db-2: ran on time and failed after 12m: no room [upkeep show run-2]
			`+dueDaily, s.ask("sunday"))
		expect(t, `
			Sat 2026-11-21 02:30:00 CET unrecorded: db-1: nothing is on record for it, although the service was there: another schedule was in force then, or it was pruned (history keeps 10,000 runs); db-2: ran on time and succeeded after 12m [upkeep history --workflow daily]
			`+dueDaily, s.ask("saturday"))
	})
}

func TestWhy_ManySlots(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.q.Workflow.Schedule = parse(t, schedule.Rule{Every: time.Second, Zone: s.zone})
	s.q.Limit = 3000
	begin := time.Date(2026, 11, 22, 0, 0, 0, 0, s.zone)
	for i := range 4000 {
		s.memory.add("daily", begin.Add(time.Duration(i)*time.Second).UTC(), nil)
	}
	a := s.ask("sunday")
	if len(a.Slots) != 3000 || a.Unlisted != 86_400-3000 || a.Counts[explain.VerdictSucceeded] != 3000 {
		t.Errorf("%d slots, %d unlisted, %v", len(a.Slots), a.Unlisted, a.Counts)
	}
	if !strings.Contains(strings.Join(a.Notes, "\n"), "83,400 more slots follow; name a time to see them: upkeep why daily 2026-11-22 00:49") {
		t.Errorf("notes %q", a.Notes)
	}
	if s.memory.reads < 3 {
		t.Errorf("%d pages were read; the test misses what it is meant to hit", s.memory.reads)
	}
	if a = s.ask("2026-11-22 01:00:00"); len(a.Slots) != 1 || a.Slots[0].Verdict != explain.VerdictSucceeded {
		t.Errorf("one second: %v", spell(a))
	}
}

// TestWhy_ManyRowsOfOneSlot has more nodes than a page holds rows.
func TestWhy_ManyRowsOfOneSlot(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	slot := time.Date(2026, 11, 22, 1, 30, 0, 0, time.UTC)
	for i := range 2500 {
		s.memory.add("daily", slot, func(r *runner.Run) { r.Host = fmt.Sprint("node-", i) })
	}
	if a := s.ask("sunday"); len(a.Slots) != 1 || len(a.Slots[0].Runs) != 2500 {
		t.Errorf("%d slots, %d rows of the first", len(a.Slots), len(a.Slots[0].Runs))
	}
}

func TestWhy_Errors(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.memory.broken = true
	s.q.From, s.q.Until = s.q.Now, s.q.Now.Add(time.Hour)
	if _, err := explain.Why(t.Context(), s.memory, s.q); !errors.Is(err, errAway) {
		t.Errorf("error %v, want %v", err, errAway)
	}
	s.q.Until = s.q.From
	if _, err := explain.Why(t.Context(), s.memory, s.q); err == nil || !strings.Contains(err.Error(), "is empty") {
		t.Errorf("error %v", err)
	}
}
