package health

import (
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// level is how bad a check counts as, after so many answers in a row.
type level int

const (
	well level = iota
	warned
	critical
)

// standing is where a check stands between well and failed. It is pure: take
// is its only change. doc.go draws it.
type standing struct {
	level level
	// rows count the latest answers in a row: those that are critical, not
	// healthy, healthy, and better than critical. Void answers do not count,
	// and an unknown one breaks no row of critical ones.
	criticals, bads, goods, betters int
	// unknowns counts the latest unknown answers in a row; seen tells that one
	// of the bads was more than that.
	unknowns int
	seen     bool
	// unsure tells that a check counts as bad only because nobody can tell.
	unsure bool
	// known tells that something is known: a healthy answer, or a level.
	known bool
	// blind tells that the latest answer was void.
	blind bool
	// lastGood and firstBad bound the beginning of what is wrong; goodSince is
	// the first of the latest healthy answers in a row.
	lastGood, firstBad, goodSince time.Time
	// evidence is that of the first bad answer.
	evidence []runner.Evidence

	health runner.Health
	since  time.Time
}

// take judges one more answer.
func (s *standing) take(o Outcome, failAfter, okAfter int) {
	s.blind = o.Void
	if !o.Void {
		s.count(o)
		s.move(failAfter, okAfter)
	}
	s.settle(o.At)
}

// count adds an answer to the rows.
func (s *standing) count(o Outcome) {
	if o.Health == runner.Healthy {
		if s.goods == 0 {
			s.goodSince = o.At
		}
		s.criticals, s.bads, s.unknowns, s.seen, s.known = 0, 0, 0, false, true
		s.goods++
		s.betters++
		if s.level == well {
			s.lastGood, s.firstBad, s.evidence = o.At, time.Time{}, nil
		}
		return
	}
	if s.firstBad.IsZero() {
		s.firstBad = o.At
		if o.At.Before(s.lastGood) { // the clock was set back
			s.firstBad = s.lastGood
		}
	}
	if s.evidence == nil { // that of an answer before a restart is lost
		s.evidence = o.evidence
	}
	s.goods = 0
	s.bads++
	switch o.Health {
	case runner.HealthCritical:
		s.criticals++
		s.betters, s.unknowns, s.seen = 0, 0, true
	case runner.HealthWarning:
		s.criticals, s.unknowns, s.seen = 0, 0, true
		s.betters++
	default:
		s.unknowns++
		s.betters = 0
	}
}

// move changes the level.
func (s *standing) move(failAfter, okAfter int) {
	switch {
	case s.criticals >= failAfter:
		s.level = critical
	case s.level == well && s.bads >= failAfter:
		s.level = warned
	case s.level == well:
		return
	case s.goods >= okAfter:
		s.level, s.firstBad, s.evidence = well, time.Time{}, nil
		s.lastGood = s.goodSince
	case s.level == critical && s.betters >= okAfter:
		s.level = warned
	}
	s.known = true
	if s.bads > 0 {
		s.unsure = s.level == warned && (!s.seen || s.unknowns >= failAfter)
	}
}

// settle says what the rows mean for the health.
func (s *standing) settle(at time.Time) {
	health := runner.Healthy
	switch {
	case s.blind, !s.known:
		health = runner.HealthUnknown
	case s.level == critical:
		health = runner.HealthCritical
	case s.level == warned && s.unsure:
		health = runner.HealthUnknown
	case s.level == warned:
		health = runner.HealthWarning
	}
	if health != s.health || s.since.IsZero() {
		s.health, s.since = health, at
	}
}

// phase names where the check stands.
func (s *standing) phase() runner.CheckPhase {
	switch {
	case s.level == well && s.bads > 0:
		return runner.CheckSuspect
	case s.level == well:
		return runner.CheckWell
	case s.goods > 0 || s.level == critical && s.betters > 0:
		return runner.CheckRecovering
	}
	return runner.CheckFailing
}

// restless tells whether the next answer is wanted soon, because the level may
// be about to change.
func (s *standing) restless() bool {
	phase := s.phase()
	return s.blind || phase == runner.CheckSuspect || phase == runner.CheckRecovering || s.level == warned && s.criticals > 0
}

// forget starts the rows anew, for a check that is asked in another way from
// now on. What counts stays until the new answers say otherwise.
func (s *standing) forget() {
	s.criticals, s.bads, s.goods, s.betters, s.unknowns, s.seen = 0, 0, 0, 0, 0, s.level > well
}

// restore takes over what an incident on record says.
func (s *standing) restore(lvl level, lastGood, firstBad, since time.Time) {
	*s = standing{level: lvl, known: true, seen: true, lastGood: lastGood, firstBad: firstBad}
	if s.firstBad.IsZero() {
		s.firstBad = since
	}
	s.settle(since)
}
