package health_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/health"
	"github.com/ghosteam/upkeep/runner"
)

// TestMonitor_CountsOverARestart: bad answers before a restart count with those
// after it, unless nobody looked for too long, or a good one came between.
func TestMonitor_CountsOverARestart(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		// before are the answers before the restart, away is how long that took.
		before []probe
		away   time.Duration
		want   []string
		// answers is after how many answers of the second process.
		answers int
	}{
		"two bad ones":         {[]probe{good, bad, bad}, 20 * time.Second, []string{"raise check/db critical"}, 1},
		"two that only warn":   {[]probe{good, slow, slow}, 20 * time.Second, []string{"raise check/db warning"}, 1},
		"a good one between":   {[]probe{bad, bad, good}, 20 * time.Second, []string{"raise check/db critical"}, 3},
		"nobody looked for 5m": {[]probe{good, bad, bad}, 5 * time.Minute, []string{"raise check/db critical"}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w, r := newWorld(), newRecord()
				var answers atomic.Int64
				w.is("db", test.before[0])
				_, stop := start(t, w, r, func(o *health.Options) { o.Observers = []runner.CheckObserver{counted{&answers}} }, check("db"))
				for int(answers.Load()) < len(test.before) {
					w.is("db", test.before[answers.Load()])
					time.Sleep(time.Second)
					synctest.Wait()
				}
				stop()
				if got := r.raised(); len(got) > 0 {
					t.Fatalf("before the restart: %+v", got)
				}
				time.Sleep(test.away)
				w.is("db", bad)
				answers.Store(0)
				first := 0
				_, stop = start(t, w, r, func(o *health.Options) { o.Observers = []runner.CheckObserver{counted{&answers}} }, check("db"))
				defer stop()
				for range 300 {
					time.Sleep(time.Second)
					synctest.Wait()
					if len(r.raised()) > 0 && first == 0 {
						first = int(answers.Load())
					}
				}
				if first == 0 {
					t.Fatal("it never counts as failed")
				}
				if first != test.answers {
					t.Errorf("it counts as failed after %d answers, want %d", first, test.answers)
				}
				fault := r.raised()[0]
				if len(fault.Evidence) == 0 || fault.FirstBad.IsZero() {
					t.Errorf("the fault is %+v", fault)
				}
				if late := time.Since(fault.FirstBad) > 300*time.Second+test.away; late != (test.answers == 1) {
					t.Errorf("the first bad answer was at %s, now it is %s", fault.FirstBad, time.Now())
				}
				var got []string
				for _, f := range r.raised()[:1] {
					got = append(got, "raise "+f.Fingerprint+" "+string(f.Severity))
				}
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

// TestMonitor_RecoversOverARestart: good answers before a restart count, too.
func TestMonitor_RecoversOverARestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, r := newWorld(), newRecord()
		w.is("db", bad)
		var answers atomic.Int64
		count := func(o *health.Options) { o.Observers = []runner.CheckObserver{counted{&answers}} }
		_, stop := start(t, w, r, count, check("db"))
		for len(r.opened()) == 0 {
			time.Sleep(time.Second)
			synctest.Wait()
		}
		w.is("db", good)
		for answers.Store(0); answers.Load() < 1; {
			time.Sleep(time.Second)
			synctest.Wait()
		}
		stop()
		if len(r.ends()) > 0 {
			t.Fatal("one good answer is enough")
		}
		answers.Store(0)
		_, stop = start(t, w, r, count, check("db"))
		defer stop()
		for answers.Load() < 1 {
			time.Sleep(time.Second)
			synctest.Wait()
		}
		if len(r.ends()) != 1 {
			t.Errorf("after one more good answer it was cleared %d times", len(r.ends()))
		}
	})
}

// counted counts answers.
type counted struct{ n *atomic.Int64 }

func (c counted) Checked(context.Context, runner.CheckReport) { c.n.Add(1) }

// TestAnswers: what an answer said stands on record.
func TestAnswers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, r := newWorld(), newRecord()
		began := time.Now()
		w.is("db", bad)
		_, stop := start(t, w, r, nil, check("db"))
		time.Sleep(40 * time.Second)
		w.is("db", slow)
		time.Sleep(30 * time.Second)
		w.is("db", good)
		time.Sleep(time.Minute)
		stop()
		answers, err := health.Answers(t.Context(), r, "db", began, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		var got []health.Answer
		for i, a := range answers {
			if a.At = (time.Time{}); i == 0 || a != got[len(got)-1] {
				got = append(got, a)
			}
		}
		want := []health.Answer{{Health: runner.HealthCritical, ErrorKind: "connect"}, {Health: runner.HealthWarning}, {Health: runner.Healthy}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}
