package schedule_test

import (
	"fmt"
	"slices"
	"testing"
	"time"
	_ "time/tzdata" // the tests do not depend on the system's zones

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/ghosteam/upkeep/runner/schedule"
)

// The oracle decides by looking at every single minute (or second) of the wall
// clock. It shares no code with the package: rules are drawn as a text for the
// package and a predicate for the oracle.

// civil is one reading of a wall clock.
type civil struct {
	year, month, day, hour, minute, second, weekday int
}

func readClock(t time.Time) civil {
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	return civil{year, int(month), day, hour, minute, second, int(t.Weekday())}
}

// wish is a rule as the oracle understands it.
type wish struct {
	rule    schedule.Rule
	matches func(civil) bool
	// running is true when all 24 hours match, so that clock changes are followed.
	running bool
}

// moment is one minute (or second) as the wall clock of a zone showed it.
type moment struct {
	at      time.Time
	reading civil
	again   bool    // the same reading was shown before
	lost    []civil // readings that were left out just before it
}

// walk reads the wall clock at every step from lead before from up to to.
func walk(zone *time.Location, from, to time.Time, lead, step time.Duration) []moment {
	var moments []moment
	seen := map[int64]bool{}
	var ahead time.Time // the furthest reading so far, written as a UTC time
	for t := from.Add(-lead).Truncate(step); !t.After(to); t = t.Add(step) {
		m := moment{at: t.UTC(), reading: readClock(t.In(zone))}
		r := m.reading
		written := time.Date(r.year, time.Month(r.month), r.day, r.hour, r.minute, r.second, 0, time.UTC)
		m.again = seen[written.Unix()]
		seen[written.Unix()] = true
		if !ahead.IsZero() {
			for lost := ahead.Add(step); lost.Before(written); lost = lost.Add(step) {
				m.lost = append(m.lost, readClock(lost))
			}
		}
		if written.After(ahead) {
			ahead = written
		}
		moments = append(moments, m)
	}
	return moments
}

// scan returns the slots after from among moments that were walked.
func scan(w wish, moments []moment, from time.Time) []time.Time {
	var slots []time.Time
	for _, m := range moments {
		due := w.matches(m.reading) && (!m.again || w.rule.DST == schedule.DSTBoth || w.running)
		if w.rule.DST != schedule.DSTSkip && !w.running {
			due = due || slices.ContainsFunc(m.lost, w.matches)
		}
		if due && m.at.After(from) {
			slots = append(slots, m.at)
		}
	}
	return slots
}

func location(t rapid.TB, name string) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation(name)
	if err != nil {
		t.Fatalf("load zone %s: %v", name, err)
	}
	return zone
}

func parse(t rapid.TB, rule schedule.Rule) schedule.Schedule {
	t.Helper()
	s, err := schedule.Parse(rule)
	if err != nil {
		t.Fatalf("Parse(%+v): %v", rule, err)
	}
	return s
}

func slots(s schedule.Schedule, after, through time.Time) []time.Time {
	return slices.Collect(s.Slots(after, through))
}

func zones() []string {
	return []string{
		"Europe/Berlin", "America/New_York", "Australia/Sydney", "Australia/Lord_Howe", "America/Sao_Paulo",
		"Europe/Dublin", "America/St_Johns", "Antarctica/Troll", "Africa/Casablanca", "Asia/Pyongyang", "Asia/Kathmandu",
		"Pacific/Apia", "America/Caracas", "Asia/Gaza", "UTC",
	}
}

// nearChange draws an instant, most often within hours of a clock change, and
// returns the wall clock at that change.
func nearChange(t *rapid.T, zone *time.Location) (time.Time, civil) {
	at := time.Date(rapid.IntRange(1972, 2047).Draw(t, "year"), 1, 1, 0, 0, 0, 0, time.UTC).
		Add(time.Duration(rapid.IntRange(0, 365*24).Draw(t, "hour")) * time.Hour)
	if rapid.IntRange(0, 9).Draw(t, "anywhere") == 7 {
		return at, readClock(at.In(zone))
	}
	back := rapid.Bool().Draw(t, "set back")
	_, before := at.In(zone).Zone()
	for range 400 * 24 {
		at = at.Add(time.Hour)
		_, offset := at.In(zone).Zone()
		changed := offset > before
		if back {
			changed = offset < before
		}
		before = offset
		if changed {
			near := readClock(at.In(zone).Add(-time.Hour))
			return at.Add(time.Duration(rapid.IntRange(-90, 90).Draw(t, "minutes")) * time.Minute), near
		}
	}
	return at, readClock(at.In(zone))
}

func drawDST(t *rapid.T) schedule.DST {
	return rapid.SampledFrom([]schedule.DST{schedule.DSTOnce, schedule.DSTSkip, schedule.DSTBoth}).Draw(t, "dst")
}

// field draws one plain cron field: its text and which values it wants, most
// often near among them.
func field(t *rapid.T, name string, lo, hi, near int) (text string, wants func(int) bool, starred bool) {
	clamp := func(v int) int { return min(max(v, lo), hi) }
	switch rapid.IntRange(0, 8).Draw(t, name+" form") {
	case 0, 1, 2:
		return "*", func(int) bool { return true }, true
	case 3:
		step := rapid.IntRange(1, (hi-lo)/2).Draw(t, name+" step")
		return fmt.Sprintf("*/%d", step), func(v int) bool { return (v-lo)%step == 0 }, true
	case 4:
		a := rapid.IntRange(lo, clamp(near)).Draw(t, name+" from")
		b := rapid.IntRange(clamp(near), hi).Draw(t, name+" to")
		return fmt.Sprintf("%d-%d", a, b), func(v int) bool { return a <= v && v <= b }, false
	case 5, 6:
		list := rapid.SliceOfN(rapid.IntRange(lo, hi), 0, 3).Draw(t, name+" list")
		list = append(list, clamp(near))
		for i, v := range list {
			if i > 0 {
				text += ","
			}
			text += fmt.Sprint(v)
		}
		return text, func(v int) bool { return slices.Contains(list, v) }, false
	case 7:
		return fmt.Sprint(clamp(near)), func(v int) bool { return v == clamp(near) }, false
	default:
		a := rapid.IntRange(lo, hi).Draw(t, name)
		return fmt.Sprint(a), func(v int) bool { return v == a }, false
	}
}

func lastDay(year, month int) int {
	return time.Date(year, time.Month(month)+1, 0, 0, 0, 0, 0, time.UTC).Day()
}

// drawCron draws a cron rule of five fields, or of six when withSeconds.
func drawCron(t *rapid.T, near civil, withSeconds bool) wish {
	second, wantSecond := "", func(v int) bool { return v == 0 }
	if withSeconds {
		second, wantSecond, _ = field(t, "second", 0, 59, 0)
		second += " "
	}
	minute, wantMinute, _ := field(t, "minute", 0, 59, rapid.IntRange(0, 59).Draw(t, "near minute"))
	hour, wantHour, _ := field(t, "hour", 0, 23, near.hour+rapid.IntRange(-1, 1).Draw(t, "near hour"))
	date, wantDate, dateStarred := field(t, "date", 1, 31, near.day)
	wantDateOf := func(c civil) bool { return wantDate(c.day) }
	if rapid.IntRange(0, 4).Draw(t, "from the end") == 3 {
		k := rapid.IntRange(1, 31).Draw(t, "day from the end")
		date, dateStarred = fmt.Sprintf("%d,-%d", 15, k), false
		wantDateOf = func(c civil) bool { return c.day == 15 || c.day == lastDay(c.year, c.month)+1-k }
	}
	month, wantMonth := "*", func(int) bool { return true }
	if rapid.IntRange(0, 3).Draw(t, "some months") == 3 {
		month, wantMonth, _ = field(t, "month", 1, 12, near.month)
	}
	weekday, wantWeekday, weekdayStarred := field(t, "weekday", 0, 6, near.weekday)
	wantWeekdayOf := func(c civil) bool { return wantWeekday(c.weekday) }
	switch rapid.IntRange(0, 8).Draw(t, "weekday of month") {
	case 5:
		d, n := rapid.IntRange(0, 6).Draw(t, "weekday number"), rapid.IntRange(1, 5).Draw(t, "nth")
		weekday, weekdayStarred = fmt.Sprintf("%d#%d", d, n), false
		wantWeekdayOf = func(c civil) bool { return c.weekday == d && (c.day-1)/7+1 == n }
	case 7:
		d := rapid.IntRange(0, 6).Draw(t, "weekday number")
		weekday, weekdayStarred = fmt.Sprintf("%dL", d), false
		wantWeekdayOf = func(c civil) bool { return c.weekday == d && c.day+7 > lastDay(c.year, c.month) }
	}
	either := !dateStarred && !weekdayStarred
	running := true
	for h := range 24 {
		running = running && wantHour(h)
	}
	return wish{
		rule:    schedule.Rule{Cron: fmt.Sprintf("%s%s %s %s %s %s", second, minute, hour, date, month, weekday)},
		running: running,
		matches: func(c civil) bool {
			if !wantSecond(c.second) || !wantMinute(c.minute) || !wantHour(c.hour) || !wantMonth(c.month) {
				return false
			}
			if either {
				return wantDateOf(c) || wantWeekdayOf(c)
			}
			return wantDateOf(c) && wantWeekdayOf(c)
		},
	}
}

// drawSimple draws a daily, weekly or monthly rule.
func drawSimple(t *rapid.T, near civil) wish {
	hour := (near.hour + rapid.IntRange(23, 25).Draw(t, "hour of day")) % 24
	minute := rapid.IntRange(0, 59).Draw(t, "minute of hour")
	clock := fmt.Sprintf("%02d:%02d,12:00", hour, minute)
	atTime := func(c civil) bool {
		return c.second == 0 && (c.hour == hour && c.minute == minute || c.hour == 12 && c.minute == 0)
	}
	switch rapid.IntRange(0, 3).Draw(t, "form") {
	case 0:
		return wish{rule: schedule.Rule{Daily: clock}, matches: atTime}
	case 1:
		names := []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}
		a, b := rapid.IntRange(0, 6).Draw(t, "day a"), rapid.IntRange(0, 6).Draw(t, "day b")
		return wish{
			rule:    schedule.Rule{Weekly: names[a] + "," + names[b] + " " + clock},
			matches: func(c civil) bool { return atTime(c) && (c.weekday == a || c.weekday == b) },
		}
	case 2:
		a, k := rapid.IntRange(1, 31).Draw(t, "date"), rapid.IntRange(1, 28).Draw(t, "from the end")
		return wish{
			rule:    schedule.Rule{Monthly: fmt.Sprintf("%d,-%d %s", a, k, clock)},
			matches: func(c civil) bool { return atTime(c) && (c.day == a || c.day == lastDay(c.year, c.month)+1-k) },
		}
	default:
		return wish{
			rule: schedule.Rule{Monthly: "second tue, last fri " + clock},
			matches: func(c civil) bool {
				return atTime(c) && (c.weekday == 2 && (c.day-1)/7 == 1 || c.weekday == 5 && c.day+7 > lastDay(c.year, c.month))
			},
		}
	}
}

// drawWish draws a rule that fires, with a zone and a policy, and an instant
// near a clock change of that zone.
func drawWish(t *rapid.T, withSeconds bool) (w wish, s schedule.Schedule, around time.Time) {
	zone := location(t, rapid.SampledFrom(zones()).Draw(t, "zone"))
	around, near := nearChange(t, zone)
	for range 100 {
		if !withSeconds && rapid.IntRange(0, 2).Draw(t, "simple") == 1 {
			w = drawSimple(t, near)
		} else {
			w = drawCron(t, near, withSeconds)
		}
		w.rule.Zone, w.rule.DST = zone, drawDST(t)
		if s, err := schedule.Parse(w.rule); err == nil { // else such as 30 February
			return w, s, around
		}
	}
	t.Fatal("a hundred drawn rules were refused")
	return w, s, around
}

// tally counts how many samples held slots, and how many a wanted time that was
// lost or doubled: agreement far from any clock change would prove little.
type tally struct{ samples, slots, lost, doubled int }

func (n *tally) add(w wish, moments []moment, slots []time.Time) {
	n.samples++
	n.slots += len(slots)
	if slices.ContainsFunc(moments, func(m moment) bool { return slices.ContainsFunc(m.lost, w.matches) }) {
		n.lost++
	}
	if slices.ContainsFunc(moments, func(m moment) bool { return m.again && w.matches(m.reading) }) {
		n.doubled++
	}
}

func (n *tally) check(t *testing.T) {
	t.Helper()
	t.Logf("%d samples, %d slots, %d with a lost time, %d with a doubled one", n.samples, n.slots, n.lost, n.doubled)
	if n.slots < n.samples || n.lost+n.doubled < n.samples/50 {
		t.Error("the samples miss what they are meant to hit")
	}
}

func TestSchedule_AgreesWithAScanOfEveryMinute(t *testing.T) {
	t.Parallel()
	var drawn tally
	rapid.Check(t, func(t *rapid.T) {
		w, s, around := drawWish(t, false)
		from := around.Add(-36 * time.Hour)
		to := from.Add(time.Duration(rapid.IntRange(48, 120).Draw(t, "hours")) * time.Hour)
		moments := walk(w.rule.Zone, from, to, 48*time.Hour, time.Minute)
		want := scan(w, moments, from)
		drawn.add(w, moments, want)
		if diff := cmp.Diff(want, slots(s, from, to)); diff != "" {
			t.Fatalf("%s in (%s, %s] (-scan +Next):\n%s", s, from, to, diff)
		}
	})
	drawn.check(t)
}

func TestSchedule_AgreesWithAScanOfEverySecond(t *testing.T) {
	t.Parallel()
	var drawn tally
	rapid.Check(t, func(t *rapid.T) {
		w, s, around := drawWish(t, true)
		from := around.Truncate(time.Second).Add(-100 * time.Minute)
		to := from.Add(200 * time.Minute)
		moments := walk(w.rule.Zone, from, to, 3*time.Hour, time.Second)
		want := scan(w, moments, from)
		drawn.add(w, moments, want)
		if diff := cmp.Diff(want, slots(s, from, to)); diff != "" {
			t.Fatalf("%s in (%s, %s] (-scan +Next):\n%s", s, from, to, diff)
		}
	})
	drawn.check(t)
}

// TestSchedule_AgreesOverWholeYears scans every minute of whole years, so that
// nothing depends on where a sample happens to lie.
func TestSchedule_AgreesOverWholeYears(t *testing.T) {
	t.Parallel()
	at := func(hour, minute int) func(civil) bool {
		return func(c civil) bool { return c.hour == hour && c.minute == minute }
	}
	wishes := []wish{
		{rule: schedule.Rule{Daily: "02:30"}, matches: at(2, 30)},
		{rule: schedule.Rule{Daily: "00:00"}, matches: at(0, 0)},
		{rule: schedule.Rule{Weekly: "sun 01:45"}, matches: func(c civil) bool { return c.weekday == 0 && at(1, 45)(c) }},
		{rule: schedule.Rule{Monthly: "31 04:30"}, matches: func(c civil) bool { return c.day == 31 && at(4, 30)(c) }},
		{rule: schedule.Rule{Monthly: "-1 02:15"}, matches: func(c civil) bool { return c.day == lastDay(c.year, c.month) && at(2, 15)(c) }},
		{rule: schedule.Rule{Cron: "*/30 2 * * *"}, matches: func(c civil) bool { return c.hour == 2 && c.minute%30 == 0 }},
		{rule: schedule.Rule{Cron: "17 * * * *"}, matches: func(c civil) bool { return c.minute == 17 }, running: true},
		{rule: schedule.Rule{Cron: "0 1 */2 * sun"}, matches: func(c civil) bool { return c.day%2 == 1 && c.weekday == 0 && at(1, 0)(c) }},
	}
	tests := []struct {
		zone string
		year int
	}{
		{"UTC", 2027},
		{"Europe/Berlin", 2028},
		{"America/New_York", 2026},
		{"Australia/Sydney", 2026},
		{"Australia/Lord_Howe", 2044}, // beyond the table of changes, a leap year
		{"America/Sao_Paulo", 2018},
	}
	policies := []schedule.DST{schedule.DSTOnce, schedule.DSTSkip, schedule.DSTBoth}
	for i, test := range tests {
		t.Run(fmt.Sprintf("%s/%d", test.zone, test.year), func(t *testing.T) {
			t.Parallel()
			from := time.Date(test.year, 1, 1, 0, 0, 0, 0, time.UTC)
			to := from.AddDate(1, 0, 0)
			zone := location(t, test.zone)
			moments := walk(zone, from, to, 48*time.Hour, time.Minute)
			for j, w := range wishes {
				w.rule.Zone = zone
				w.rule.DST = policies[(i+j)%len(policies)]
				s := parse(t, w.rule)
				want := scan(w, moments, from)
				if diff := cmp.Diff(want, slots(s, from, to)); diff != "" {
					t.Errorf("%s, %s (-scan +Next):\n%s", s, w.rule.DST, diff)
				}
				if got := s.Count(from, to); got != int64(len(want)) {
					t.Errorf("%s: Count = %d, want %d", s, got, len(want))
				}
			}
		})
	}
}
