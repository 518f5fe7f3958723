package redisping_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/reach"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/jobs/redisping"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serverURL returns the address of the test server.
func serverURL(t testing.TB) *url.URL {
	t.Helper()
	text := os.Getenv("UPKEEP_TEST_REDIS_URL")
	if text == "" {
		t.Fatal("UPKEEP_TEST_REDIS_URL is not set: run the tests with `make test`, or start the servers with scripts/dev/servers.sh")
	}
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal("UPKEEP_TEST_REDIS_URL is not a URL")
	}
	return u
}

// node is a server of a test's own.
type node struct {
	t        testing.TB
	dir      string
	client   *redis.Client
	stopping func()
}

// address is the URL of its socket.
func (n *node) address() string { return "unix://" + n.dir + "/s" }

// start starts a server in a folder of its own, listening at a socket, and waits
// until it accepts connections.
func start(t testing.TB, arguments ...string) *node {
	t.Helper()
	dir, err := os.MkdirTemp("", "upkeep-redis") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return startIn(t, dir, arguments...)
}

func startIn(t testing.TB, dir string, arguments ...string) *node {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	server := exec.CommandContext(ctx, "redis-server", append([]string{"--port", "0", "--unixsocket", dir + "/s", "--save", "", "--dir", dir}, arguments...)...)
	out := &jobstest.Buffer{}
	server.Stdout, server.Stderr = out, out
	if err := server.Start(); err != nil {
		t.Fatalf("start redis-server: %v", err)
	}
	ended := make(chan struct{})
	go func() { _ = server.Wait(); close(ended) }()
	n := &node{t: t, dir: dir, stopping: func() { cancel(); <-ended; _ = os.Remove(dir + "/s") }}
	t.Cleanup(n.stopping)
	for deadline := time.Now().Add(time.Minute); ; {
		c, err := net.Dial("unix", dir+"/s")
		if err == nil {
			_ = c.Close()
			break
		}
		select {
		case <-ended:
			t.Fatalf("redis-server ended:\n%s", out)
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("redis-server does not answer:\n%s", out)
		}
	}
	n.client = redis.NewClient(&redis.Options{Network: "unix", Addr: dir + "/s", Protocol: 2, PoolSize: 1})
	t.Cleanup(func() { _ = n.client.Close() })
	return n
}

// do runs a command, which must succeed.
func (n *node) do(arguments ...any) {
	n.t.Helper()
	if err := n.client.Do(context.Background(), arguments...).Err(); err != nil {
		n.t.Fatalf("%v: %v", arguments[0], err)
	}
}

// awaits waits until a field of INFO has a value.
func (n *node) awaits(field, value string) {
	n.t.Helper()
	n.awaitsText(field + ":" + value + "\r\n")
}

// awaitsText waits until a text stands in the answer to INFO.
func (n *node) awaitsText(want string) {
	n.t.Helper()
	var text string
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		text = n.client.Info(context.Background()).Val()
		if strings.Contains(text, want) {
			return
		}
	}
	n.t.Fatalf("%q never was in\n%s", want, text)
}

// patient are options under which a machine that is busy is not called sick.
func patient(t *testing.T) redisping.Options {
	t.Helper()
	o := *jobstest.Options[redisping.Options](t, redisping.Kind().Options())
	o.Database, o.Timeout, o.Latency, o.Connect = "cache", unit.Duration(time.Minute), reach.Latency{}, reach.Latency{}
	return o
}

// prober probes one server again and again, as a job with a history.
type prober struct {
	t       *testing.T
	kind    jobs.Kind
	address string
	options redisping.Options
	past    []jobs.Past
	// check tells that it probes as a check, which has no history.
	check bool
}

func newProber(t *testing.T, address string) *prober {
	t.Helper()
	return &prober{t: t, kind: redisping.Kind(), address: address, options: patient(t)}
}

// unhistoric are the surroundings of a check.
type unhistoric struct{ jobs.Deps }

func (unhistoric) History(string, string) (jobs.History, error) {
	return nil, os.ErrInvalid
}

func (p *prober) try(ctx context.Context) (jobs.Result, error) {
	p.t.Helper()
	options := p.kind.Options()
	*jobstest.Options[redisping.Options](p.t, options) = p.options
	arranged := jobstest.NewDeps(p.t)
	arranged.AddDatabase(jobs.Database{Name: "cache", Kind: jobs.Redis, URL: secret.New(p.address)})
	for _, past := range p.past {
		arranged.AddPast("", "", past)
	}
	var deps jobs.Deps = arranged
	if p.check {
		deps = unhistoric{arranged}
	}
	job, err := p.kind.Build(options, deps)
	if err != nil {
		p.t.Fatalf("build: %v", err)
	}
	return job.Run(ctx, jobs.NewEnv(jobs.Env{RunID: "r", Workflow: "w", Job: "j", Attempt: 1, Out: &jobstest.Buffer{}}, jobs.Hooks{}))
}

// probe probes once and remembers the outcome.
func (p *prober) probe() jobs.Result {
	p.t.Helper()
	r, err := p.try(p.t.Context())
	if err != nil {
		p.t.Fatalf("run: %v", err)
	}
	jobstest.CheckResult(p.t, r)
	p.past = slices.Insert(p.past, 0, jobs.Past{RunID: rand.Text(), Finished: time.Now(), Result: r})
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
	if len(r.Findings) > 0 || r.Outputs["error_kind"] != "" {
		t.Errorf("findings %+v, outputs %v", r.Findings, r.Outputs)
	}
}

// certificate makes a self-signed certificate of localhost and returns the
// paths of it and its key.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}
