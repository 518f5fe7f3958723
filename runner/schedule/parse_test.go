package schedule_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/runner/schedule"
)

func TestParse_Refuses(t *testing.T) {
	t.Parallel()
	daily := func(text string) schedule.Rule { return schedule.Rule{Daily: text} }
	weekly := func(text string) schedule.Rule { return schedule.Rule{Weekly: text} }
	monthly := func(text string) schedule.Rule { return schedule.Rule{Monthly: text} }
	cron := func(text string) schedule.Rule { return schedule.Rule{Cron: text} }
	berlin := location(t, "Europe/Berlin")
	tests := []struct {
		rule   schedule.Rule
		offset int
		want   string // the whole message
		hint   string // part of the hint
	}{
		{schedule.Rule{}, 0, "schedule: no schedule is given", `daily: "02:30"`},
		{schedule.Rule{Daily: "02:30", Every: time.Hour}, 0, "schedule: daily and every are both given", "one workflow has one schedule"},
		{schedule.Rule{Daily: "02:30", DST: "twice"}, 0, `dst "twice": unknown policy for clock changes`, "once, skip or both"},

		{daily(" "), 1, `daily " ": the time of day is missing`, `"02:30"`},
		{daily("24:00"), 0, `daily "24:00": 24:00 is not a time of day`, "00:00 of the next day"},
		{daily("02:30,25:00"), 6, `daily "02:30,25:00": 25 is not a value for the hour (0-23)`, "24 hours"},
		{daily("02:60"), 3, `daily "02:60": 60 is not a value for the minute (0-59)`, ""},
		{daily("02:30:61"), 6, `daily "02:30:61": 61 is not a value for the second (0-59)`, ""},
		{daily("2:5"), 2, `daily "2:5": "2:5" is not a time of day`, "such as 02:30"},
		{daily("3am"), 0, `daily "3am": "3am" is not a time of day`, "such as 02:30"},
		{daily("9000"), 0, `daily "9000": "9000" is not a time of day`, "such as 02:30"},
		{daily("-1:00"), 0, `daily "-1:00": "-1:00" is not a time of day`, ""},
		{daily("02:30 03:30"), 6, `daily "02:30 03:30": a second time without a comma`, "comma"},
		{daily("02:30,"), 5, `daily "02:30,": a comma without something after it`, ""},
		{daily(",02:30"), 0, `daily ",02:30": a comma without something before it`, ""},
		{daily("02:30,,03:30"), 6, `daily "02:30,,03:30": a comma without something before it`, ""},

		{weekly("03:30"), 0, `weekly "03:30": the day is missing`, `"sun 03:30"`},
		{weekly("sun"), 3, `weekly "sun": the time of day is missing`, `"sun 03:30"`},
		{weekly("snu 03:30"), 0, `weekly "snu 03:30": "snu" is not a day of the week`, "mon tue wed"},
		{weekly("mon,0 03:30"), 4, `weekly "mon,0 03:30": "0" is not a day of the week`, ""},
		{weekly("su 03:30"), 0, `weekly "su 03:30": "su" is not a day of the week`, ""},
		{weekly("mon- 03:30"), 4, `weekly "mon- 03:30": a day is missing`, ""},
		{weekly("mon thu 03:30"), 4, `weekly "mon thu 03:30": "thu" after a day`, "comma"},
		{weekly("mon,03:30"), 4, `weekly "mon,03:30": a time in the list of days`, "blank"},
		{weekly("mon 03:30 thu"), 10, `weekly "mon 03:30 thu": "thu" is not a time of day`, ""},

		{monthly("0 04:30"), 0, `monthly "0 04:30": "0" is not a day of the month`, "1 to 31"},
		{monthly("32 04:30"), 0, `monthly "32 04:30": "32" is not a day of the month`, ""},
		{monthly("1,-32 04:30"), 2, `monthly "1,-32 04:30": "-32" is not a day of the month`, "-1 for the last"},
		{monthly("1-40 04:30"), 2, `monthly "1-40 04:30": "40" is not a day of the month`, ""},
		{monthly("9-7 04:30"), 0, `monthly "9-7 04:30": the range 9-7 runs backward`, "smaller day first"},
		{monthly("1 15 04:30"), 2, `monthly "1 15 04:30": "15" after a day`, "comma"},
		{monthly("last 04:30"), 4, `monthly "last 04:30": "last" needs a day of the week`, "the last day is -1"},
		{monthly("last, fri 04:30"), 4, `monthly "last, fri 04:30": "last" needs a day of the week`, ""},
		{monthly("second day 04:30"), 7, `monthly "second day 04:30": "day" is not a day of the week`, ""},
		{monthly("fri 04:30"), 0, `monthly "fri 04:30": "fri" is not a day of the month`, ""},

		{schedule.Rule{Every: -time.Minute}, 0, `every "-1m": an interval cannot be negative`, ""},
		{schedule.Rule{Every: 500 * time.Millisecond}, 0, `every "500ms": 500ms is too short`, "1s"},
		{schedule.Rule{Every: 90500 * time.Millisecond}, 0, `every "1m30.5s": 1m30.5s is not a whole number of seconds`, "1m30s or 1m31s"},
		{schedule.Rule{Every: 4000 * 24 * time.Hour}, 0, `every "4000d": 4000d is longer than ten years`, "cron"},

		{cron("\t"), 0, `cron "\t": 0 fields, 5 or 6 are needed`, "minute hour"},
		{cron("* * * *"), 7, `cron "* * * *": 4 fields, 5 or 6 are needed`, "six with seconds first"},
		{cron("0 0 1 1 * * 2026"), 12, `cron "0 0 1 1 * * 2026": a seventh field (years) is not known`, ""},
		{cron("0 0 1 1 * * 1 2"), 12, `cron "0 0 1 1 * * 1 2": 8 fields, 5 or 6 are needed`, ""},
		{cron("60 * * * *"), 0, `cron "60 * * * *": 60 is not a value for the minute (0-59)`, ""},
		{cron("0 24 * * *"), 2, `cron "0 24 * * *": 24 is not a value for the hour (0-23)`, ""},
		{cron("0 0 0 * *"), 4, `cron "0 0 0 * *": 0 is not a value for the day of the month (1-31)`, "-1 for the last day"},
		{cron("0 0 * 13 *"), 6, `cron "0 0 * 13 *": 13 is not a value for the month (1-12)`, "jan feb"},
		{cron("0 0 * * 8"), 8, `cron "0 0 * * 8": 8 is not a value for the day of the week (0-7)`, "Sunday as 0 and 7"},
		{cron("0 0 * * mon,xyz"), 12, `cron "0 0 * * mon,xyz": "xyz" is not a value for the day of the week`, "mon tue"},
		{cron("0 0 * foo *"), 6, `cron "0 0 * foo *": "foo" is not a value for the month`, "jan feb"},
		{cron("60 * * * * *"), 0, `cron "60 * * * * *": 60 is not a value for the second (0-59)`, ""},
		{cron("5-1 * * * *"), 0, `cron "5-1 * * * *": the range 5-1 runs backward`, "5-59,0-1"},
		{cron("0 22-2 * * *"), 2, `cron "0 22-2 * * *": the range 22-2 runs backward`, "22-23,0-2"},
		{cron("1- * * * *"), 2, `cron "1- * * * *": a value for the minute is missing`, ""},
		{cron("*/0 * * * *"), 2, `cron "*/0 * * * *": "0" is not a step`, "at least 1"},
		{cron("*/x * * * *"), 2, `cron "*/x * * * *": "x" is not a step`, ""},
		{cron("*/90 * * * *"), 2, `cron "*/90 * * * *": a step of 90 leaves the minute field (0-59) after its first value`, "every:"},
		{cron("0 */24 * * *"), 4, `cron "0 */24 * * *": a step of 24 leaves the hour field (0-23) after its first value`, "write 0 alone"},
		{cron("1,,2 * * * *"), 2, `cron "1,,2 * * * *": an empty place in the list of the minute field`, ""},
		{cron("0 0 1,, * *"), 6, `cron "0 0 1,, * *": an empty place in the list of the day of the month field`, ""},
		{cron("0 0 * * 1,"), 10, `cron "0 0 * * 1,": an empty place in the list of the day of the week field`, ""},
		{cron("? * * * *"), 0, `cron "? * * * *": "?" is not a value for the minute`, ""},
		{cron("H 3 * * *"), 0, `cron "H 3 * * *": "H" is not a value for the minute`, "jitter:"},
		{cron("0~30 3 * * *"), 0, `cron "0~30 3 * * *": "0~30" is not a value for the minute`, "jitter:"},
		{cron("0 3 15W * *"), 4, `cron "0 3 15W * *": "15W" is not a value for the day of the month`, "nearest weekday"},
		{cron("0 3 -32 * *"), 4, `cron "0 3 -32 * *": "-32" is not a day of the month`, ""},
		{cron("0 3 * * mon#6"), 12, `cron "0 3 * * mon#6": "6" is not 1 to 5`, "friL"},
		{cron("0 3 * * xyz#1"), 8, `cron "0 3 * * xyz#1": "xyz" is not a value for the day of the week`, ""},
		{cron("0 3 * * xL"), 8, `cron "0 3 * * xL": "x" is not a value for the day of the week`, ""},
		{cron("1234567890 * * * *"), 0, `cron "1234567890 * * * *": "1234567890" is not a value for the minute`, ""},
		{cron("TZ=UTC 0 3 * * *"), 0, `cron "TZ=UTC 0 3 * * *": a zone does not belong into the line`, "timezone:"},
		{cron("CRON_TZ=UTC 0 3 * * *"), 0, `cron "CRON_TZ=UTC 0 3 * * *": a zone does not belong into the line`, ""},
		{cron("@every 5m"), 0, `cron "@every 5m": @every is not a cron line`, "every: 5m"},
		{cron(" @reboot"), 1, `cron " @reboot": @reboot is not a time`, ""},
		{cron("@fortnightly"), 0, `cron "@fortnightly": unknown macro "@fortnightly"`, "@daily"},
		{cron("@daily 1"), 7, `cron "@daily 1": @daily stands alone`, ""},

		{cron("0 0 30 2 *"), 4, `cron "0 0 30 2 *": it can never fire: no date matches`, "no month it names"},
		{cron("0 0 0 31 4,6,9,11 *"), 6, `cron "0 0 0 31 4,6,9,11 *": it can never fire: no date matches`, ""},
		{cron("0 0 -31 feb *"), 4, `cron "0 0 -31 feb *": it can never fire: no date matches`, ""},
		{
			schedule.Rule{Cron: "30 2 * 3 sunL", Zone: berlin, DST: schedule.DSTSkip},
			0,
			`cron "30 2 * 3 sunL": it can never fire: each of its times falls into a clock change, which dst: skip leaves out`, "dst: once",
		},
	}
	for _, test := range tests {
		t.Run(test.want, func(t *testing.T) {
			t.Parallel()
			s, err := schedule.Parse(test.rule)
			var wrong *schedule.ParseError
			if !errors.As(err, &wrong) {
				t.Fatalf("Parse = %s, %v, want a ParseError", s, err)
			}
			if err.Error() != test.want {
				t.Errorf("message\n got %s\nwant %s", err, test.want)
			}
			if wrong.Offset != test.offset {
				t.Errorf("offset %d, want %d", wrong.Offset, test.offset)
			}
			if !strings.Contains(wrong.Hint, test.hint) {
				t.Errorf("hint %q, want it to contain %q", wrong.Hint, test.hint)
			}
		})
	}
}

func TestParse_TooLong(t *testing.T) {
	t.Parallel()
	_, err := schedule.Parse(schedule.Rule{Cron: strings.Repeat("1,", 600) + "1 * * * *"})
	var wrong *schedule.ParseError
	if !errors.As(err, &wrong) || !strings.Contains(wrong.Why, "longer than 1024 bytes") {
		t.Errorf("Parse: %v, want it to refuse the length", err)
	}
}

func TestSchedule_Describe(t *testing.T) {
	t.Parallel()
	berlin := location(t, "Europe/Berlin")
	tests := []struct {
		rule   schedule.Rule
		text   string // String
		saying string // Describe
	}{
		{schedule.Rule{Daily: "2:30"}, `daily "2:30" UTC`, "every day at 02:30 UTC"},
		{schedule.Rule{Daily: "14:30:15, 02:30", Zone: berlin}, `daily "14:30:15,02:30" Europe/Berlin`, "every day at 02:30 and 14:30:15 Europe/Berlin"},
		{schedule.Rule{Daily: "23:59:59", DST: schedule.DSTBoth}, `daily "23:59:59" UTC`, "every day at 23:59:59 UTC (clock changes: both)"},
		{schedule.Rule{Weekly: "MON, thursday 03:30"}, `weekly "mon,thursday 03:30" UTC`, "every Monday and Thursday at 03:30 UTC"},
		{schedule.Rule{Weekly: "sat-mon 03:30"}, `weekly "sat-mon 03:30" UTC`, "every Monday, Saturday and Sunday at 03:30 UTC"},
		{schedule.Rule{Monthly: "1,15,-1 04:30"}, `monthly "1,15,-1 04:30" UTC`, "on the 1st, 15th and last day of every month at 04:30 UTC"},
		{schedule.Rule{Monthly: "-2,last fri 04:30"}, `monthly "-2,last fri 04:30" UTC`, "on the 2nd day from the end and on the last Friday of every month at 04:30 UTC"},
		{schedule.Rule{Monthly: "8-14 04:30"}, `monthly "8-14 04:30" UTC`, "on the 8th-14th of every month at 04:30 UTC"},
		{schedule.Rule{Every: time.Minute}, "every 1m", "every minute"},
		{schedule.Rule{Every: 36 * time.Hour}, "every 36h", "every 36 hours"},
		{schedule.Rule{Every: 7 * 24 * time.Hour}, "every 7d", "every 7 days"},
		{schedule.Rule{Cron: "10  3 * * 1-5"}, `cron "10 3 * * 1-5" UTC`, "every Monday to Friday at 03:10 UTC"},
		{schedule.Rule{Cron: "@hourly"}, `cron "0 * * * *" UTC`, "at minute 0 of every hour UTC"},
		{schedule.Rule{Cron: "@yearly"}, `cron "0 0 1 1 *" UTC`, "on the 1st of January at 00:00 UTC"},
		{schedule.Rule{Cron: "*/15 * * * *"}, `cron "*/15 * * * *" UTC`, "every 15 minutes UTC"},
		{schedule.Rule{Cron: "* * * * * *"}, `cron "* * * * * *" UTC`, "every second UTC"},
		{schedule.Rule{Cron: "*/10 5 * * * *"}, `cron "*/10 5 * * * *" UTC`, "every 10 seconds of minute 5 of every hour UTC"},
		{schedule.Rule{Cron: "*/7 1-5 * * *"}, `cron "*/7 1-5 * * *" UTC`, "at minutes 0-56 in steps of 7 of hours 1-5 UTC"},
		{schedule.Rule{Cron: "5,35 * * jan-mar *"}, `cron "5,35 * * jan-mar *" UTC`, "every day in January to March at minutes 5 and 35 of every hour UTC"},
		{schedule.Rule{Cron: "0 4 1 * mon"}, `cron "0 4 1 * mon" UTC`, "on the 1st of every month and every Monday at 04:00 UTC"},
		{schedule.Rule{Cron: "0 4 */2 * mon"}, `cron "0 4 */2 * mon" UTC`, "on the 1st-31st in steps of 2 of every month if it is Monday at 04:00 UTC"},
		{schedule.Rule{Cron: "0 4 ? 2,8 tue#2,friL"}, `cron "0 4 ? 2,8 tue#2,fril" UTC`, "on the second Tuesday and the last Friday of February and August at 04:00 UTC"},
		{schedule.Rule{Cron: "0 4 * 6 wed"}, `cron "0 4 * 6 wed" UTC`, "every Wednesday in June at 04:00 UTC"},
	}
	for _, test := range tests {
		t.Run(test.text, func(t *testing.T) {
			t.Parallel()
			s := parse(t, test.rule)
			if diff := cmp.Diff([]string{test.text, test.saying}, []string{s.String(), s.Describe()}); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestParse_Synonyms lists texts that mean the same.
func TestParse_Synonyms(t *testing.T) {
	t.Parallel()
	tests := [][]string{
		{"@yearly", "@annually", "0 0 1 1 *", "0 0 0 1 jan ?", "00 00 01 January *"},
		{"@weekly", "0 0 * * 0", "0 0 * * 7", "0 0 * * SUN", "0 0 ? * sunday"},
		{"@daily", "@midnight", "@Daily", "0 0 * * *", "0 0 */1 * *", "0 0 * 1-12 0-6"},
		{"0 4 -1 * *", "0 4 L * *", "0 4 l * ?"},
		{"5/15 * * * *", "5-59/15 * * * *", "5,20,35,50 * * * *"},
		{"0 0 * * fri-mon", "0 0 * * 5-1", "0 0 * * 5,6,7,1", "0 0 * * 0,1,5-6"},
		{"0 0 * * sat-sun", "0 0 * * 6-7", "0 0 * * 6-0", "0 0 * * 0,6"},
		{"0 0 * * fri#2", "0 0 * * 5#2"},
		{"0 0 * * sunL", "0 0 * * 7L", "0 0 * * 0l"},
		{"0 0 * * tues,thurs", "0 0 * * tue,thu", "0 0 * * 2,4"},
	}
	from := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, texts := range tests {
		t.Run(texts[0], func(t *testing.T) {
			t.Parallel()
			want := slots(parse(t, schedule.Rule{Cron: texts[0]}), from, from.AddDate(3, 0, 0))
			for _, text := range texts[1:] {
				s := parse(t, schedule.Rule{Cron: text})
				if diff := cmp.Diff(want, slots(s, from, from.AddDate(3, 0, 0))); diff != "" {
					t.Errorf("%q differs from %q:\n%s", text, texts[0], diff)
				}
			}
		})
	}
}

func TestSchedule_Equal(t *testing.T) {
	t.Parallel()
	berlin := location(t, "Europe/Berlin")
	a := parse(t, schedule.Rule{Weekly: "mon,  thu 03:30", Zone: berlin})
	same := parse(t, schedule.Rule{Weekly: "MON,thu 03:30", Zone: location(t, "Europe/Berlin"), DST: schedule.DSTOnce})
	if !a.Equal(same) || !cmp.Equal(a, same) {
		t.Errorf("%s and %s differ", a, same)
	}
	others := []schedule.Schedule{
		{},
		parse(t, schedule.Rule{Weekly: "mon,thu 03:30"}),
		parse(t, schedule.Rule{Weekly: "mon,thu 03:30", Zone: berlin, DST: schedule.DSTSkip}),
		parse(t, schedule.Rule{Weekly: "mon,thu 03:31", Zone: berlin}),
	}
	for _, other := range others {
		if a.Equal(other) || other.Equal(a) {
			t.Errorf("%s and %s are equal", a, other)
		}
	}
	if !(schedule.Schedule{}).Equal(schedule.Schedule{}) {
		t.Error("the zero Schedule differs from itself")
	}
}
