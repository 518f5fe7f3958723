package health

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

const (
	// hearEvery is how often the node that watches a heartbeat looks whether
	// another node was told something.
	hearEvery = 15 * time.Second
	// doubtFor is how long after a check was taken over the node before may still
	// put on record what it found.
	doubtFor = 30 * time.Second
	// slack is how long a sample may take to be on record.
	slack = 3 * flushEvery
)

// takeOver gives checks that another node asked until now the state that stands
// on record. One whose record cannot be read begins anew; its incident, if there
// is one, is settled by what it answers.
func (m *Monitor) takeOver(ctx context.Context, taken []*watch) {
	if len(taken) == 0 {
		return
	}
	open, err := m.openIncidents(ctx)
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, w := range taken {
		w.doubt = time.Now().Add(doubtFor)
		if i, fails := open[w.check.Name]; fails && !w.check.Quiet {
			w.restore(i)
		}
		if err == nil {
			err = m.rememberPings(ctx, w)
		}
		if err == nil {
			err = m.rememberAnswers(ctx, w, time.Now())
		}
		if err != nil {
			m.o.Log.WarnContext(ctx, "read what is on record of a check that is taken over", "check", w.check.Name, "error", err)
			continue
		}
		m.o.Log.InfoContext(ctx, "this node asks a check from now on", "check", w.check.Name)
	}
}

// Watches tells whether these checks are what is watched, each by the same node.
func (m *Monitor) Watches(checks []Check) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(checks) != len(m.watches) {
		return false
	}
	for _, c := range checks {
		if w := m.watches[c.Name]; w == nil || w.check.Digest != c.Digest || w.check.Node != c.Node {
			return false
		}
	}
	return true
}

// Elsewhere tells whether another node asks a check.
func (m *Monitor) Elsewhere(check string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	w := m.watches[check]
	return w != nil && w.check.Node != ""
}

// openIncidents are those of checks, by the name of the check.
func (m *Monitor) openIncidents(ctx context.Context) (map[string]runner.Incident, error) {
	list, err := m.o.Known.Incidents(ctx, runner.IncidentFilter{States: []runner.IncidentState{runner.IncidentOpen}, Limit: mostOpen})
	if err != nil {
		return nil, fmt.Errorf("read which checks fail: %w", err)
	}
	open := map[string]runner.Incident{}
	for _, i := range list {
		if name, ours := checkOf(i.Fingerprint); ours {
			open[name] = i
		}
	}
	return open, nil
}

// hearElsewhere takes over what a heartbeat told another node.
func (m *Monitor) hearElsewhere(ctx context.Context, w *watch) {
	heard := newWatch(w.check)
	if _, err := m.recall(ctx, heard); err != nil {
		m.o.Log.WarnContext(ctx, "look whether another node heard a heartbeat", "check", w.check.Name, "error", err)
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now, p := &w.pings, heard.pings
	if p.begun.After(now.begun.Add(time.Millisecond)) {
		now.begun = p.begun
	}
	// The record keeps microseconds.
	if p.ended.After(now.ended.Add(time.Millisecond)) {
		now.end(p.ended, Ping{Code: p.code})
	}
}

// Look reads what is on record of the checks that other nodes ask, so that
// Reports tells it.
func (m *Monitor) Look(ctx context.Context) error {
	m.mu.Lock()
	elsewhere := slices.ContainsFunc(m.order, func(name string) bool { return m.watches[name].check.Node != "" })
	m.mu.Unlock()
	if !elsewhere {
		return nil
	}
	open, err := m.openIncidents(ctx)
	if err != nil {
		return err
	}
	series, err := m.o.Past.Series(ctx, "check.")
	if err != nil {
		return fmt.Errorf("read what other nodes measured: %w", err)
	}
	// Databases order texts as they please.
	slices.SortFunc(series, func(a, b runner.Series) int { return strings.Compare(a.Name, b.Name) })
	byName := make(map[string]runner.Series, len(series))
	for _, s := range series {
		byName[s.Name] = s
	}
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, name := range m.order {
		w := m.watches[name]
		if w.check.Node == "" {
			continue
		}
		w.seen = w.look(byName, now)
		if i, fails := open[name]; fails {
			w.fails(i)
		}
		for _, s := range below(series, Series(name, "")) {
			value := strings.TrimPrefix(s.Name, Series(name, ""))
			if !slices.Contains(ownSeries(), value) && now.Sub(s.Last) <= w.stale() {
				w.seen.Values[value] = s.Value
			}
		}
	}
	return nil
}

// below returns those of sorted series whose names begin with prefix.
func below(series []runner.Series, prefix string) []runner.Series {
	from, _ := slices.BinarySearchFunc(series, prefix, func(s runner.Series, p string) int { return strings.Compare(s.Name, p) })
	until := from
	for until < len(series) && strings.HasPrefix(series[until].Name, prefix) {
		until++
	}
	return series[from:until]
}

// look says what the latest answer on record means.
func (w *watch) look(series map[string]runner.Series, now time.Time) runner.CheckReport {
	c := w.check
	r := runner.CheckReport{
		Name: c.Name, Kind: c.Kind, Impact: c.Impact, Every: c.Every, Node: c.Node, Phase: runner.CheckWell,
		Health: runner.HealthUnknown, Answer: runner.HealthUnknown, Values: map[string]float64{},
	}
	up, bad := series[Series(c.Name, "up")], series[Series(c.Name, seriesBad)]
	if c.Kind == KindHeartbeat {
		up = series[Series(c.Name, seriesPing)]
	}
	r.At = up.Last
	if bad.Last.After(r.At) {
		r.At = bad.Last
	}
	switch {
	case r.At.IsZero():
		r.Message = "the node " + c.Node + " has not asked it yet"
		return r
	case c.Kind != KindHeartbeat && now.Sub(r.At) > w.stale():
		r.Message = fmt.Sprintf("the node %s has not asked it since %s", c.Node, stamp(r.At))
		return r
	}
	r.Health, r.Answer, r.LastGood = runner.Healthy, runner.Healthy, r.At
	if bad.Last.Equal(r.At) {
		if a, ok := badAnswer(runner.Stretch{At: bad.Last, High: bad.Value}); ok {
			r.Answer, r.ErrorKind, r.LastGood, r.Phase = a.Health, a.ErrorKind, time.Time{}, runner.CheckSuspect
		}
	}
	r.Message = "as the node " + c.Node + " sees it"
	if s, ok := series[Series(c.Name, "seconds")]; ok {
		r.Took = time.Duration(s.Value * float64(time.Second))
	}
	return r
}

// fails adds what an open incident says.
func (w *watch) fails(i runner.Incident) {
	r := &w.seen
	r.Phase, r.Since, r.LastGood, r.FirstBad, r.Message = runner.CheckFailing, i.OpenedAt, i.LastGood, i.FirstBad, i.Title
	if r.Health != runner.HealthUnknown || r.At.IsZero() {
		r.Health = runner.HealthWarning
		if i.Severity == jobs.Critical {
			r.Health = runner.HealthCritical
		}
	}
	r.Cause, _ = checkOf(i.Parent)
}

// asSeen is the report of a check that another node asks. The caller holds the
// mutex of the monitor.
func (w *watch) asSeen() runner.CheckReport {
	if w.seen.Name == "" {
		return w.look(nil, time.Now())
	}
	return w.seen
}

// stale is how old the latest answer on record may be.
func (w *watch) stale() time.Duration { return 2*w.check.Every + slack }
