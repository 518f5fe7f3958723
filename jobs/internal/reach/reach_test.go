package reach_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/reach"
	"github.com/ghosteam/upkeep/jobs/jobstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestFaultOf(t *testing.T) {
	t.Parallel()
	dial := func(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }
	for name, tt := range map[string]struct {
		err         error
		phase, kind string
	}{
		"name":            {&net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "h"}}, "dns", reach.DNS},
		"slow name":       {&net.DNSError{IsTimeout: true}, "dns", reach.DNS},
		"refused":         {dial(syscall.ECONNREFUSED), "connect", reach.TCP},
		"slow":            {dial(context.DeadlineExceeded), "connect", reach.Timeout},
		"late":            {fmt.Errorf("x: %w", &reach.LateError{Limit: 1}), "query", reach.Timeout},
		"certificate":     {&tls.CertificateVerificationError{Err: errors.New("x")}, "tls", reach.TLS},
		"no TLS":          {tls.RecordHeaderError{Msg: "x"}, "tls", reach.TLS},
		"alert":           {&net.OpError{Op: "remote error", Err: errors.New("bad certificate")}, "auth", reach.TLS},
		"cut in TLS":      {io.EOF, "tls", reach.TLS},
		"reset in TLS":    {&net.OpError{Op: "read", Err: syscall.ECONNRESET}, "tls", reach.TLS},
		"cut later":       {io.ErrUnexpectedEOF, "auth", reach.TCP},
		"something else":  {errors.New("x"), "auth", "fallback"},
		"named before":    {fmt.Errorf("x: %w", reach.Faultf("loading", "y")), "auth", "loading"},
		"refused for TLS": {dial(syscall.ECONNREFUSED), "tls", reach.TCP},
	} {
		f := reach.FaultOf(tt.err, tt.phase, "fallback")
		if f.Kind != tt.kind {
			t.Errorf("%s: kind %s, want %s", name, f.Kind, tt.kind)
		}
		if known := f.Kind != "fallback" && f.Kind != "loading"; known != (jobs.HintOf(f.Err) != "") {
			t.Errorf("%s: hint %q", name, jobs.HintOf(f.Err))
		}
	}
}

func TestClock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := reach.NewClock()
		for _, lap := range []reach.Lap{{Phase: "dns", Took: 1}, {Phase: "connect", Took: 2}, {Phase: "dns", Took: 4}, {Phase: "connect", Took: 8}, {Phase: "connect", Took: 16}, {Phase: "", Took: 99}, {Phase: "query", Took: 32}} {
			c.Begin(lap.Phase)
			time.Sleep(lap.Took)
		}
		want := []reach.Lap{{Phase: "dns", Took: 5}, {Phase: "connect", Took: 26}, {Phase: "query", Took: 32}}
		if diff := cmp.Diff(want, c.Laps()); diff != "" {
			t.Error(diff)
		}
		if c.Total() != 63 || c.Phase() != "query" || reach.Slowest(c) != "query" {
			t.Errorf("total %v, phase %s, slowest %s", c.Total(), c.Phase(), reach.Slowest(c))
		}
	})
}

// TestEnded: the limit of the options is what is told, also when somebody who
// shares the deadline notices first.
func TestEnded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := reach.Deadline(t.Context(), time.Second)
		defer cancel()
		c := reach.NewClock()
		c.Begin("query")
		time.Sleep(time.Second - time.Millisecond)
		f := c.Ended(ctx, context.DeadlineExceeded, "x")
		if f.Kind != reach.Timeout || f.Error() != "timeout (query): no answer within 1s" {
			t.Errorf("%s: %v", f.Kind, f)
		}
		if f = c.Ended(ctx, reach.Faultf("banner", "other words"), "x"); f.Kind != "banner" {
			t.Errorf("%s: %v", f.Kind, f)
		}
	})
}

func TestReport(t *testing.T) {
	t.Parallel()
	out := &jobstest.Buffer{}
	env := jobs.NewEnv(jobs.Env{Out: out}, jobs.Hooks{Scrub: func(s string) string { return strings.ReplaceAll(s, "hunter2", "***") }})
	r := reach.NewReport(env, "ping")
	r.Add("A b", jobs.Warning, "warned")
	r.Add("a_b", jobs.Critical, "critical, %s", "hunter2")
	r.Add("a_b", jobs.Info, "only said")
	r.Unseen("states", jobs.Info, "hidden")
	r.Latency(3*time.Second, reach.Latency{Warn: unit.Duration(time.Second), Crit: unit.Duration(5 * time.Second)}, "dns")
	r.Fault("the server", reach.FaultOf(fmt.Errorf("hunter2: %w", io.EOF), "tls", ""))
	got := r.Result("fine")
	jobstest.CheckResult(t, got)
	var ids []string
	for _, f := range got.Findings {
		ids = append(ids, string(f.Severity)+" "+f.ID)
	}
	if diff := cmp.Diff([]string{"critical a_b", "info unseen:states", "warning ping:latency", "critical ping:tls"}, ids); diff != "" {
		t.Error(diff)
	}
	if text := fmt.Sprint(got, out.String()); strings.Contains(text, "hunter2") || got.Outputs["error_kind"] != "tls" || got.Values["total_seconds"] != 3 {
		t.Error(text)
	}
	if plain := reach.NewReport(env, "ping").Result("fine"); plain.Summary != "fine" {
		t.Errorf("summary %q", plain.Summary)
	}
}

func TestShort(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{12345 * time.Millisecond: "12.3s", 1234 * time.Millisecond: "1.23s", 45678 * time.Microsecond: "46ms", 4567 * time.Microsecond: "4.57ms", 0: "0s"} {
		if got := reach.Short(d); got != want {
			t.Errorf("%v is written %s, want %s", d, got, want)
		}
	}
}
