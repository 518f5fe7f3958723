package alerts_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ghosteam/upkeep/alerts"
	"github.com/ghosteam/upkeep/runner"
)

// TestDispatcher_FoundOld: what is days old when it is first tried, such as the
// end of a fault of which the channel heard before everything was off for a
// weekend, is not given up for a refusal of the moment.
func TestDispatcher_FoundOld(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		refusals int
		want     runner.NoticeState
		tries    int
	}{
		"a network that comes up late": {refusals: 8, want: runner.NoticeSent, tries: 9},
		"one that never comes":         {refusals: 1000, want: runner.NoticeDead, tries: 12},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				left := test.refusals
				ops := &channel{send: func(context.Context, alerts.Message) (string, error) {
					if left--; left >= 0 {
						return "", errors.New("no route to host")
					}
					return "accepted", nil
				}}
				b := newBench(t, map[string]*channel{"ops": ops}, func(b *bench) {
					b.incident = runner.Incident{ID: "i1", State: runner.IncidentResolved, Fault: runner.Fault{Title: "daily failed"}}
				})
				defer b.end()
				friday := time.Now().Add(-3 * 24 * time.Hour)
				b.owe(runner.Notice{ID: "n1", Incident: "i1", Channel: "ops", Action: runner.NoticeResolve, CreatedAt: friday})
				b.d.Wake()
				time.Sleep(2 * time.Hour)
				synctest.Wait()
				if n := b.get(t, "n1"); n.State != test.want || ops.count() != test.tries {
					t.Errorf("after two hours and %d tries: %+v", ops.count(), n)
				}
				for k, at := range ops.at[1:] {
					if pause := at.Sub(ops.at[k]); pause < time.Second || pause > 15*time.Minute {
						t.Errorf("try %d came %s after the one before", k+2, pause)
					}
				}
			})
		})
	}
}
