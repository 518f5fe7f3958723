package health_test

import (
	"context"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/health"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

// When what a check depends on fails too, people hear of that alone: whichever
// was asked first, and over several steps.
func TestFold_ParentFails(t *testing.T) {
	t.Parallel()
	for after := time.Duration(0); after < 30*time.Second; after += 2300 * time.Millisecond {
		synctest.Test(t, func(t *testing.T) {
			w, r := newWorld(), newRecord()
			slowParent := check("db")
			slowParent.Every = 2 * time.Minute
			m, stop := start(t, w, r, nil, check("web", "api"), check("api", "cache", "db"), slowParent, check("cache"))
			defer stop()
			time.Sleep(5*time.Minute + after)
			for _, name := range []string{"db", "api", "web"} {
				w.is(name, bad)
			}
			began := time.Now()
			time.Sleep(2 * time.Minute)
			said := what(r.said())
			if len(said) != 3 || said[0] != "raise check/db critical" {
				t.Fatalf("said %v", r.said())
			}
			for _, name := range []string{"api", "web"} {
				if parent := r.opened()["check/"+name].Parent; parent != "check/db" {
					t.Errorf("the parent of %s is %q", name, parent)
				}
				if cause := of(t, m, name).Cause; cause != "db" {
					t.Errorf("%s is blamed on %q", name, cause)
				}
			}
			// A suspect child has what it depends on asked at once.
			if first := r.raised()[0].At; first.Sub(began) > 75*time.Second {
				t.Errorf("db was found after %s", first.Sub(began))
			}
			for _, name := range []string{"db", "api", "web"} {
				w.is(name, good)
			}
			time.Sleep(3 * time.Minute)
			if len(r.opened()) != 0 || len(r.said()) != 6 {
				t.Errorf("said %v", r.said())
			}
		})
	}
}

// A child whose parent recovers while it does not is a fault of its own then.
func TestFold_OrphanIsTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, r := newWorld(), newRecord()
		_, stop := start(t, w, r, nil, check("db"), check("api", "db"))
		defer stop()
		time.Sleep(time.Minute)
		w.is("db", bad)
		w.is("api", bad)
		time.Sleep(2 * time.Minute)
		w.is("db", good)
		time.Sleep(4 * time.Minute)
		want := []string{"raise check/db critical", "raise check/api critical under check/db", "clear check/db", "raise check/api critical"}
		if diff := cmp.Diff(want, what(r.said())); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// A child whose parent fails later is folded into it then.
func TestFold_LateParent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, r := newWorld(), newRecord()
		_, stop := start(t, w, r, nil, check("db"), check("api", "db"))
		defer stop()
		time.Sleep(time.Minute)
		w.is("api", bad)
		time.Sleep(2 * time.Minute)
		w.is("db", bad)
		time.Sleep(2 * time.Minute)
		want := []string{"raise check/api critical", "raise check/db critical", "raise check/api critical under check/db"}
		if diff := cmp.Diff(want, what(r.said())); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// A warning of the parent explains no outage of the child, and a parent that
// was only suspect delays it, but does not hide it.
func TestFold_ParentIsNotWorse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, r := newWorld(), newRecord()
		_, stop := start(t, w, r, nil, check("db"), check("api", "db"))
		defer stop()
		time.Sleep(time.Minute)
		w.is("db", slow)
		time.Sleep(2 * time.Minute)
		w.is("api", bad)
		time.Sleep(2 * time.Minute)
		want := []string{"raise check/db warning", "raise check/api critical"}
		if diff := cmp.Diff(want, what(r.said())); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// network is an address outside that may be down. It is no part of a bubble, so
// it is used with real time.
func network(t *testing.T) (address string, down func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	}()
	return l.Addr().String(), func() { _ = l.Close() }
}

// While this machine's own network is down, what cannot be reached is unknown,
// and no incident. It costs real seconds, because it uses real sockets.
func TestConnectivity(t *testing.T) {
	t.Parallel()
	address, down := network(t)
	quick := check("db")
	quick.Every, quick.RetryEvery, quick.FailAfter = time.Second, time.Second, 2
	answering := quick
	answering.Name, answering.Digest = "app", "app"
	w, r := newWorld(), newRecord()
	w.is("db", bad)
	w.is("app", good)
	gate := &health.Connectivity{TCP: []string{address}, Timeout: time.Second, Fault: func(title string, severity jobs.Severity, at time.Time) runner.Fault {
		return runner.Fault{Fingerprint: health.FingerprintConnectivity, Severity: severity, Title: title, At: at}
	}}
	down()
	m, stop := start(t, w, r, func(o *health.Options) { o.Connectivity = gate }, quick, answering)
	defer stop()
	until(t, func() bool { return w.times("db") > 3 && w.times("app") > 3 })
	if got := of(t, m, "db"); got.Health != runner.HealthUnknown || !strings.Contains(got.Message, "own network") {
		t.Errorf("db is %s: %s", got.Health, got.Message)
	}
	if got := of(t, m, "app"); got.Health != runner.Healthy {
		t.Errorf("app is %s: %s", got.Health, got.Message)
	}
	// An answer needs a network, so this one does not excuse it.
	w.is("app", func(context.Context, *jobs.Env) (jobs.Result, error) {
		return jobs.Result{Summary: "500", Findings: []jobs.Finding{{ID: "http:status", Severity: jobs.Critical, Text: "500"}}}, nil
	})
	until(t, func() bool { return slicesContain(r.said(), "raise check/app critical") })
	until(t, func() bool { return slicesContain(r.said(), "raise upkeep/connectivity warning") })
	if slicesContain(r.said(), "check/db") {
		t.Errorf("said %v", r.said())
	}
	// The network is up again: what is still down is so for its own reasons.
	up, _ := network(t)
	m.Replace(t.Context(), []health.Check{quick, answering}, &health.Connectivity{TCP: []string{up}, Timeout: time.Second})
	until(t, func() bool {
		return slicesContain(r.said(), "clear upkeep/connectivity") && slicesContain(r.said(), "raise check/db critical")
	})
}

func until(t *testing.T, is func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it did not come about within a minute")
		}
	}
}

func slicesContain(lines []string, part string) bool {
	return strings.Contains(strings.Join(lines, "\n"), part)
}
