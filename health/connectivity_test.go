package health_test

import (
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/health"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

// Where other nodes watch too, the fault of a machine's own network is that of
// its node: another one whose network is up does not end it.
func TestConnectivity_Shared(t *testing.T) {
	t.Parallel()
	address, down := network(t)
	quick := check("db")
	quick.Every, quick.RetryEvery = time.Second, time.Second
	w, r := newWorld(), newRecord()
	w.is("db", bad)
	gate := &health.Connectivity{TCP: []string{address}, Timeout: time.Second, Fault: func(title string, severity jobs.Severity, at time.Time) runner.Fault {
		return runner.Fault{Fingerprint: health.FingerprintConnectivity + "@n", Severity: severity, Title: title, At: at}
	}}
	down()
	m, stop := start(t, w, r, func(o *health.Options) { o.Connectivity, o.Shared = gate, true }, quick)
	defer stop()
	until(t, func() bool { return slicesContain(r.said(), "raise upkeep/connectivity@n warning") })
	up, _ := network(t)
	m.Replace(t.Context(), []health.Check{quick}, &health.Connectivity{TCP: []string{up}, Timeout: time.Second})
	until(t, func() bool { return slicesContain(r.said(), "clear upkeep/connectivity@n") })
	for _, said := range r.said() {
		if strings.Contains(said, "connectivity") && !strings.Contains(said, "@n") {
			t.Errorf("said %q", said)
		}
	}
}
