package metrics

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

// alertMetrics are the metrics of incidents and of what is owed about them.
type alertMetrics struct {
	open, pending, oldest *gauges
	incidents, notices    *counters
	detection, resolution *histograms
	delivery              *histograms
}

func newAlertMetrics(m maker) alertMetrics {
	return alertMetrics{
		open:       m.gauges("upkeep_incidents_open", "Incidents that are open.", "severity"),
		incidents:  m.counters("upkeep_incidents_total", "Incidents that opened since this process began, by what is at fault: a check, a workflow or upkeep itself.", "source", "severity"),
		detection:  m.histograms("upkeep_incident_detection_seconds", "From the first bad answer of a check to its incident.", outages()),
		resolution: m.histograms("upkeep_incident_resolution_seconds", "From the first sign of a fault to the end of its incident.", outages()),
		notices:    m.counters("upkeep_notices_total", "Attempts to send a notice: sent, retried (it is tried again later) or dead (given up).", "channel", "result"),
		delivery:   m.histograms("upkeep_notice_delivery_seconds", "From when a notice was owed to when its channel accepted it.", outages()),
		pending:    m.gauges("upkeep_outbox_pending", "Notices that are owed to the channel.", "channel"),
		oldest:     m.gauges("upkeep_outbox_oldest_timestamp_seconds", "Since when the oldest of them is owed; 0 for none.", "channel"),
	}
}

// sources are what can be at fault.
func sources() []string { return []string{"check", "upkeep", "workflow"} }

func severities() []jobs.Severity { return []jobs.Severity{jobs.Info, jobs.Warning, jobs.Critical} }

// What became of an attempt to send a notice.
const (
	noticeSent    = "sent"
	noticeRetried = "retried"
	noticeDead    = "dead"
)

func (m *alertMetrics) configure(i Inventory) {
	for _, severity := range severities() {
		_, _ = m.open.with(string(severity))
		for _, source := range sources() {
			add(m.incidents, 0, source, string(severity))
		}
	}
	for _, h := range []*histograms{m.detection, m.resolution, m.delivery} {
		_, _ = h.with()
	}
	for _, channel := range i.Channels {
		for _, result := range []string{noticeSent, noticeRetried, noticeDead} {
			add(m.notices, 0, channel, result)
		}
		_, _ = m.pending.with(channel)
		_, _ = m.oldest.with(channel)
	}
	gone := unless(i.Channels)
	m.notices.forget(gone)
	m.pending.forget(gone)
	m.oldest.forget(gone)
}

const (
	// mostOpen bounds how many open incidents, and how many notices, are looked
	// at; mostRecent how many of those that ended.
	mostOpen   = 1000
	mostRecent = 200
)

// Refresh looks at the incidents and the notices of a ledger. The first look
// counts nothing: what is on record then is not news.
func (s *Set) Refresh(ctx context.Context, r runner.AlertReader) error {
	open, err := r.Incidents(ctx, runner.IncidentFilter{States: []runner.IncidentState{runner.IncidentOpen}, Limit: mostOpen})
	if err != nil {
		return fmt.Errorf("count the open incidents: %w", err)
	}
	recent, err := r.Incidents(ctx, runner.IncidentFilter{Limit: mostRecent})
	if err != nil {
		return fmt.Errorf("count the incidents: %w", err)
	}
	unsent, err := r.Notices(ctx, runner.NoticeFilter{States: []runner.NoticeState{runner.NoticePending, runner.NoticeSending}, Limit: mostOpen})
	if err != nil {
		return fmt.Errorf("count the outbox: %w", err)
	}
	// One that has been open for long may have ended without being recent.
	for _, id := range s.vanished(open, recent) {
		one, err := r.Incident(ctx, id)
		if err != nil {
			continue // pruned with the history
		}
		recent = append(recent, one)
	}
	s.takeIncidents(open, recent)
	s.takeOutbox(unsent)
	return nil
}

// vanished are the incidents that were open at the last look and are in neither
// list.
func (s *Set) vanished(open, recent []runner.Incident) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ids []string
	for id, was := range s.incidents {
		same := func(i runner.Incident) bool { return i.ID == id }
		if was.State == runner.IncidentOpen && !slices.ContainsFunc(open, same) && !slices.ContainsFunc(recent, same) {
			ids = append(ids, id)
		}
	}
	return ids
}

func (s *Set) takeIncidents(open, recent []runner.Incident) {
	count := map[jobs.Severity]int{}
	for _, i := range open {
		count[i.Severity]++
	}
	for _, severity := range severities() {
		set(s.alerts.open, float64(count[severity]), string(severity))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	news, latest := s.incidents != nil, map[string]runner.Incident{}
	for _, i := range slices.Concat(recent, open) {
		if _, twice := latest[i.ID]; twice {
			continue
		}
		latest[i.ID] = i
		if was, seen := s.incidents[i.ID]; news {
			s.countIncident(i, was, seen)
		}
	}
	s.incidents = latest
}

// countIncident counts what is new about an incident.
func (s *Set) countIncident(i, was runner.Incident, seen bool) {
	if !seen {
		add(s.alerts.incidents, 1, sourceOf(i), string(i.Severity))
		if !i.FirstBad.IsZero() {
			observe(s.alerts.detection, max(0, i.OpenedAt.Sub(i.FirstBad).Seconds()))
		}
	}
	if i.State == runner.IncidentResolved && (!seen || was.State != runner.IncidentResolved) {
		began := i.OpenedAt
		if !i.FirstBad.IsZero() {
			began = i.FirstBad
		}
		observe(s.alerts.resolution, max(0, i.ResolvedAt.Sub(began).Seconds()))
	}
}

func sourceOf(i runner.Incident) string {
	switch {
	case i.Check != "":
		return "check"
	case i.Workflow != "":
		return "workflow"
	}
	return "upkeep"
}

func (s *Set) takeOutbox(unsent []runner.Notice) {
	s.mu.Lock()
	channels := s.inventory.Channels
	s.mu.Unlock()
	for _, channel := range channels {
		n, oldest := 0, 0.0
		for _, notice := range unsent {
			if notice.Channel != channel || notice.Withheld {
				continue
			}
			n++
			if at := seconds(notice.CreatedAt); oldest == 0 || at < oldest {
				oldest = at
			}
		}
		set(s.alerts.pending, float64(n), channel)
		set(s.alerts.oldest, oldest, channel)
	}
}

// Outbox returns o, with what becomes of the notices that are taken from it
// counted.
func (s *Set) Outbox(o runner.Outbox) runner.Outbox { return &outbox{Outbox: o, set: s} }

// outbox counts what becomes of notices.
type outbox struct {
	runner.Outbox

	set *Set
}

// Take remembers what is taken.
func (o *outbox) Take(ctx context.Context, channel string, now time.Time, lease time.Duration, limit int) ([]runner.Notice, time.Time, error) {
	taken, next, err := o.Outbox.Take(ctx, channel, now, lease, limit)
	o.set.mu.Lock()
	defer o.set.mu.Unlock()
	for _, n := range taken {
		o.set.taken[n.ID] = n
	}
	return taken, next, err
}

// Sent counts a notice that was accepted.
func (o *outbox) Sent(ctx context.Context, id, receipt string) error {
	err := o.Outbox.Sent(ctx, id, receipt)
	o.settle(id, noticeSent, err)
	return err
}

// Retry counts a notice that is tried again later.
func (o *outbox) Retry(ctx context.Context, id, why string, next time.Time) error {
	err := o.Outbox.Retry(ctx, id, why, next)
	o.settle(id, noticeRetried, err)
	return err
}

// Bury counts a notice that is given up.
func (o *outbox) Bury(ctx context.Context, id, why string) error {
	err := o.Outbox.Bury(ctx, id, why)
	o.settle(id, noticeDead, err)
	return err
}

// settle counts what became of a notice once that is on record.
func (o *outbox) settle(id, result string, err error) {
	if err != nil {
		return
	}
	o.set.mu.Lock()
	n, ok := o.set.taken[id]
	delete(o.set.taken, id)
	configured := slices.Contains(o.set.inventory.Channels, n.Channel)
	o.set.mu.Unlock()
	if !ok || !configured {
		return
	}
	add(o.set.alerts.notices, 1, n.Channel, result)
	if result == noticeSent {
		observe(o.set.alerts.delivery, max(0, o.set.now().Sub(n.CreatedAt).Seconds()))
	}
}
