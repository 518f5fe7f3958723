package health

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

// repeatAfter is how long an incident is taken to be open without looking:
// somebody may have resolved it by hand while the check still fails.
const repeatAfter = 10 * time.Minute

// fingerprintPrefix begins the fingerprints of the faults of checks.
const fingerprintPrefix = "check/"

func fingerprint(check string) string { return fingerprintPrefix + check }

// checkOf returns the check that a fingerprint names.
func checkOf(fingerprint string) (string, bool) {
	return strings.CutPrefix(fingerprint, fingerprintPrefix)
}

// recorded is an incident as it was last put on record.
type recorded struct {
	level  level
	unsure bool
	cause  string
	at     time.Time
}

// restore takes over an incident that is open on record.
func (w *watch) restore(i runner.Incident) {
	lvl := warned
	if i.Severity == jobs.Critical {
		lvl = critical
	}
	w.cause, _ = checkOf(i.Parent)
	w.recorded = &recorded{level: lvl, cause: w.cause, at: time.Now()}
	w.standing.restore(lvl, i.LastGood, i.FirstBad, i.OpenedAt)
}

// record puts on record what is wrong with a check, or that it is well again,
// when that is not what stands there. What fails is tried again with the next
// answer.
func (m *Monitor) record(ctx context.Context, w *watch) {
	m.mu.Lock()
	s := &w.standing
	if w.check.Quiet || s.blind {
		m.mu.Unlock()
		return
	}
	if s.level == well {
		w.heldSince = time.Time{}
		open, at := w.recorded, s.goodSince
		sure := !w.doubt.IsZero() && time.Now().After(w.doubt)
		if sure {
			w.doubt = time.Time{}
		}
		m.mu.Unlock()
		if open != nil || sure {
			m.clear(ctx, w, at)
		}
		return
	}
	want := recorded{level: s.level, unsure: s.unsure, cause: w.cause, at: time.Now()}
	if m.holds(w) || w.recorded != nil && w.recorded.same(want) && want.at.Sub(w.recorded.at) < repeatAfter {
		m.mu.Unlock()
		return
	}
	report, evidence := m.report(w, time.Now()), s.evidence
	m.mu.Unlock()
	if _, err := m.o.Incidents.Raise(ctx, m.o.Fault(report, evidence...)); err != nil {
		m.o.Log.ErrorContext(ctx, "record that a check fails", "check", w.check.Name, "error", err)
		return
	}
	m.mu.Lock()
	w.recorded = &want
	m.mu.Unlock()
}

// same tells whether another record would say the same.
func (r *recorded) same(other recorded) bool {
	return r.level == other.level && r.unsure == other.unsure && r.cause == other.cause
}

// clear resolves the incident of a check that has been well since at.
func (m *Monitor) clear(ctx context.Context, w *watch, at time.Time) {
	if at.IsZero() {
		at = time.Now()
	}
	if _, err := m.o.Incidents.Clear(ctx, fingerprint(w.check.Name), at.UTC()); err != nil {
		m.o.Log.ErrorContext(ctx, "record that a check is well again", "check", w.check.Name, "error", err)
		return
	}
	m.mu.Lock()
	w.recorded = nil
	m.mu.Unlock()
}

// holds tells whether the first record of a failure waits, because a check on
// which this one depends is suspect: what it turns out to be decides whether
// this is a fault of its own. The caller holds the mutex.
func (m *Monitor) holds(w *watch) bool {
	if w.recorded != nil {
		w.heldSince = time.Time{}
		return false
	}
	undecided := m.watches[w.cause]
	if undecided == nil {
		undecided = m.above(w, func(other *watch) bool {
			return other.standing.phase() == runner.CheckSuspect && rank(other.last.Health) >= rank(w.standing.health)
		})
	} else if undecided.recorded != nil || undecided.check.Quiet {
		undecided = nil // its fault is on record, so this one can go below it
	}
	if undecided == nil {
		w.heldSince = time.Time{}
		return false
	}
	if w.heldSince.IsZero() {
		w.heldSince = time.Now()
	}
	return time.Since(w.heldSince) < undecided.check.WorstDetection()
}

// rank orders healths by what they explain.
func rank(h runner.Health) int { return slices.Index(ranked(), h) }

// ranked are the healths in the order of their ranks, which are on record.
func ranked() []runner.Health {
	return []runner.Health{runner.Healthy, runner.HealthUnknown, runner.HealthWarning, runner.HealthCritical}
}

// blame finds the check on whose failure that of w is blamed. It stays blamed
// until it is well, or has failed for long enough after that one recovered. The
// caller holds the mutex.
func (m *Monitor) blame(w *watch, o Outcome) {
	if w.standing.level == well {
		w.cause, w.orphaned = "", 0
		return
	}
	if root := m.failingAbove(w, w.standing.level); root != nil {
		w.cause, w.orphaned = root.check.Name, 0
		return
	}
	if w.cause == "" || o.Void {
		return
	}
	if o.Health != runner.Healthy {
		w.orphaned++
	}
	if w.orphaned >= w.check.FailAfter {
		w.cause, w.orphaned = "", 0
	}
}

// failingAbove returns the farthest check above w of which each on the way
// fails at least as badly; nil for none.
func (m *Monitor) failingAbove(w *watch, lvl level) *watch {
	for _, name := range w.check.DependsOn {
		other := m.watches[name]
		if other == nil || other.standing.level < lvl || other.standing.blind {
			continue
		}
		if root := m.failingAbove(other, lvl); root != nil {
			return root
		}
		return other
	}
	return nil
}

// above returns a check above w that is as asked for; nil for none.
func (m *Monitor) above(w *watch, is func(*watch) bool) *watch {
	for _, name := range w.check.DependsOn {
		other := m.watches[name]
		if other == nil {
			continue
		}
		if is(other) {
			return other
		}
		if found := m.above(other, is); found != nil {
			return found
		}
	}
	return nil
}

// hurried returns the checks that have to be asked at once because of what w
// answered: those above one that is suspect and were not asked lately, and
// those below one that has just been decided. The caller holds the mutex.
func (m *Monitor) hurried(w *watch, phase runner.CheckPhase) []*watch {
	var list []*watch
	if w.last.Health != runner.Healthy && !w.last.Void && (phase == runner.CheckSuspect || w.held()) {
		for _, name := range w.check.DependsOn {
			if other := m.watches[name]; other != nil && other.check.Kind != KindHeartbeat && time.Since(other.askedAt) >= other.check.RetryEvery {
				list = append(list, other)
			}
		}
	}
	if phase == runner.CheckSuspect {
		return list
	}
	for _, other := range m.watches {
		if other.held() && m.above(other, func(above *watch) bool { return above == w }) != nil {
			list = append(list, other)
		}
	}
	return list
}
