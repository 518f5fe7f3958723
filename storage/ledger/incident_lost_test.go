package ledger_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
	"github.com/ghosteam/upkeep/storage/ledger/ledgertest"
)

// verdicts is an alarm that does not kill.
type verdicts func(runner.Run) runner.Verdict

func (v verdicts) Judge(run runner.Run) runner.Verdict { return v(run) }

// TestPostgres_LostAlertAnswers: the server commits, but the client never hears
// of it. Every call may simply be made again, and nothing is owed twice.
func TestPostgres_LostAlertAnswers(t *testing.T) {
	t.Parallel()
	p, through := ledgertest.StartNetwork(t, ledgertest.Postgres(t))
	l := ledgertest.Open(t, through, func(o *ledger.Options) { o.LeaseTTL, o.Alarm = time.Hour, verdicts(crashVerdict) })
	if err := l.Register(t.Context()); err != nil {
		t.Fatal(err)
	}
	losses := int32(0)
	twice := func(what string, call func() error) {
		t.Helper()
		p.LoseAfter("commit\x00")
		if err := call(); !errors.Is(err, runner.ErrUnavailable) {
			t.Errorf("%s with a lost answer: %v, want ErrUnavailable", what, err)
		}
		losses++
		if err := call(); err != nil {
			t.Errorf("%s again: %v", what, err)
		}
	}
	missed := ledgertest.Request("missed", ledgertest.Midnight())
	missed.State, missed.Reason = runner.Skipped, runner.ReasonMissed
	twice("Submit", func() error { _, err := l.Submit(t.Context(), missed); return err })
	answers, err := l.Submit(t.Context(), ledgertest.Request("failed", ledgertest.Midnight()))
	if err != nil {
		t.Fatal(err)
	}
	c, _, err := l.Claim(t.Context(), answers[0].Run)
	if err != nil {
		t.Fatal(err)
	}
	twice("Advance", func() error {
		_, err := l.Advance(t.Context(), c, runner.Step{Finish: &runner.Finish{State: runner.Failed, Message: "it broke"}})
		return err
	})
	id := uuid.Must(uuid.NewV7()).String()
	twice("Owe", func() error {
		return l.Owe(t.Context(), runner.Notice{ID: id, Channel: "ops", Action: runner.NoticeTest, Subject: "x"})
	})
	twice("Record", func() error { return l.Record(t.Context(), runner.Happening{ID: id, Kind: "deploy"}) })
	incidents, err := l.Incidents(t.Context(), runner.IncidentFilter{})
	if err != nil || len(incidents) != 2 || incidents[0].Count != 1 || incidents[1].Count != 1 {
		t.Errorf("incidents: %+v, %v, want two of one occurrence each", incidents, err)
	}
	taken, _, err := l.Take(t.Context(), "ops", time.Now().Add(time.Second), time.Minute, 10)
	if err != nil || len(taken) != 3 {
		t.Fatalf("%d notices, %v, want one of each incident and the test", len(taken), err)
	}
	twice("Sent", func() error { return l.Sent(t.Context(), taken[0].ID, "ok") })
	twice("Retry", func() error { return l.Retry(t.Context(), taken[1].ID, "away", time.Now()) })
	twice("Bury", func() error { return l.Bury(t.Context(), taken[2].ID, "refused") })
	twice("Revive", func() error { return l.Revive(t.Context(), taken[2].ID) })
	twice("Clear", func() error { _, err := l.Clear(t.Context(), "workflow/failed", time.Now()); return err })
	if got := p.Lost.Load(); got != losses {
		t.Errorf("%d answers were lost, want %d", got, losses)
	}
	notices, err := l.Notices(t.Context(), runner.NoticeFilter{})
	if err != nil || len(notices) != 7 {
		t.Errorf("%d notices, %v, want two openings and an end to two channels, and the test", len(notices), err)
	}
	if events, err := l.Happenings(t.Context(), runner.HappeningFilter{}); err != nil || len(events) != 1 {
		t.Errorf("%d events, %v, want 1", len(events), err)
	}
}
