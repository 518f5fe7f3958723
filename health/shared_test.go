package health_test

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/health"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

// elsewhere is a check that another node asks.
func elsewhere(name, node string) health.Check {
	c := check(name)
	c.Node = node
	return c
}

// set puts a fault on record, or takes it off.
func (r *record) set(fingerprint string, f *runner.Fault) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if delete(r.open, fingerprint); f != nil {
		r.open[fingerprint] = *f
	}
}

func shared(o *health.Options) { o.Shared = true }

// Two monitors by one record: what one does not ask it does not ask, and it
// knows what is on record of it.
func TestMonitor_Elsewhere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, r := newWorld(), newRecord()
		w.is("db", bad)
		w.is("web", good)
		_, stop := start(t, w, r, shared, check("db"), check("web"))
		defer stop()
		m, stop := start(t, newWorld(), r, shared, elsewhere("db", "a"), elsewhere("web", "a"), elsewhere("new", "a"))
		defer stop()
		time.Sleep(2 * time.Minute)
		if err := m.Fresh(t.Context()); err != nil {
			t.Fatalf("who waits for the answers of another node waits for ever: %v", err)
		}
		if err := m.Look(t.Context()); err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]runner.CheckReport{
			"db":  {Health: runner.HealthCritical, Answer: runner.HealthCritical, Phase: runner.CheckFailing, ErrorKind: "connect", Message: "refused for <redacted>"},
			"web": {Health: runner.Healthy, Answer: runner.Healthy, Phase: runner.CheckWell, Message: "as the node a sees it"},
			"new": {Health: runner.HealthUnknown, Answer: runner.HealthUnknown, Phase: runner.CheckWell, Message: "the node a has not asked it yet"},
		} {
			got := of(t, m, name)
			if got.Node != "a" || got.Health != want.Health || got.Answer != want.Answer || got.Phase != want.Phase || got.ErrorKind != want.ErrorKind || got.Message != want.Message {
				t.Errorf("%s: %+v, want %+v", name, got, want)
			}
		}
		if diff := cmp.Diff(map[string]float64{"load": 1}, of(t, m, "web").Values); diff != "" {
			t.Error(diff)
		}
		time.Sleep(5 * time.Minute)
		stop()
	})
}

// A check whose node is gone is as it was for the one that takes it over: what
// was open is not opened anew, and is cleared when it is well.
func TestMonitor_TakesOver(t *testing.T) {
	t.Parallel()
	for _, late := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w, r := newWorld(), newRecord()
			w.is("db", bad)
			_, gone := start(t, w, r, shared, check("db"))
			second := newWorld()
			second.is("db", bad)
			m, stop := start(t, second, r, shared, elsewhere("db", "a"))
			defer stop()
			time.Sleep(2 * time.Minute)
			gone()
			if second.times("db") != 0 {
				t.Fatal("both asked")
			}
			if late {
				// The node before recorded it only after this one had looked.
				r.set("check/db", nil)
				m.Replace(t.Context(), []health.Check{check("db")}, nil)
				r.set("check/db", &runner.Fault{Fingerprint: "check/db", Severity: jobs.Critical, At: time.Now()})
				second.is("db", good)
				time.Sleep(2 * time.Minute)
				if len(r.opened()) != 0 {
					t.Error("the incident stays open for ever")
				}
				return
			}
			r.forget()
			m.Replace(t.Context(), []health.Check{check("db")}, nil)
			if got := of(t, m, "db"); got.Phase != runner.CheckFailing || got.Node != "" {
				t.Errorf("right after the node went: %+v", got)
			}
			time.Sleep(time.Minute)
			if said := r.said(); len(said) != 0 || second.times("db") == 0 {
				t.Errorf("asked %d times, said %v", second.times("db"), said)
			}
			second.is("db", good)
			time.Sleep(time.Minute)
			if said := strings.Join(what(r.said()), "\n"); said != "clear check/db" && said != "clear check/db\nclear check/db" {
				t.Errorf("said %q", said)
			}
			// And back again: its own state is no longer what counts.
			m.Replace(t.Context(), []health.Check{elsewhere("db", "a")}, nil)
			asked := second.times("db")
			time.Sleep(2 * time.Minute)
			if second.times("db") != asked {
				t.Error("it asks what another node asks")
			}
		})
	}
}

// The incident of another node's instance is left alone by a node that does not
// know it, and cleared when the node is forgotten.
func TestMonitor_ForgottenInstance(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, r := newWorld(), newRecord()
		w.is("system@a", good)
		r.open["check/system@b"] = runner.Fault{Fingerprint: "check/system@b", Severity: jobs.Critical, At: time.Now()}
		m, stop := start(t, w, r, shared, check("system@a"))
		defer stop()
		time.Sleep(time.Minute)
		if len(r.opened()) != 1 {
			t.Fatalf("said %v", r.said())
		}
		m.Replace(t.Context(), []health.Check{check("system@a"), elsewhere("system@b", "b")}, nil)
		m.Replace(t.Context(), []health.Check{check("system@a")}, nil)
		if diff := cmp.Diff([]string{"clear check/system@b"}, what(r.said())); diff != "" {
			t.Error(diff)
		}
	})
}

// What this node's configuration does not have others may still watch: its
// incidents stay open while they differ, whether it starts or reloads.
func TestMonitor_OthersDiffer(t *testing.T) {
	t.Parallel()
	for _, differ := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			w, r := newWorld(), newRecord()
			for _, name := range []string{"db", "api", "old", "disk@b", "cpu@b"} {
				w.is(name, good)
				r.open["check/"+name] = runner.Fault{Fingerprint: "check/" + name, Severity: jobs.Critical, At: time.Now()}
			}
			// old and cpu are not in its configuration, api goes from it.
			m, stop := start(t, w, r, func(o *health.Options) { o.Shared, o.Differ = true, func(context.Context) bool { return differ } },
				elsewhere("db", "b"), elsewhere("api", "b"), check("disk@a"), elsewhere("disk@b", "b"))
			defer stop()
			time.Sleep(time.Minute)
			// The node b is forgotten too.
			m.Replace(t.Context(), []health.Check{elsewhere("db", "c"), check("disk@a")}, nil)
			want := "check/api check/cpu@b check/db check/old"
			if !differ {
				want = "check/db"
			}
			if got := strings.Join(slices.Sorted(maps.Keys(r.opened())), " "); got != want {
				t.Errorf("differ %v: open are %q, want %q", differ, got, want)
			}
		})
	}
}

// A ping that another node hears counts.
func TestMonitor_PingElsewhere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRecord()
		beat := health.Check{
			Name: "nightly", Kind: health.KindHeartbeat, Impact: runner.ImpactDegraded, Every: time.Hour, RetryEvery: time.Minute, Timeout: 10 * time.Second,
			FailAfter: 1, OKAfter: 1, Grace: time.Minute, Slug: "nightly", Digest: "nightly",
		}
		there := beat
		there.Node = "a"
		watching, stop := start(t, newWorld(), r, shared, beat)
		defer stop()
		hears, stop := start(t, newWorld(), r, shared, there)
		defer stop()
		for range 4 {
			time.Sleep(50 * time.Minute)
			if err := hears.Ping(t.Context(), "nightly", health.Ping{}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute)
		if said := r.said(); len(said) != 0 || of(t, watching, "nightly").Health != runner.Healthy {
			t.Fatalf("said %v, %+v", said, of(t, watching, "nightly"))
		}
		if err := hears.Ping(t.Context(), "nightly", health.Ping{Code: 3}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if said := what(r.said()); len(said) != 1 || !strings.HasPrefix(said[0], "raise check/nightly") {
			t.Errorf("said %v", said)
		}
	})
}
