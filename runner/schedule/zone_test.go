package schedule_test

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/runner/schedule"
)

// change is a moment at which a zone takes another offset.
type change struct {
	at     time.Time
	offset time.Duration
}

// madeZone builds a zone that starts with an offset and then changes, in the
// format of RFC 8536, version 1.
func madeZone(t *testing.T, first time.Duration, changes ...change) *time.Location {
	t.Helper()
	var b bytes.Buffer
	put := func(values ...any) {
		for _, v := range values {
			if err := binary.Write(&b, binary.BigEndian, v); err != nil {
				t.Fatalf("write the zone: %v", err)
			}
		}
	}
	types := uint32(len(changes) + 1)
	put([]byte("TZif"), make([]byte, 16))
	put(uint32(0), uint32(0), uint32(0), uint32(len(changes)), types, uint32(4))
	for _, c := range changes {
		put(int32(c.at.Unix()))
	}
	for i := range changes {
		put(uint8(i + 1))
	}
	put(int32(first.Seconds()), uint8(0), uint8(0))
	for _, c := range changes {
		put(int32(c.offset.Seconds()), uint8(0), uint8(0))
	}
	put([]byte("XXX\x00"))
	zone, err := time.LoadLocationFromTZData("Made", b.Bytes())
	if err != nil {
		t.Fatalf("load the made zone: %v", err)
	}
	return zone
}

// TestSchedule_ChangesInQuickSuccession uses zones that no country has had:
// what a stretch shows again was shown by the one before the last.
func TestSchedule_ChangesInQuickSuccession(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 5, 5, 12, 0, 0, 0, time.UTC)
	after := func(d, offset time.Duration) change { return change{noon.Add(d), offset} }
	tests := []struct {
		name  string
		first time.Duration
		then  []change
	}{
		{"BackTwice", 2 * time.Hour, []change{after(0, time.Hour), after(30*time.Minute, 0)}},
		{"BackAndForth", 2 * time.Hour, []change{after(0, 0), after(time.Hour, 2*time.Hour)}},
		{"ForthTwice", 0, []change{after(0, time.Hour), after(10*time.Minute, 2*time.Hour)}},
		{"OddSeconds", 53*time.Minute + 28*time.Second, []change{after(0, time.Hour), after(5*time.Hour, 53*time.Minute+28*time.Second)}},
		{"AcrossTheDateLine", -11 * time.Hour, []change{after(0, 13*time.Hour), after(26*time.Hour, -11*time.Hour)}},
	}
	wishes := []wish{
		{rule: schedule.Rule{Cron: "*/7 10-16 * * *"}, matches: func(c civil) bool {
			return c.second == 0 && c.minute%7 == 0 && c.hour >= 10 && c.hour <= 16
		}},
		{rule: schedule.Rule{Daily: "13:15:20,14:00"}, matches: func(c civil) bool {
			return c.hour == 13 && c.minute == 15 && c.second == 20 || c.hour == 14 && c.minute == 0 && c.second == 0
		}},
		{rule: schedule.Rule{Cron: "20 */11 * * * *"}, running: true, matches: func(c civil) bool {
			return c.second == 20 && c.minute%11 == 0
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			zone := madeZone(t, test.first, test.then...)
			from, to := noon.Add(-6*time.Hour), noon.Add(36*time.Hour)
			moments := walk(zone, from, to, time.Hour, 4*time.Second)
			for _, w := range wishes {
				for _, dst := range []schedule.DST{schedule.DSTOnce, schedule.DSTSkip, schedule.DSTBoth} {
					w.rule.Zone, w.rule.DST = zone, dst
					s := parse(t, w.rule)
					want := scan(w, moments, from)
					if diff := cmp.Diff(want, slots(s, from, to)); diff != "" {
						t.Errorf("%s, %s (-scan +Next):\n%s", s, dst, diff)
					}
					if n := s.Count(from, to); n != int64(len(want)) {
						t.Errorf("%s, %s: Count = %d, want %d", s, dst, n, len(want))
					}
				}
			}
		})
	}
}
