package schedule_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/runner/schedule"
)

// TestSchedule_Golden lists slots as the wall clock showed them, with the
// offset, worked out by hand from the published dates of the changes.
func TestSchedule_Golden(t *testing.T) {
	t.Parallel()
	daily := func(text string) schedule.Rule { return schedule.Rule{Daily: text} }
	cron := func(text string) schedule.Rule { return schedule.Rule{Cron: text} }
	with := func(dst schedule.DST, rule schedule.Rule) schedule.Rule {
		rule.DST = dst
		return rule
	}
	tests := []struct {
		name  string
		zone  string
		rule  schedule.Rule
		after string   // on the wall clock of the zone
		want  []string // the slots that follow
	}{
		// Berlin, 2026-03-29: 02:00 +01 becomes 03:00 +02; 2026-10-25: 03:00 +02 becomes 02:00 +01.
		{"BerlinGap", "Europe/Berlin", daily("02:30"), "2026-03-27 12:00", []string{
			"2026-03-28 02:30 +0100", "2026-03-29 03:00 +0200", "2026-03-30 02:30 +0200",
		}},
		{"BerlinGapSkip", "Europe/Berlin", with("skip", daily("02:30")), "2026-03-27 12:00", []string{
			"2026-03-28 02:30 +0100", "2026-03-30 02:30 +0200",
		}},
		{"BerlinGapBoth", "Europe/Berlin", with("both", daily("02:30")), "2026-03-27 12:00", []string{
			"2026-03-28 02:30 +0100", "2026-03-29 03:00 +0200", "2026-03-30 02:30 +0200",
		}},
		{"BerlinGapEdges", "Europe/Berlin", daily("01:59:59,02:00,02:59:59,03:00"), "2026-03-29 01:00", []string{
			"2026-03-29 01:59:59 +0100", "2026-03-29 03:00 +0200", "2026-03-30 01:59:59 +0200", "2026-03-30 02:00 +0200",
		}},
		{"BerlinDoubled", "Europe/Berlin", daily("02:30"), "2026-10-24 12:00", []string{
			"2026-10-25 02:30 +0200", "2026-10-26 02:30 +0100",
		}},
		{"BerlinDoubledSkip", "Europe/Berlin", with("skip", daily("02:30")), "2026-10-24 12:00", []string{
			"2026-10-25 02:30 +0200", "2026-10-26 02:30 +0100",
		}},
		{"BerlinDoubledBoth", "Europe/Berlin", with("both", daily("02:30")), "2026-10-24 12:00", []string{
			"2026-10-25 02:30 +0200", "2026-10-25 02:30 +0100", "2026-10-26 02:30 +0100",
		}},
		{"BerlinHalfHoursOnceEach", "Europe/Berlin", cron("*/30 2 * * *"), "2026-10-24 12:00", []string{
			"2026-10-25 02:00 +0200", "2026-10-25 02:30 +0200", "2026-10-26 02:00 +0100",
		}},
		{"BerlinHalfHoursBoth", "Europe/Berlin", with("both", cron("*/30 2 * * *")), "2026-10-24 12:00", []string{
			"2026-10-25 02:00 +0200", "2026-10-25 02:30 +0200", "2026-10-25 02:00 +0100", "2026-10-25 02:30 +0100", "2026-10-26 02:00 +0100",
		}},
		{"BerlinHalfHoursGapIsOneSlot", "Europe/Berlin", cron("*/30 2 * * *"), "2026-03-28 12:00", []string{
			"2026-03-29 03:00 +0200", "2026-03-30 02:00 +0200", "2026-03-30 02:30 +0200",
		}},
		{"BerlinRunningGoesThroughTheDoubledHour", "Europe/Berlin", cron("*/30 * * * *"), "2026-10-25 01:30", []string{
			"2026-10-25 02:00 +0200", "2026-10-25 02:30 +0200", "2026-10-25 02:00 +0100", "2026-10-25 02:30 +0100", "2026-10-25 03:00 +0100",
		}},
		{"BerlinRunningIgnoresTheGap", "Europe/Berlin", cron("17 * * * *"), "2026-03-29 01:00", []string{
			"2026-03-29 01:17 +0100", "2026-03-29 03:17 +0200", "2026-03-29 04:17 +0200",
		}},
		{"BerlinWeeklyGap", "Europe/Berlin", schedule.Rule{Weekly: "sun 02:15"}, "2026-03-23 00:00", []string{
			"2026-03-29 03:00 +0200", "2026-04-05 02:15 +0200",
		}},
		// New York, 2026-03-08: 02:00 -05 becomes 03:00 -04; 2026-11-01: 02:00 -04 becomes 01:00 -05.
		{"NewYorkGap", "America/New_York", daily("02:30"), "2026-03-07 12:00", []string{
			"2026-03-08 03:00 -0400", "2026-03-09 02:30 -0400",
		}},
		{"NewYorkDoubled", "America/New_York", daily("01:30"), "2026-10-31 12:00", []string{
			"2026-11-01 01:30 -0400", "2026-11-02 01:30 -0500",
		}},
		{"NewYorkMonthlyDoubledBoth", "America/New_York", with("both", schedule.Rule{Monthly: "1 01:00"}), "2026-10-31 12:00", []string{
			"2026-11-01 01:00 -0400", "2026-11-01 01:00 -0500", "2026-12-01 01:00 -0500",
		}},
		// Sydney, 2026-04-05: 03:00 +11 becomes 02:00 +10; 2026-10-04: 02:00 +10 becomes 03:00 +11.
		{"SydneyDoubled", "Australia/Sydney", daily("02:30"), "2026-04-04 12:00", []string{
			"2026-04-05 02:30 +1100", "2026-04-06 02:30 +1000",
		}},
		{"SydneyGap", "Australia/Sydney", daily("02:30"), "2026-10-03 12:00", []string{
			"2026-10-04 03:00 +1100", "2026-10-05 02:30 +1100",
		}},
		// Lord Howe moves by 30 minutes. 2026-04-05: 02:00 +11 becomes 01:30 +1030; 2026-10-04: 02:00 +1030 becomes 02:30 +11.
		{"LordHoweDoubled", "Australia/Lord_Howe", daily("01:45"), "2026-04-04 12:00", []string{
			"2026-04-05 01:45 +1100", "2026-04-06 01:45 +1030",
		}},
		{"LordHoweDoubledBoth", "Australia/Lord_Howe", with("both", daily("01:15,01:45")), "2026-04-04 12:00", []string{
			"2026-04-05 01:15 +1100", "2026-04-05 01:45 +1100", "2026-04-05 01:45 +1030", "2026-04-06 01:15 +1030",
		}},
		{"LordHoweGap", "Australia/Lord_Howe", daily("02:15,02:45"), "2026-10-03 12:00", []string{
			"2026-10-04 02:30 +1100", "2026-10-04 02:45 +1100", "2026-10-05 02:15 +1100",
		}},
		// Sao Paulo changed at midnight until 2019. 2018-11-04: 00:00 -03 becomes 01:00 -02; 2019-02-17: 00:00 -02 becomes 23:00 -03 of the 16th.
		{"SaoPauloMidnightGap", "America/Sao_Paulo", daily("00:00"), "2018-11-02 12:00", []string{
			"2018-11-03 00:00 -0300", "2018-11-04 01:00 -0200", "2018-11-05 00:00 -0200",
		}},
		{"SaoPauloMidnightGapSkip", "America/Sao_Paulo", with("skip", daily("00:30")), "2018-11-02 12:00", []string{
			"2018-11-03 00:30 -0300", "2018-11-05 00:30 -0200",
		}},
		{"SaoPauloDoubled", "America/Sao_Paulo", daily("23:30"), "2019-02-16 12:00", []string{
			"2019-02-16 23:30 -0200", "2019-02-17 23:30 -0300",
		}},
		{"SaoPauloDoubledBoth", "America/Sao_Paulo", with("both", daily("23:30")), "2019-02-16 12:00", []string{
			"2019-02-16 23:30 -0200", "2019-02-16 23:30 -0300", "2019-02-17 23:30 -0300",
		}},
		{"SaoPauloRunningBackIntoTheDayBefore", "America/Sao_Paulo", cron("30 * * * sat"), "2019-02-16 22:45", []string{
			"2019-02-16 23:30 -0200", "2019-02-16 23:30 -0300", "2019-02-23 00:30 -0300",
		}},
		{"SaoPauloAfterTheEndOfItsSummerTime", "America/Sao_Paulo", daily("00:00"), "2026-11-01 12:00", []string{
			"2026-11-02 00:00 -0300", "2026-11-03 00:00 -0300",
		}},
		// Samoa went from 2011-12-29 straight to 2011-12-31.
		{"ApiaLostDay", "Pacific/Apia", daily("12:00"), "2011-12-28 18:00", []string{
			"2011-12-29 12:00 -1000", "2011-12-31 00:00 +1400", "2011-12-31 12:00 +1400",
		}},
		{"UTC", "UTC", daily("02:30"), "2026-03-28 12:00", []string{
			"2026-03-29 02:30 +0000", "2026-03-30 02:30 +0000",
		}},
		{"LeapDay", "Europe/Berlin", cron("15 4 29 2 *"), "2024-03-01 00:00", []string{
			"2028-02-29 04:15 +0100", "2032-02-29 04:15 +0100",
		}},
		{"LeapDayAcross2100", "UTC", schedule.Rule{Cron: "0 0 29 2 *"}, "2096-03-01 00:00", []string{"2104-02-29 00:00 +0000"}},
		{"StarStepOneIsAStar", "UTC", cron("0 0 */1 2 0"), "2026-02-23 00:00", []string{"2027-02-07 00:00 +0000"}},
		{"FifthSundayOfFebruary", "UTC", cron("0 0 * 2 sun#5"), "2026-01-01 00:00", []string{"2032-02-29 00:00 +0000", "2060-02-29 00:00 +0000"}},
		{"Day31", "Europe/Berlin", schedule.Rule{Monthly: "31 04:30"}, "2026-01-01 00:00", []string{
			"2026-01-31 04:30 +0100", "2026-03-31 04:30 +0200", "2026-05-31 04:30 +0200", "2026-07-31 04:30 +0200", "2026-08-31 04:30 +0200",
		}},
		{"LastDay", "UTC", schedule.Rule{Monthly: "-1 04:30"}, "2028-01-31 12:00", []string{
			"2028-02-29 04:30 +0000", "2028-03-31 04:30 +0000", "2028-04-30 04:30 +0000",
		}},
		{"FirstAndFifteenth", "UTC", schedule.Rule{Monthly: "1,15 04:30"}, "2026-01-01 12:00", []string{
			"2026-01-15 04:30 +0000", "2026-02-01 04:30 +0000", "2026-02-15 04:30 +0000",
		}},
		{"PatchTuesday", "UTC", schedule.Rule{Monthly: "second tue 03:00"}, "2026-01-01 00:00", []string{
			"2026-01-13 03:00 +0000", "2026-02-10 03:00 +0000", "2026-03-10 03:00 +0000",
		}},
		{"LastFridayOfMonth", "UTC", schedule.Rule{Monthly: "last fri 22:00"}, "2026-01-01 00:00", []string{
			"2026-01-30 22:00 +0000", "2026-02-27 22:00 +0000", "2026-03-27 22:00 +0000",
		}},
		// crontab(5): a star in either field means both must match, also "*/2".
		{"StarStepAndWeekday", "UTC", cron("0 4 */2 * mon"), "2026-01-01 00:00", []string{
			"2026-01-05 04:00 +0000", "2026-01-19 04:00 +0000", "2026-02-09 04:00 +0000",
		}},
		{"StarStepOfWeekdayAndDate", "UTC", cron("0 4 13 * */2"), "2026-01-01 00:00", []string{
			"2026-01-13 04:00 +0000", "2026-06-13 04:00 +0000", // Tuesday and Saturday; Sunday is 0
		}},
		{"DateOrWeekday", "UTC", cron("0 4 13 * fri"), "2026-02-09 00:00", []string{
			"2026-02-13 04:00 +0000", "2026-02-20 04:00 +0000", "2026-02-27 04:00 +0000", "2026-03-06 04:00 +0000", "2026-03-13 04:00 +0000",
		}},
		{"SixFields", "UTC", cron("*/20 59 23 31 12 *"), "2026-01-01 00:00", []string{
			"2026-12-31 23:59 +0000", "2026-12-31 23:59:20 +0000", "2026-12-31 23:59:40 +0000", "2027-12-31 23:59 +0000",
		}},
		{"SundayAsSeven", "UTC", cron("0 0 * * 5-7"), "2026-01-01 00:00", []string{
			"2026-01-02 00:00 +0000", "2026-01-03 00:00 +0000", "2026-01-04 00:00 +0000", "2026-01-09 00:00 +0000",
		}},
		{"WeekdaysWrap", "UTC", schedule.Rule{Weekly: "fri-mon 06:00"}, "2026-01-05 12:00", []string{
			"2026-01-09 06:00 +0000", "2026-01-10 06:00 +0000", "2026-01-11 06:00 +0000", "2026-01-12 06:00 +0000", "2026-01-16 06:00 +0000",
		}},
		{"EveryIsZoneless", "Asia/Kathmandu", schedule.Rule{Every: time.Hour}, "2026-01-01 00:00", []string{
			"2026-01-01 00:45 +0545", "2026-01-01 01:45 +0545",
		}},
		{"EveryAcrossTheDoubledHour", "Europe/Berlin", schedule.Rule{Every: 40 * time.Minute}, "2026-10-25 01:10", []string{
			"2026-10-25 01:20 +0200", "2026-10-25 02:00 +0200", "2026-10-25 02:40 +0200", "2026-10-25 02:20 +0100",
		}},
		{"EveryDay", "UTC", schedule.Rule{Every: 24 * time.Hour}, "2026-01-01 00:00", []string{"2026-01-02 00:00 +0000"}},
		{"EverySecond", "UTC", schedule.Rule{Every: time.Second}, "2026-01-01 00:00", []string{"2026-01-01 00:00:01 +0000"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			zone := location(t, test.zone)
			test.rule.Zone = zone
			s := parse(t, test.rule)
			after, err := time.ParseInLocation("2006-01-02 15:04", test.after, zone)
			if err != nil {
				t.Fatalf("parse %q: %v", test.after, err)
			}
			var got []string
			for range test.want {
				slot, ok := s.Next(after)
				if !ok {
					break
				}
				if slot.Location() != time.UTC {
					t.Errorf("slot %s is not in UTC", slot)
				}
				text := slot.In(zone).Format("2006-01-02 15:04:05 -0700")
				got = append(got, strings.Replace(text, ":00 ", " ", 1))
				after = slot
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", s, diff)
			}
		})
	}
}

func TestSchedule_Zero(t *testing.T) {
	t.Parallel()
	var s schedule.Schedule
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	if slot, ok := s.Next(now); ok {
		t.Errorf("Next = %s", slot)
	}
	if slot, ok := s.Prev(now); ok {
		t.Errorf("Prev = %s", slot)
	}
	if n := s.Count(now, now.AddDate(1, 0, 0)); n != 0 {
		t.Errorf("Count = %d", n)
	}
	if s.Describe() != "never" || s.String() != "none" || !s.IsZero() || s.Zone() != time.UTC || s.Rule() != (schedule.Rule{}) {
		t.Errorf("the zero Schedule describes itself as %q, %q, %v", s.Describe(), s.String(), s.Rule())
	}
	if got := schedule.Due(s, now, now.AddDate(1, 0, 0), schedule.Policy{}); len(got.Decisions) != 0 || got.Folded.Count != 0 {
		t.Errorf("Due = %+v", got)
	}
}

func TestSchedule_Ends(t *testing.T) {
	t.Parallel()
	rules := []schedule.Rule{{Every: time.Second}, {Daily: "12:00"}, {Cron: "* * * * * *", Zone: location(t, "Europe/Berlin")}}
	for _, rule := range rules {
		s := parse(t, rule)
		last := time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
		for _, after := range []time.Time{last, last.AddDate(1000, 0, 0), time.Unix(1<<60, 0)} {
			if slot, ok := s.Next(after); ok {
				t.Errorf("%s: Next(%s) = %s, want none after the year 9999", s, after, slot)
			}
		}
		if slot, ok := s.Next(time.Unix(-1<<60, 0)); !ok || slot.Year() != 1 {
			t.Errorf("%s: Next(long ago) = %s, %t, want a slot in the year 1", s, slot, ok)
		}
		if slot, ok := s.Prev(last.AddDate(1000, 0, 0)); !ok || slot.Year() != 9999 {
			t.Errorf("%s: Prev(far ahead) = %s, %t, want a slot in the year 9999", s, slot, ok)
		}
		if slot, ok := s.Prev(time.Unix(-1<<60, 0)); ok {
			t.Errorf("%s: Prev(long ago) = %s, want none", s, slot)
		}
	}
}

func TestSchedule_FractionsOfASecond(t *testing.T) {
	t.Parallel()
	s := parse(t, schedule.Rule{Daily: "02:30"})
	slot := time.Date(2026, 1, 1, 2, 30, 0, 0, time.UTC)
	tests := map[time.Duration]time.Time{
		-time.Nanosecond: slot,
		0:                slot.AddDate(0, 0, 1),
		time.Nanosecond:  slot.AddDate(0, 0, 1),
	}
	for shift, want := range tests {
		if got, ok := s.Next(slot.Add(shift)); !ok || !got.Equal(want) {
			t.Errorf("Next(slot%+d ns) = %s, %t, want %s", shift, got, ok, want)
		}
	}
	if got := slices.Collect(s.Slots(slot.Add(-time.Nanosecond), slot)); len(got) != 1 {
		t.Errorf("Slots up to and including the slot = %v, want it", got)
	}
}
