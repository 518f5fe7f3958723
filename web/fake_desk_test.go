package web_test

import (
	"context"
	"fmt"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// desk is the side of fake where people work on incidents.
type desk struct{ f *fake }

var (
	_ runner.Desk       = desk{}
	_ runner.DeskReader = desk{}
)

func (d desk) Ack(_ context.Context, incident, by, note string, until time.Time) error {
	return d.f.note("ack %s by %s: %q until %s", incident, by, note, until.Format(time.DateOnly))
}

func (d desk) Note(_ context.Context, incident, by, text string) error {
	return d.f.note("note %s by %s: %q", incident, by, text)
}

func (d desk) Began(_ context.Context, incident, by string, at time.Time) error {
	return d.f.note("began %s by %s: %s", incident, by, at.Format(time.DateOnly))
}

func (d desk) Resolve(_ context.Context, incident, by, note string) error {
	return d.f.note("resolve %s by %s: %q", incident, by, note)
}

func (d desk) Silence(_ context.Context, s runner.Silence) (string, error) {
	f := d.f
	if err := f.note("silence %s%s%s%s by %s: %q", s.Workflow, s.Check, s.Reason, s.Severity, s.By, s.Why); err != nil {
		return "", err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	s.ID = fmt.Sprintf("01c%d", len(f.silences))
	f.silences = append(f.silences, s)
	return s.ID, nil
}

func (d desk) EndSilence(_ context.Context, id, by string) error {
	return d.f.note("end silence %s by %s", id, by)
}

func (d desk) Timeline(_ context.Context, incident string) ([]runner.Entry, error) {
	d.f.mu.Lock()
	defer d.f.mu.Unlock()
	return []runner.Entry{
		{At: day(1), Kind: runner.EntryOpened, Text: incident},
		{At: day(1), Kind: runner.EntryEvidence, Name: "memory", Text: "a\nb"},
		{At: day(2), Kind: runner.EntryAcked, By: "anna", Text: "on it"},
	}, d.f.fail
}

func (d desk) Silences(context.Context, time.Time, bool) ([]runner.Silence, error) {
	d.f.mu.Lock()
	defer d.f.mu.Unlock()
	return append([]runner.Silence(nil), d.f.silences...), d.f.fail
}
