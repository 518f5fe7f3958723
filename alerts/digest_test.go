package alerts_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/alerts"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

// gathering are the settings of a channel that takes digests.
func gathering(rate alerts.Rate, wait time.Duration) func(*bench) {
	return func(b *bench) {
		b.settings = map[string]alerts.Settings{"ops": {Style: alerts.Gathering, Rate: rate, GroupWait: wait}}
	}
}

func TestGroup_AloneAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ops := &channel{}
		b := newBench(t, map[string]*channel{"ops": ops}, gathering(alerts.Rate{}, 20*time.Second))
		defer b.end()
		b.fault("one", jobs.Critical, "ops")
		b.d.Wake()
		synctest.Wait()
		if ops.count() != 1 {
			t.Fatalf("an opening that is alone does not go out at once: %d", ops.count())
		}
		time.Sleep(time.Minute)
		b.fault("two", jobs.Critical, "ops")
		b.d.Wake()
		synctest.Wait()
		if ops.count() != 2 {
			t.Errorf("another one, a minute later, does not go out at once: %d", ops.count())
		}
	})
}

// TestGroup_Storm holds that openings that are not alone go out together, and
// that everything that a digest stands for is sent with its receipt.
func TestGroup_Storm(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ops := &channel{}
		b := newBench(t, map[string]*channel{"ops": ops}, gathering(alerts.Rate{}, 20*time.Second))
		defer b.end()
		began := time.Now()
		b.fault("first", jobs.Warning, "ops")
		b.d.Wake()
		synctest.Wait()
		for i := range 30 {
			time.Sleep(100 * time.Millisecond)
			severity := jobs.Warning
			if i == 7 {
				severity = jobs.Critical
			}
			b.fault(fmt.Sprintf("w%02d", i), severity, "ops")
			b.d.Wake()
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if ops.count() != 2 {
			t.Fatalf("%d messages, want the first and a digest", ops.count())
		}
		m := ops.got[1]
		if m.Action != runner.NoticeDigest || len(m.Items) != 30 || m.Title != "30 alerts: 30 new, the worst is critical" || !strings.Contains(m.Text, "- new, critical: w07 failed\n") {
			t.Errorf("the digest is %s %d %q\n%s", m.Action, len(m.Items), m.Title, m.Text)
		}
		if wait := ops.at[1].Sub(began); wait < 20*time.Second || wait > 21*time.Second {
			t.Errorf("the digest went out after %s", wait)
		}
		for i := range 30 {
			n := b.get(t, fmt.Sprintf("w%02d-ops", i))
			if n.State != runner.NoticeSent || n.Receipt != "in digest "+m.ID+": accepted" {
				t.Fatalf("%+v", n)
			}
		}
	})
}

func TestGroup_TwoAtOnce(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		settings alerts.Settings
		want     []string
	}{
		"gathers":      {alerts.Settings{Style: alerts.Gathering, GroupWait: 20 * time.Second}, []string{"digest"}},
		"one by one":   {alerts.Settings{GroupWait: 20 * time.Second}, []string{"open", "open"}},
		"keeps record": {alerts.Settings{Style: alerts.Recording, GroupWait: 20 * time.Second}, []string{"open", "open"}},
		"without wait": {alerts.Settings{Style: alerts.Gathering}, []string{"open", "open"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ops := &channel{}
				b := newBench(t, map[string]*channel{"ops": ops}, func(b *bench) { b.settings = map[string]alerts.Settings{"ops": test.settings} })
				defer b.end()
				b.fault("one", jobs.Critical, "ops")
				b.fault("two", jobs.Critical, "ops")
				b.d.Wake()
				time.Sleep(time.Minute)
				synctest.Wait()
				var got []string
				for _, m := range ops.got {
					got = append(got, string(m.Action))
				}
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		})
	}
}

// TestRate_Storm holds that no stretch of the rate's time ever sees more
// messages than it allows, that nothing is lost, and that the worst does not
// wait for longer than that time.
func TestRate_Storm(t *testing.T) {
	t.Parallel()
	for _, style := range []alerts.Style{alerts.Gathering, alerts.OneByOne} {
		t.Run(fmt.Sprint(style), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ops := &channel{}
				rate := alerts.Rate{Most: 5, Within: time.Minute}
				b := newBench(t, map[string]*channel{"ops": ops}, func(b *bench) { b.settings = map[string]alerts.Settings{"ops": {Style: style, Rate: rate}} })
				defer b.end()
				const notices = 60
				for i := range notices {
					b.fault(fmt.Sprintf("w%02d", i), jobs.Warning, "ops")
					b.d.Wake()
					time.Sleep(700 * time.Millisecond)
				}
				time.Sleep(time.Hour)
				synctest.Wait()
				for i, at := range ops.at {
					if n := len(slices.DeleteFunc(slices.Clone(ops.at[i:]), func(u time.Time) bool { return u.Sub(at) >= rate.Within })); n > rate.Most {
						t.Fatalf("%d messages within a minute", n)
					}
				}
				told := 0
				for _, m := range ops.got {
					told += max(1, len(m.Items))
				}
				if told != notices {
					t.Errorf("told %d of %d notices", told, notices)
				}
				if style == alerts.Gathering && (ops.count() > 12 || ops.at[len(ops.at)-1].Sub(ops.at[0]) > 2*time.Minute) {
					t.Errorf("%d messages in %s", ops.count(), ops.at[len(ops.at)-1].Sub(ops.at[0]))
				}
			})
		})
	}
}

// TestRate_Restart holds that a new process knows what went out before it.
func TestRate_Restart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ops := &channel{}
		rate := gathering(alerts.Rate{Most: 3, Within: time.Hour}, 0)
		var record *outbox
		prepare := func(b *bench) {
			rate(b)
			if record != nil {
				b.outbox = record
			}
		}
		b := newBench(t, map[string]*channel{"ops": ops}, prepare)
		record = b.outbox
		for i := range 10 {
			b.fault(fmt.Sprintf("w%d", i), jobs.Warning, "ops")
		}
		b.d.Wake()
		time.Sleep(time.Minute)
		b.end()
		if ops.count() != 3 || ops.got[2].Action != runner.NoticeDigest {
			t.Fatalf("%d messages before the restart", ops.count())
		}
		b = newBench(t, map[string]*channel{"ops": ops}, prepare)
		defer b.end()
		b.fault("late", jobs.Warning, "ops")
		b.d.Wake()
		time.Sleep(50 * time.Minute)
		synctest.Wait()
		if ops.count() != 3 {
			t.Errorf("%d messages within the hour, want 3", ops.count())
		}
		time.Sleep(20 * time.Minute)
		synctest.Wait()
		if ops.count() != 4 {
			t.Errorf("%d messages after the hour, want 4", ops.count())
		}
	})
}

func TestDigest_Fails(t *testing.T) {
	t.Parallel()
	t.Run("for a moment", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			ops := &channel{}
			failed := 0
			ops.send = func(context.Context, alerts.Message) (string, error) {
				if failed++; failed < 4 {
					return "", errors.New("451")
				}
				return "ok", nil
			}
			b := newBench(t, map[string]*channel{"ops": ops}, gathering(alerts.Rate{}, 20*time.Second))
			defer b.end()
			b.fault("one", jobs.Critical, "ops")
			b.fault("two", jobs.Critical, "ops")
			b.d.Wake()
			time.Sleep(10 * time.Minute)
			synctest.Wait()
			for _, id := range []string{"one-ops", "two-ops"} {
				if n := b.get(t, id); n.State != runner.NoticeSent {
					t.Errorf("%+v", n)
				}
			}
		})
	})
	t.Run("for good", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			ops := &channel{}
			ops.send = func(_ context.Context, m alerts.Message) (string, error) {
				if m.Action == runner.NoticeDigest || strings.HasPrefix(m.ID, "bad") {
					return "", &alerts.PermanentError{Err: errors.New("no")}
				}
				return "ok", nil
			}
			b := newBench(t, map[string]*channel{"ops": ops}, gathering(alerts.Rate{}, 20*time.Second))
			defer b.end()
			b.fault("bad", jobs.Critical, "ops")
			b.fault("good", jobs.Critical, "ops")
			b.d.Wake()
			time.Sleep(10 * time.Minute)
			synctest.Wait()
			if bad, good := b.get(t, "bad-ops"), b.get(t, "good-ops"); bad.State != runner.NoticeDead || good.State != runner.NoticeSent {
				t.Errorf("one that is refused: %s; the other: %s", bad.State, good.State)
			}
		})
	})
}
