package web_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

// TestClient_Desk works on incidents and silences.
func TestClient_Desk(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	d := start(t, stocked())
	c := d.client
	detail, err := c.IncidentDetail(ctx, "01a0")
	if err != nil || len(detail.Timeline) != 3 || detail.Timeline[1].Text != "a\nb" || detail.Timeline[2].By != "anna" ||
		len(detail.Notices) == 0 || len(detail.Changes) != len(d.events) {
		t.Errorf("detail: %+v, %v", detail, err)
	}
	if !slices.IsSortedFunc(detail.Notices, func(a, b api.Notice) int { return strings.Compare(a.ID, b.ID) }) {
		t.Error("the notices are not in the order of time")
	}
	until := time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
	for what, call := range map[string]func() error{
		"ack":         func() error { return c.AckIncident(ctx, "01a1", "on it", until) },
		"ack, no end": func() error { return c.AckIncident(ctx, "01a1", "", time.Time{}) },
		"note":        func() error { return c.NoteIncident(ctx, "01a1", "restarted") },
		"resolve":     func() error { return c.ResolveIncident(ctx, "01a1", "done") },
		"end":         func() error { return c.EndSilence(ctx, "01c7") },
	} {
		if err := call(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	silence, err := c.Silence(ctx, api.SilenceRequest{Check: "db*", Why: "moving", Until: until})
	if err != nil || silence.ID == "" || !strings.Contains(silence.By, "(") || !silence.Until.Equal(until) || silence.Since.IsZero() {
		t.Errorf("silence: %+v, %v", silence, err)
	}
	if list, err := c.Silences(ctx, true); err != nil || !cmp.Equal(list, []runner.Silence{silence}) {
		t.Errorf("silences: %+v, %v", list, err)
	}
	calls := strings.Join(d.called(), "\n")
	for _, want := range []string{"ack 01a1 by ", `: "on it" until 2100-01-01`, `: "" until 0001-01-01`, "note 01a1 by ", `"restarted"`, "resolve 01a1 by ", `"done"`, "silence db* by ", `"moving"`, "end silence 01c7 by "} {
		if !strings.Contains(calls, want) {
			t.Errorf("%q was not asked for:\n%s", want, calls)
		}
	}
}

// TestClient_DeskRefuses asks for what makes no sense.
func TestClient_DeskRefuses(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	d := start(t, stocked())
	c, later := d.client, time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
	silence := func(r api.SilenceRequest) func() error {
		return func() error { _, err := c.Silence(ctx, r); return err }
	}
	for what, call := range map[string]func() error{
		"ack of the past":    func() error { return c.AckIncident(ctx, "01a1", "", day(1).AddDate(-100, 0, 0)) },
		"an empty note":      func() error { return c.NoteIncident(ctx, "01a1", "") },
		"nothing selected":   silence(api.SilenceRequest{Why: "x", Until: later}),
		"all and some":       silence(api.SilenceRequest{Why: "x", Until: later, All: true, Check: "a"}),
		"both kinds":         silence(api.SilenceRequest{Why: "x", Until: later, Workflow: "a", Check: "a"}),
		"no pattern":         silence(api.SilenceRequest{Why: "x", Until: later, Check: "[a"}),
		"no reason":          silence(api.SilenceRequest{Until: later, Check: "a"}),
		"ends in the past":   silence(api.SilenceRequest{Why: "x", Until: day(1).AddDate(-100, 0, 0), Check: "a"}),
		"ends before it can": silence(api.SilenceRequest{Why: "x", Until: later, Since: api.Instant(later.Add(time.Hour)), Check: "a"}),
	} {
		if problem, ok := errors.AsType[*api.Problem](call()); !ok || problem.Code != api.CodeInvalid {
			t.Errorf("%s: %v, want a complaint", what, problem)
		}
	}
	if err := c.ResolveIncident(ctx, "01zz", ""); !errors.Is(err, runner.ErrNotFound) {
		t.Errorf("an unknown incident: %v", err)
	}
	d.setFail(runner.ErrIncidentState)
	if problem, ok := errors.AsType[*api.Problem](c.EndSilence(ctx, "01c0")); !ok || problem.Code != api.CodeSkipped {
		t.Errorf("a state that does not allow it: %v", problem)
	}
}
