package executor_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/schedule"
)

// untilTwo is a window from midnight to two o'clock; the bubble's time begins
// at midnight.
func untilTwo(t *testing.T, onClose schedule.OnClose) schedule.Window {
	t.Helper()
	w, err := schedule.ParseWindow(schedule.WindowRule{Allow: []string{"00:00-02:00"}, OnClose: onClose})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestHandle_Window(t *testing.T) {
	t.Parallel()
	all := map[string]string{"long": "succeeded", "next": "succeeded", "cleanup": "succeeded"}
	stopped := map[string]string{"long": "canceled/window", "next": "skipped/window", "cleanup": "succeeded"}
	lost := []runner.Attempt{before("long", 1, runner.Lost, runner.ReasonCrash)}
	tests := []struct {
		name    string
		trigger runner.Trigger
		onClose schedule.OnClose
		delay   time.Duration // of the claim
		retried bool
		before  []runner.Attempt
		want    string
		jobs    map[string]string
		message string
		took    time.Duration
	}{
		{"Outside", runner.BySchedule, schedule.OnCloseStop, 2 * time.Hour, false, nil, "skipped/window", map[string]string{}, "it came to its turn outside the window 00:00-02:00, which opens again at 2000-01-02 00:00 UTC", 0},
		{"OutsideCaughtUp", runner.ByCatchUp, schedule.OnCloseWarn, 2 * time.Hour, false, nil, "skipped/window", map[string]string{}, "outside the window", 0},
		{"OutsideByHand", runner.ByManual, schedule.OnCloseStop, 2 * time.Hour, false, nil, "succeeded", all, "", time.Hour},
		{"OutsideRetried", runner.BySchedule, schedule.OnCloseStop, 2 * time.Hour, true, nil, "succeeded", all, "", time.Hour},
		{"Inside", runner.BySchedule, schedule.OnCloseStop, 0, false, nil, "succeeded", all, "", time.Hour},
		{"Stop", runner.BySchedule, schedule.OnCloseStop, 90 * time.Minute, false, nil, "canceled/window", stopped, "the window 00:00-02:00 closed at 2000-01-01 02:00 UTC", 30 * time.Minute},
		{"StopByHand", runner.ByManual, schedule.OnCloseStop, 90 * time.Minute, false, nil, "succeeded", all, "", time.Hour},
		{"Warn", runner.BySchedule, schedule.OnCloseWarn, 90 * time.Minute, false, nil, "succeeded", all, "it went on although the window 00:00-02:00 closed at 2000-01-01 02:00 UTC", time.Hour},
		{"ResumedOutsideStop", runner.BySchedule, schedule.OnCloseStop, 3 * time.Hour, false, lost, "canceled/window", map[string]string{"long": "lost/crash", "next": "skipped/window", "cleanup": "succeeded"}, "the window 00:00-02:00 is closed", 0},
		{"ResumedOutsideWarn", runner.BySchedule, schedule.OnCloseWarn, 3 * time.Hour, false, lost, "succeeded", all, "it went on although the window 00:00-02:00 is closed", time.Hour},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, job("long", takes(time.Hour)), job("next", fine, needs("long")), job("cleanup", fine, needs("next"), when(runner.Always)))
				b.plan(func(p *runner.Plan) { p.Window = untilTwo(t, test.onClose) })
				b.ledger.run.Trigger, b.ledger.attempts = test.trigger, test.before
				if test.retried {
					b.ledger.run.ReopenedBy = "anna"
				}
				time.Sleep(test.delay)
				began := time.Now()
				b.handle(t.Context())
				if took := time.Since(began); took != test.took {
					t.Errorf("took %s, want %s", took, test.took)
				}
				if diff := cmp.Diff(test.jobs, b.ledger.states()); diff != "" || b.ledger.verdict() != test.want {
					t.Errorf("run %s (%s), want %s; jobs (-want +got):\n%s", b.ledger.verdict(), b.ledger.run.Message, test.want, diff)
				}
				if got := b.ledger.run.Message; !strings.Contains(got, test.message) || test.message == "" && got != "" {
					t.Errorf("message %q, want %q", got, test.message)
				}
				if noted := len(of[runner.RunNoted](b.seen)); noted != 1 && strings.HasPrefix(test.message, "it went on") {
					t.Errorf("%d notes were told, want one", noted)
				}
			})
		})
	}
}
