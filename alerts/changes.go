package alerts

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

const (
	// changesLate is how late a channel is told of a change, after downtime.
	changesLate = 12 * time.Hour
	// mostChanged bounds how many changes are looked at.
	mostChanged = 200
	// deployed is the kind of events that are changes.
	deployed = "deploy"
)

// Chronicler is a Channel that keeps a record of changes at its own side: it is
// told of every deploy, by messages with the action change.
type Chronicler interface {
	Channel
	// Chronicles tells whether it wants to, the same at every call.
	Chronicles() bool
}

// changes owes those channels that keep a record of changes the latest ones. The
// ID of a notice follows from the change: none is owed twice.
func (d *Dispatcher) changes(ctx context.Context, now time.Time) error {
	var to []string
	for _, name := range d.o.Names() {
		if d.o.Settings(name).Changes {
			to = append(to, name)
		}
	}
	if len(to) == 0 || d.o.Stories == nil {
		return nil
	}
	list, err := d.o.Stories.Happenings(ctx, runner.HappeningFilter{Kinds: []string{deployed}, Since: now.Add(-changesLate), Limit: mostChanged})
	if err != nil {
		return fmt.Errorf("read what was deployed: %w", err)
	}
	recent := map[string]bool{}
	var notices []runner.Notice
	for _, h := range list {
		for _, channel := range to {
			id := changeID(h, channel)
			if recent[id] = true; !d.changed[id] {
				subject := jobs.OneLine(fmt.Sprintf("%s %s: %s", h.Kind, h.Subject, h.Text))
				notices = append(notices, runner.Notice{ID: id, Channel: channel, Action: runner.NoticeChange, Subject: subject})
			}
		}
	}
	if len(notices) > 0 {
		if err := d.o.Incidents.Owe(ctx, notices...); err != nil {
			return err
		}
		d.Wake()
	}
	d.changed = recent
	return nil
}

// changeID is that of the notice that tells a channel of a change.
func changeID(h runner.Happening, channel string) string {
	return runner.DerivedID(h.At, "change", h.ID, channel)
}

// addChange adds to a message what changed. The time of the change stands in the
// ID of its notice, to the millisecond.
func (d *Dispatcher) addChange(ctx context.Context, m *Message, n runner.Notice) error {
	at, ok := runner.DerivedAt(n.ID)
	if d.o.Stories == nil || !ok {
		return nil
	}
	list, err := d.o.Stories.Happenings(ctx, runner.HappeningFilter{Kinds: []string{deployed}, Since: at, Until: at.Add(time.Millisecond), Limit: mostChanged})
	if err != nil && !errors.Is(err, runner.ErrNotFound) {
		return fmt.Errorf("read what changed: %w", err)
	}
	for _, h := range list {
		if changeID(h, n.Channel) == n.ID {
			m.Changes = []runner.Happening{h}
			m.Text = jobs.OneLine(h.By + " recorded it")
		}
	}
	return nil
}
