package redispurge_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/jobs/redispurge"
)

// serverVariable names the environment variable with the URL of the test
// server.
const serverVariable = "UPKEEP_TEST_REDIS_URL"

// The databases of the test server that the tests have for themselves.
const (
	contractNumber = iota + 1
	purgeNumber
	filterNumber
	manyNumber
	rightsNumber
)

// serverURL returns the address of a database of the test server.
func serverURL(t testing.TB, number int) string {
	t.Helper()
	text := os.Getenv(serverVariable)
	if text == "" {
		t.Fatalf("%s is not set: run the tests with `make test`, or start the servers with scripts/dev/servers.sh", serverVariable)
	}
	u, err := url.Parse(text)
	if err != nil {
		t.Fatalf("%s is not a URL", serverVariable)
	}
	u.Path = "/" + strconv.Itoa(number)
	return u.String()
}

// connect returns a client that lasts as long as the test.
func connect(t testing.TB, address string) *redis.Client {
	t.Helper()
	o, err := redis.ParseURL(address)
	if err != nil {
		t.Fatalf("parse the address of the test server: %v", err)
	}
	c := redis.NewClient(o)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// set makes keys with their own names as values.
func set(t testing.TB, c *redis.Client, ttl time.Duration, names ...string) {
	t.Helper()
	for batch := range slices.Chunk(names, 5000) {
		pipe := c.Pipeline()
		for _, name := range batch {
			pipe.Set(context.Background(), name, name, ttl)
		}
		if _, err := pipe.Exec(context.Background()); err != nil {
			t.Fatalf("make keys: %v", err)
		}
	}
}

func numbered(prefix string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("%s%06d", prefix, i)
	}
	return out
}

func keys(t testing.TB, c *redis.Client, pattern string) []string {
	t.Helper()
	out, err := c.Keys(context.Background(), pattern).Result()
	if err != nil {
		t.Fatalf("list keys: %v", err)
	}
	slices.Sort(out)
	return out
}

// run builds the job on a database and runs it.
func run(ctx context.Context, t *testing.T, address string, hooks jobs.Hooks, change func(o *redispurge.Options)) (jobs.Result, string, error) {
	t.Helper()
	options := redispurge.Kind().Options()
	o := jobstest.Options[redispurge.Options](t, options)
	o.Database = "cache"
	change(o)
	deps := jobstest.NewDeps(t)
	deps.AddDatabase(jobs.Database{Name: "cache", Kind: jobs.Redis, URL: secret.New(address)})
	job, err := redispurge.Kind().Build(options, deps)
	if err != nil {
		t.Fatalf("build: %v", err)
	}
	out := &jobstest.Buffer{}
	r, err := job.Run(ctx, jobs.NewEnv(jobs.Env{Out: out}, hooks))
	if err == nil {
		jobstest.CheckResult(t, r)
	}
	return r, out.String(), err
}

// startServer starts a server of the test's own and returns its folder, where
// it listens at the socket "s".
func startServer(t *testing.T, arguments ...string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "upkeep-redis") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	server := exec.CommandContext(ctx, "redis-server", append([]string{"--port", "0", "--unixsocket", dir + "/s", "--save", "", "--dir", dir}, arguments...)...)
	out := &jobstest.Buffer{}
	server.Stdout, server.Stderr = out, out
	if err := server.Start(); err != nil {
		t.Fatalf("start redis-server: %v", err)
	}
	var waited error
	ended := make(chan struct{})
	go func() { waited = server.Wait(); close(ended) }()
	t.Cleanup(func() {
		cancel()
		<-ended
		_ = os.RemoveAll(dir)
	})
	for deadline := time.Now().Add(time.Minute); ; {
		c, err := net.Dial("unix", dir+"/s")
		if err == nil {
			_ = c.Close()
			return dir
		}
		select {
		case <-ended:
			t.Fatalf("redis-server ended: %v\n%s", waited, out)
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("redis-server does not answer:\n%s", out)
		}
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
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
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
