package schedule_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/ghosteam/upkeep/runner/schedule"
)

func TestDue(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	at := func(text string) time.Time {
		parsed, err := time.Parse("01-02 15:04:05", text)
		if err != nil {
			t.Fatalf("parse %q: %v", text, err)
		}
		return parsed.AddDate(2026, 0, 0)
	}
	daily := schedule.Rule{Daily: "02:30"}
	hourly := schedule.Rule{Cron: "0 * * * *"}
	run, caughtUp := schedule.VerdictRun, schedule.VerdictCatchUp
	missed := func(cause schedule.Cause) [2]string { return [2]string{string(schedule.VerdictMissed), string(cause)} }
	is := func(v schedule.Verdict) [2]string { return [2]string{string(v), ""} }
	tests := []struct {
		name      string
		rule      schedule.Rule
		last, now string
		policy    schedule.Policy
		want      [][2]string // verdict and cause of each slot in order
	}{
		{"NothingDue", daily, "03-02 02:30:00", "03-03 02:29:59", schedule.Policy{}, nil},
		{"OnTheDot", daily, "03-02 02:30:00", "03-03 02:30:00", schedule.Policy{}, [][2]string{is(run)}},
		{"ABitLate", daily, "03-02 02:30:00", "03-03 02:31:00", schedule.Policy{}, [][2]string{is(run)}},
		{"Late", daily, "03-02 02:30:00", "03-03 02:31:01", schedule.Policy{}, [][2]string{missed(schedule.CauseCatchUpNone)}},
		{"StartDeadline", daily, "03-02 02:30:00", "03-03 05:30:00", schedule.Policy{StartDeadline: 3 * time.Hour}, [][2]string{is(run)}},
		{"ClockSetBack", daily, "03-03 02:30:00", "03-03 01:00:00", schedule.Policy{}, nil},
		{"SameInstant", daily, "03-03 02:30:00", "03-03 02:30:00", schedule.Policy{}, nil},
		{
			"LastOfThree", daily, "03-01 03:00:00", "03-04 08:00:00",
			schedule.Policy{CatchUp: schedule.CatchUp{Run: schedule.CatchUpLast, Within: 12 * time.Hour}},
			[][2]string{missed(schedule.CauseNewerSlot), missed(schedule.CauseNewerSlot), is(caughtUp)},
		},
		{
			"LastTooOld", daily, "03-01 03:00:00", "03-04 15:00:00",
			schedule.Policy{CatchUp: schedule.CatchUp{Run: schedule.CatchUpLast, Within: 12 * time.Hour}},
			[][2]string{missed(schedule.CauseNewerSlot), missed(schedule.CauseNewerSlot), missed(schedule.CauseTooOld)},
		},
		{
			"LastYieldsToTheSlotOnTime", hourly, "03-01 00:30:00", "03-01 03:00:10",
			schedule.Policy{CatchUp: schedule.CatchUp{Run: schedule.CatchUpLast}},
			[][2]string{missed(schedule.CauseNewerSlot), missed(schedule.CauseNewerSlot), is(run)},
		},
		{
			"AllInOrder", hourly, "03-01 00:30:00", "03-01 03:00:10",
			schedule.Policy{CatchUp: schedule.CatchUp{Run: schedule.CatchUpAll}},
			[][2]string{is(caughtUp), is(caughtUp), is(run)},
		},
		{
			"AllWithinAndMax", hourly, "03-01 00:30:00", "03-01 06:30:00",
			schedule.Policy{CatchUp: schedule.CatchUp{Run: schedule.CatchUpAll, Within: 4 * time.Hour, Max: 2}},
			[][2]string{
				missed(schedule.CauseTooOld), missed(schedule.CauseTooOld), missed(schedule.CauseOverMax),
				missed(schedule.CauseOverMax), is(caughtUp), is(caughtUp),
			},
		},
		{
			"WithinIsInclusive", hourly, "03-01 00:30:00", "03-01 02:00:00",
			schedule.Policy{StartDeadline: time.Second, CatchUp: schedule.CatchUp{Run: schedule.CatchUpAll, Within: time.Hour}},
			[][2]string{is(caughtUp), is(run)},
		},
		{
			"ExplicitNone", daily, "03-01 03:00:00", "03-02 08:00:00",
			schedule.Policy{CatchUp: schedule.CatchUp{Run: schedule.CatchUpNone, Within: day, Max: 5}},
			[][2]string{missed(schedule.CauseCatchUpNone)},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := parse(t, test.rule)
			last, now := at(test.last), at(test.now)
			account := schedule.Due(s, last, now, test.policy)
			var got [][2]string
			var at []time.Time
			for _, d := range account.Decisions {
				got = append(got, [2]string{string(d.Verdict), string(d.Cause)})
				at = append(at, d.Slot)
				if d.Why() == "" {
					t.Errorf("%+v does not say why", d)
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("verdicts (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(slots(s, last, now), at); diff != "" {
				t.Errorf("slots (-want +got):\n%s", diff)
			}
			if account.Folded.Count != 0 {
				t.Errorf("folded %+v, want nothing", account.Folded)
			}
		})
	}
}

func TestDue_NeverLookedAt(t *testing.T) {
	t.Parallel()
	s := parse(t, schedule.Rule{Every: time.Minute})
	got := schedule.Due(s, time.Time{}, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), schedule.Policy{})
	if len(got.Decisions) != 0 || got.Folded.Count != 0 {
		t.Errorf("Due with a zero last = %+v, want nothing owed", got)
	}
}

// TestDue_IsBounded would not end in its time if Due went through the slots:
// a hundred years of seconds are three thousand million.
func TestDue_IsBounded(t *testing.T) {
	t.Parallel()
	zone := location(t, "Europe/Berlin")
	last := time.Date(1990, 6, 1, 0, 0, 0, 500, time.UTC)
	now := last.AddDate(100, 0, 0)
	for _, rule := range []schedule.Rule{{Every: time.Second}, {Cron: "* * * * * *", Zone: zone}} {
		s := parse(t, rule)
		got := schedule.Due(s, last, now, schedule.Policy{CatchUp: schedule.CatchUp{Run: schedule.CatchUpAll, Max: schedule.MaxDue}})
		if len(got.Decisions) != schedule.MaxDue {
			t.Fatalf("%s: %d slots named, want %d", s, len(got.Decisions), schedule.MaxDue)
		}
		seconds := int64(now.Sub(last) / time.Second)
		want := schedule.Folded{
			Count: seconds - schedule.MaxDue,
			First: last.Truncate(time.Second).Add(time.Second),
			Last:  now.Truncate(time.Second).Add(-schedule.MaxDue * time.Second),
		}
		if diff := cmp.Diff(want, got.Folded); diff != "" {
			t.Errorf("%s: folded (-want +got):\n%s", s, diff)
		}
		onTime := 0
		for i, d := range got.Decisions {
			if want := got.Folded.Last.Add(time.Duration(i+1) * time.Second); !d.Slot.Equal(want) {
				t.Fatalf("%s: slot %d is %s, want %s", s, i, d.Slot, want)
			}
			if d.Verdict == schedule.VerdictRun {
				onTime++
			}
		}
		if onTime != 60 {
			t.Errorf("%s: %d slots on time, want those of the last minute", s, onTime)
		}
	}
}

func drawPolicy(t *rapid.T) schedule.Policy {
	return schedule.Policy{
		StartDeadline: time.Duration(rapid.SampledFrom([]int64{0, 1, 30, 3600}).Draw(t, "deadline")) * time.Second,
		CatchUp: schedule.CatchUp{
			Run:    rapid.SampledFrom([]schedule.CatchUpRun{"", schedule.CatchUpNone, schedule.CatchUpLast, schedule.CatchUpAll}).Draw(t, "run"),
			Within: time.Duration(rapid.SampledFrom([]int64{0, 10, 3600, 36000}).Draw(t, "within")) * time.Second,
			Max:    rapid.SampledFrom([]int{0, 1, 2, 10, schedule.MaxDue}).Draw(t, "max"),
		},
	}
}

// TestDue_AccountsForEverySlotUnderAnySplit decides one interval at once and
// piece by piece: every slot must be accounted for exactly once both ways, and
// deciding earlier must never lose a run.
func TestDue_AccountsForEverySlotUnderAnySplit(t *testing.T) {
	t.Parallel()
	var folded, runs int
	rapid.Check(t, func(t *rapid.T) {
		s, around := drawSchedule(t)
		if rapid.Bool().Draw(t, "every second") {
			s = parse(t, schedule.Rule{Every: time.Second})
		}
		policy := drawPolicy(t)
		cuts := cut(t, around, 5*time.Hour, 5)
		verdicts := func(cuts ...time.Time) map[time.Time]schedule.Decision {
			decided := map[time.Time]schedule.Decision{}
			previous := time.Time{}
			for i := range len(cuts) - 1 {
				account := schedule.Due(s, cuts[i], cuts[i+1], policy)
				if total := account.Folded.Count + int64(len(account.Decisions)); total != s.Count(cuts[i], cuts[i+1]) {
					t.Fatalf("%s: %d slots accounted for, want %d", s, total, s.Count(cuts[i], cuts[i+1]))
				}
				if account.Folded.Count > 0 {
					folded++
					if n := s.Count(cuts[i], account.Folded.Last); n != account.Folded.Count || len(account.Decisions) != schedule.MaxDue {
						t.Fatalf("%s: folded %+v beside %d decisions, but %d slots lie there", s, account.Folded, len(account.Decisions), n)
					}
					for slot := range s.Slots(cuts[i], account.Folded.Last) {
						decided[slot] = schedule.Decision{Slot: slot, Verdict: schedule.VerdictMissed, Cause: schedule.CauseOverBound}
					}
					previous = account.Folded.Last
				}
				for _, d := range account.Decisions {
					if _, twice := decided[d.Slot]; twice || !d.Slot.After(previous) {
						t.Fatalf("%s: slot %s twice or out of order", s, d.Slot)
					}
					if (d.Verdict == schedule.VerdictMissed) != (d.Cause != "") || d.Verdict == "" {
						t.Fatalf("%s: %+v", s, d)
					}
					decided[d.Slot], previous = d, d.Slot
				}
			}
			return decided
		}
		whole, pieces := verdicts(cuts[0], cuts[4]), verdicts(cuts...)
		want := slots(s, cuts[0], cuts[4])
		if len(whole) != len(want) || len(pieces) != len(want) {
			t.Fatalf("%s: %d slots at once, %d by pieces, want %d", s, len(whole), len(pieces), len(want))
		}
		for _, slot := range want {
			atOnce, byPieces := whole[slot], pieces[slot]
			if atOnce.Slot.IsZero() || byPieces.Slot.IsZero() {
				t.Fatalf("%s: slot %s is not accounted for", s, slot)
			}
			if atOnce.Verdict != schedule.VerdictMissed {
				runs++
				if byPieces.Verdict == schedule.VerdictMissed {
					t.Fatalf("%s: slot %s runs at once, but by pieces it is %+v", s, slot, byPieces)
				}
			}
		}
	})
	t.Logf("%d accounts had to fold, %d slots ran", folded, runs)
	if folded == 0 || runs == 0 {
		t.Error("the samples miss what they are meant to hit")
	}
}

func TestCatchUp_Validate(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		catchUp schedule.CatchUp
		field   string // empty when it is valid
	}{
		{"Zero", schedule.CatchUp{}, ""},
		{"Whole", schedule.CatchUp{Run: schedule.CatchUpAll, Within: time.Hour, Max: schedule.MaxDue}, ""},
		{"Run", schedule.CatchUp{Run: "some"}, "run"},
		{"Within", schedule.CatchUp{Within: -time.Second}, "within"},
		{"Max", schedule.CatchUp{Max: schedule.MaxDue + 1}, "max"},
		{"NegativeMax", schedule.CatchUp{Max: -1}, "max"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			err := test.catchUp.Validate()
			var wrong *schedule.ParseError
			if test.field == "" && err != nil || test.field != "" && (!errors.As(err, &wrong) || wrong.Field != test.field) {
				t.Errorf("Validate: %v, want an error of field %q", err, test.field)
			}
		})
	}
}
