package ticker_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	_ "time/tzdata" // the tests do not depend on the system's zones

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/schedule"
	"github.com/ghosteam/upkeep/runner/ticker"
)

// The oracle of this file looks at every minute of the wall clock. It shares no
// code with package schedule: each form is a rule for the package and a
// predicate for the oracle.

// form is one kind of schedule.
type form struct {
	name    string
	rule    schedule.Rule
	matches func(reading) bool
	// running follows the clock through its changes.
	running bool
}

// reading is a minute on a wall clock.
type reading struct {
	year, month, day, hour, minute, weekday int
}

// read takes apart a wall time that is written as if it were UTC.
func read(written int64) reading {
	t := time.Unix(written, 0).UTC()
	year, month, day := t.Date()
	return reading{year, int(month), day, t.Hour(), t.Minute(), int(t.Weekday())}
}

func lastDay(r reading) int {
	return time.Date(r.year, time.Month(r.month)+1, 0, 0, 0, 0, 0, time.UTC).Day()
}

func forms() []form {
	at := func(hour, minute int) func(reading) bool {
		return func(r reading) bool { return r.hour == hour && r.minute == minute }
	}
	return []form{
		{name: "daily", rule: schedule.Rule{Daily: "02:30"}, matches: at(2, 30)},
		{name: "twice", rule: schedule.Rule{Daily: "01:45,00:00", DST: schedule.DSTBoth}, matches: func(r reading) bool {
			return at(1, 45)(r) || at(0, 0)(r)
		}},
		{name: "skip", rule: schedule.Rule{Daily: "02:00", DST: schedule.DSTSkip}, matches: at(2, 0)},
		{name: "weekly", rule: schedule.Rule{Weekly: "sun 02:30"}, matches: func(r reading) bool { return r.weekday == 0 && at(2, 30)(r) }},
		{name: "monthly", rule: schedule.Rule{Monthly: "1,-1 04:30"}, matches: func(r reading) bool {
			return (r.day == 1 || r.day == lastDay(r)) && at(4, 30)(r)
		}},
		{name: "third", rule: schedule.Rule{Monthly: "31 04:30"}, matches: func(r reading) bool { return r.day == 31 && at(4, 30)(r) }},
		{name: "cron", rule: schedule.Rule{Cron: "10 3 * * 1-5"}, matches: func(r reading) bool {
			return r.weekday >= 1 && r.weekday <= 5 && at(3, 10)(r)
		}},
		{name: "cron-both", rule: schedule.Rule{Cron: "*/30 2 */2 * sun"}, matches: func(r reading) bool {
			return r.day%2 == 1 && r.weekday == 0 && r.hour == 2 && r.minute%30 == 0
		}},
		{name: "seconds", rule: schedule.Rule{Cron: "0 15 1,2 * * *"}, matches: func(r reading) bool {
			return (r.hour == 1 || r.hour == 2) && r.minute == 15
		}},
		{name: "hourly", rule: schedule.Rule{Cron: "17 * * * sun"}, running: true, matches: func(r reading) bool {
			return r.weekday == 0 && r.minute == 17
		}},
		{name: "every", rule: schedule.Rule{Every: 6 * time.Hour}, running: true},
	}
}

func sixZones() []string {
	return []string{"Europe/Berlin", "America/New_York", "Australia/Sydney", "Australia/Lord_Howe", "America/Sao_Paulo", "UTC"}
}

// scan returns the slots of all forms after from up to to in a zone.
func scan(t *testing.T, zone *time.Location, list []form, from, to time.Time) map[string][]int64 {
	t.Helper()
	slots := map[string][]int64{}
	ahead := int64(0) // the furthest minute that the clock showed
	for at := from.Add(-48 * time.Hour).Unix(); at <= to.Unix(); at += 60 {
		_, offset := time.Unix(at, 0).In(zone).Zone()
		written := at + int64(offset)
		again := written <= ahead
		shown := []reading{read(written)}
		if ahead > 0 {
			for lost := ahead + 60; lost < written; lost += 60 {
				shown = append(shown, read(lost))
			}
		}
		ahead = max(ahead, written)
		if at <= from.Unix() {
			continue
		}
		for _, f := range list {
			var due bool
			switch {
			case f.rule.Every > 0:
				due = at%int64(f.rule.Every/time.Second) == 0
			case f.running:
				due = f.matches(shown[0])
			default:
				due = f.matches(shown[0]) && (!again || f.rule.DST == schedule.DSTBoth) ||
					f.rule.DST != schedule.DSTSkip && slices.ContainsFunc(shown[1:], f.matches)
			}
			if due {
				slots[f.name] = append(slots[f.name], at)
			}
		}
	}
	return slots
}

// world is a config with every form in six zones, and what the oracle wants.
type world struct {
	workflows []ticker.Workflow
	want      map[string][]int64
}

func makeWorld(t *testing.T, from, to time.Time) world {
	t.Helper()
	w := world{want: map[string][]int64{}}
	for _, zoneName := range sixZones() {
		zone, err := time.LoadLocation(zoneName)
		if err != nil {
			t.Fatal(err)
		}
		slots := scan(t, zone, forms(), from, to)
		for i, f := range forms() {
			f.rule.Zone = zone
			name := zoneName + "/" + f.name
			made := workflow(name, parse(t, f.rule))
			made.Policy.CatchUp.Run = []schedule.CatchUpRun{schedule.CatchUpNone, schedule.CatchUpLast, schedule.CatchUpAll}[i%3]
			if i%4 == 3 {
				made.Jitter = 10 * time.Minute
			}
			if i%5 == 4 {
				made.Host = "here"
			}
			w.workflows = append(w.workflows, made)
			w.want[name] = slots[f.name]
		}
	}
	return w
}

// check compares what is on record with the oracle.
func (w world) check(t *testing.T, l *fakeLedger) (ran, skipped int) {
	t.Helper()
	got := map[string][]int64{}
	for key, r := range l.rows {
		got[key.workflow] = append(got[key.workflow], key.slot)
		if r.State == runner.Queued {
			ran++
			if l.delivered[r.id] == 0 {
				t.Errorf("%s: the run of %s was never delivered", key.workflow, r.Slot)
			}
		} else {
			skipped++
			if r.Reason == "" || r.Message == "" {
				t.Errorf("%s: slot %s is skipped and does not say why", key.workflow, r.Slot)
			}
		}
	}
	lost, invented := 0, 0
	for name, want := range w.want {
		have := got[name]
		slices.Sort(have)
		for _, slot := range want {
			if _, found := slices.BinarySearch(have, slot); !found {
				lost++
				t.Errorf("%s: slot %s is lost", name, time.Unix(slot, 0).UTC())
			}
		}
		for _, slot := range have {
			if _, found := slices.BinarySearch(want, slot); !found {
				invented++
				t.Errorf("%s: slot %s should not be", name, time.Unix(slot, 0).UTC())
			}
		}
		if lost+invented > 20 {
			t.Fatal("and so on")
		}
	}
	return ran, skipped
}

// TestTicker_TwoYears runs every form of schedule in six zones through two
// years of simulated time without any fault: each slot is on record once, as a
// run on its second.
func TestTicker_TwoYears(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		from := time.Now().UTC()
		to := from.AddDate(2, 0, 0)
		if testing.Short() {
			to = from.AddDate(0, 5, 0)
		}
		w := makeWorld(t, from, to)
		l := newLedger()
		o := options(l, w.workflows...)
		o.Sweep = 6 * time.Hour
		tick := start(t, o)
		pass(to.Sub(from) + time.Hour)
		tick.end()
		late := 0
		for key, r := range l.rows {
			if key.slot > to.Unix() {
				delete(l.rows, key)
			} else if r.at.Sub(r.Slot) > 10*time.Minute || r.at.Nanosecond() != 0 || r.Trigger != runner.BySchedule {
				late++
			}
		}
		ran, skipped := w.check(t, l)
		if skipped > 0 || late > 0 || l.doubled > 0 {
			t.Errorf("%d slots were skipped, %d late, %d submitted twice", skipped, late, l.doubled)
		}
		t.Logf("%d slots of %d workflows in %d transactions", ran, len(w.workflows), l.decides)
	})
}

// errCrash ends the process in the middle of a write.
var errCrash = errors.New("crash")

// TestTicker_MonthsOfTrouble goes through months in which the ledger is away
// now and then, answers get lost, deliveries fail, the configuration is
// reloaded, and the process is killed at any point.
func TestTicker_MonthsOfTrouble(t *testing.T) {
	t.Parallel()
	seeds := 4
	if testing.Short() {
		seeds = 1
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				pass(time.Duration(40+30*seed) * 24 * time.Hour) // into the weeks of clock changes
				newTrouble(t, uint64(seed)).run(t, 60*24*time.Hour)
			})
		})
	}
}

// trouble is a random source of it.
type trouble struct {
	ledger *fakeLedger
	mu     sync.Mutex
	source *rand.Rand
	// How often what happened.
	outages, lostCommits, lostAnswers, refusals, crashes, reloads int
}

func newTrouble(t *testing.T, seed uint64) *trouble {
	t.Helper()
	return &trouble{source: rand.New(rand.NewPCG(seed, 99)), ledger: newLedger()}
}

// IntN draws for several goroutines.
func (m *trouble) IntN(n int) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.source.IntN(n)
}

// within draws a length of time.
func (m *trouble) within(most time.Duration) time.Duration {
	return time.Duration(m.IntN(int(most)))
}

func (m *trouble) run(t *testing.T, span time.Duration) {
	t.Helper()
	l := m.ledger
	from := time.Now().UTC()
	to := from.Add(span)
	w := makeWorld(t, from, to)
	o := options(l, w.workflows...)
	o.Sweep = 20 * time.Minute
	crash := make(chan struct{}, 1)
	armed := false
	var tick running
	die := func() {
		armed = false
		tick.kill()
		crash <- struct{}{}
	}
	l.before = func() error {
		if armed && m.IntN(2) == 0 {
			die()
			m.lostCommits++
			return errCrash
		}
		return nil
	}
	l.after = func() error {
		if armed || m.IntN(40) == 0 {
			if armed {
				die()
			}
			m.lostAnswers++
			return errAway
		}
		return nil
	}
	l.deliver = func() error {
		if m.IntN(10) == 0 {
			m.refusals++
			return errAway
		}
		return nil
	}
	begin := func() {
		next := start(t, o)
		l.set(func() { tick = next })
	}
	begin()
	pass(time.Minute)
	for time.Now().Before(to) {
		pause := m.within(10 * time.Hour)
		select {
		case <-crash:
			m.crashes++
			tick.end()
			begin()
		case <-time.After(pause):
			synctest.Wait()
		}
		switch m.IntN(4) {
		case 0:
			m.outages++
			l.set(func() { l.away = errAway })
			pass(m.within(3 * time.Hour))
			l.set(func() { l.away = nil })
		case 1: // dies at once, or at the next write
			if m.IntN(2) == 0 {
				l.set(func() { armed = true })
				pass(12 * time.Hour)
				continue
			}
			tick.end()
			m.crashes++
			pass(m.within(2 * time.Hour))
			begin()
		case 2:
			m.reloads++
			if err := tick.Replace(context.Background(), w.workflows); err != nil {
				t.Fatal(err)
			}
		}
		if tick.Status().Err != nil && m.IntN(3) == 0 {
			tick.end() // killed while it knows of a fault
			m.crashes++
			begin()
		}
	}
	l.set(func() { l.away, l.before, l.after, l.deliver = nil, nil, nil, nil })
	tick.end()
	begin()
	pass(3 * time.Hour)
	tick.end()
	for key := range l.rows {
		if key.slot > to.Unix() {
			delete(l.rows, key)
		}
	}
	ran, skipped := w.check(t, l)
	t.Logf("%d ran, %d skipped; %d outages, %d lost commits, %d lost answers, %d refused deliveries, %d crashes, %d reloads",
		ran, skipped, m.outages, m.lostCommits, m.lostAnswers, m.refusals, m.crashes, m.reloads)
	if ran < skipped || skipped == 0 || l.doubled > 0 ||
		min(m.outages, m.lostCommits, m.lostAnswers, m.refusals, m.crashes, m.reloads) == 0 {
		t.Errorf("%d slots were submitted twice, or a fault that was to be injected never was", l.doubled)
	}
}
