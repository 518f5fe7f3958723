package forecast_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/runner/forecast"
	"github.com/ghosteam/upkeep/runner/schedule"
)

// TestAroundDST holds the switch nights of four zones against tables that were
// written by hand from the zones' rules.
func TestAroundDST(t *testing.T) {
	t.Parallel()
	tests := []struct {
		zone  string
		daily string
		want  string
	}{
		{"Europe/Berlin", "02:30", `
		2026-03-29T01:00:00Z at 02:00 the clock is set forward by 1h, to 03:00
		  both: 03-29 03:00 CEST; 2026-03-29 02:30 does not exist in Europe/Berlin; it runs at 03:00 instead
		  once: 03-29 03:00 CEST; 2026-03-29 02:30 does not exist in Europe/Berlin; it runs at 03:00 instead
		  skip: 2026-03-29 02:30 does not exist in Europe/Berlin; it is left out (dst: skip)
		2026-10-25T01:00:00Z at 03:00 the clock is set back by 1h, to 02:00
		  both: 10-25 02:30 CEST 10-25 02:30 CET; 2026-10-25 02:30 occurs twice in Europe/Berlin; it runs both times (dst: both)
		  once: 10-25 02:30 CEST; 2026-10-25 02:30 occurs twice in Europe/Berlin; it runs the first time
		  skip: 10-25 02:30 CEST; 2026-10-25 02:30 occurs twice in Europe/Berlin; it runs the first time`},
		{"America/New_York", "01:30", `
		2026-03-08T07:00:00Z at 02:00 the clock is set forward by 1h, to 03:00
		  both: 03-08 01:30 EST
		  once: 03-08 01:30 EST
		  skip: 03-08 01:30 EST
		2026-11-01T06:00:00Z at 02:00 the clock is set back by 1h, to 01:00
		  both: 11-01 01:30 EDT 11-01 01:30 EST; 2026-11-01 01:30 occurs twice in America/New_York; it runs both times (dst: both)
		  once: 11-01 01:30 EDT; 2026-11-01 01:30 occurs twice in America/New_York; it runs the first time
		  skip: 11-01 01:30 EDT; 2026-11-01 01:30 occurs twice in America/New_York; it runs the first time`},
		{"Australia/Sydney", "02:30", `
		2026-04-04T16:00:00Z at 03:00 the clock is set back by 1h, to 02:00
		  both: 04-05 02:30 AEDT 04-05 02:30 AEST; 2026-04-05 02:30 occurs twice in Australia/Sydney; it runs both times (dst: both)
		  once: 04-05 02:30 AEDT; 2026-04-05 02:30 occurs twice in Australia/Sydney; it runs the first time
		  skip: 04-05 02:30 AEDT; 2026-04-05 02:30 occurs twice in Australia/Sydney; it runs the first time
		2026-10-03T16:00:00Z at 02:00 the clock is set forward by 1h, to 03:00
		  both: 10-04 03:00 AEDT; 2026-10-04 02:30 does not exist in Australia/Sydney; it runs at 03:00 instead
		  once: 10-04 03:00 AEDT; 2026-10-04 02:30 does not exist in Australia/Sydney; it runs at 03:00 instead
		  skip: 2026-10-04 02:30 does not exist in Australia/Sydney; it is left out (dst: skip)`},
		{"Australia/Lord_Howe", "01:45", `
		2026-04-04T15:00:00Z at 02:00 the clock is set back by 30m, to 01:30
		  both: 04-05 01:45 +11 04-05 01:45 +1030; 2026-04-05 01:45 occurs twice in Australia/Lord_Howe; it runs both times (dst: both)
		  once: 04-05 01:45 +11; 2026-04-05 01:45 occurs twice in Australia/Lord_Howe; it runs the first time
		  skip: 04-05 01:45 +11; 2026-04-05 01:45 occurs twice in Australia/Lord_Howe; it runs the first time
		2026-10-03T15:30:00Z at 02:00 the clock is set forward by 30m, to 02:30
		  both: 10-04 01:45 +1030
		  once: 10-04 01:45 +1030
		  skip: 10-04 01:45 +1030`},
		{"UTC", "02:30", ""},
	}
	for _, test := range tests {
		t.Run(test.zone, func(t *testing.T) {
			t.Parallel()
			zone := location(t, test.zone)
			var workflows []forecast.Workflow
			for _, dst := range []schedule.DST{schedule.DSTSkip, schedule.DSTOnce, schedule.DSTBoth} {
				workflows = append(workflows, forecast.Workflow{
					Name: string(dst), Schedule: parse(t, schedule.Rule{Daily: test.daily, Zone: zone, DST: dst}),
				})
			}
			workflows = append(workflows,
				forecast.Workflow{Name: "noon", Schedule: parse(t, schedule.Rule{Daily: "12:00", Zone: zone})},
				forecast.Workflow{Name: "on-request"})
			var got []string
			for _, night := range forecast.AroundDST(2026, workflows) {
				got = append(got, night.At.Format(time.RFC3339)+" "+night.String())
				for _, row := range night.Rows {
					got = append(got, spellRow(row))
				}
			}
			var want []string
			for line := range strings.Lines(test.want) {
				if line = strings.TrimPrefix(strings.TrimRight(line, "\n"), "\t\t"); line != "" {
					want = append(want, line)
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func spellRow(row forecast.NightRow) string {
	var parts []string
	for _, slot := range row.Slots {
		parts = append(parts, slot.Format("01-02 15:04 MST"))
	}
	text := strings.Join(parts, " ")
	for _, h := range row.Hazards {
		text = strings.TrimPrefix(text+"; "+h.Text, "; ")
	}
	return "  " + row.Workflow + ": " + text
}

func TestAroundDST_Often(t *testing.T) {
	t.Parallel()
	zone := location(t, "Europe/Berlin")
	nights := forecast.AroundDST(2026, []forecast.Workflow{{Name: "check", Schedule: parse(t, schedule.Rule{Cron: "*/10 * * * *", Zone: zone})}})
	if len(nights) != 2 {
		t.Fatalf("%d nights, want 2", len(nights))
	}
	for _, night := range nights {
		row := night.Rows[0]
		if row.Count != 73 || len(row.Hazards) != 0 || len(row.Slots) != forecast.MaxNight {
			t.Fatalf("%s: %d slots, %d listed, hazards %v", night, row.Count, len(row.Slots), row.Hazards)
		}
		before := 0
		for i, slot := range row.Slots {
			if slot.Before(night.At) {
				before++
			}
			if i > 0 && slot.Sub(row.Slots[i-1]) != 10*time.Minute {
				t.Errorf("%s: slots %s", night, fmt.Sprint(row.Slots))
			}
		}
		if before != forecast.MaxNight/2 {
			t.Errorf("%s: %d slots before the change: %v", night, before, row.Slots)
		}
	}
}
