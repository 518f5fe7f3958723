package forecast_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // the tests do not depend on the system's zones

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/forecast"
	"github.com/ghosteam/upkeep/runner/schedule"
)

func location(t testing.TB, name string) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

func parse(t testing.TB, rule schedule.Rule) schedule.Schedule {
	t.Helper()
	s, err := schedule.Parse(rule)
	if err != nil {
		t.Fatalf("Parse(%+v): %v", rule, err)
	}
	return s
}

func window(t testing.TB, rule schedule.WindowRule) schedule.Window {
	t.Helper()
	w, err := schedule.ParseWindow(rule)
	if err != nil {
		t.Fatalf("ParseWindow(%+v): %v", rule, err)
	}
	return w
}

func usual(median, p95 time.Duration) runner.Usual {
	return runner.Usual{Runs: 20, Median: median, P95: p95, Longest: p95}
}

// monday is 2026-11-23 12:00 in UTC.
var monday = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// spell writes what a forecast says, one line for each slot and finding.
func spell(f forecast.Forecast) string {
	var b strings.Builder
	for _, s := range f.Slots {
		fmt.Fprintf(&b, "%s %s", s.Slot.Format("01-02 15:04 MST"), s.Workflow)
		if s.Count > 1 {
			fmt.Fprintf(&b, " x%d until %s, %s", s.Count, s.Last.Format("01-02 15:04 MST"), s.Rule)
			if s.Skipped > 0 {
				fmt.Fprintf(&b, ", %d skipped", s.Skipped)
			}
		}
		if s.Delay > 0 {
			fmt.Fprintf(&b, " +%s", s.Delay)
		}
		if !s.Starts.IsZero() {
			fmt.Fprintf(&b, " %s", s.Starts.Format("15:04"))
			if !s.Ends.IsZero() {
				fmt.Fprintf(&b, "-%s", s.Ends.Format("15:04"))
			}
		}
		if s.Fate != "" && s.Fate != forecast.FateRuns {
			fmt.Fprintf(&b, " %s", s.Fate)
		}
		if s.Why != "" {
			fmt.Fprintf(&b, ": %s", s.Why)
		}
		b.WriteByte('\n')
	}
	for _, found := range f.Findings {
		fmt.Fprintf(&b, "%s %s x%d: %s", found.Severity, found.Kind, found.Count, found.Text)
		if found.Hint != "" {
			fmt.Fprintf(&b, " [%s]", found.Hint)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// expect compares a forecast with lines that may be indented.
func expect(t *testing.T, want string, got forecast.Forecast) {
	t.Helper()
	var lines []string
	for line := range strings.Lines(want) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	var said []string
	if text := strings.TrimSpace(spell(got)); text != "" {
		said = strings.Split(text, "\n")
	}
	if diff := cmp.Diff(lines, said); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestOf(t *testing.T) {
	t.Parallel()
	berlin := location(t, "Europe/Berlin")
	daily := func(at string) schedule.Schedule { return parse(t, schedule.Rule{Daily: at, Zone: berlin}) }
	day := 24 * time.Hour
	tests := []struct {
		name string
		in   forecast.Input
		want string
	}{
		{
			"Nothing", forecast.Input{Until: monday.Add(day)}, "",
		},
		{
			"OnRequest", forecast.Input{Until: monday.Add(day), Workflows: []forecast.Workflow{{Name: "a"}}}, "",
		},
		{
			"OrderDelayAndUsual", forecast.Input{
				Until: monday.Add(2 * day),
				Workflows: []forecast.Workflow{
					{Name: "weekly", Schedule: parse(t, schedule.Rule{Weekly: "tue 03:30", Zone: berlin})},
					{Name: "daily", Schedule: daily("02:30"), Delay: 4 * time.Minute},
				},
				Usual: map[string]runner.Usual{"daily": usual(20*time.Minute, 30*time.Minute), "weekly": usual(time.Hour, time.Hour)},
			}, `
			11-24 02:30 CET daily +4m0s 02:34-02:54
			11-24 03:30 CET weekly 03:30-04:30
			11-25 02:30 CET daily +4m0s 02:34-02:54`,
		},
		{
			"Unknown", forecast.Input{
				Until:     monday.Add(day),
				Workflows: []forecast.Workflow{{Name: "daily", Schedule: daily("02:30")}},
			}, `
			11-24 02:30 CET daily 02:30
			info unknown x1: daily has no finished run on record: how long they take is not known and counts as nothing`,
		},
		{
			"OftenIsOneLine", forecast.Input{
				Until: monday.Add(7 * day),
				Workflows: []forecast.Workflow{
					{Name: "check", Schedule: parse(t, schedule.Rule{Every: 5 * time.Minute})},
				},
				Usual: map[string]runner.Usual{"check": usual(2*time.Second, 3*time.Second)},
			}, `
			11-23 12:05 UTC check x2016 until 11-30 12:00 UTC, every 5 minutes`,
		},
		{
			"MeetsItself", forecast.Input{
				Until: monday.Add(3 * time.Hour),
				Workflows: []forecast.Workflow{
					{Name: "allow", Schedule: parse(t, schedule.Rule{Every: time.Hour}), Overlap: runner.OverlapAllow},
					{Name: "queue", Schedule: parse(t, schedule.Rule{Every: time.Hour}), Overlap: runner.OverlapQueue},
					{Name: "skip", Schedule: parse(t, schedule.Rule{Every: time.Hour})},
				},
				Usual: map[string]runner.Usual{
					"skip": usual(90*time.Minute, 100*time.Minute), "queue": usual(90*time.Minute, 100*time.Minute), "allow": usual(90*time.Minute, 100*time.Minute),
				},
			}, `
			11-23 13:00 UTC allow 13:00-14:30
			11-23 13:00 UTC queue 13:00-14:30
			11-23 13:00 UTC skip 13:00-14:30
			11-23 14:00 UTC allow 14:00-15:30: beside the run before it
			11-23 14:00 UTC queue 14:30-16:00 waits: waits 30m for the run before it
			11-23 14:00 UTC skip overlap: the run before it usually ends at 14:30
			11-23 15:00 UTC allow 15:00-16:30: beside the run before it
			11-23 15:00 UTC queue 16:00-17:30 waits: waits 1h for the run before it
			11-23 15:00 UTC skip 15:00-16:30
			warning overlap x2: queue usually takes 1h30m and is due again before that: 2 slots will wait, up to 1h (overlap: queue); first on Mon 2026-11-23 14:00 UTC [run it less often, or make it quicker]
			warning overlap x1: skip usually takes 1h30m and is due again before that: 1 slot will be skipped (overlap: skip); first on Mon 2026-11-23 14:00 UTC [run it less often, or make it quicker]
			info together x1: allow, queue and skip start in the same minute once, first on Mon 2026-11-23 13:00 UTC [jitter: 10m spreads starts]
			info overlap x2: allow usually takes 1h30m and is due again before that: it will run beside itself twice (overlap: allow); first on Mon 2026-11-23 14:00 UTC
			info together x1: allow and skip start in the same minute once, first on Mon 2026-11-23 15:00 UTC [jitter: 10m spreads starts]`,
		},
		{
			"SometimesMeetsItself", forecast.Input{
				Until:     monday.Add(2 * time.Hour),
				Workflows: []forecast.Workflow{{Name: "a", Schedule: parse(t, schedule.Rule{Every: time.Hour})}},
				Usual:     map[string]runner.Usual{"a": usual(50*time.Minute, 61*time.Minute)},
			}, `
			11-23 13:00 UTC a 13:00-13:50
			11-23 14:00 UTC a 14:00-14:50
			info overlap x1: a usually takes 50m, but one run in twenty 1h1m or more: then it still runs at its next slot (overlap: skip)`,
		},
		{
			"MaxRunning", forecast.Input{
				Until: monday.Add(day), MaxRunning: 2,
				Workflows: []forecast.Workflow{
					{Name: "a", Schedule: daily("02:00")},
					{Name: "b", Schedule: daily("02:01")},
					{Name: "c", Schedule: daily("02:02")},
					{Name: "d", Schedule: daily("02:03")},
					{Name: "e", Schedule: daily("02:45")},
				},
				Usual: map[string]runner.Usual{
					"a": usual(30*time.Minute, 0), "b": usual(10*time.Minute, 0), "c": usual(10*time.Minute, 0),
					"d": usual(10*time.Minute, 0), "e": usual(time.Minute, 0),
				},
			}, `
			11-24 02:00 CET a 02:00-02:30
			11-24 02:01 CET b 02:01-02:11
			11-24 02:02 CET c 02:11-02:21 waits: waits 9m: 2 runs at once is the most
			11-24 02:03 CET d 02:21-02:31 waits: waits 18m: 2 runs at once is the most
			11-24 02:45 CET e 02:45-02:46
			warning busy x2: more than max_running 2 runs would be under way: 2 runs wait, the longest 18m (d on Tue 2026-11-24 02:03 Europe/Berlin) [spread the schedules, or raise max_running]`,
		},
		{
			"SharedLockAndDatabase", forecast.Input{
				Until: monday.Add(day),
				Workflows: []forecast.Workflow{
					{Name: "backup", Schedule: daily("02:00"), Locks: []string{"database/main"}, Databases: []string{"main"}},
					{Name: "report", Schedule: daily("02:20"), Databases: []string{"main"}},
					{Name: "vacuum", Schedule: daily("02:10"), Locks: []string{"database/main"}, Databases: []string{"main"}},
				},
				Usual: map[string]runner.Usual{"backup": usual(30*time.Minute, 0), "vacuum": usual(5*time.Minute, 0), "report": usual(time.Minute, 0)},
			}, `
			11-24 02:00 CET backup 02:00-02:30
			11-24 02:10 CET vacuum 02:10-02:15
			11-24 02:20 CET report 02:20-02:21
			warning lock x1: backup and vacuum want the lock database/main at the same time, once: one waits for the other, up to 20m; first backup and vacuum on Tue 2026-11-24 02:10 Europe/Berlin [move one of them by at least 20m]
			info database x1: backup and report use the database main at the same time, once, for up to 10m; first backup and report on Tue 2026-11-24 02:20 Europe/Berlin`,
		},
		{
			"OneMinuteApart", forecast.Input{
				Until: monday.Add(day),
				Workflows: []forecast.Workflow{
					{Name: "a", Schedule: daily("02:00"), Locks: []string{"x"}}, {Name: "b", Schedule: daily("02:30"), Locks: []string{"x"}},
				},
				Usual: map[string]runner.Usual{"a": usual(30*time.Minute, 0), "b": usual(5*time.Minute, 0)},
			}, `
			11-24 02:00 CET a 02:00-02:30
			11-24 02:30 CET b 02:30-02:35`,
		},
		{
			"Windows", forecast.Input{
				Until: monday.Add(2 * day),
				Workflows: []forecast.Workflow{
					{Name: "fits", Schedule: daily("02:00"), Window: window(t, schedule.WindowRule{Allow: []string{"01:00-03:00"}, Zone: berlin})},
					{Name: "outside", Schedule: daily("04:00,01:30"), Window: window(t, schedule.WindowRule{Allow: []string{"01:00-03:00"}, Zone: berlin})},
					{Name: "short", Schedule: daily("02:30"), Window: window(t, schedule.WindowRule{Allow: []string{"01:00-03:00"}, Zone: berlin})},
				},
				Usual: map[string]runner.Usual{"short": usual(20*time.Minute, 40*time.Minute), "fits": usual(20*time.Minute, time.Hour), "outside": usual(time.Minute, time.Minute)},
			}, `
			11-24 01:30 CET outside 01:30-01:31
			11-24 02:00 CET fits 02:00-02:20
			11-24 02:30 CET short window: takes up to 40m, and the window closes at 03:00
			11-24 04:00 CET outside window: outside its window 01:00-03:00
			11-25 01:30 CET outside 01:30-01:31
			11-25 02:00 CET fits 02:00-02:20
			11-25 02:30 CET short window: takes up to 40m, and the window closes at 03:00
			11-25 04:00 CET outside window: outside its window 01:00-03:00
			critical window x2: short will not run at all: its window 01:00-03:00 leaves out every slot (2 slots too close to its end, as a run takes up to 40m); first on Tue 2026-11-24 02:30 Europe/Berlin [move the schedule into the window, or widen the window]
			warning window x2: outside will be skipped twice by its window 01:00-03:00: 2 slots outside it; first on Tue 2026-11-24 04:00 Europe/Berlin [move the schedule into the window, or widen the window]`,
		},
		{
			"Pauses", forecast.Input{
				Until: monday.Add(2 * day),
				Workflows: []forecast.Workflow{
					{Name: "all", Schedule: daily("01:00")}, {Name: "ends", Schedule: daily("02:00")}, {Name: "forever", Schedule: daily("03:00")}, {Name: "over", Schedule: daily("04:00")},
				},
				Usual: map[string]runner.Usual{"all": usual(1e9, 1e9), "ends": usual(1e9, 1e9), "forever": usual(1e9, 1e9), "over": usual(1e9, 1e9)},
				Pauses: []runner.Pause{
					{Workflow: "all", By: "anna", Why: "migration", Since: monday.Add(-time.Hour), Until: monday.Add(9 * day)},
					{Workflow: "ends", By: "anna", Why: "migration", Since: monday.Add(-time.Hour), Until: monday.Add(day)},
					{Workflow: "forever", By: "ben", Why: "broken disk", Since: monday.Add(-time.Hour)},
					{Workflow: "over", By: "ben", Why: "lunch", Since: monday.Add(-time.Hour), Until: monday.Add(time.Hour)},
				},
			}, `
			11-24 01:00 CET all paused: paused by anna until Wed 2026-12-02 13:00 Europe/Berlin
			11-24 02:00 CET ends paused: paused by anna until Tue 2026-11-24 13:00 Europe/Berlin
			11-24 03:00 CET forever paused: paused by ben with no end
			11-24 04:00 CET over 04:00-04:00
			11-25 01:00 CET all paused: paused by anna until Wed 2026-12-02 13:00 Europe/Berlin
			11-25 02:00 CET ends 02:00-02:00
			11-25 03:00 CET forever paused: paused by ben with no end
			11-25 04:00 CET over 04:00-04:00
			warning pause x2: all is paused by anna since Mon 2026-11-23 12:00 Europe/Berlin (migration): 2 slots will be skipped, which are all until Wed 2026-11-25 13:00 Europe/Berlin [upkeep unpause all]
			warning pause x2: forever is paused by ben since Mon 2026-11-23 12:00 Europe/Berlin (broken disk): 2 slots will be skipped, and the pause has no end [upkeep unpause forever]
			info pause x1: ends is paused by anna since Mon 2026-11-23 12:00 Europe/Berlin (migration): 1 slot will be skipped; the pause ends on Tue 2026-11-24 13:00 Europe/Berlin [upkeep unpause ends]`,
		},
		{
			"TimeoutAndEmpty", forecast.Input{
				Until: monday.Add(day),
				Workflows: []forecast.Workflow{
					{Name: "leap", Schedule: parse(t, schedule.Rule{Cron: "0 4 29 2 *", Zone: berlin})},
					{Name: "monthly", Schedule: parse(t, schedule.Rule{Monthly: "1 04:30", Zone: berlin})},
					{Name: "slow", Schedule: daily("02:30"), Timeout: time.Hour},
				},
				Usual: map[string]runner.Usual{"slow": usual(40*time.Minute, 55*time.Minute)},
			}, `
			11-24 02:30 CET slow 02:30-03:10
			warning empty x1: leap has no slot for more than a year: the next one is on Tue 2028-02-29 04:00 Europe/Berlin
			warning timeout x1: slow has taken up to 55m, and its timeout is 1h [raise the timeout, or make the workflow quicker]
			warning month x1: leap runs on the 29th of February at 04:00 Europe/Berlin: there is no such day in February 2027 [-1 is the last day of every month]
			info empty x1: monthly has no slot before Tue 2026-11-24 13:00 Europe/Berlin: the next one is on Tue 2026-12-01 04:30 Europe/Berlin`,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.in.Now = monday
			got := forecast.Of(test.in)
			expect(t, test.want, got)
			var worst jobs.Severity
			for _, f := range got.Findings {
				if f.Severity.Rank() > worst.Rank() {
					worst = f.Severity
				}
			}
			if got.Worst != worst {
				t.Errorf("Worst = %q, want %q", got.Worst, worst)
			}
			if got.Total != got.Listed {
				t.Errorf("%d of %d slots are listed", got.Listed, got.Total)
			}
		})
	}
}

func TestOf_ClockChanges(t *testing.T) {
	t.Parallel()
	berlin := location(t, "Europe/Berlin")
	in := forecast.Input{
		Now: time.Date(2026, 3, 28, 12, 0, 0, 0, berlin), Until: time.Date(2026, 3, 29, 12, 0, 0, 0, berlin),
		Workflows: []forecast.Workflow{
			{Name: "once", Schedule: parse(t, schedule.Rule{Daily: "02:30", Zone: berlin})},
			{Name: "skip", Schedule: parse(t, schedule.Rule{Daily: "02:30", Zone: berlin, DST: schedule.DSTSkip})},
		},
		Usual: map[string]runner.Usual{"once": usual(time.Minute, 0)},
	}
	expect(t, `
	03-29 03:00 CEST once 03:00-03:01
	warning clock x1: skip: 2026-03-29 02:30 does not exist in Europe/Berlin; it is left out (dst: skip) [dst: once runs it right after the gap]
	info empty x1: skip has no slot before Sun 2026-03-29 12:00 Europe/Berlin: the next one is on Mon 2026-03-30 02:30 Europe/Berlin
	info clock x1: once: 2026-03-29 02:30 does not exist in Europe/Berlin; it runs at 03:00 instead`,
		forecast.Of(in))

	in.Now, in.Until = time.Date(2026, 1, 1, 0, 0, 0, 0, berlin), time.Date(2026, 1, 2, 0, 0, 0, 0, berlin)
	in.Workflows = []forecast.Workflow{{Name: "last", Schedule: parse(t, schedule.Rule{Monthly: "31 02:30", Zone: berlin})}}
	expect(t, `
	warning month x5: last runs on the 31st of every month at 02:30 Europe/Berlin: there is no such day in February 2026, April 2026, June 2026, September 2026 and November 2026 [-1 is the last day of every month]
	info empty x1: last has no slot before Fri 2026-01-02 00:00 Europe/Berlin: the next one is on Sat 2026-01-31 02:30 Europe/Berlin`,
		forecast.Of(in))
}
