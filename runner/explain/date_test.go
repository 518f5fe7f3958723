package explain_test

import (
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // the tests do not depend on the system's zones

	"pgregory.net/rapid"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner/explain"
)

func location(t rapid.TB, name string) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation(name)
	if err != nil {
		t.Fatalf("load zone %s: %v", name, err)
	}
	return zone
}

func TestParseDate(t *testing.T) {
	t.Parallel()
	// Monday in Berlin, still Sunday in New York.
	now := time.Date(2026, 11, 23, 1, 15, 0, 0, time.UTC)
	tests := []struct {
		text, zone  string
		from, until string // RFC 3339, UTC
	}{
		{"2026-11-20", "Europe/Berlin", "2026-11-19T23:00:00Z", "2026-11-20T23:00:00Z"},
		{" 2026-11-20 ", "UTC", "2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z"},
		{"today", "Europe/Berlin", "2026-11-22T23:00:00Z", "2026-11-23T23:00:00Z"},
		{"today", "America/New_York", "2026-11-22T05:00:00Z", "2026-11-23T05:00:00Z"},
		{"Yesterday", "Europe/Berlin", "2026-11-21T23:00:00Z", "2026-11-22T23:00:00Z"},
		{"tomorrow", "UTC", "2026-11-24T00:00:00Z", "2026-11-25T00:00:00Z"},
		{"mon", "UTC", "2026-11-23T00:00:00Z", "2026-11-24T00:00:00Z"},
		{"Tuesday", "UTC", "2026-11-17T00:00:00Z", "2026-11-18T00:00:00Z"},
		{"Thu 02:30", "UTC", "2026-11-19T02:30:00Z", "2026-11-19T02:31:00Z"},
		{"11-23", "UTC", "2026-11-23T00:00:00Z", "2026-11-24T00:00:00Z"},
		{"12-24", "UTC", "2025-12-24T00:00:00Z", "2025-12-25T00:00:00Z"},
		{"02-29", "UTC", "2024-02-29T00:00:00Z", "2024-03-01T00:00:00Z"},
		{"02:30", "UTC", "2026-11-23T02:30:00Z", "2026-11-23T02:31:00Z"},
		{"yesterday 02:30:15", "UTC", "2026-11-22T02:30:15Z", "2026-11-22T02:30:16Z"},
		{"2026-11-20T02:30", "Europe/Berlin", "2026-11-20T01:30:00Z", "2026-11-20T01:31:00Z"},
		{"2026-11-20 2:30", "Europe/Berlin", "2026-11-20T01:30:00Z", "2026-11-20T01:31:00Z"},
		{"2026-11-20T02:30:00Z", "Europe/Berlin", "2026-11-20T02:30:00Z", "2026-11-20T02:31:00Z"},
		{"2026-11-20T02:30:07+01:00", "UTC", "2026-11-20T01:30:07Z", "2026-11-20T01:30:08Z"},
		{"2026-11-20 02:30Z", "UTC", "2026-11-20T02:30:00Z", "2026-11-20T02:31:00Z"},

		// Days of 23 and 25 hours, of 23.5 and 24.5 on Lord Howe.
		{"2026-03-29", "Europe/Berlin", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"},
		{"2026-10-25", "Europe/Berlin", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"},
		{"2026-10-04", "Australia/Lord_Howe", "2026-10-03T13:30:00Z", "2026-10-04T13:00:00Z"},
		{"2026-04-05", "Australia/Lord_Howe", "2026-04-04T13:00:00Z", "2026-04-05T13:30:00Z"},
		// Midnight that does not exist, and one that occurs twice.
		{"2018-11-04", "America/Sao_Paulo", "2018-11-04T03:00:00Z", "2018-11-05T02:00:00Z"},
		{"2018-02-17", "America/Sao_Paulo", "2018-02-17T02:00:00Z", "2018-02-18T03:00:00Z"},
		// Times in a gap mean what follows it; doubled ones both passes.
		{"2026-03-29 02:30", "Europe/Berlin", "2026-03-29T01:00:00Z", "2026-03-29T01:01:00Z"},
		{"2026-03-29 02:00", "Europe/Berlin", "2026-03-29T01:00:00Z", "2026-03-29T01:01:00Z"},
		{"2026-03-29 01:59", "Europe/Berlin", "2026-03-29T00:59:00Z", "2026-03-29T01:00:00Z"},
		{"2026-03-29 03:00", "Europe/Berlin", "2026-03-29T01:00:00Z", "2026-03-29T01:01:00Z"},
		{"2026-10-25 02:30", "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-25T01:31:00Z"},
		{"2026-10-25 03:00", "Europe/Berlin", "2026-10-25T02:00:00Z", "2026-10-25T02:01:00Z"},
	}
	for _, test := range tests {
		t.Run(test.text+" "+test.zone, func(t *testing.T) {
			t.Parallel()
			from, until, err := explain.ParseDate(test.text, location(t, test.zone), now)
			if err != nil {
				t.Fatal(err)
			}
			if got := from.UTC().Format(time.RFC3339); got != test.from {
				t.Errorf("from %s, want %s", got, test.from)
			}
			if got := until.UTC().Format(time.RFC3339); got != test.until {
				t.Errorf("until %s, want %s", got, test.until)
			}
			if from.Location().String() != test.zone || until.Location().String() != test.zone {
				t.Errorf("in %s and %s", from.Location(), until.Location())
			}
		})
	}
}

func TestParseDate_Refuses(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	tests := []struct{ text, zone, want string }{
		{"", "UTC", "no date is given"},
		{"   ", "UTC", "no date is given"},
		{"never", "UTC", `"never" is not a date`},
		{"mo", "UTC", `"mo" is not a date`},
		{"2026-02-29", "UTC", `"2026-02-29" does not exist: February 2026 has 28 days`},
		{"2026-04-31 02:30", "UTC", `"2026-04-31" does not exist: April 2026 has 30 days`},
		{"2026-13-01", "UTC", `"2026-13-01" does not exist: there is no month 13`},
		{"29.3.2026", "UTC", `"29.3.2026" is not understood; do you mean 2026-03-29?`},
		{"29/03/2026", "UTC", `"29/03/2026" is not understood; do you mean 2026-03-29?`},
		{"20260329", "UTC", `"20260329" is not understood; do you mean 2026-03-29?`},
		{"2026-03-29 25:00", "UTC", `"25:00" is not a time of day`},
		{"2026-03-29 02:30:15.5", "UTC", `"02:30:15.5" is not a time of day`},
		{"today tomorrow 02:30", "UTC", `"tomorrow 02:30" is not a time of day`},
		{"0000-01-01", "UTC", "the year 0000 is out of range"},
		{"0000-01-01T00:00:00Z", "UTC", "the year 0 is out of range"},
		{"2011-12-30", "Pacific/Apia", "2011-12-30 does not exist in Pacific/Apia: a clock change left it out"},
		{strings.Repeat("2", 65), "UTC", "the date is longer than 64 bytes"},
	}
	for _, test := range tests {
		t.Run(test.text, func(t *testing.T) {
			t.Parallel()
			from, until, err := explain.ParseDate(test.text, location(t, test.zone), now)
			if err == nil {
				t.Fatalf("understood as %s to %s", from, until)
			}
			if err.Error() != test.want {
				t.Errorf("error %q, want %q", err, test.want)
			}
			if !strings.Contains(jobs.HintOf(err), "2026-03-29 02:30") {
				t.Errorf("hint %q", jobs.HintOf(err))
			}
		})
	}
}

// TestParseDate_DaysHoldWhatTheClockShows asks the clock itself at every
// minute near a day's ends.
func TestParseDate_DaysHoldWhatTheClockShows(t *testing.T) {
	t.Parallel()
	zones := []string{
		"Europe/Berlin", "America/New_York", "Australia/Sydney", "Australia/Lord_Howe", "America/Sao_Paulo", "America/St_Johns",
		"Pacific/Apia", "America/Havana", "Asia/Kathmandu", "UTC",
	}
	short, long := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		zone := location(t, rapid.SampledFrom(zones).Draw(t, "zone"))
		day := time.Date(rapid.IntRange(1975, 2045).Draw(t, "year"), 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, rapid.IntRange(0, 365).Draw(t, "day"))
		if changes := changesOf(zone, day.Year()); len(changes) > 0 && rapid.Bool().Draw(t, "at a change") {
			local := rapid.SampledFrom(changes).Draw(t, "change").In(zone)
			day = time.Date(local.Year(), local.Month(), local.Day(), 0, 0, 0, 0, time.UTC)
		}
		date := day.Format(time.DateOnly)
		var first, last time.Time
		for at := day.Add(-30 * time.Hour); at.Before(day.Add(60 * time.Hour)); at = at.Add(time.Minute) {
			if at.In(zone).Format(time.DateOnly) == date {
				if first.IsZero() {
					first = at
				}
				last = at.Add(time.Minute)
			}
		}
		from, until, err := explain.ParseDate(date, zone, day)
		if first.IsZero() {
			if err == nil {
				t.Fatalf("%s in %s: from %s, but no minute shows it", date, zone, from)
			}
			return
		}
		if err != nil || !from.Equal(first) || !until.Equal(last) {
			t.Fatalf("%s in %s: [%s, %s) %v, the clock says [%s, %s)", date, zone, from, until, err, first, last)
		}
		switch length := until.Sub(from); {
		case length < 24*time.Hour:
			short++
		case length > 24*time.Hour:
			long++
		}
	})
	if short == 0 || long == 0 {
		t.Errorf("the samples hold %d short and %d long days", short, long)
	}
}

// changesOf finds the hours of a year in which the offset of a zone changes.
func changesOf(zone *time.Location, year int) []time.Time {
	var found []time.Time
	for at := time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC); at.Year() == year; at = at.Add(time.Hour) {
		_, before := at.Add(-time.Hour).In(zone).Zone()
		if _, offset := at.In(zone).Zone(); offset != before {
			found = append(found, at)
		}
	}
	return found
}

func FuzzParseDate(f *testing.F) {
	for _, text := range []string{
		"2026-03-29", "today", "yesterday 02:30", "2026-03-29 02:30:15", "2026-03-29T00:30:00Z", "sun", "03-29", "02:30", "2011-12-30", "T:", "0000-01-01",
		"9999-12-31", "29.3.2026", "2026-02-30", "9999-12-31 23:59", "12:00 today",
	} {
		f.Add(text, uint8(0))
		f.Add(text, uint8(1))
	}
	zones := []string{"Europe/Berlin", "Pacific/Apia", "Australia/Lord_Howe", "UTC"}
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text string, zone uint8) {
		from, until, err := explain.ParseDate(text, location(t, zones[int(zone)%len(zones)]), now)
		if err != nil {
			if jobs.HintOf(err) == "" {
				t.Errorf("%q: no hint with %v", text, err)
			}
			return
		}
		if length := until.Sub(from); length <= 0 || length > 49*time.Hour {
			t.Errorf("%q: from %s to %s", text, from, until)
		}
		if from.Year() < 0 || until.Year() > 10000 {
			t.Errorf("%q: from %s to %s", text, from, until)
		}
	})
}
