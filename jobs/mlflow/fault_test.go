package mlflow_test

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/reach"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/jobs/mlflow"
)

// TestRepeats_AgainstAStandIn: what is refused for now is asked again, as often
// as makes sense.
func TestRepeats_AgainstAStandIn(t *testing.T) {
	t.Parallel()
	now := http.Header{"Retry-After": {"0"}}
	later := http.Header{"Retry-After": {"3600"}}
	for name, tt := range map[string]struct {
		faults   []fault
		kind     string
		requests int
	}{
		"429, then good":   {[]fault{{429, now, `{"error_code":"REQUEST_LIMIT_EXCEEDED","message":"slow down"}`}}, "", 2},
		"503 twice":        {[]fault{{503, nil, "<html>"}, {502, nil, ""}}, "", 3},
		"429 for long":     {[]fault{{429, later, `{}`}}, "limited", 1},
		"503 all the time": {[]fault{{503, now, ""}, {503, now, ""}, {503, now, ""}}, "status", 3},
		"500":              {[]fault{{500, nil, `{"error_code":"INTERNAL_ERROR","message":"boom"}`}}, "status", 1},
		"401":              {[]fault{{401, nil, ""}}, "auth", 1},
		"a login page":     {[]fault{{302, http.Header{"Location": {"/login"}}, ""}}, "status", 1},
		"not JSON":         {[]fault{{200, nil, "<html>hello</html>"}}, "body", 1},
		"other JSON":       {[]fault{{200, nil, `{"model_version": "nine"}`}}, "body", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.fail("registered-models/alias", tt.faults...)
			r := ask(t, optionsOf(t, s, champion()))
			if got := s.count("registered-models/alias"); got != tt.requests {
				t.Errorf("it was asked %d times, want %d", got, tt.requests)
			}
			if tt.kind == "" {
				healthy(t, r)
				return
			}
			wants(t, r, "mlflow:"+tt.kind, jobs.Critical, "")
			if r.Outputs["error_kind"] != tt.kind {
				t.Errorf("outputs %v", r.Outputs)
			}
		})
	}
}

func TestFaults_AgainstAStandIn(t *testing.T) {
	t.Parallel()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := closed.Addr().String()
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-ended:
		}
	}))
	t.Cleanup(func() { close(ended); silent.Close() })
	cut := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			_, _ = fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nOK")
			_ = c.Close()
		}
	}))
	t.Cleanup(cut.Close)
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	t.Cleanup(secure.Close)
	for name, tt := range map[string]struct{ address, kind, text string }{
		"port":        {"http://" + nobody, "tcp", "refused"},
		"name":        {"http://no-such-host.invalid:5000", "dns", "no-such-host.invalid"},
		"silent":      {silent.URL, "timeout", "no answer within 300ms"},
		"cut":         {cut.URL, "tcp", "unexpected EOF"},
		"certificate": {secure.URL, "tls", "certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := optionsOf(t, newServer(t))
			o.URL = secret.New(tt.address)
			if tt.kind == "timeout" {
				o.Timeout = unit.Duration(300 * time.Millisecond)
			}
			r := ask(t, o)
			wants(t, r, "mlflow:"+tt.kind, jobs.Critical, tt.text)
			if r.Outputs["error_kind"] != tt.kind || len(r.Findings) != 1 {
				t.Errorf("outputs %v, findings %+v", r.Outputs, r.Findings)
			}
		})
	}
}

func TestTLS_AgainstAStandIn(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	secure := httptest.NewTLSServer(s)
	t.Cleanup(secure.Close)
	o := optionsOf(t, s, champion())
	o.URL = secret.New(secure.URL)
	o.TLS.CA = unit.Path(file(t, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}))))
	o.TLS.ServerName = "example.com"
	healthy(t, ask(t, o))
	o.TLS.CA = "/no/such.pem"
	if _, err := try(t.Context(), t, o); err == nil || !strings.Contains(err.Error(), "read the authorities") {
		t.Errorf("error %v", err)
	}
}

// TestOtherHost: credentials go to the server of the address and nowhere else.
func TestOtherHost_AgainstAStandIn(t *testing.T) {
	t.Parallel()
	var seen []string
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.URL.Path+" "+r.Header.Get("Authorization"))
		_, _ = fmt.Fprint(w, "mlflow==2.14.1\nscikit-learn==1.3.2\nnumpy==1.26.4\n")
	}))
	t.Cleanup(other.Close)
	s := newServer(t)
	s.authorization = "Bearer hidden-token"
	s.models["fraud"][2]["source"] = strings.Replace(other.URL, "http://", "mlflow-artifacts://", 1) + "/1/r1/artifacts/model"
	s.pages["fraud/9/requirements.txt"] = "scikit-learn==1.3.2\n"
	o := optionsOf(t, s, champion())
	o.Token, o.Installed.URL = secret.New("hidden-token"), other.URL+"/packages"
	r := ask(t, o)
	healthy(t, r)
	if len(seen) != 1 || seen[0] != "/packages " || r.Values["requirements.fraud.champion"] != 1 {
		t.Errorf("the other host was asked %q; values %v", seen, r.Values)
	}
}

func TestStopped_AgainstAStandIn(t *testing.T) {
	t.Parallel()
	errWanted := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { cancel(errWanted); <-r.Context().Done() }))
	t.Cleanup(silent.Close)
	o := optionsOf(t, newServer(t))
	o.URL = secret.New(silent.URL)
	if r, err := try(ctx, t, o); !errors.Is(err, errWanted) || len(r.Findings) > 0 {
		t.Errorf("%v, %+v", err, r.Findings)
	}
}

func TestLatency_AgainstAStandIn(t *testing.T) {
	t.Parallel()
	o := optionsOf(t, newServer(t))
	o.Latency = reach.Latency{Crit: 1}
	wants(t, ask(t, o), "mlflow:latency", jobs.Critical, "limit 1ns")
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(o *mlflow.Options)
		want   string
	}{
		"no address":   {func(o *mlflow.Options) { o.URL = secret.String{} }, "url: it is not an address"},
		"bad address":  {func(o *mlflow.Options) { o.URL = secret.New("ftp://u:hunter2@h") }, "url: it is not an address"},
		"two ways":     {func(o *mlflow.Options) { o.Token, o.Username = secret.New("hunter2"), "u" }, "token: token, username"},
		"no user":      {func(o *mlflow.Options) { o.Password = secret.New("hunter2") }, "username: there is a password"},
		"two lists":    {func(o *mlflow.Options) { o.Installed = mlflow.Installed{File: "f", URL: "http://h"} }, "installed.url: give file or url"},
		"bad list":     {func(o *mlflow.Options) { o.Installed.URL = "packages" }, "installed.url: it is not an address"},
		"no name":      {func(o *mlflow.Options) { o.Models = []mlflow.Model{{}} }, "models[0].name: it is required"},
		"alias, stage": {func(o *mlflow.Options) { o.Models = []mlflow.Model{{Name: "m", Alias: "a", Stage: "s"}} }, "models[0].alias: give one of"},
		"twins":        {func(o *mlflow.Options) { o.Models = []mlflow.Model{{Name: "m"}, {Name: "M"}} }, `models[1].name: two models would both be called "m"`},
		"age":          {func(o *mlflow.Options) { o.Models = []mlflow.Model{{Name: "m", Age: mlflow.Age{Warn: 2, Crit: 1}}} }, "models[0].age.warn"},
		"no limit": {func(o *mlflow.Options) {
			o.Models = []mlflow.Model{{Name: "m", Metrics: map[string]mlflow.Metric{"f1": {}}}}
		}, "models[0].metrics.f1: there is no limit"},
		"below": {func(o *mlflow.Options) {
			o.Models = []mlflow.Model{{Name: "m", Metrics: map[string]mlflow.Metric{"f1": {WarnBelow: new(float64(1)), CritBelow: new(float64(2))}}}}
		}, "warn_below is less than crit_below"},
		"above": {func(o *mlflow.Options) {
			o.Models = []mlflow.Model{{Name: "m", Metrics: map[string]mlflow.Metric{"f1": {WarnAbove: new(float64(2)), CritAbove: new(float64(1))}}}}
		}, "warn_above is more than crit_above"},
		"runs":       {func(o *mlflow.Options) { o.Runs.MaxRuns = 0 }, "experiments.max_runs: 0 is out of range"},
		"failed":     {func(o *mlflow.Options) { o.Runs.FailedWarn = -1 }, "experiments.failed_warn: -1 is negative"},
		"within":     {func(o *mlflow.Options) { o.Runs.FailedWithin = 0 }, "experiments.failed_within"},
		"deleted":    {func(o *mlflow.Options) { o.Runs.DeletedWarn = 1 }, "experiments.deleted_warn: it needs"},
		"experiment": {func(o *mlflow.Options) { o.Runs.Names = []string{""} }, "experiments.names[0]: the name is empty"},
		"timeout":    {func(o *mlflow.Options) { o.Timeout = 1e9 }, "latency.warn: 1s is never reached"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := *jobstest.Options[mlflow.Options](t, mlflow.Kind().Options())
			o.URL = secret.New("http://h")
			tt.change(&o)
			if _, err := build(t, o); err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

// TestRealServer asks the server of UPKEEP_TEST_MLFLOW_URL when somebody has one.
// Without it there is no case, because everything else is checked against a
// stand-in.
func TestRealServer(t *testing.T) {
	t.Parallel()
	var addresses []string
	if address := os.Getenv("UPKEEP_TEST_MLFLOW_URL"); address != "" {
		addresses = append(addresses, address)
	}
	for _, address := range addresses {
		t.Run("answers", func(t *testing.T) {
			t.Parallel()
			o := *jobstest.Options[mlflow.Options](t, mlflow.Kind().Options())
			o.URL, o.Runs.Names, o.Runs.DeletedSize = secret.New(address), []string{"*"}, true
			o.Models = []mlflow.Model{{Name: "no such model"}, {Name: "no such model", Alias: "x"}, {Name: "no such model", Stage: "Production"}, {Name: "no such model", Version: "1"}}
			r := ask(t, o)
			if r.Outputs["error_kind"] != "" || r.Outputs["version"] == "" {
				t.Errorf("outputs %v, findings %+v", r.Outputs, r.Findings)
			}
			for _, id := range []string{"model:no_such_model:missing", "model:no_such_model.x:missing", "model:no_such_model.production:missing", "model:no_such_model.1:missing"} {
				wants(t, r, id, jobs.Critical, "not in the registry")
			}
		})
	}
}
