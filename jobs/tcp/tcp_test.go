package tcp_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/reach"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/jobs/tcp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve runs a server that gives each connection to talk, and returns its
// address.
func serve(t *testing.T, network, at string, config *tls.Config, talk func(c net.Conn)) string {
	t.Helper()
	listener, err := net.Listen(network, at)
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if config != nil {
		listener = tls.NewListener(listener, config)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			talk(c)
			_ = c.Close()
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-done
	})
	return address
}

func say(text string) func(c net.Conn) {
	return func(c net.Conn) { _, _ = c.Write([]byte(text)); _, _ = c.Read(make([]byte, 1)) }
}

// certificate makes one for localhost that expires after so long, and returns it
// and a file with it.
func certificate(t *testing.T, life time.Duration) (config *tls.Config, ca string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-240 * time.Hour), NotAfter: time.Now().Add(life), DNSNames: []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	ca = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, ca
}

func patient(t *testing.T, address ...string) tcp.Options {
	t.Helper()
	o := *jobstest.Options[tcp.Options](t, tcp.Kind().Options())
	o.Address, o.Timeout, o.Latency = address, unit.Duration(time.Minute), reach.Latency{}
	return o
}

func try(ctx context.Context, t *testing.T, o tcp.Options) (jobs.Result, error) {
	t.Helper()
	options := tcp.Kind().Options()
	*jobstest.Options[tcp.Options](t, options) = o
	job, err := tcp.Kind().Build(options, jobstest.NewDeps(t))
	if err != nil {
		t.Fatalf("build: %v", err)
	}
	return job.Run(ctx, jobs.NewEnv(jobs.Env{RunID: "r", Workflow: "w", Job: "j", Attempt: 1, Out: &jobstest.Buffer{}}, jobs.Hooks{}))
}

func ask(t *testing.T, o tcp.Options) jobs.Result {
	t.Helper()
	r, err := try(t.Context(), t, o)
	if err != nil {
		t.Fatalf("run: %v", err)
	}
	jobstest.CheckResult(t, r)
	return r
}

func wants(t *testing.T, r jobs.Result, id string, s jobs.Severity, text string) {
	t.Helper()
	i := slices.IndexFunc(r.Findings, func(f jobs.Finding) bool { return f.ID == id })
	if i < 0 || r.Findings[i].Severity != s || !strings.Contains(r.Findings[i].Text, text) {
		t.Errorf("want the finding %s %s %q; there are %+v", s, id, text, r.Findings)
	}
}

func healthy(t *testing.T, r jobs.Result) {
	t.Helper()
	if len(r.Findings) > 0 || r.Outputs["error_kind"] != "" || r.Values["total_seconds"] <= 0 {
		t.Errorf("findings %+v, outputs %v, values %v", r.Findings, r.Outputs, r.Values)
	}
}

func variable(t *testing.T, name string) string {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		t.Fatalf("%s is not set: run the tests with `make test`, or start the servers with scripts/dev/servers.sh", name)
	}
	return text
}

func TestContract(t *testing.T) {
	t.Parallel()
	u, err := url.Parse(variable(t, "UPKEEP_TEST_REDIS_URL"))
	if err != nil {
		t.Fatal("the address of the test server is not a URL")
	}
	password, _ := u.User.Password()
	fixture := jobstest.Fixture{
		Name: "redis", Secrets: []string{password},
		Arrange: func(t *testing.T, _ string, options any, _ *jobstest.Deps) {
			o := patient(t, u.Host)
			o.Send, o.Banner, o.ShowBanner = secret.New(`AUTH `+password+`\r\nPING\r\n`), `\+PONG`, true
			*jobstest.Options[tcp.Options](t, options) = o
		},
		Judge: func(t *testing.T, _ string, r jobs.Result) { healthy(t, r) },
	}
	wrong := fixture
	wrong.Name, wrong.Secrets = "wrong words", []string{"wr0ng p@ss"}
	wrong.Arrange = func(t *testing.T, root string, options any, deps *jobstest.Deps) {
		fixture.Arrange(t, root, options, deps)
		o := jobstest.Options[tcp.Options](t, options)
		o.Send, o.Banner = secret.New(`AUTH "wr0ng p@ss"\r\nQUIT\r\n`), `\+PONG`
	}
	wrong.Judge = func(t *testing.T, _ string, r jobs.Result) {
		wants(t, r, "tcp:banner", jobs.Critical, "WRONGPASS")
		if r.Outputs["error_kind"] != "banner" {
			t.Errorf("outputs %v", r.Outputs)
		}
	}
	jobstest.Exercise(t, tcp.Kind(), fixture, wrong)
}

func TestRealMailServer(t *testing.T) {
	t.Parallel()
	host := variable(t, "UPKEEP_TEST_SMTP_HOST")
	o := patient(t, net.JoinHostPort(host, variable(t, "UPKEEP_TEST_SMTP_PORT")))
	o.Banner = `^220 .* ESMTP`
	healthy(t, ask(t, o))
	o.Address = unit.Names{net.JoinHostPort(host, variable(t, "UPKEEP_TEST_SMTP_TLS_PORT"))}
	o.TLS = true
	wants(t, ask(t, o), "tcp:tls", jobs.Critical, "certificate")
	o.Security.CA = unit.Path(variable(t, "UPKEEP_TEST_SMTP_CA"))
	r := ask(t, o)
	healthy(t, r)
	for _, name := range []string{"connect_seconds", "tls_seconds", "banner_seconds", "certificate_days"} {
		if r.Values[name] <= 0 {
			t.Errorf("value %s is %v", name, r.Values[name])
		}
	}
	o.Security.ServerName = "mail.example.net"
	wants(t, ask(t, o), "tcp:tls", jobs.Critical, "mail.example.net")
}

func TestFaults(t *testing.T) {
	t.Parallel()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := closed.Addr().String()
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	expired, ca := certificate(t, -time.Hour)
	silent := func(c net.Conn) { _, _ = c.Read(make([]byte, 1)) }
	for name, tt := range map[string]struct {
		options    func(o *tcp.Options)
		kind, text string
	}{
		"port":   {func(o *tcp.Options) { o.Address = unit.Names{nobody} }, "tcp", "refused"},
		"name":   {func(o *tcp.Options) { o.Address = unit.Names{"no-such-host.invalid:1"} }, "dns", "no-such-host.invalid"},
		"socket": {func(o *tcp.Options) { o.Address = unit.Names{"unix:/no/such.sock"} }, "tcp", "no such file"},
		"expired": {func(o *tcp.Options) {
			o.Address, o.TLS, o.Security.CA = unit.Names{serve(t, "tcp", "127.0.0.1:0", expired, silent)}, true, unit.Path(ca)
		}, "tls", "expired"},
		"not TLS": {func(o *tcp.Options) {
			o.Address, o.TLS = unit.Names{serve(t, "tcp", "127.0.0.1:0", nil, say("SSH-2.0-OpenSSH_9.2\r\n"))}, true
		}, "tls", "handshake"},
		"cut in the handshake": {func(o *tcp.Options) {
			o.Address, o.TLS = unit.Names{serve(t, "tcp", "127.0.0.1:0", nil, func(net.Conn) {})}, true
		}, "tls", ""},
		"says nothing": {func(o *tcp.Options) {
			o.Address, o.Banner, o.Timeout = unit.Names{serve(t, "tcp", "127.0.0.1:0", nil, silent)}, "x", unit.Duration(300*time.Millisecond)
		}, "timeout", "no answer within 300ms"},
		"handshake stalls": {func(o *tcp.Options) {
			o.Address, o.TLS, o.Timeout = unit.Names{serve(t, "tcp", "127.0.0.1:0", nil, func(c net.Conn) {
				_, _ = c.Read(make([]byte, 1))
				silent(c)
				_, _ = c.Read(make([]byte, 1<<16))
				silent(c)
			})}, true, unit.Duration(300*time.Millisecond)
		}, "timeout", "(tls)"},
		"says the wrong thing": {func(o *tcp.Options) {
			o.Address, o.Banner, o.Timeout, o.ShowBanner = unit.Names{serve(t, "tcp", "127.0.0.1:0", nil, say("554 go away\r\n"))}, "^220", unit.Duration(time.Second), true
		}, "banner", `says "554 go away"`},
		"says a lot": {func(o *tcp.Options) {
			o.Address, o.Banner = unit.Names{serve(t, "tcp", "127.0.0.1:0", nil, say(strings.Repeat("secret of a person\n", 10_000)))}, "^220"
		}, "banner", "bytes, which does not match"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := patient(t)
			tt.options(&o)
			r := ask(t, o)
			wants(t, r, "tcp:"+tt.kind, jobs.Critical, tt.text)
			if r.Outputs["error_kind"] != tt.kind || strings.Contains(r.Summary, "person") {
				t.Errorf("outputs %v, summary %s", r.Outputs, r.Summary)
			}
		})
	}
}

func TestConnectivity(t *testing.T) {
	t.Parallel()
	good := serve(t, "tcp", "127.0.0.1:0", nil, func(net.Conn) {})
	o := patient(t, "no-such-host.invalid:53", good)
	o.Connectivity, o.Source = true, "127.0.0.1"
	r := ask(t, o)
	healthy(t, r)
	if r.Outputs["address"] != good {
		t.Errorf("outputs %v, want %s", r.Outputs, good)
	}
	socket := filepath.Join(t.TempDir(), "s")
	serve(t, "unix", socket, nil, say("hello"))
	o = patient(t, "unix:"+socket)
	o.Banner = "^hello$"
	healthy(t, ask(t, o))
}

func TestLimits(t *testing.T) {
	t.Parallel()
	config, ca := certificate(t, 72*time.Hour)
	o := patient(t, serve(t, "tcp", "127.0.0.1:0", config, say("")))
	o.TLS, o.Security.CA, o.CertificateWarn, o.Latency = true, unit.Path(ca), unit.Duration(240*time.Hour), reach.Latency{Warn: 1}
	r := ask(t, o)
	wants(t, r, "tcp:certificate", jobs.Warning, "expires in 3.0 days, limit 10d")
	wants(t, r, "tcp:latency", jobs.Warning, "most of it for ")
	o.Security.CA = "/no/such.pem"
	if r, err := try(t.Context(), t, o); err == nil || len(r.Findings) > 0 {
		t.Errorf("a missing file of authorities is our own fault: %v, %+v", err, r.Findings)
	}
}

// TestStopped: what ends the attempt is no fault of the server.
func TestStopped(t *testing.T) {
	t.Parallel()
	errWanted := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	o := patient(t, serve(t, "tcp", "127.0.0.1:0", nil, func(c net.Conn) { cancel(errWanted); _, _ = c.Read(make([]byte, 1)) }))
	o.Banner = "x"
	if r, err := try(ctx, t, o); !errors.Is(err, errWanted) || len(r.Findings) > 0 {
		t.Errorf("%v, %+v", err, r.Findings)
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(o *tcp.Options)
		want   string
	}{
		"none":        {func(o *tcp.Options) { o.Address = nil }, "address: it is required"},
		"no port":     {func(o *tcp.Options) { o.Address = unit.Names{"host"} }, `address: "host" is not HOST:PORT`},
		"bad port":    {func(o *tcp.Options) { o.Address = unit.Names{"host:70000"} }, "is not HOST:PORT"},
		"socket":      {func(o *tcp.Options) { o.Address = unit.Names{"unix:s"} }, "must begin with a slash"},
		"several":     {func(o *tcp.Options) { o.Address = unit.Names{"a:1", "b:1"} }, "each needs a check of its own"},
		"source":      {func(o *tcp.Options) { o.Source = "eth0" }, `source: "eth0" is not an address`},
		"certificate": {func(o *tcp.Options) { o.Security.CA = "ca.pem" }, "certificate: it needs tls: true"},
		"expiry":      {func(o *tcp.Options) { o.CertificateWarn = 1 }, "certificate_warn: it needs tls: true"},
		"banner":      {func(o *tcp.Options) { o.Banner = "(" }, "banner: error parsing regexp"},
		"send":        {func(o *tcp.Options) { o.Send, o.Banner = secret.New(`\q`), "x" }, "send: what stands behind a backslash"},
		"unheard":     {func(o *tcp.Options) { o.Send = secret.New("x") }, "send: it makes no sense without banner"},
		"never":       {func(o *tcp.Options) { o.Timeout = 1e9 }, "latency.warn: 1s is never reached"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			options := tcp.Kind().Options()
			o := jobstest.Options[tcp.Options](t, options)
			o.Address = unit.Names{"a:1"}
			tt.change(o)
			if _, err := tcp.Kind().Build(options, jobstest.NewDeps(t)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}
