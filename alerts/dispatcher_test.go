package alerts_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/alerts"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

func TestDispatcher_SendsOnceAndSleeps(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ops := &channel{}
		b := newBench(t, map[string]*channel{"ops": ops}, nil)
		defer b.end()
		synctest.Wait()
		b.owe(reminder("n1", "ops"))
		b.owe(reminder("n2", "ops"))
		b.d.Wake()
		synctest.Wait()
		if ops.count() != 2 || b.get(t, "n1").State != runner.NoticeSent || b.get(t, "n2").Receipt != "accepted" {
			t.Fatalf("sent %d: %+v", ops.count(), b.get(t, "n1"))
		}
		b.mu.Lock()
		takes := b.takes
		b.mu.Unlock()
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		b.mu.Lock()
		defer b.mu.Unlock()
		if looked := b.takes - takes; looked > 2*24*12+2 {
			t.Errorf("an idle dispatcher looked %d times in a day", looked)
		}
	})
}

func TestDispatcher_Backoff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ops := &channel{send: func(context.Context, alerts.Message) (string, error) {
			return "", &alerts.TemporaryError{Err: errors.New("no answer, token s3cret-token")}
		}}
		b := newBench(t, map[string]*channel{"ops": ops}, nil)
		defer b.end()
		b.owe(reminder("n1", "ops"))
		b.d.Wake()
		time.Sleep(30 * time.Hour)
		synctest.Wait()
		n := b.get(t, "n1")
		if n.State != runner.NoticeDead || n.Error != "no answer, token <redacted>" {
			t.Errorf("after 30 h: %+v", n)
		}
		var waits []time.Duration
		for i := 1; i < len(ops.at); i++ {
			waits = append(waits, ops.at[i].Sub(ops.at[i-1]))
		}
		// Half of 5 s, 10 s, 20 s … and at last of 15 m, by Random.
		want := []time.Duration{2500 * time.Millisecond, 5 * time.Second, 10 * time.Second, 20 * time.Second, 40 * time.Second, 80 * time.Second, 160 * time.Second, 320 * time.Second, 450 * time.Second}
		if diff := cmp.Diff(want, waits[:len(want)]); diff != "" {
			t.Errorf("waits (-want +got):\n%s", diff)
		}
		if last := ops.at[len(ops.at)-1].Sub(ops.at[0]); last != 24*time.Hour {
			t.Errorf("the last attempt came after %s, want 24 h", last)
		}
		log := b.log.String()
		if strings.Count(log, "level=WARN") != 1 || strings.Count(log, "level=ERROR") != 1 || strings.Contains(log, "s3cret-token") {
			t.Errorf("log:\n%s", log)
		}
	})
}

// TestDispatcher_LongOutage holds that a fault that lasts is told as soon as the
// channel works again, however long it did not, and that nothing else is.
func TestDispatcher_LongOutage(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		action runner.NoticeAction
		state  runner.IncidentState
		reads  []error // of the incident, once the notice is a day old
		want   runner.NoticeState
	}{
		"lasts":          {action: runner.NoticeOpen, state: runner.IncidentOpen, want: runner.NoticeSent},
		"lasts, unread":  {action: runner.NoticeOpen, state: runner.IncidentOpen, reads: []error{nil, runner.ErrUnavailable}, want: runner.NoticeSent},
		"has ended":      {action: runner.NoticeOpen, state: runner.IncidentResolved, want: runner.NoticeDead},
		"tells the end":  {action: runner.NoticeResolve, state: runner.IncidentResolved, want: runner.NoticeDead},
		"is off record":  {action: runner.NoticeOpen, state: runner.IncidentOpen, reads: []error{nil, runner.ErrNotFound}, want: runner.NoticeDead},
		"of no incident": {action: runner.NoticeRemind, want: runner.NoticeDead},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var works atomic.Bool
				ops := &channel{send: func(context.Context, alerts.Message) (string, error) {
					if works.Load() {
						return "accepted", nil
					}
					return "", errors.New("no answer")
				}}
				b := newBench(t, map[string]*channel{"ops": ops}, func(b *bench) {
					b.incident = runner.Incident{ID: "i1", State: test.state, Fault: runner.Fault{Title: "daily failed"}}
				})
				defer b.end()
				n := runner.Notice{ID: "n1", Channel: "ops", Action: test.action, Subject: "daily failed", CreatedAt: time.Now()}
				if test.state != "" {
					n.Incident = "i1"
				}
				b.owe(n)
				b.d.Wake()
				time.Sleep(24*time.Hour - time.Second)
				b.mu.Lock()
				b.faults["Incident"] = test.reads
				b.mu.Unlock()
				time.Sleep(3 * 24 * time.Hour)
				synctest.Wait()
				if left := len(b.faults["Incident"]); left > 0 {
					t.Errorf("%d faults did not happen", left)
				}
				tries := ops.count()
				works.Store(true)
				time.Sleep(time.Hour)
				synctest.Wait()
				if got := b.get(t, "n1"); got.State != test.want {
					t.Errorf("after the outage: %+v", got)
				}
				if sent := ops.count() - tries; sent > 1 {
					t.Errorf("sent %d times", sent)
				}
				if said := strings.Count(b.log.String(), "not told for more than a day"); test.want == runner.NoticeSent && said != 1 {
					t.Errorf("said %d times that the fault is not told:\n%s", said, b.log)
				}
			})
		})
	}
}

func TestDispatcher_Errors(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		err      error
		panics   bool
		state    runner.NoticeState
		attempts int // after an hour
		says     string
	}{
		"permanent":    {err: &alerts.PermanentError{Err: jobs.WithHint(errors.New("no such room"), "invite the bot")}, state: runner.NoticeDead, attempts: 1, says: "invite the bot"},
		"wrapped":      {err: fmt.Errorf("x: %w", &alerts.PermanentError{Err: errors.New("no")}), state: runner.NoticeDead, attempts: 1, says: "given up"},
		"asks to wait": {err: &alerts.TemporaryError{After: 50 * time.Minute, Err: errors.New("429")}, state: runner.NoticePending, attempts: 2, says: "429"},
		"unknown":      {err: errors.New("what"), state: runner.NoticePending, attempts: 15, says: "what"},
		"panic":        {panics: true, state: runner.NoticePending, attempts: 15, says: "panicked"},
		"partial":      {err: &alerts.PartialError{Receipt: "queued", Err: errors.New("b refused")}, state: runner.NoticeSent, attempts: 1, says: "b refused"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ops := &channel{send: func(context.Context, alerts.Message) (string, error) {
					if test.panics {
						panic("oops")
					}
					return "", test.err
				}}
				b := newBench(t, map[string]*channel{"ops": ops}, nil)
				defer b.end()
				b.owe(reminder("n1", "ops"))
				b.d.Wake()
				time.Sleep(time.Hour)
				synctest.Wait()
				if n := b.get(t, "n1"); n.State != test.state || n.Attempts != test.attempts {
					t.Errorf("after an hour: %+v", n)
				}
				if !strings.Contains(b.log.String(), test.says) {
					t.Errorf("the log does not say %q:\n%s", test.says, b.log)
				}
			})
		})
	}
}

// TestDispatcher_Deaf holds that a channel that ignores its context holds up
// nobody else, and its own messages not for ever.
func TestDispatcher_Deaf(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		never := make(chan struct{})
		deaf := &channel{send: func(context.Context, alerts.Message) (string, error) {
			<-never
			return "", nil
		}}
		ops := &channel{}
		b := newBench(t, map[string]*channel{"deaf": deaf, "ops": ops}, nil)
		b.owe(reminder("n1", "deaf"))
		b.owe(reminder("n2", "ops"))
		b.d.Wake()
		synctest.Wait()
		if ops.count() != 1 {
			t.Errorf("ops got %d messages while the other channel hangs", ops.count())
		}
		time.Sleep(31 * time.Second)
		synctest.Wait()
		if n := b.get(t, "n1"); n.State != runner.NoticePending || !strings.Contains(n.Error, "longer than 30s") {
			t.Errorf("after 31 s: %+v", n)
		}
		close(never)
		b.end()
	})
}

func TestDispatcher_End(t *testing.T) {
	t.Parallel()
	t.Run("what is nearly done is finished", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			ops := &channel{send: func(context.Context, alerts.Message) (string, error) {
				time.Sleep(4 * time.Second)
				return "accepted", nil
			}}
			b := newBench(t, map[string]*channel{"ops": ops}, nil)
			b.owe(reminder("n1", "ops"))
			b.d.Wake()
			synctest.Wait()
			b.end()
			if n := b.get(t, "n1"); n.State != runner.NoticeSent {
				t.Errorf("%+v", n)
			}
		})
	})
	t.Run("the rest is given back, due at once", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			ops := &channel{send: func(ctx context.Context, _ alerts.Message) (string, error) {
				<-ctx.Done()
				return "", ctx.Err()
			}}
			b := newBench(t, map[string]*channel{"ops": ops}, nil)
			b.owe(reminder("n1", "ops"))
			b.d.Wake()
			synctest.Wait()
			began := time.Now()
			b.end()
			if n := b.get(t, "n1"); n.State != runner.NoticePending || n.NextAt.After(time.Now()) {
				t.Errorf("%+v", n)
			}
			if took := time.Since(began); took > 6*time.Second {
				t.Errorf("the end took %s", took)
			}
		})
	})
}

// TestDispatcher_LedgerAway holds that a message is not sent twice because its
// acceptance could not be recorded at once.
func TestDispatcher_LedgerAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ops := &channel{}
		away := fmt.Errorf("write: %w", runner.ErrUnavailable)
		b := newBench(t, map[string]*channel{"ops": ops}, func(b *bench) {
			b.faults["Take"] = []error{away, away, away}
			b.faults["Sent"] = []error{away, away, away, away}
		})
		defer b.end()
		b.owe(reminder("n1", "ops"))
		b.d.Wake()
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := b.get(t, "n1"); n.State != runner.NoticeSent || ops.count() != 1 {
			t.Errorf("sent %d times: %+v", ops.count(), n)
		}
		if len(b.faults["Take"])+len(b.faults["Sent"]) > 0 {
			t.Errorf("faults that never fired: %v", b.faults)
		}
		if got := strings.Count(b.log.String(), "held up"); got != 2 {
			t.Errorf("%d complaints, want one of each sort:\n%s", got, b.log)
		}
	})
}

func TestDispatcher_ChannelGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, map[string]*channel{}, nil)
		defer b.end()
		b.owe(reminder("n1", "gone"))
		b.owe(reminder("n2", "gone"))
		b.d.Wake()
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := b.get(t, "n1"); n.State != runner.NoticePending || n.Attempts < 2 {
			t.Errorf("after an hour: %+v", n)
		}
		if got := strings.Count(b.log.String(), "level=WARN"); got != 1 {
			t.Errorf("%d warnings, want 1:\n%s", got, b.log)
		}
		// The channel comes back with the next configuration.
		back := &channel{}
		b.mu.Lock()
		b.channels["gone"], b.names = back, []string{"gone"}
		b.mu.Unlock()
		time.Sleep(time.Hour)
		synctest.Wait()
		if back.count() != 2 {
			t.Errorf("%d messages after the channel came back", back.count())
		}
		b.mu.Lock()
		delete(b.channels, "gone")
		b.names = nil
		b.mu.Unlock()
		b.owe(reminder("n3", "gone"))
		b.d.Wake()
		time.Sleep(25 * time.Hour)
		synctest.Wait()
		if n := b.get(t, "n3"); n.State != runner.NoticeDead {
			t.Errorf("after 25 h: %+v", n)
		}
	})
}

func TestDispatcher_Message(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ops := &channel{}
		now := time.Now()
		b := newBench(t, map[string]*channel{"ops": ops}, func(b *bench) {
			b.run = runner.Run{ID: "r1", Request: runner.Request{Spec: runner.Spec{Workflow: "daily"}}, State: runner.Failed}
			b.attempts = []runner.Attempt{
				{Run: "r1", Job: "ok", Number: 1, State: runner.Succeeded},
				{Run: "r1", Job: "late", Number: 1, State: runner.Failed, FinishedAt: now.Add(2)},
				{Run: "r1", Job: "backup", Number: 1, State: runner.Failed, Error: "first", FinishedAt: now},
				{Run: "r1", Job: "backup", Number: 2, State: runner.Failed, Error: "second", FinishedAt: now.Add(1)},
				{Run: "r1", Job: "healed", Number: 1, State: runner.Failed},
				{Run: "r1", Job: "healed", Number: 2, State: runner.Succeeded},
				{Run: "r1", Job: "old", Number: 1, State: runner.Failed, Superseded: true},
			}
			b.output = runner.Output{Head: []byte("first\n"), Tail: []byte("one\n\x1b[31mtwo\x1b[0m\r\n")}
			b.incident = runner.Incident{ID: "i1", Count: 1, OpenedAt: now, Fault: runner.Fault{
				Fingerprint: "workflow/daily", Workflow: "daily", Reason: "failed", Title: "daily failed", Run: "r1",
			}}
			b.faults["Incident"] = []error{runner.ErrUnavailable}
		})
		defer b.end()
		b.owe(runner.Notice{ID: "n1", Incident: "i1", Channel: "ops", Action: runner.NoticeOpen, CreatedAt: now})
		b.d.Wake()
		time.Sleep(time.Minute)
		synctest.Wait()
		m := ops.got[0]
		var failed []string
		for _, f := range m.Failures {
			failed = append(failed, f.Job+" "+f.Error)
		}
		if diff := cmp.Diff([]string{"backup second", "late "}, failed); diff != "" {
			t.Errorf("failures (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]string{"first", "one", "two"}, m.Failures[0].Output); diff != "" {
			t.Errorf("output (-want +got):\n%s", diff)
		}
		if m.ID != "n1" || m.Thread != "" || m.Title != "daily failed" || m.Run.ID != "r1" || m.Project != "ghosteam-v5" || len(m.Commands) != 5 || m.Commands[2].Line != "upkeep retry r1" {
			t.Errorf("message %+v", m)
		}

		b.mu.Lock()
		b.incident.ResolvedAt, b.incident.Resolver = now.Add(90*time.Minute), "r2"
		b.mu.Unlock()
		b.owe(runner.Notice{ID: "n2", Incident: "i1", Channel: "ops", Action: runner.NoticeResolve, CreatedAt: time.Now()})
		b.d.Wake()
		synctest.Wait()
		m = ops.got[1]
		if m.Thread != "n1" || m.Title != "daily works again after 1 h 30 min" || m.Run != nil || len(m.Failures) > 0 || m.Down() != 90*time.Minute {
			t.Errorf("message %+v", m)
		}
	})
}
