package schedule_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/runner/schedule"
)

func TestSchedule_Hazards(t *testing.T) {
	t.Parallel()
	berlin := location(t, "Europe/Berlin")
	spring := time.Date(2026, 3, 29, 1, 0, 0, 0, time.UTC)
	autumn := time.Date(2026, 10, 25, 1, 0, 0, 0, time.UTC)
	tests := []struct {
		name string
		rule schedule.Rule
		want []schedule.Hazard
	}{
		{"Once", schedule.Rule{Daily: "02:30"}, []schedule.Hazard{
			{At: spring, Kind: schedule.HazardGap, Text: "2026-03-29 02:30 does not exist in Europe/Berlin; it runs at 03:00 instead"},
			{At: autumn, Kind: schedule.HazardDoubled, Text: "2026-10-25 02:30 occurs twice in Europe/Berlin; it runs the first time"},
		}},
		{"Skip", schedule.Rule{Weekly: "sun 02:00", DST: schedule.DSTSkip}, []schedule.Hazard{
			{At: spring, Kind: schedule.HazardGap, Text: "2026-03-29 02:00 does not exist in Europe/Berlin; it is left out (dst: skip)"},
			{At: autumn, Kind: schedule.HazardDoubled, Text: "2026-10-25 02:00 occurs twice in Europe/Berlin; it runs the first time"},
		}},
		{"Both", schedule.Rule{Cron: "*/20 2 25 10 *", DST: schedule.DSTBoth}, []schedule.Hazard{
			{At: autumn, Kind: schedule.HazardDoubled, Text: "2026-10-25 02:00 occurs twice in Europe/Berlin; it runs both times (dst: both)"},
		}},
		{"OtherHour", schedule.Rule{Daily: "01:59,03:00"}, nil},
		{"Running", schedule.Rule{Cron: "*/5 * * * *"}, nil},
		{"Every", schedule.Rule{Every: time.Hour}, nil},
		{"Day31", schedule.Rule{Monthly: "31 12:00"}, []schedule.Hazard{
			{At: time.Date(2026, 1, 31, 23, 0, 0, 0, time.UTC), Kind: schedule.HazardNoDay, Text: "February 2026 has no such day: on the 31st of every month"},
			{At: time.Date(2026, 3, 31, 22, 0, 0, 0, time.UTC), Kind: schedule.HazardNoDay, Text: "April 2026 has no such day: on the 31st of every month"},
			{At: time.Date(2026, 5, 31, 22, 0, 0, 0, time.UTC), Kind: schedule.HazardNoDay, Text: "June 2026 has no such day: on the 31st of every month"},
			{At: time.Date(2026, 8, 31, 22, 0, 0, 0, time.UTC), Kind: schedule.HazardNoDay, Text: "September 2026 has no such day: on the 31st of every month"},
			{At: time.Date(2026, 10, 31, 23, 0, 0, 0, time.UTC), Kind: schedule.HazardNoDay, Text: "November 2026 has no such day: on the 31st of every month"},
		}},
		{"LeapDay", schedule.Rule{Cron: "0 12 29 2 *"}, []schedule.Hazard{
			{At: time.Date(2026, 1, 31, 23, 0, 0, 0, time.UTC), Kind: schedule.HazardNoDay, Text: "February 2026 has no such day: on the 29th of February"},
		}},
		{"LastDay", schedule.Rule{Monthly: "-1 12:00"}, nil},
		{"FridayThe13th", schedule.Rule{Cron: "0 12 */13 * fri"}, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.rule.Zone = berlin
			s := parse(t, test.rule)
			from := time.Date(2026, 1, 1, 0, 0, 0, 0, berlin)
			got := s.Hazards(from, from.AddDate(1, 0, 0).Add(-time.Second))
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if got := s.Hazards(from, from); got != nil {
				t.Errorf("hazards in an empty interval: %v", got)
			}
		})
	}
	if got := (schedule.Schedule{}).Hazards(spring, autumn); got != nil {
		t.Errorf("hazards of the zero Schedule: %v", got)
	}
}
