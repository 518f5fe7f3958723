package alerts

import (
	"context"
	"errors"
	"fmt"

	"github.com/ghosteam/upkeep/runner"
)

// mostChanges bounds how many events a message names that may have caused a
// fault: the latest.
const mostChanges = 3

// Stories is what the dispatcher reads about what was found when a fault began,
// and what had happened before it. Its methods are those of runner.DeskReader
// and runner.Chronicle.
type Stories interface {
	Timeline(ctx context.Context, incident string) ([]runner.Entry, error)
	Happenings(ctx context.Context, f runner.HappeningFilter) ([]runner.Happening, error)
}

// addStory adds to a message about a fault that lasts what was found when it
// began, and what had changed before.
func (d *Dispatcher) addStory(ctx context.Context, m *Message) error {
	switch m.Action {
	case runner.NoticeOpen, runner.NoticeWorse, runner.NoticeRepeat:
	default:
		return nil
	}
	if d.o.Stories == nil {
		return nil
	}
	timeline, err := d.o.Stories.Timeline(ctx, m.Incident.ID)
	if err != nil && !errors.Is(err, runner.ErrNotFound) {
		return fmt.Errorf("read the timeline of the incident: %w", err)
	}
	for _, e := range timeline {
		if e.Kind == runner.EntryEvidence {
			m.Evidence = append(m.Evidence, runner.Evidence{Name: e.Name, Text: e.Text})
		}
	}
	f := m.Incident.Changes()
	f.Limit = mostChanges
	if m.Changes, err = d.o.Stories.Happenings(ctx, f); err != nil {
		return fmt.Errorf("read what had changed before the incident: %w", err)
	}
	return nil
}
