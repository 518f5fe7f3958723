package schedule_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/ghosteam/upkeep/runner/schedule"
)

func TestChanges(t *testing.T) {
	t.Parallel()
	at := func(text string) time.Time {
		instant, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return instant
	}
	tests := []struct {
		zone string
		year int
		want []schedule.Change
	}{
		{"UTC", 2026, nil},
		{"Europe/Berlin", 2026, []schedule.Change{
			{At: at("2026-03-29T01:00:00Z"), Before: time.Hour, After: 2 * time.Hour},
			{At: at("2026-10-25T01:00:00Z"), Before: 2 * time.Hour, After: time.Hour},
		}},
		{"Australia/Lord_Howe", 2026, []schedule.Change{
			{At: at("2026-04-04T15:00:00Z"), Before: 11 * time.Hour, After: 10*time.Hour + 30*time.Minute},
			{At: at("2026-10-03T15:30:00Z"), Before: 10*time.Hour + 30*time.Minute, After: 11 * time.Hour},
		}},
		{"Pacific/Apia", 2011, []schedule.Change{
			{At: at("2011-04-02T14:00:00Z"), Before: -10 * time.Hour, After: -11 * time.Hour},
			{At: at("2011-09-24T14:00:00Z"), Before: -11 * time.Hour, After: -10 * time.Hour},
			{At: at("2011-12-30T10:00:00Z"), Before: -10 * time.Hour, After: 14 * time.Hour},
		}},
		{"Europe/Berlin", 2044, []schedule.Change{ // beyond the table of changes, a leap year
			{At: at("2044-03-27T01:00:00Z"), Before: time.Hour, After: 2 * time.Hour},
			{At: at("2044-10-30T01:00:00Z"), Before: 2 * time.Hour, After: time.Hour},
		}},
	}
	for _, test := range tests {
		t.Run(test.zone, func(t *testing.T) {
			t.Parallel()
			from := time.Date(test.year, 1, 1, 0, 0, 0, 0, time.UTC)
			got := schedule.Changes(location(t, test.zone), from, from.AddDate(1, 0, 0))
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	if got := schedule.Changes(nil, time.Time{}, time.Unix(0, 0)); got != nil {
		t.Errorf("changes of no zone: %v", got)
	}
}

// TestChanges_AgreeWithAScan asks the zone every quarter of an hour, and every
// second of a quarter in which its offset changed; bounds of the interval are
// changes themselves now and then.
func TestChanges_AgreeWithAScan(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		zone := location(t, rapid.SampledFrom(zones()).Draw(t, "zone"))
		after, _ := nearChange(t, zone)
		after = after.Truncate(15 * time.Minute)
		through := after.Add(time.Duration(rapid.IntRange(0, 300*96).Draw(t, "quarters")) * 15 * time.Minute)
		var want []schedule.Change
		for at := after.Add(15 * time.Minute); !at.After(through); at = at.Add(15 * time.Minute) {
			if offset(zone, at.Add(-15*time.Minute)) == offset(zone, at) {
				continue
			}
			for second := at.Add(-15*time.Minute + time.Second); !second.After(at); second = second.Add(time.Second) {
				if before, now := offset(zone, second.Add(-time.Second)), offset(zone, second); before != now {
					want = append(want, schedule.Change{At: second.UTC(), Before: before, After: now})
				}
			}
		}
		if diff := cmp.Diff(want, schedule.Changes(zone, after, through)); diff != "" {
			t.Fatalf("%s (%s, %s] (-scan +Changes):\n%s", zone, after, through, diff)
		}
	})
}

func offset(zone *time.Location, at time.Time) time.Duration {
	_, seconds := at.In(zone).Zone()
	return time.Duration(seconds) * time.Second
}
