package alerts_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/alerts"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/schedule"
)

// fault is an open incident that ops is owed the opening of.
func (b *bench) fault(id string, severity jobs.Severity, channels ...string) *runner.Incident {
	now := time.Now()
	i := &runner.Incident{
		ID: id, State: runner.IncidentOpen, Count: 1, OpenedAt: now, LastAt: now,
		Fault: runner.Fault{Fingerprint: "workflow/" + id, Workflow: id, Severity: severity, Reason: alerts.ReasonFailed, Title: id + " failed", Channels: channels},
	}
	b.mu.Lock()
	b.incidents = append(b.incidents, i)
	b.mu.Unlock()
	for _, channel := range channels {
		b.owe(runner.Notice{ID: id + "-" + channel, Incident: id, Channel: channel, Action: runner.NoticeOpen, CreatedAt: now})
	}
	return i
}

// change changes an incident and says so.
func (b *bench) change(do func()) {
	b.mu.Lock()
	do()
	b.mu.Unlock()
	b.d.Wake()
}

// told lists what a channel got, with the time since the beginning.
func (c *channel) told(began time.Time) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []string
	for k, m := range c.got {
		out = append(out, fmt.Sprintf("%s %s", m.Action, c.at[k].Sub(began).Round(time.Minute)))
	}
	return out
}

func lasting(t *testing.T, routes ...alerts.Route) *alerts.Policy {
	t.Helper()
	p, err := alerts.NewPolicy(alerts.PolicyOptions{Routes: routes})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestDuty_Repeat(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ops := &channel{}
		b := newBench(t, map[string]*channel{"ops": ops}, func(b *bench) {
			b.policy = lasting(t, alerts.Route{To: unit.Names{"ops"}, Repeat: unit.Duration(4 * time.Hour)})
		})
		defer b.end()
		began := time.Now()
		i := b.fault("daily", jobs.Warning, "ops")
		b.d.Wake()
		time.Sleep(9 * time.Hour)
		synctest.Wait()
		if diff := cmp.Diff([]string{"open 0s", "repeat 4h0m0s", "repeat 8h0m0s"}, ops.told(began)); diff != "" {
			t.Fatalf("told (-want +got):\n%s", diff)
		}
		if m := ops.got[1]; m.Thread != "daily-ops" || !strings.HasPrefix(m.Title, "still, after 4 h") {
			t.Errorf("the repetition is %+v", m)
		}
		b.change(func() { i.AckedAt, i.AckedUntil, i.AckedBy = time.Now(), time.Now().Add(10*time.Hour), "anna" })
		time.Sleep(9 * time.Hour)
		synctest.Wait()
		if n := ops.count(); n != 3 {
			t.Errorf("told %d times although somebody works on it", n-3)
		}
		time.Sleep(2 * time.Hour) // the acknowledgement ends after 19 h
		synctest.Wait()
		if got := ops.told(began); len(got) != 4 || got[3] != "repeat 19h0m0s" {
			t.Errorf("after the acknowledgement ended: %v", got)
		}
		b.change(func() { i.State = runner.IncidentResolved })
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if n := ops.count(); n != 4 {
			t.Errorf("told %d times after the end", n-4)
		}
	})
}

// TestDuty_Restart holds that a repetition counts from what is on record, not
// from the start of the process.
func TestDuty_Restart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ops := &channel{}
		var record *outbox
		prepare := func(b *bench) {
			b.policy = lasting(t, alerts.Route{To: unit.Names{"ops"}, Repeat: unit.Duration(4 * time.Hour)})
			if record != nil {
				b.outbox = record
			}
		}
		b := newBench(t, map[string]*channel{"ops": ops}, prepare)
		record = b.outbox
		began := time.Now()
		b.fault("daily", jobs.Warning, "ops")
		b.d.Wake()
		time.Sleep(3 * time.Hour)
		b.end()
		time.Sleep(30 * time.Minute)
		b = newBench(t, map[string]*channel{"ops": ops}, prepare)
		time.Sleep(time.Hour)
		b.end()
		time.Sleep(20 * time.Hour) // nobody ran: one repetition, not five
		b = newBench(t, map[string]*channel{"ops": ops}, prepare)
		time.Sleep(time.Hour)
		b.end()
		if diff := cmp.Diff([]string{"open 0s", "repeat 4h0m0s", "repeat 24h30m0s"}, ops.told(began)); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
	})
}

func TestDuty_RepeatWaitsForChannel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		ops := &channel{send: func(context.Context, alerts.Message) (string, error) {
			if time.Since(began) < 10*time.Hour {
				return "", errors.New("down")
			}
			return "ok", nil
		}}
		b := newBench(t, map[string]*channel{"ops": ops}, func(b *bench) {
			b.policy = lasting(t, alerts.Route{To: unit.Names{"ops"}, Repeat: unit.Duration(time.Hour)})
		})
		defer b.end()
		b.fault("daily", jobs.Warning, "ops")
		b.d.Wake()
		time.Sleep(11*time.Hour + 30*time.Minute)
		synctest.Wait()
		b.mu.Lock()
		defer b.mu.Unlock()
		if len(b.notices) != 2 || b.notices[1].Action != runner.NoticeRepeat || b.notices[1].CreatedAt.Sub(began) < 11*time.Hour {
			t.Errorf("%d notices, want the opening and one repetition an hour after it arrived", len(b.notices))
		}
	})
}

func TestDuty_Escalate(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		ack, end time.Duration // when; 0 for never
		until    time.Duration // of the acknowledgement; 0 for no end
		want     []string
	}{
		"nobody":                 {want: []string{"open 15m0s"}},
		"acknowledged":           {ack: 10 * time.Minute},
		"acknowledged too late":  {ack: 16 * time.Minute, want: []string{"open 15m0s"}},
		"acknowledged for a bit": {ack: 10 * time.Minute, until: time.Hour, want: []string{"open 1h10m0s"}},
		"over":                   {end: 14 * time.Minute},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ops, pager := &channel{}, &channel{}
				b := newBench(t, map[string]*channel{"ops": ops, "pager": pager}, func(b *bench) {
					b.policy = lasting(t, alerts.Route{
						To: unit.Names{"ops"}, Escalate: []alerts.Escalation{{After: unit.Duration(15 * time.Minute), To: unit.Names{"pager"}}},
					})
				})
				defer b.end()
				began := time.Now()
				i := b.fault("daily", jobs.Critical, "ops")
				b.d.Wake()
				if test.ack > 0 {
					time.Sleep(test.ack)
					b.change(func() {
						if i.AckedAt = time.Now(); test.until > 0 {
							i.AckedUntil = i.AckedAt.Add(test.until)
						}
					})
				}
				if test.end > 0 {
					time.Sleep(test.end)
					b.change(func() { i.State = runner.IncidentResolved })
				}
				time.Sleep(24 * time.Hour)
				synctest.Wait()
				if diff := cmp.Diff(test.want, pager.told(began)); diff != "" {
					t.Errorf("the pager was told (-want +got):\n%s", diff)
				}
				if n := ops.count(); n != 1 {
					t.Errorf("ops were told %d times", n)
				}
				if len(test.want) > 0 && !strings.Contains(pager.got[0].Text, "Nobody has acknowledged it for 15m") {
					t.Errorf("the pager is not told why: %+v", pager.got[0])
				}
			})
		})
	}
}

// TestDuty_After holds that people are told when a workflow has failed often
// enough, and not before.
func TestDuty_After(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ops := &channel{}
		b := newBench(t, map[string]*channel{"ops": ops}, func(b *bench) {
			var err error
			b.policy, err = alerts.NewPolicy(alerts.PolicyOptions{
				Routes:    []alerts.Route{{To: unit.Names{"ops"}, Escalate: []alerts.Escalation{{After: unit.Duration(time.Minute), To: unit.Names{"ops"}}}}},
				Workflows: map[string]alerts.WorkflowAlert{"daily": {After: 3}},
			})
			if err != nil {
				t.Fatal(err)
			}
		})
		defer b.end()
		run := runner.Run{State: runner.Failed, Request: runner.Request{Spec: runner.Spec{Workflow: "daily"}, Trigger: runner.BySchedule}}
		if v := b.policy.Judge(run); v.Raise == nil || len(v.Raise.Channels) > 0 {
			t.Fatalf("the verdict is %+v", v)
		}
		run.State = runner.Lost
		if v := b.policy.Judge(run); v.Raise == nil || len(v.Raise.Channels) != 1 {
			t.Fatalf("the verdict on a lost run is %+v", v)
		}
		i := b.fault("daily", jobs.Critical)
		for want := range 3 {
			b.change(func() { i.Count = want + 1 })
			time.Sleep(time.Hour)
			synctest.Wait()
			if told := want == 2; (ops.count() == 1) != told {
				t.Errorf("after %d failures told %d times", want+1, ops.count())
			}
		}
		if ops.got[0].Action != runner.NoticeOpen || ops.got[0].Text != "It failed 3 times in a row." {
			t.Errorf("told %+v", ops.got[0])
		}
	})
}

func TestDuty_Weekly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		// A bubble begins on Saturday, 2000-01-01, at midnight UTC.
		weekly, err := schedule.Parse(schedule.Rule{Weekly: "mon 08:00", Zone: time.UTC})
		if err != nil {
			t.Fatal(err)
		}
		ops := &channel{}
		var asked []string
		var record *outbox
		prepare := func(b *bench) {
			b.weekly = alerts.Weekly{Schedule: weekly, To: []string{"ops"}, Report: func(_ context.Context, from, until time.Time) (string, string, error) {
				asked = append(asked, from.Format("01-02 15:04")+" "+until.Format("01-02 15:04"))
				return "the week", "12 runs", nil
			}}
			if record != nil {
				b.outbox = record
			}
		}
		b := newBench(t, map[string]*channel{"ops": ops}, prepare)
		record = b.outbox
		began := time.Now()
		time.Sleep(3 * 24 * time.Hour)
		b.end()
		b = newBench(t, map[string]*channel{"ops": ops}, prepare) // on Tuesday: not again
		time.Sleep(5 * 24 * time.Hour)
		b.end() // on Sunday
		time.Sleep(35 * time.Hour)
		b = newBench(t, map[string]*channel{"ops": ops}, prepare) // on Monday at 11:00: late, but sent
		time.Sleep(time.Hour)
		b.end()
		if got := ops.told(began); len(got) != 2 || got[0] != "weekly 56h0m0s" || got[1] != "weekly 227h0m0s" {
			t.Errorf("told %v", got)
		}
		if diff := cmp.Diff([]string{"12-27 08:00 01-03 08:00", "01-03 08:00 01-10 08:00"}, asked); diff != "" {
			t.Errorf("asked (-want +got):\n%s", diff)
		}
		if m := ops.got[0]; m.Title != "the week" || m.Text != "12 runs" {
			t.Errorf("message %+v", m)
		}
	})
}
