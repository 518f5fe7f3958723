package alerts_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ghosteam/upkeep/alerts"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

// falling are settings in which pager falls back to ops, and ops to last.
func falling(b *bench) {
	b.settings = map[string]alerts.Settings{
		"pager": {Fallback: "ops", FallbackAfter: 10 * time.Minute},
		"ops":   {Fallback: "last", FallbackAfter: 10 * time.Minute},
	}
}

func refusing(context.Context, alerts.Message) (string, error) {
	return "", &alerts.PermanentError{Err: errors.New("no such service")}
}

func TestFallback_Dead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		pager, ops, last := &channel{send: refusing}, &channel{send: refusing}, &channel{}
		b := newBench(t, map[string]*channel{"pager": pager, "ops": ops, "last": last}, falling)
		defer b.end()
		b.faults["Divert"] = []error{runner.ErrUnavailable}
		b.fault("daily", jobs.Warning, "pager")
		b.owe(reminder("n1", "pager"))
		b.d.Wake()
		for range 3 { // the ledger says so each time that something is owed
			time.Sleep(time.Minute)
			b.d.Wake()
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if pager.count() != 2 || ops.count() != 2 || last.count() != 2 {
			t.Fatalf("tried %d, %d and %d times", pager.count(), ops.count(), last.count())
		}
		for _, m := range last.got {
			if !strings.HasPrefix(m.Text, "The channel ops could not be told: no such service") {
				t.Errorf("the fallback is told %q", m.Text)
			}
		}
		if len(b.faults["Divert"]) > 0 {
			t.Error("the fault never fired")
		}
		for _, id := range []string{"daily-pager", "n1"} {
			if n := b.get(t, id); n.State != runner.NoticeDead {
				t.Errorf("%+v", n)
			}
		}
	})
}

// TestFallback_Unreachable holds that of a critical fault the fallback is told
// in time, and the channel itself when it is back.
func TestFallback_Unreachable(t *testing.T) {
	t.Parallel()
	for _, severity := range []jobs.Severity{jobs.Critical, jobs.Warning} {
		t.Run(string(severity), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				pager, ops := &channel{}, &channel{}
				pager.send = func(context.Context, alerts.Message) (string, error) {
					if time.Since(began) < 3*time.Hour {
						return "", errors.New("connection refused")
					}
					return "ok", nil
				}
				b := newBench(t, map[string]*channel{"pager": pager, "ops": ops, "last": {}}, falling)
				defer b.end()
				b.fault("daily", severity, "pager")
				b.d.Wake()
				for range 15 {
					time.Sleep(time.Minute)
					b.d.Wake()
				}
				synctest.Wait()
				switch {
				case severity == jobs.Warning && ops.count() != 0:
					t.Errorf("the fallback is told of a warning after %s", ops.at[0].Sub(began))
				case severity == jobs.Critical && ops.count() != 1:
					t.Fatalf("the fallback is told %d times", ops.count())
				case severity == jobs.Critical && ops.at[0].Sub(began) > 11*time.Minute+30*time.Second:
					t.Errorf("the fallback is told after %s", ops.at[0].Sub(began))
				}
				time.Sleep(5 * time.Hour)
				synctest.Wait()
				if n := b.get(t, "daily-pager"); n.State != runner.NoticeSent || ops.count() > 1 {
					t.Errorf("after the channel came back: %+v, the fallback told %d times", n, ops.count())
				}
			})
		})
	}
}

func TestSettings_Send(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ops := &channel{}
		b := newBench(t, map[string]*channel{"ops": ops}, func(b *bench) {
			b.settings = map[string]alerts.Settings{"ops": {Send: []runner.NoticeAction{runner.NoticeOpen}}}
		})
		defer b.end()
		b.fault("daily", jobs.Warning, "ops")
		b.owe(reminder("n1", "ops"))
		b.d.Wake()
		synctest.Wait()
		if n := b.get(t, "n1"); n.State != runner.NoticeSuperseded || ops.count() != 1 {
			t.Errorf("told %d times: %+v", ops.count(), n)
		}
	})
}

// TestRecording_Healed holds that a pager hears nothing of what was over before
// anybody tried to call it, and the end of what it may have heard of.
func TestRecording_Healed(t *testing.T) {
	t.Parallel()
	for name, attempts := range map[string]int{"untried": 0, "tried": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				pager := &channel{}
				b := newBench(t, map[string]*channel{"pager": pager}, func(b *bench) {
					b.settings = map[string]alerts.Settings{"pager": {Style: alerts.Recording}}
				})
				defer b.end()
				i := b.fault("daily", jobs.Critical, "pager")
				b.change(func() {
					i.State, i.ResolvedAt = runner.IncidentResolved, time.Now()
					b.notices[0].State, b.notices[0].Attempts = runner.NoticeSuperseded, attempts
				})
				b.owe(runner.Notice{ID: "end", Incident: "daily", Channel: "pager", Action: runner.NoticeResolve, Combined: true, CreatedAt: time.Now()})
				b.d.Wake()
				synctest.Wait()
				if got := pager.count(); got != attempts {
					t.Errorf("the pager got %d messages, want %d", got, attempts)
				}
				want := runner.NoticeSuperseded
				if attempts > 0 {
					want = runner.NoticeSent
				}
				if n := b.get(t, "end"); n.State != want {
					t.Errorf("%+v", n)
				}
			})
		})
	}
}
