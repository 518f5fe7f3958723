package schedule

import (
	"fmt"
	"time"
)

// CatchUpRun is which missed slots still run.
type CatchUpRun string

// The choices. The empty CatchUpRun means CatchUpNone.
const (
	CatchUpNone CatchUpRun = "none" // none of them
	CatchUpLast CatchUpRun = "last" // the newest, if no later slot is on time
	CatchUpAll  CatchUpRun = "all"  // each of them, oldest first
)

// Limits of what one call of Due decides slot by slot.
const (
	// MaxDue is the most slots that one Account names one by one.
	MaxDue = 1000
	// DefaultCatchUpMax is what CatchUp.Max 0 means.
	DefaultCatchUpMax = 100
	// DefaultStartDeadline is what Policy.StartDeadline 0 means. It spans two
	// sweeps of the ticker, so a slot is late only when something was wrong.
	DefaultStartDeadline = time.Minute
)

// CatchUp decides what happens to slots that passed while nothing ran.
type CatchUp struct {
	// Run is which of them run.
	Run CatchUpRun
	// Within is how late a slot may be and still be caught up; 0 means any time.
	Within time.Duration
	// Max is the most slots that CatchUpAll runs, the newest ones: 1 to MaxDue,
	// 0 means DefaultCatchUpMax.
	Max int
}

// Validate checks c; its error is a [*ParseError].
func (c CatchUp) Validate() error {
	switch c.Run {
	case "", CatchUpNone, CatchUpLast, CatchUpAll:
	default:
		return &ParseError{Field: "run", Text: string(c.Run), Why: "unknown choice of missed slots", Hint: "write none, last or all"}
	}
	if c.Within < 0 {
		return &ParseError{Field: "within", Text: c.Within.String(), Why: "a length of time cannot be negative"}
	}
	if c.Max < 0 || c.Max > MaxDue {
		return &ParseError{Field: "max", Text: fmt.Sprint(c.Max), Why: fmt.Sprintf("it must lie between 1 and %d", MaxDue)}
	}
	return nil
}

// Policy is what a workflow says about slots that were not started in time.
type Policy struct {
	CatchUp CatchUp
	// StartDeadline is how late a slot may be and still start as if it were on
	// time; 0 means DefaultStartDeadline.
	StartDeadline time.Duration
}

// Late reports whether a slot can no longer start as if it were on time.
func (p Policy) Late(slot, now time.Time) bool { return now.Sub(slot) > p.Deadline() }

// Deadline is StartDeadline, or what stands in for it.
func (p Policy) Deadline() time.Duration {
	if p.StartDeadline <= 0 {
		return DefaultStartDeadline
	}
	return p.StartDeadline
}

// Verdict is what Due decided about a slot.
type Verdict string

// The verdicts.
const (
	VerdictRun     Verdict = "run"      // it is on time: submit it with trigger schedule
	VerdictCatchUp Verdict = "catch_up" // it is late: submit it with trigger catch_up
	VerdictMissed  Verdict = "missed"   // record it as skipped with reason missed
)

// Cause is why a slot is missed.
type Cause string

// The causes.
const (
	CauseCatchUpNone Cause = "catch_up_none" // the policy catches up nothing
	CauseNewerSlot   Cause = "newer_slot"    // catch_up last, and a newer slot runs
	CauseTooOld      Cause = "too_old"       // older than within
	CauseOverMax     Cause = "over_max"      // older than the newest max
	CauseOverBound   Cause = "over_bound"    // older than the newest MaxDue
)

// Decision is one slot that came due, and what to do with it.
type Decision struct {
	Slot    time.Time // UTC
	Verdict Verdict
	Cause   Cause // of VerdictMissed, otherwise empty
}

// Why says in words why the slot got its verdict, for the record.
func (d Decision) Why() string {
	switch d.Cause {
	case CauseCatchUpNone:
		return "nothing was running to start it, and catch_up is none"
	case CauseNewerSlot:
		return "nothing was running to start it, and a newer slot runs in its place"
	case CauseTooOld:
		return "nothing was running to start it, and it is older than catch_up within"
	case CauseOverMax:
		return "nothing was running to start it, and catch_up max newer slots run"
	case CauseOverBound:
		return fmt.Sprintf("nothing was running to start it, and more than %d slots were missed", MaxDue)
	}
	if d.Verdict == VerdictCatchUp {
		return "caught up: nothing was running to start it in time"
	}
	return "on time"
}

// Folded stands for slots that are too many to name: all of them are missed
// with CauseOverBound.
type Folded struct {
	Count       int64     // 0 when nothing is folded
	First, Last time.Time // the oldest and the newest of them, UTC
}

// Account is what became of all slots in one interval. Its invariant: Folded
// and Decisions together hold every slot of the interval exactly once, in
// order, the folded ones before all others, so Folded.Count + len(Decisions) is
// the schedule's Count of the interval. There are at most MaxDue Decisions.
type Account struct {
	Folded    Folded
	Decisions []Decision
}

// Due decides about every slot after last up to and including now, where
// last is the newest instant for which this was decided before. The caller
// records the account and now together, so that each slot is decided once.
//
// A slot that is at most the policy's StartDeadline late runs. Of the others
// those run as catch-up that the policy's CatchUp allows; CatchUpLast counts
// the slots on time as well, so that a workflow does not run twice in a row
// when a sleeping host wakes just after a slot. The rest is missed. Deciding
// earlier never loses a run: a slot that runs by one account of a long interval
// also runs when the interval is decided piece by piece.
//
// The work is bounded however long the interval is. A zero last means that the
// schedule was never looked at: nothing is owed, and the caller records now. A
// now that is not after last, as when the clock was set back, owes nothing
// either. Nor does a timer that woke a moment early: the caller arms it again
// for the schedule's Next.
func Due(s Schedule, last, now time.Time, policy Policy) Account {
	if last.IsZero() || s.p == nil {
		return Account{}
	}
	count := s.Count(last, now)
	if count == 0 {
		return Account{}
	}
	var account Account
	from := last
	if count > MaxDue {
		low, through := max(last.Unix(), firstInstant-1), min(now.Unix(), lastInstant)
		from = time.Unix(s.p.newest(low, through, MaxDue), 0).UTC()
		first, _ := s.Next(last)
		account.Folded = Folded{Count: count - MaxDue, First: first, Last: from}
	}
	account.Decisions = make([]Decision, 0, min(count, MaxDue))
	for slot := range s.Slots(from, now) {
		account.Decisions = append(account.Decisions, Decision{Slot: slot})
	}
	decide(account.Decisions, now, policy)
	return account
}

// decide gives each slot its verdict, from the newest to the oldest.
func decide(due []Decision, now time.Time, policy Policy) {
	c := policy.CatchUp
	most := c.Max
	if most <= 0 {
		most = DefaultCatchUpMax
	}
	if c.Run == CatchUpLast {
		most = 1
	}
	late := 0
	for i := len(due) - 1; i >= 0; i-- {
		d := &due[i]
		if !policy.Late(d.Slot, now) {
			d.Verdict = VerdictRun
			continue
		}
		late++
		d.Verdict = VerdictMissed
		switch {
		case c.Run != CatchUpLast && c.Run != CatchUpAll:
			d.Cause = CauseCatchUpNone
		case c.Run == CatchUpLast && i != len(due)-1:
			d.Cause = CauseNewerSlot
		case c.Within > 0 && now.Sub(d.Slot) > c.Within:
			d.Cause = CauseTooOld
		case late > most:
			d.Cause = CauseOverMax
		default:
			d.Verdict = VerdictCatchUp
		}
	}
}
