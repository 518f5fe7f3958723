package health_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/health"
	"github.com/ghosteam/upkeep/runner"
)

// nightly is a heartbeat that is told every day, two hours late at most.
func nightly() health.Check {
	return health.Check{
		Name: "nightly", Kind: health.KindHeartbeat, Slug: "n-1", Impact: runner.ImpactDegraded, Every: 24 * time.Hour, RetryEvery: 10 * time.Second,
		Timeout: 10 * time.Second, FailAfter: 1, OKAfter: 1, Grace: 2 * time.Hour, Digest: "nightly",
	}
}

// ping tells the heartbeat.
func ping(t *testing.T, m *health.Monitor, p health.Ping) {
	t.Helper()
	if err := m.Ping(t.Context(), "n-1", p); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
}

func TestHeartbeat(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, r := newWorld(), newRecord()
		m, stop := start(t, w, r, nil, nightly())
		defer stop()
		synctest.Wait()
		time.Sleep(time.Hour)
		if got := of(t, m, "nightly"); got.Health != runner.HealthUnknown || got.Message != "it waits for the first ping" {
			t.Errorf("%+v", got)
		}
		ping(t, m, health.Ping{Start: true})
		time.Sleep(10 * time.Minute)
		ping(t, m, health.Ping{Text: "saved 3 tables\nand more"})
		if got := of(t, m, "nightly"); got.Health != runner.Healthy || got.Message != "it reported success: saved 3 tables" || got.Took != 10*time.Minute {
			t.Errorf("%+v", got)
		}
		time.Sleep(26*time.Hour - time.Second)
		if len(r.said()) != 0 {
			t.Fatalf("said %v", r.said())
		}
		time.Sleep(2 * time.Second)
		if diff := cmp.Diff([]string{"raise check/nightly critical"}, what(r.said())); diff != "" {
			t.Fatal(diff)
		}
		if got := of(t, m, "nightly"); got.ErrorKind != "timeout" {
			t.Errorf("%+v", got)
		}
		ping(t, m, health.Ping{})
		ping(t, m, health.Ping{Code: 3, Text: "no space"})
		if got := of(t, m, "nightly"); got.Health != runner.HealthCritical || got.Message != "it reported failure, exit code 3: no space" {
			t.Errorf("%+v", got)
		}
		ping(t, m, health.Ping{})
		want := []string{"raise check/nightly critical", "clear check/nightly", "raise check/nightly critical", "clear check/nightly"}
		if diff := cmp.Diff(want, what(r.said())); diff != "" {
			t.Error(diff)
		}
		time.Sleep(time.Minute)
		if diff := cmp.Diff([]float64{1, 0, 1, 0, 1}, r.values("check.nightly.up")); diff != "" {
			t.Error(diff)
		}
		if err := m.Ping(t.Context(), "n-2", health.Ping{}); !isUnknown(err) {
			t.Errorf("an unknown slug: %v", err)
		}
		before := len(r.values("check.nightly.up"))
		for range 5 {
			if err := m.Fresh(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute)
		if len(r.values("check.nightly.up")) != before {
			t.Error("asking counts as being told")
		}
	})
}

func isUnknown(err error) bool {
	_, ok := errors.AsType[*health.UnknownError](err)
	return ok
}

// What has begun must end within the grace.
func TestHeartbeat_Unfinished(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, r := newWorld(), newRecord()
		m, stop := start(t, w, r, nil, nightly())
		defer stop()
		synctest.Wait()
		ping(t, m, health.Ping{})
		time.Sleep(20 * time.Hour)
		ping(t, m, health.Ping{Start: true})
		time.Sleep(2*time.Hour + time.Second)
		if diff := cmp.Diff([]string{"raise check/nightly critical"}, what(r.said())); diff != "" {
			t.Error(diff)
		}
	})
}

// What was told before a restart counts after it, and so does how long a first
// ping was waited for.
func TestHeartbeat_Restart(t *testing.T) {
	t.Parallel()
	for name, told := range map[string]bool{"told": true, "never told": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w, r := newWorld(), newRecord()
				m, stop := start(t, w, r, nil, nightly())
				synctest.Wait()
				if told {
					ping(t, m, health.Ping{})
				}
				time.Sleep(20 * time.Hour)
				stop()
				time.Sleep(5 * time.Hour)
				m, stop = start(t, w, r, nil, nightly())
				time.Sleep(50 * time.Minute)
				if len(r.said()) != 0 {
					t.Errorf("too early: %v", r.said())
				}
				if told && of(t, m, "nightly").Health != runner.Healthy {
					t.Errorf("%+v", of(t, m, "nightly"))
				}
				stop()
				time.Sleep(time.Hour)
				// It was missed while nothing ran.
				_, stop = start(t, w, r, nil, nightly())
				time.Sleep(time.Minute)
				if diff := cmp.Diff([]string{"raise check/nightly critical"}, what(r.said())); diff != "" {
					t.Error(diff)
				}
				stop()
				time.Sleep(time.Hour)
				m, stop = start(t, w, r, nil, nightly())
				defer stop()
				time.Sleep(time.Minute)
				ping(t, m, health.Ping{})
				if diff := cmp.Diff([]string{"raise check/nightly critical", "clear check/nightly"}, what(r.said())); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

// A ping that could not be put on record is not acknowledged.
func TestHeartbeat_LedgerDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, r := newWorld(), newRecord()
		m, stop := start(t, w, r, nil, nightly())
		defer stop()
		synctest.Wait()
		r.mu.Lock()
		r.broken = runner.ErrNoSpace
		r.mu.Unlock()
		if err := m.Ping(t.Context(), "n-1", health.Ping{}); !errors.Is(err, runner.ErrNoSpace) {
			t.Errorf("got %v", err)
		}
	})
}

func TestOnceTold(t *testing.T) {
	t.Parallel()
	now := time.Now()
	tests := map[string]struct {
		series map[string]runner.Sample
		want   runner.Health
	}{
		"never":   {nil, runner.HealthUnknown},
		"in time": {map[string]runner.Sample{"check.nightly.ping": {At: now.Add(-25 * time.Hour)}}, runner.Healthy},
		"failed":  {map[string]runner.Sample{"check.nightly.ping": {At: now.Add(-time.Hour), Value: 7}}, runner.HealthCritical},
		"late":    {map[string]runner.Sample{"check.nightly.ping": {At: now.Add(-27 * time.Hour)}}, runner.HealthCritical},
		"waits":   {map[string]runner.Sample{"check.nightly.ping_awaited": {At: now.Add(-time.Hour)}}, runner.HealthUnknown},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRecord()
			for series, sample := range test.series {
				r.series[series] = []runner.Sample{sample}
			}
			o, err := health.OnceTold(t.Context(), r, nightly(), now)
			if err != nil || o.Health != test.want {
				t.Errorf("%s: %s, %v", o.Health, o.Message, err)
			}
		})
	}
}
