package health_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/health"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

// A fault is on record within the worst case that the configuration promises,
// wherever in the interval it begins, and its end is too.
func TestMonitor_DetectsInTime(t *testing.T) {
	t.Parallel()
	for after := time.Duration(0); after < 40*time.Second; after += 1700 * time.Millisecond {
		synctest.Test(t, func(t *testing.T) {
			w, r, c := newWorld(), newRecord(), check("db")
			m, stop := start(t, w, r, nil, c)
			defer stop()
			time.Sleep(time.Minute + after)
			w.is("db", bad)
			began := time.Now()
			for len(r.said()) == 0 && time.Since(began) < time.Hour {
				time.Sleep(100 * time.Millisecond)
			}
			if took := time.Since(began); took > c.WorstDetection() {
				t.Errorf("a fault %s after a minute was found after %s, the worst case is %s", after, took, c.WorstDetection())
			}
			f := r.raised()[0]
			if f.LastGood.After(began) || f.FirstBad.Before(began) || f.FirstBad.Sub(f.LastGood) > c.Every {
				t.Errorf("last good %s, first bad %s, began %s", f.LastGood, f.FirstBad, began)
			}
			if got := of(t, m, "db"); got.Phase != runner.CheckFailing || got.Health != runner.HealthCritical || got.ErrorKind != "connect" {
				t.Errorf("report %+v", got)
			}
			w.is("db", good)
			healed := time.Now()
			for len(r.said()) == 1 && time.Since(healed) < time.Hour {
				time.Sleep(100 * time.Millisecond)
			}
			if took := time.Since(healed); took > c.Every+c.RetryEvery {
				t.Errorf("that it is well was found after %s", took)
			}
			// It was well from the first good answer on, not from when that was sure.
			if at := r.ends()[0]; at.Before(healed) || time.Since(at) < c.RetryEvery {
				t.Errorf("cleared as of %s, well since %s, now %s", at, healed, time.Now())
			}
			if got := of(t, m, "db"); got.Phase != runner.CheckWell || !got.FirstBad.IsZero() || got.Health != runner.Healthy {
				t.Errorf("report %+v", got)
			}
		})
	}
}

func TestMonitor_Evidence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, r := newWorld(), newRecord()
		_, stop := start(t, w, r, nil, check("db"))
		defer stop()
		w.is("db", bad)
		time.Sleep(2 * time.Minute)
		if len(r.raised()) != 1 {
			t.Fatalf("raised %v", r.said())
		}
		want := []runner.Evidence{
			{Name: "answer", Text: "critical after 0s: refused for <redacted>\ncritical tcp:tcp: refused for <redacted>\n"},
			{Name: "values", Text: "connect_seconds 0.1\n"},
			{Name: "output", Text: "dialing with <redacted>\n"},
		}
		if diff := cmp.Diff(want, r.raised()[0].Evidence); diff != "" {
			t.Errorf("evidence (-want +got):\n%s", diff)
		}
		if title := r.raised()[0].Title; strings.Contains(title, "hunter2") {
			t.Errorf("the title tells a secret: %s", title)
		}
	})
}

// A check that is at fault itself is unknown, and people hear of it as a
// warning.
func TestMonitor_CheckerFaults(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		probe    probe
		opened   error
		health   runner.Health
		kind     string
		severity jobs.Severity
	}{
		"panic":          {probe: func(context.Context, *jobs.Env) (jobs.Result, error) { panic("boom") }, health: runner.HealthUnknown, kind: "internal", severity: jobs.Warning},
		"error":          {probe: func(context.Context, *jobs.Env) (jobs.Result, error) { return jobs.Result{}, errors.New("no") }, health: runner.HealthUnknown, kind: "internal", severity: jobs.Warning},
		"cannot be made": {probe: good, opened: errors.New("no such secret"), health: runner.HealthUnknown, kind: "internal", severity: jobs.Warning},
		"a script says no": {
			probe: func(context.Context, *jobs.Env) (jobs.Result, error) { return jobs.Result{}, exitCode(2) }, health: runner.HealthCritical, kind: "status", severity: jobs.Critical,
		},
		"too slow": {
			probe: func(ctx context.Context, _ *jobs.Env) (jobs.Result, error) {
				<-ctx.Done()
				return jobs.Result{}, context.Cause(ctx)
			}, health: runner.HealthCritical, kind: "timeout", severity: jobs.Critical,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w, r := newWorld(), newRecord()
				w.is("db", test.probe)
				w.opened = test.opened
				m, stop := start(t, w, r, nil, check("db"))
				defer stop()
				time.Sleep(2 * time.Minute)
				got := of(t, m, "db")
				if got.Health != test.health || got.ErrorKind != test.kind {
					t.Errorf("health %s, error_kind %s", got.Health, got.ErrorKind)
				}
				if len(r.raised()) != 1 || r.raised()[0].Severity != test.severity {
					t.Errorf("raised %v", r.said())
				}
				if up := r.values("check.db.up"); test.health == runner.HealthUnknown && len(up) > 0 {
					t.Errorf("what nobody knows is on record as up: %v", up)
				}
			})
		})
	}
}

type exitCode int

func (e exitCode) Error() string { return "exit status" }
func (e exitCode) ExitCode() int { return int(e) }

// Probes that never come back cost one goroutine each, and keep nobody else
// from being asked.
func TestMonitor_DeafProbes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, r := newWorld(), newRecord()
		release := make(chan struct{})
		var checks []health.Check
		for i := range 40 {
			c := check("deaf-" + string(rune('a'+i/10)) + string(rune('0'+i%10)))
			w.is(c.Name, func(context.Context, *jobs.Env) (jobs.Result, error) { <-release; return jobs.Result{}, nil })
			checks = append(checks, c)
		}
		checks = append(checks, check("db"))
		m, stop := start(t, w, r, nil, checks...)
		time.Sleep(3 * time.Minute)
		if got := of(t, m, "db"); got.Health != runner.Healthy {
			t.Errorf("db is %s: %s", got.Health, got.Message)
		}
		if got := of(t, m, "deaf-a0"); got.Health != runner.HealthCritical || got.ErrorKind != "timeout" {
			t.Errorf("deaf is %s (%s): %s", got.Health, got.ErrorKind, got.Message)
		}
		if n := w.times("deaf-a0"); n != 1 {
			t.Errorf("%d probes were left behind by one check", n)
		}
		close(release)
		time.Sleep(time.Minute)
		if got := of(t, m, "deaf-a0"); got.Health != runner.Healthy {
			t.Errorf("after its probe came back it is %s: %s", got.Health, got.Message)
		}
		stop()
	})
}

// No more than 16 probes are under way at once.
func TestMonitor_Bound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, r := newWorld(), newRecord()
		var under, most atomic.Int64
		var checks []health.Check
		for i := range 50 {
			c := check(string(rune('a'+i/10)) + string(rune('0'+i%10)))
			w.is(c.Name, func(context.Context, *jobs.Env) (jobs.Result, error) {
				if n := under.Add(1); n > most.Load() {
					most.Store(n)
				}
				time.Sleep(3 * time.Second)
				under.Add(-1)
				return jobs.Result{}, nil
			})
			checks = append(checks, c)
		}
		m, stop := start(t, w, r, nil, checks...)
		if err := m.Fresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := most.Load(); n > 16 || n < 10 {
			t.Errorf("%d probes were under way at once", n)
		}
		stop()
		time.Sleep(time.Minute) // the probes that were left behind end too
	})
}

func TestMonitor_Severity(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, r := newWorld(), newRecord()
		quiet, harmless := check("quiet"), check("harmless")
		quiet.Quiet, harmless.Impact = true, runner.ImpactNone
		m, stop := start(t, w, r, nil, check("db"), quiet, harmless)
		defer stop()
		w.is("quiet", bad)
		w.is("harmless", bad)
		w.is("db", slow)
		time.Sleep(2 * time.Minute)
		w.is("db", bad)
		time.Sleep(2 * time.Minute)
		w.is("db", slow)
		time.Sleep(2 * time.Minute)
		w.is("db", good)
		time.Sleep(2 * time.Minute)
		var words []string
		for _, line := range r.said() {
			_, what, _ := strings.Cut(line, " ")
			words = append(words, what)
		}
		slices.Sort(words)
		want := []string{"clear check/db", "raise check/db critical", "raise check/db warning", "raise check/db warning", "raise check/harmless warning"}
		if diff := cmp.Diff(want, words); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if got := of(t, m, "quiet").Health; got != runner.HealthCritical {
			t.Errorf("quiet is %s", got)
		}
		if up := r.values("check.harmless.up"); up[len(up)-1] != 0 {
			t.Errorf("what is down is up on record because nobody needs it: %v", up)
		}
	})
}

// An incident that was resolved by hand while the check still fails opens
// again.
func TestMonitor_ResolvedByHand(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, r := newWorld(), newRecord()
		w.is("db", bad)
		_, stop := start(t, w, r, nil, check("db"))
		defer stop()
		time.Sleep(5 * time.Minute)
		if _, err := r.Clear(t.Context(), "check/db", time.Now()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(12 * time.Minute)
		if r.opened()["check/db"].Fingerprint == "" {
			t.Errorf("it is not open: %v", r.said())
		}
	})
}

// What the ledger could not take is put on record when it can.
func TestMonitor_LedgerDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, r := newWorld(), newRecord()
		_, stop := start(t, w, r, nil, check("db"))
		defer stop()
		time.Sleep(time.Minute)
		w.is("db", bad)
		r.mu.Lock()
		r.broken = runner.ErrNoSpace
		r.mu.Unlock()
		time.Sleep(5 * time.Minute)
		if len(r.said()) != 0 {
			t.Fatalf("a broken ledger took %v", r.said())
		}
		r.mu.Lock()
		r.broken = nil
		r.mu.Unlock()
		time.Sleep(time.Minute)
		if said := r.said(); len(said) != 1 || !strings.HasSuffix(said[0], "raise check/db critical") {
			t.Errorf("said %v", said)
		}
		if up := r.values("check.db.up"); len(up) < 12 || !slices.Contains(up, 0) {
			t.Errorf("what was measured meanwhile is lost: %v", up)
		}
	})
}
