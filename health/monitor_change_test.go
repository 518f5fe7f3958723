package health_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/health"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

// what returns what was said without the instants.
func what(lines []string) []string {
	var out []string
	for _, line := range lines {
		_, rest, _ := strings.Cut(line, " ")
		out = append(out, rest)
	}
	return out
}

// Over a restart an open incident is remembered: it is not opened anew, what is
// well again clears it, and what is no longer configured is cleared.
func TestMonitor_Restart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, r := newWorld(), newRecord()
		w.is("db", bad)
		w.is("cache", slow)
		w.is("old", bad)
		_, stop := start(t, w, r, nil, check("db"), check("cache"), check("old"), check("well"))
		time.Sleep(2 * time.Minute)
		stop()
		first := r.opened()["check/db"]
		if len(r.said()) != 3 || first.Severity != jobs.Critical {
			t.Fatalf("said %v", r.said())
		}
		time.Sleep(time.Hour)
		r.forget()
		m, stop := start(t, w, r, nil, check("db"), check("cache"), check("well"))
		defer stop()
		synctest.Wait()
		if got := of(t, m, "db"); got.Phase != runner.CheckFailing || !got.FirstBad.Equal(first.FirstBad) || !got.LastGood.Equal(first.LastGood) {
			t.Errorf("right after the restart: %+v, first bad %s", got, first.FirstBad)
		}
		time.Sleep(time.Minute)
		w.is("db", good)
		w.is("cache", good)
		time.Sleep(2 * time.Minute)
		said := what(r.said())
		if len(said) != 3 || said[0] != "clear check/old" || !strings.Contains(strings.Join(said, "\n"), "clear check/db") || !strings.Contains(strings.Join(said, "\n"), "clear check/cache") {
			t.Errorf("said %v", r.said())
		}
	})
}

// What was open and is well at once after a restart is cleared by ok_after good
// answers, and not before.
func TestMonitor_RestartHealed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, r := newWorld(), newRecord()
		r.open["check/db"] = runner.Fault{Fingerprint: "check/db", Severity: jobs.Critical, At: time.Now()}
		_, stop := start(t, w, r, nil, check("db"))
		defer stop()
		time.Sleep(9 * time.Second)
		if len(r.said()) != 0 {
			t.Errorf("one good answer: %v", r.said())
		}
		time.Sleep(10 * time.Second)
		if diff := cmp.Diff([]string{"clear check/db"}, what(r.said())); diff != "" {
			t.Error(diff)
		}
	})
}

func TestMonitor_Reload(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, r := newWorld(), newRecord()
		w.is("db", bad)
		w.is("gone", bad)
		w.is("changed", bad)
		w.is("new", good)
		m, stop := start(t, w, r, nil, check("db"), check("gone"), check("changed"))
		defer stop()
		time.Sleep(2 * time.Minute)
		before, asked := of(t, m, "db"), w.times("db")
		changed := check("changed")
		changed.Digest, changed.Every = "another", time.Minute
		r.forget()
		m.Replace(t.Context(), []health.Check{check("new"), changed, check("db")}, nil)
		synctest.Wait()
		if diff := cmp.Diff(before, of(t, m, "db")); diff != "" {
			t.Errorf("a reload changed an unchanged check: %s", diff)
		}
		if w.times("db") != asked {
			t.Error("an unchanged check was asked because of a reload")
		}
		if got := of(t, m, "changed"); got.Phase != runner.CheckFailing || got.Every != time.Minute {
			t.Errorf("the changed check lost its state: %+v", got)
		}
		if diff := cmp.Diff([]string{"clear check/gone"}, what(r.said())); diff != "" {
			t.Error(diff)
		}
		var names []string
		for _, report := range m.Reports(t.Context()) {
			names = append(names, report.Name)
		}
		if diff := cmp.Diff([]string{"new", "changed", "db"}, names); diff != "" {
			t.Errorf("the order: %s", diff)
		}
		w.is("changed", good)
		gone := w.times("gone")
		time.Sleep(3 * time.Minute)
		if diff := cmp.Diff([]string{"clear check/gone", "clear check/changed"}, what(r.said())); diff != "" {
			t.Error(diff)
		}
		if w.times("gone") != gone || w.times("new") < 3 {
			t.Errorf("gone was asked %d times more, new %d times", w.times("gone")-gone, w.times("new"))
		}
	})
}

// A reload while somebody waits for an answer does not leave them waiting.
func TestMonitor_ReloadReleasesWaiters(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, r := newWorld(), newRecord()
		w.is("db", func(ctx context.Context, _ *jobs.Env) (jobs.Result, error) { <-ctx.Done(); return jobs.Result{}, nil })
		m, stop := start(t, w, r, nil, check("db"))
		defer stop()
		synctest.Wait()
		asked := make(chan error, 1)
		go func() { asked <- m.Fresh(t.Context(), "db") }()
		synctest.Wait()
		began := time.Now()
		m.Replace(t.Context(), nil, nil)
		if err := <-asked; err != nil || time.Since(began) > time.Second {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
	})
}

// However many ask for fresh answers at once, each check is asked once.
func TestMonitor_FreshIsSingleFlight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, r := newWorld(), newRecord()
		w.is("db", func(context.Context, *jobs.Env) (jobs.Result, error) {
			time.Sleep(2 * time.Second)
			return jobs.Result{}, nil
		})
		m, stop := start(t, w, r, nil, check("db"), check("cache"))
		defer stop()
		time.Sleep(35 * time.Second)
		before, cache := w.times("db"), w.times("cache")
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				if err := m.Fresh(t.Context(), "db"); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if n := w.times("db") - before; n < 1 || n > 2 {
			t.Errorf("50 who ask at once make %d questions", n)
		}
		if w.times("cache") != cache {
			t.Error("a check was asked that nobody asked for")
		}
		if age := time.Since(of(t, m, "db").At); age > time.Second {
			t.Errorf("the fresh answer is %s old", age)
		}
		if err := m.Fresh(t.Context(), "dbb"); err == nil {
			t.Error("an unknown check was asked")
		}
	})
}

// An answer that is too old is no answer.
func TestMonitor_Stale(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, r, c := newWorld(), newRecord(), check("db")
		c.Timeout = 10 * time.Minute
		m, stop := start(t, w, r, nil, c)
		defer stop()
		if got := of(t, m, "db"); got.Health != runner.HealthUnknown || !got.At.IsZero() {
			t.Errorf("before the first answer: %+v", got)
		}
		time.Sleep(time.Minute)
		w.is("db", func(ctx context.Context, _ *jobs.Env) (jobs.Result, error) { <-ctx.Done(); return jobs.Result{}, nil })
		time.Sleep(3 * time.Minute)
		if got := of(t, m, "db"); got.Health != runner.HealthUnknown || got.Answer != runner.Healthy {
			t.Errorf("the answer is %s old and counts as %s", time.Since(got.At), got.Health)
		}
	})
}

func TestMonitor_Samples(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, r := newWorld(), newRecord()
		var checks []health.Check
		for i := range 20 {
			checks = append(checks, check(fmt.Sprintf("c%02d", i)))
		}
		w.is("c00", func(context.Context, *jobs.Env) (jobs.Result, error) {
			time.Sleep(250 * time.Millisecond)
			values := map[string]float64{}
			for i := range 100 {
				values[fmt.Sprintf("v%03d", i)] = float64(i)
			}
			return jobs.Result{Values: values}, nil
		})
		_, stop := start(t, w, r, nil, checks...)
		time.Sleep(10 * time.Minute)
		stop()
		if n := len(r.values("check.c01.up")); n < 19 || n > 22 {
			t.Errorf("%d samples in ten minutes", n)
		}
		if diff := cmp.Diff(0.25, r.values("check.c00.seconds")[0]); diff != "" {
			t.Errorf("seconds: %s", diff)
		}
		names, _ := r.Series(t.Context(), "check.c00.v")
		if len(names) != 40 {
			t.Errorf("%d values are kept", len(names))
		}
		// Ten minutes of flushes every ten seconds, and one at the end.
		if r.writes > 62 {
			t.Errorf("%d transactions in ten minutes", r.writes)
		}
	})
}

// A ledger that takes no new series takes the samples of the known ones.
func TestMonitor_SamplesRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, r := newWorld(), newRecord()
		for _, what := range []string{"up", "seconds", "load"} {
			r.series["check.db."+what] = []runner.Sample{{}}
		}
		r.full = true
		w.is("db", func(ctx context.Context, env *jobs.Env) (jobs.Result, error) {
			time.Sleep(time.Second)
			return good(ctx, env)
		})
		_, stop := start(t, w, r, nil, check("db"), check("other"))
		time.Sleep(5 * time.Minute)
		stop()
		if n := len(r.values("check.db.up")); n < 9 {
			t.Errorf("%d samples of a known series", n)
		}
	})
}

type observer struct {
	mu      sync.Mutex
	reports []runner.CheckReport
	open    []int
	r       *record
}

func (o *observer) Checked(_ context.Context, report runner.CheckReport) {
	o.r.mu.Lock()
	n := len(o.r.open)
	o.r.mu.Unlock()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.reports, o.open = append(o.reports, report), append(o.open, n)
}

// Observers hear of every answer, when its consequences are on record.
func TestMonitor_Observers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, r := newWorld(), newRecord()
		o := &observer{r: r}
		_, stop := start(t, w, r, func(options *health.Options) { options.Observers = []runner.CheckObserver{o} }, check("db"))
		time.Sleep(time.Minute)
		w.is("db", bad)
		time.Sleep(2 * time.Minute)
		stop()
		if len(o.reports) != w.times("db") {
			t.Errorf("%d answers, %d were told", w.times("db"), len(o.reports))
		}
		for i, report := range o.reports {
			if failing := report.Phase == runner.CheckFailing; failing != (o.open[i] == 1) {
				t.Errorf("%d: %s, and %d open", i, report.Phase, o.open[i])
			}
		}
	})
}
