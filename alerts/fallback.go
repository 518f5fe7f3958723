package alerts

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

// giveUp buries a notice and owes the fallback of the channel what it tells,
// before it is given up: a crash between the two loses nothing, and nothing is
// owed twice. The fallback of the fallback is told in its turn; the loader sees
// to it that nobody is the fallback of himself, and a channel is told of an
// incident once.
func (w *worker) giveUp(ctx context.Context, s Settings, n runner.Notice, why string) {
	delete(w.diverted, n.ID)
	w.record(ctx, n, func(ctx context.Context) error {
		if s.Fallback != "" && n.Action != runner.NoticeTest {
			if _, err := w.o.Duties.Divert(ctx, n.ID, s.Fallback, w.note(why)); err != nil {
				return err
			}
			w.Wake()
		}
		return w.o.Outbox.Bury(ctx, n.ID, why)
	})
}

// note says to the fallback why it is told.
func (w *worker) note(why string) string {
	return fmt.Sprintf("The channel %s could not be told: %s", w.name, why)
}

// insist tells the fallback of a fault that lasts and of which the channel could
// not be told for too long; the channel is tried on. It returns when that is
// due, or zero when it never is or was done.
func (w *worker) insist(ctx context.Context, s Settings, n runner.Notice, why string, now time.Time) time.Time {
	if s.Fallback == "" || w.diverted[n.ID] || n.Incident == "" || n.Action == runner.NoticeResolve || n.Action == runner.NoticeAck {
		return time.Time{}
	}
	incident, open := w.incident(ctx, n)
	if !open || slices.Contains(incident.Channels, s.Fallback) {
		return time.Time{}
	}
	due := n.CreatedAt.Add(maxAge)
	if incident.Severity == jobs.Critical {
		due = n.CreatedAt.Add(s.FallbackAfter)
	}
	if due.After(now) {
		return due
	}
	telling, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	if _, err := w.o.Duties.Divert(telling, n.ID, s.Fallback, w.note(why)); err != nil {
		w.log.WarnContext(telling, "could not owe the fallback a message; trying again", "fallback", s.Fallback, "notice", n.ID, "error", err)
		return now.Add(firstWait)
	}
	w.diverted[n.ID] = true
	w.Wake()
	w.log.WarnContext(telling, "a channel could not be told for too long: its fallback is told", "fallback", s.Fallback, "notice", n.ID, "since", n.CreatedAt)
	return time.Time{}
}

// incident reads the incident of a notice and tells whether it is open.
func (w *worker) incident(ctx context.Context, n runner.Notice) (runner.Incident, bool) {
	reading, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	incident, err := w.o.Records.Incident(reading, n.Incident)
	return incident, err == nil && incident.State == runner.IncidentOpen
}

// tried tells whether the channel may have heard of the incident of a notice of
// an end.
func (w *worker) tried(ctx context.Context, n runner.Notice) (bool, error) {
	all, err := w.o.Records.Notices(ctx, runner.NoticeFilter{Incident: n.Incident, Channel: n.Channel, Limit: mostGathered})
	if err != nil {
		return false, fmt.Errorf("read the notices of the incident: %w", err)
	}
	return slices.ContainsFunc(all, func(earlier runner.Notice) bool { return earlier.ID != n.ID && earlier.Attempts > 0 }), nil
}
