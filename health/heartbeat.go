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

// The series that keep what heartbeats were told over a restart.
const (
	seriesPing    = "ping"         // the exit code of what pinged, 0 for success
	seriesStart   = "ping_start"   // when it said that it begins
	seriesAwaited = "ping_awaited" // since when a first ping is waited for
)

// Ping is what a heartbeat is told.
type Ping struct {
	// Start tells that the work begins; Code is its exit code when it has ended,
	// 0 to 255.
	Start bool
	Code  int
	// Text is what it says, of which the first line counts.
	Text string
}

// Sample is how a ping of a heartbeat at an instant stands on record.
func (p Ping) Sample(check string, at time.Time) runner.Sample {
	if p.Start {
		return runner.Sample{Series: Series(check, seriesStart), At: at.UTC(), Value: 1}
	}
	return runner.Sample{Series: Series(check, seriesPing), At: at.UTC(), Value: float64(p.Code)}
}

// pings is what a heartbeat was told.
type pings struct {
	// ended is when the work ended last, with code and text; begun is when it
	// began last. awaited is since when a ping is waited for.
	ended, begun, awaited time.Time
	code                  int
	text                  string
	// took is how long the last work took that said when it began.
	took time.Duration
	// fresh tells that the last ping was not judged yet; missed is the deadline
	// that was missed last.
	fresh  bool
	missed time.Time
}

// Ping takes the ping of a heartbeat. When it returns nil, the ping is on
// record. It returns an *UnknownError when there is no heartbeat of that slug.
func (m *Monitor) Ping(ctx context.Context, slug string, p Ping) error {
	m.mu.Lock()
	var w *watch
	var known []string
	for _, name := range m.order {
		if one := m.watches[name]; one.check.Kind == KindHeartbeat {
			known = append(known, one.check.Slug)
			if one.check.Slug == slug {
				w = one
			}
		}
	}
	m.mu.Unlock()
	if w == nil {
		return &UnknownError{What: "heartbeat", Name: slug, Known: known}
	}
	now := time.Now()
	if err := m.o.Samples.Observe(ctx, p.Sample(w.check.Name, now)); err != nil {
		return fmt.Errorf("record the ping of %s: %w", w.check.Name, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if p.Start {
		w.pings.begun = now
	} else {
		w.pings.end(now, p)
	}
	w.ring()
	return nil
}

// end takes a ping that says how the work ended.
func (p *pings) end(now time.Time, ping Ping) {
	p.took = 0
	if p.begun.After(p.ended) {
		p.took = now.Sub(p.begun)
	}
	line, _, _ := strings.Cut(strings.TrimSpace(ping.Text), "\n")
	p.ended, p.code, p.text, p.fresh, p.missed = now, ping.Code, jobs.OneLine(line), true, time.Time{}
}

// due is when the next ping is overdue.
func (p *pings) due(c Check) time.Time {
	last := p.ended
	if p.awaited.After(last) {
		last = p.awaited
	}
	due := last.Add(c.Every)
	if p.begun.After(p.ended) && p.begun.Before(due) {
		due = p.begun // what has begun must end within the grace
	}
	return due.Add(c.Grace)
}

// turnHeartbeat judges what a heartbeat was told, and that it was told nothing,
// and returns how long to wait.
func (m *Monitor) turnHeartbeat(ctx context.Context, w *watch) time.Duration {
	if m.o.Shared {
		m.hearElsewhere(ctx, w)
	}
	now := time.Now()
	m.mu.Lock()
	c, p := w.check, w.pings
	due := p.due(c)
	late := !now.Before(due)
	// Each missed deadline counts once, and the same one again after an interval.
	judge := p.fresh || late && (p.missed.IsZero() || now.Sub(p.missed) >= m.again(w))
	w.pings.fresh = false
	if late && judge && !p.fresh {
		w.pings.missed = now
	}
	m.mu.Unlock()
	switch {
	case judge:
		m.answered(ctx, w, p.outcome(c, now, late))
	case w.last.At.IsZero():
		m.answered(ctx, w, p.first(c, now))
	}
	if late {
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.again(w)
	}
	if m.o.Shared {
		return min(time.Until(due), hearEvery)
	}
	return time.Until(due)
}

// again is how long after one missed deadline the next counts. The caller holds
// the mutex.
func (m *Monitor) again(w *watch) time.Duration {
	if w.standing.restless() || w.held() {
		return w.check.RetryEvery
	}
	return w.check.Every
}

// outcome judges the latest ping, or that none came.
func (p *pings) outcome(c Check, now time.Time, late bool) Outcome {
	o := Outcome{Health: runner.Healthy, At: now, Values: map[string]float64{}, Took: p.took}
	switch {
	case p.fresh && p.code != 0:
		o.Health, o.ErrorKind = runner.HealthCritical, errorStatus
		o.Message = fmt.Sprintf("it reported failure, exit code %d", p.code)
	case p.fresh || !late:
		o.Message = "it reported success"
		o.Values["exit_code"] = float64(p.code)
	case p.begun.After(p.ended):
		o.Health, o.ErrorKind = runner.HealthCritical, errorTimeout
		o.Message = fmt.Sprintf("it began at %s and has not ended since; %s are allowed", stamp(p.begun), c.Grace)
	case p.ended.IsZero():
		o.Health, o.ErrorKind = runner.HealthCritical, errorTimeout
		o.Message = fmt.Sprintf("no ping ever came; one is due every %s, and %s late at most", c.Every, c.Grace)
	default:
		o.Health, o.ErrorKind = runner.HealthCritical, errorTimeout
		o.Message = fmt.Sprintf("no ping since %s; one is due every %s, and %s late at most", stamp(p.ended), c.Every, c.Grace)
	}
	if p.fresh && p.text != "" {
		o.Message = jobs.OneLine(o.Message + ": " + p.text)
	}
	o.Down = o.Health == runner.HealthCritical
	if o.Down && c.Impact == runner.ImpactNone {
		o.Health = runner.HealthWarning
	}
	if o.Health != runner.Healthy {
		o.evidence = []runner.Evidence{{Name: "answer", Text: o.Message + "\n"}}
	}
	return o
}

// first is what can be said of a heartbeat after the start of this process.
func (p *pings) first(c Check, now time.Time) Outcome {
	if p.ended.IsZero() {
		return Outcome{Void: true, Health: runner.HealthUnknown, At: now, Message: "it waits for the first ping"}
	}
	q := *p
	q.fresh = true
	o := q.outcome(c, p.ended, false)
	o.Took = 0
	return o
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// rememberPings takes over what a heartbeat was told before this process. The
// caller holds the mutex.
func (m *Monitor) rememberPings(ctx context.Context, w *watch) error {
	if w.check.Kind != KindHeartbeat {
		return nil
	}
	known, err := m.recall(ctx, w)
	if err == nil && !known {
		err = m.await(ctx, w)
	}
	return err
}

// recall reads what a heartbeat was told, and tells whether anything is on
// record.
func (m *Monitor) recall(ctx context.Context, w *watch) (known bool, err error) {
	list, err := m.o.Past.Series(ctx, Series(w.check.Name, seriesPing))
	if err != nil {
		return false, fmt.Errorf("read the pings of %s: %w", w.check.Name, err)
	}
	for _, s := range list {
		switch s.Name {
		case Series(w.check.Name, seriesPing):
			w.pings.ended, w.pings.code = s.Last, int(s.Value)
		case Series(w.check.Name, seriesStart):
			w.pings.begun = s.Last
		case Series(w.check.Name, seriesAwaited):
			w.pings.awaited = s.Last
		}
	}
	return !w.pings.ended.IsZero() || !w.pings.awaited.IsZero(), nil
}

// awaitFirst begins to wait for the pings of a heartbeat that has just been
// configured.
func (m *Monitor) awaitFirst(ctx context.Context, w *watch) {
	if w.check.Kind != KindHeartbeat || !w.pings.awaited.IsZero() || !w.pings.ended.IsZero() {
		return
	}
	if err := m.await(ctx, w); err != nil {
		m.o.Log.WarnContext(ctx, "record since when a heartbeat is awaited", "check", w.check.Name, "error", err)
	}
}

// await begins to wait for the first ping now.
func (m *Monitor) await(ctx context.Context, w *watch) error {
	w.pings.awaited = time.Now().UTC()
	return m.o.Samples.Observe(ctx, runner.Sample{Series: Series(w.check.Name, seriesAwaited), At: w.pings.awaited, Value: 1})
}

// Heartbeats returns the slugs of the heartbeats, sorted.
func (m *Monitor) Heartbeats() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []string
	for _, w := range m.watches {
		if w.check.Kind == KindHeartbeat {
			list = append(list, w.check.Slug)
		}
	}
	slices.Sort(list)
	return list
}

// OnceTold judges a heartbeat by what is on record, without a monitor.
func OnceTold(ctx context.Context, past runner.SampleReader, c Check, now time.Time) (Outcome, error) {
	m := &Monitor{o: Options{Past: past}}
	w := newWatch(c)
	if _, err := m.recall(ctx, w); err != nil {
		return Outcome{}, err
	}
	p := &w.pings
	switch {
	case p.ended.IsZero() && p.awaited.IsZero():
		return Outcome{Void: true, Health: runner.HealthUnknown, At: now, Message: "it was never told anything"}, nil
	case now.Before(p.due(c)):
		return p.first(c, now), nil
	}
	return p.outcome(c, now, true), nil
}
