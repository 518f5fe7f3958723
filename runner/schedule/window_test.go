package schedule_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/ghosteam/upkeep/runner/schedule"
)

func window(t rapid.TB, rule schedule.WindowRule) schedule.Window {
	t.Helper()
	w, err := schedule.ParseWindow(rule)
	if err != nil {
		t.Fatalf("ParseWindow(%+v): %v", rule, err)
	}
	return w
}

func TestWindow(t *testing.T) {
	t.Parallel()
	berlin := location(t, "Europe/Berlin")
	nights := schedule.WindowRule{Allow: []string{"mon-fri 22:00-05:00"}, Zone: berlin}
	tests := []struct {
		name   string
		rule   schedule.WindowRule
		at     string // on the wall clock of Berlin
		opens  string // empty for never
		closes string
	}{
		{"Always", schedule.WindowRule{}, "2026-03-02 12:00", "2026-03-02 12:00", ""},
		{"Before", nights, "2026-03-02 21:59", "2026-03-02 22:00", "2026-03-02 21:59"},
		{"AtItsBegin", nights, "2026-03-02 22:00", "2026-03-02 22:00", "2026-03-03 05:00"},
		{"PastMidnight", nights, "2026-03-03 04:59", "2026-03-03 04:59", "2026-03-03 05:00"},
		{"AtItsEnd", nights, "2026-03-03 05:00", "2026-03-03 22:00", "2026-03-03 05:00"},
		{"FridayNightIsSaturdayMorning", nights, "2026-03-07 03:00", "2026-03-07 03:00", "2026-03-07 05:00"},
		{"MondayMorningBelongsToSunday", nights, "2026-03-09 03:00", "2026-03-09 22:00", "2026-03-09 03:00"},
		{"OverTheSpringGap", schedule.WindowRule{Allow: []string{"01:00-04:00"}, Zone: berlin}, "2026-03-29 01:30", "2026-03-29 01:30", "2026-03-29 04:00"},
		{"EndInTheGap", schedule.WindowRule{Allow: []string{"01:00-02:30"}, Zone: berlin}, "2026-03-29 01:30", "2026-03-29 01:30", "2026-03-29 03:00"},
		{"BeginInTheGap", schedule.WindowRule{Allow: []string{"02:30-04:00"}, Zone: berlin}, "2026-03-29 01:30", "2026-03-29 03:00", "2026-03-29 01:30"},
		{"WholeDays", schedule.WindowRule{Allow: []string{"sat,sun"}, Zone: berlin}, "2026-03-06 12:00", "2026-03-07 00:00", "2026-03-06 12:00"},
		{"WholeDaysTouch", schedule.WindowRule{Allow: []string{"sat,sun"}, Zone: berlin}, "2026-03-07 12:00", "2026-03-07 12:00", "2026-03-09 00:00"},
		{"AllDaysNeverClose", schedule.WindowRule{Allow: []string{"sun-sat"}, Zone: berlin}, "2026-03-07 12:00", "2026-03-07 12:00", ""},
		{"TwentyFourHours", schedule.WindowRule{Allow: []string{"sat 20:00-24:00", "sun 00:00-02:00"}, Zone: berlin}, "2026-03-07 21:00", "2026-03-07 21:00", "2026-03-08 02:00"},
		{"Weekend", schedule.WindowRule{Allow: []string{"fri 22:00-mon 05:00"}, Zone: berlin}, "2026-03-08 12:00", "2026-03-08 12:00", "2026-03-09 05:00"},
		{"WeekendBefore", schedule.WindowRule{Allow: []string{"fri 22:00-mon 05:00"}, Zone: berlin}, "2026-03-05 12:00", "2026-03-06 22:00", "2026-03-05 12:00"},
		{"BlackoutAlone", schedule.WindowRule{Blackout: []string{"mon-fri 08:00-18:00"}, Zone: berlin}, "2026-03-02 12:00", "2026-03-02 18:00", "2026-03-02 12:00"},
		{"BlackoutWins", schedule.WindowRule{Allow: []string{"22:00-05:00"}, Blackout: []string{"01:00-02:00"}, Zone: berlin}, "2026-03-02 23:00", "2026-03-02 23:00", "2026-03-03 01:00"},
		{"Dates", schedule.WindowRule{Blackout: []string{"2026-12-24..2027-01-02"}, Zone: berlin}, "2026-12-24 00:00", "2027-01-03 00:00", "2026-12-24 00:00"},
		{"DatesAhead", schedule.WindowRule{Blackout: []string{" 2026-12-24 .. 2027-01-02 "}, Zone: berlin}, "2026-11-01 00:00", "2026-11-01 00:00", "2026-12-24 00:00"},
		{"DatesPassed", schedule.WindowRule{Blackout: []string{"2026-12-24..2027-01-02"}, Zone: berlin}, "2027-01-03 00:00", "2027-01-03 00:00", ""},
		{"EveryYear", schedule.WindowRule{Blackout: []string{"12-24..01-02"}, Zone: berlin}, "2030-12-31 12:00", "2031-01-03 00:00", "2030-12-31 12:00"},
		{"EveryYearAhead", schedule.WindowRule{Blackout: []string{"12-24..01-02"}, Zone: berlin}, "2030-01-03 12:00", "2030-01-03 12:00", "2030-12-24 00:00"},
		{"EveryYearWithinOne", schedule.WindowRule{Blackout: []string{"02-29..02-29"}, Zone: berlin}, "2028-02-29 12:00", "2028-03-01 00:00", "2028-02-29 12:00"},
		{"AllowedDatesPassed", schedule.WindowRule{Allow: []string{"2026-01-01..2026-01-31"}, Zone: berlin}, "2026-02-01 00:00", "", "2026-02-01 00:00"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := window(t, test.rule)
			at, err := time.ParseInLocation("2006-01-02 15:04", test.at, berlin)
			if err != nil {
				t.Fatal(err)
			}
			show := func(instant time.Time, ok bool) string {
				if !ok {
					return ""
				}
				return instant.In(berlin).Format("2006-01-02 15:04")
			}
			if got := show(w.Opens(at)); got != test.opens {
				t.Errorf("Opens(%s) = %q, want %q", test.at, got, test.opens)
			}
			if got := show(w.Closes(at)); got != test.closes {
				t.Errorf("Closes(%s) = %q, want %q", test.at, got, test.closes)
			}
			if got := w.Open(at); got != (test.opens == test.at) {
				t.Errorf("Open(%s) = %t", test.at, got)
			}
		})
	}
}

func TestWindow_Fits(t *testing.T) {
	t.Parallel()
	berlin := location(t, "Europe/Berlin")
	w := window(t, schedule.WindowRule{Allow: []string{"00:00-05:00"}, Zone: berlin, OnClose: schedule.OnCloseStop})
	if w.OnClose() != schedule.OnCloseStop || (schedule.Window{}).OnClose() != schedule.OnCloseWarn {
		t.Errorf("OnClose = %s and %s", w.OnClose(), (schedule.Window{}).OnClose())
	}
	tests := []struct {
		name  string
		at    time.Time
		usual time.Duration
		want  bool
	}{
		{"Exactly", time.Date(2026, 3, 2, 2, 0, 0, 0, berlin), 3 * time.Hour, true},
		{"JustNot", time.Date(2026, 3, 2, 2, 0, 0, 0, berlin), 3*time.Hour + time.Nanosecond, false},
		{"Unknown", time.Date(2026, 3, 2, 4, 59, 59, 0, berlin), 0, true},
		{"Closed", time.Date(2026, 3, 2, 5, 0, 0, 0, berlin), 0, false},
		{"TheSpringNightIsShorter", time.Date(2026, 3, 29, 1, 0, 0, 0, berlin), 4 * time.Hour, false},
		{"TheAutumnNightIsLonger", time.Date(2026, 10, 25, 1, 0, 0, 0, berlin), 5 * time.Hour, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := w.Fits(test.at, test.usual); got != test.want {
				t.Errorf("Fits(%s, %s) = %t", test.at, test.usual, got)
			}
		})
	}
	if !(schedule.Window{}).Fits(time.Date(2026, 3, 2, 5, 0, 0, 0, berlin), 1000*time.Hour) {
		t.Error("the zero Window does not fit everything")
	}
}

func TestParseWindow_Refuses(t *testing.T) {
	t.Parallel()
	allow := func(texts ...string) schedule.WindowRule { return schedule.WindowRule{Allow: texts} }
	tests := []struct {
		rule         schedule.WindowRule
		item, offset int
		want         string
	}{
		{allow(""), 0, 0, `allow: it is empty`},
		{allow("mon-fri", "mon-fre"), 1, 4, `allow "mon-fre": "fre" is not a day of the week`},
		{allow("22:00"), 0, 0, `allow "22:00": "22:00" has no end`},
		{allow("22:00-25:00"), 0, 6, `allow "22:00-25:00": 25 is not a value for the hour (0-23)`},
		{allow("24:00-02:00"), 0, 0, `allow "24:00-02:00": 24:00 is not a time of day`},
		{allow("22:00-22:00"), 0, 0, `allow "22:00-22:00": it begins and ends at the same time`},
		{allow("mon 22:00-mon 22:00"), 0, 0, `allow "mon 22:00-mon 22:00": it begins and ends at the same time`},
		{allow("mon 22:00-abc 05:00"), 0, 10, `allow "mon 22:00-abc 05:00": "abc" is not a day of the week`},
		{allow("mon 22:00-tue 05:60"), 0, 17, `allow "mon 22:00-tue 05:60": 60 is not a value for the minute (0-59)`},
		{allow("mon,22:00-05:00"), 0, 4, `allow "mon,22:00-05:00": "22:00-05:00" after a day`},
		{allow("mon tue 22:00-05:00"), 0, 4, `allow "mon tue 22:00-05:00": "tue" after a day`},
		{allow("22:00-23:00,23:30-23:45"), 0, 12, `allow "22:00-23:00,23:30-23:45": "23:30-23:45" after the times`},
		{allow("mon,"), 0, 3, `allow "mon,": a comma without something after it`},
		{allow("2026-02-30..2026-03-01"), 0, 0, `allow "2026-02-30..2026-03-01": "2026-02-30" is not a date`},
		{allow("2026-02-01..soon"), 0, 12, `allow "2026-02-01..soon": "soon" is not a date`},
		{allow("2026-12-24..01-02"), 0, 12, `allow "2026-12-24..01-02": one date has a year and the other has not`},
		{allow("2026-12-24..2026-12-23"), 0, 12, `allow "2026-12-24..2026-12-23": it ends before it begins`},
		{allow(strings.Repeat(" ", 1025)), 0, 1024, `allow "` + strings.Repeat(" ", 1025) + `": longer than 1024 bytes`},
		{schedule.WindowRule{Blackout: []string{"mon-sun"}}, 0, 0, `blackout "mon-sun": it covers all of the time that is allowed`},
		{schedule.WindowRule{Allow: []string{"sat"}, Blackout: []string{"fri", "sat,sun"}}, 0, 0, `blackout "fri; sat,sun": it covers all of the time that is allowed`},
		{schedule.WindowRule{Blackout: []string{"01-01..12-31"}}, 0, 0, `blackout "01-01..12-31": it covers all of the time that is allowed`},
		{schedule.WindowRule{OnClose: "kill"}, 0, 0, `on_close "kill": unknown choice`},
	}
	for _, test := range tests {
		t.Run(test.want, func(t *testing.T) {
			t.Parallel()
			w, err := schedule.ParseWindow(test.rule)
			var wrong *schedule.ParseError
			if !errors.As(err, &wrong) {
				t.Fatalf("ParseWindow = %s, %v, want a ParseError", w, err)
			}
			if err.Error() != test.want || wrong.Item != test.item || wrong.Offset != test.offset {
				t.Errorf("item %d, offset %d, %s, want item %d, offset %d, %s", wrong.Item, wrong.Offset, err, test.item, test.offset, test.want)
			}
		})
	}
}

// turns returns when a window that is open, or not, at an instant is so no more.
func turns(w schedule.Window, at time.Time, open bool) (time.Time, bool) {
	if open {
		return w.Closes(at)
	}
	return w.Opens(at)
}

// TestWindow_AgreesWithAScanOfEveryMinute compares with a predicate on the
// fields of the wall clock that is asked for every minute.
func TestWindow_AgreesWithAScanOfEveryMinute(t *testing.T) {
	t.Parallel()
	inDays := func(days ...int) func(int) bool { return func(d int) bool { return slices.Contains(days, d) } }
	night := func(c civil, begins func(weekday int) bool) bool {
		return c.hour >= 22 && begins(c.weekday) || c.hour < 5 && begins((c.weekday+6)%7)
	}
	tests := []struct {
		name            string
		allow, blackout []string
		open            func(civil) bool
	}{
		{"Nights", []string{"mon-fri 22:00-05:00"}, nil, func(c civil) bool { return night(c, inDays(1, 2, 3, 4, 5)) }},
		{"SaturdayNight", []string{"sat 22:00-05:00"}, nil, func(c civil) bool { return night(c, inDays(6)) }},
		{"Hours", []string{"01:15-02:45"}, nil, func(c civil) bool {
			return c.hour*60+c.minute >= 75 && c.hour*60+c.minute < 165
		}},
		{"Blackout", nil, []string{"sun 02:00-03:00", "mon-fri 08:00-18:00"}, func(c civil) bool {
			return !(c.weekday == 0 && c.hour == 2) && !(c.weekday >= 1 && c.weekday <= 5 && c.hour >= 8 && c.hour < 18)
		}},
		{"Dates", []string{"22:00-05:00"}, []string{"03-25..04-06"}, func(c civil) bool {
			return night(c, inDays(0, 1, 2, 3, 4, 5, 6)) && !(c.month == 3 && c.day >= 25) && !(c.month == 4 && c.day <= 6)
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(t *rapid.T) {
				zone := location(t, rapid.SampledFrom(zones()).Draw(t, "zone"))
				w := window(t, schedule.WindowRule{Allow: test.allow, Blackout: test.blackout, Zone: zone})
				around, _ := nearChange(t, zone)
				from := around.Truncate(time.Minute).Add(-12 * time.Hour)
				open := test.open(readClock(from.In(zone)))
				next, ok := turns(w, from, open)
				for at := from; at.Before(from.Add(72 * time.Hour)); at = at.Add(time.Minute) {
					is := test.open(readClock(at.In(zone)))
					if w.Open(at) != is {
						t.Fatalf("%s: Open(%s) = %t", w, at.In(zone), !is)
					}
					if is == open {
						continue
					}
					if !ok || !next.Equal(at) {
						t.Fatalf("%s: open %t until %s, want until %s", w, open, next, at)
					}
					open = is
					next, ok = turns(w, at, open)
				}
				if ok && next.Before(from.Add(72*time.Hour)) {
					t.Fatalf("%s: a change at %s that the scan does not see", w, next)
				}
			})
		})
	}
}
