package ledgertest

import (
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/runner"
)

func testSubmit(t *testing.T, dsn secret.String) {
	s := join(t, dsn, "a", longLease)
	slot := Midnight()
	before := time.Now().UTC().Truncate(time.Microsecond)
	full := runner.Request{
		Spec: runner.Spec{Workflow: "w", Text: "timeout: 4h\n"}, Slot: slot.Add(123456789 * time.Nanosecond), Host: "db-1",
		Trigger: runner.ByCatchUp, Params: map[string]string{"tag": "nightly", "empty": ""}, Jobs: []string{"b", "a"}, DryRun: true, By: "cron",
		Overlap: runner.OverlapQueue, Approval: true, Alert: true, Slots: 3, LastSlot: slot.Add(time.Minute),
		Target: runner.OnLabel("db"), StartBy: slot.Add(time.Hour),
	}
	skipped := Request("w", slot)
	skipped.State, skipped.Reason, skipped.Message = runner.Skipped, runner.ReasonMissed, "nothing\nran"
	ids := s.submit(full, skipped, Request("w", slot.Add(time.Hour)))

	got := s.run(ids[0])
	want := runner.Run{ID: ids[0], Request: full, State: runner.Queued, QueuedAt: got.QueuedAt}
	want.Slot = slot.Add(123456 * time.Microsecond)
	want.Spec.Digest = got.Spec.Digest
	same(t, "the recorded run", want, got)
	if len(got.Spec.Digest) != 64 {
		t.Errorf("digest %q is not a SHA-256", got.Spec.Digest)
	}
	if got.QueuedAt.Before(before) || got.QueuedAt.After(time.Now().Add(time.Millisecond)) {
		t.Errorf("QueuedAt %s is not now (%s)", got.QueuedAt, before)
	}
	last := s.run(ids[1])
	if last.State != runner.Skipped || last.Reason != runner.ReasonMissed || last.Message != "nothing ran" || last.Overlap != runner.OverlapAllow || last.Slots != 1 || last.FinishedAt.IsZero() || !last.StartedAt.IsZero() {
		t.Errorf("a skipped slot is recorded as %+v", last)
	}
	for i := 1; i < len(ids); i++ {
		if ids[i] <= ids[i-1] {
			t.Errorf("run IDs do not grow in the order of the requests: %v", ids)
		}
	}

	again, err := s.Submit(s.ctx, Request("w", slot), Request("w", slot.Add(2*time.Hour)), full, Request("w", slot.Add(2*time.Hour)))
	if err != nil {
		t.Fatalf("Submit again: %v", err)
	}
	same(t, "the second answer", []runner.Submission{
		{Run: ids[1], Duplicate: true, State: runner.Skipped, Reason: runner.ReasonMissed, Message: "nothing ran"},
		{Run: again[1].Run, State: runner.Queued},
		{Run: ids[0], Host: "db-1", Duplicate: true, State: runner.Queued},
		{Run: again[1].Run, Duplicate: true, State: runner.Queued},
	}, again)
	same(t, "the run that was submitted twice", got, s.run(ids[0]))
	if answers, err := s.Submit(s.ctx); err != nil || len(answers) != 0 {
		t.Errorf("Submit of nothing = %v, %v", answers, err)
	}
}

func testSubmitManual(t *testing.T, dsn secret.String) {
	s := join(t, dsn, "a", longLease)
	slot := Midnight()
	scheduled := s.submit(Request("w", slot.Add(time.Second)))[0]
	manual := Request("w", slot)
	manual.Trigger = runner.ByManual
	api := manual
	api.Trigger = runner.ByAPI
	late := manual
	late.Slot = slot.Add(time.Second - time.Microsecond)
	ids := s.submit(manual, manual, api, late, late)
	want := []time.Duration{1, 2, 3, 999_999, 1_000_001}
	for i, id := range ids {
		if got := s.run(id).Slot; !got.Equal(slot.Add(want[i] * time.Microsecond)) {
			t.Errorf("manual run %d has slot %s, want midnight + %d µs", i, got, want[i])
		}
	}
	// The slots of schedules stay free for schedules.
	answers, err := s.Submit(s.ctx, Request("w", slot), Request("w", slot.Add(time.Second)))
	if err != nil || answers[0].Duplicate || answers[1].Run != scheduled {
		t.Errorf("schedule's own slots answer %+v, %v", answers, err)
	}
}

func testSubmitRefuses(t *testing.T, dsn secret.String) {
	s := join(t, dsn, "a", longLease)
	tests := []struct {
		name   string
		change func(*runner.Request)
		want   string
	}{
		{"no workflow", func(r *runner.Request) { r.Spec.Workflow = "" }, "the workflow has no name"},
		{"hostile workflow", func(r *runner.Request) { r.Spec.Workflow = "a\x00b" }, "contains NUL"},
		{"broken UTF-8 in a parameter", func(r *runner.Request) { r.Params = map[string]string{"p": "\xff"} }, "parameter p is not valid UTF-8"},
		{"NUL in the text", func(r *runner.Request) { r.Spec.Text = "a\x00" }, "contains NUL"},
		{"other digest", func(r *runner.Request) { r.Spec.Digest = strings.Repeat("0", 64) }, "is not that of the workflow's text"},
		{"no slot", func(r *runner.Request) { r.Slot = time.Time{} }, "no slot"},
		{"running", func(r *runner.Request) { r.State = runner.Running }, `cannot begin in state "running"`},
		{"unknown trigger", func(r *runner.Request) { r.Trigger = "moon" }, `unknown trigger "moon"`},
		{"long host", func(r *runner.Request) { r.Host = strings.Repeat("h", 256) }, "the host is too long"},
		{"unknown overlap", func(r *runner.Request) { r.Overlap = "maybe" }, `unknown overlap "maybe"`},
		{"no slots", func(r *runner.Request) { r.Slots = -1 }, "cannot stand for -1 slots"},
		{"folded backwards", func(r *runner.Request) { r.Slots, r.LastSlot = 2, r.Slot.Add(-time.Hour) }, "cannot stand for 2 slots"},
		{"folded without an end", func(r *runner.Request) { r.Slots = 2 }, "cannot stand for 2 slots"},
		{"huge text", func(r *runner.Request) { r.Spec.Text = strings.Repeat("#", 2<<20) }, "the workflow's text is too long"},
	}
	for _, test := range tests {
		r := Request("w", Midnight())
		test.change(&r)
		// All or none: the good request goes down with the bad one.
		_, err := s.Submit(s.ctx, Request("w", Midnight().Add(time.Hour)), r)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want one with %q", test.name, err, test.want)
		}
	}
	if runs, err := s.Runs(s.ctx, runner.Filter{}); err != nil || len(runs) > 0 {
		t.Errorf("refused requests left %d runs (%v)", len(runs), err)
	}
}
