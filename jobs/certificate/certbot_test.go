package certificate_test

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/certificate"
	"github.com/ghosteam/upkeep/jobs/jobstest"
)

// acme is an authority that speaks ACME: pebble, which believes every claim.
type acme struct {
	dir, directory string
	stop           func()
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}

// startPebble starts an authority whose certificates live for an hour.
func startPebble(t *testing.T) *acme {
	t.Helper()
	program, err := filepath.Abs("../../.bin/pebble")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(program); err != nil {
		t.Fatalf("pebble is missing: run the tests with `make test`, or build it with scripts/dev/tools.sh pebble: %v", err)
	}
	dir := t.TempDir()
	own := newAuthority(t)
	own.save(t, dir, "pebble", own.server(t, 1, 1, "localhost"))
	listen, manage := freePort(t), freePort(t)
	config, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": fmt.Sprintf("127.0.0.1:%d", listen), "managementListenAddress": fmt.Sprintf("127.0.0.1:%d", manage),
		"certificate": dir + "/pebble.pem", "privateKey": dir + "/pebble.key", "httpPort": 5002, "tlsPort": 5001,
		"profiles": map[string]any{"default": map[string]any{"description": "an hour", "validityPeriod": 3600}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir+"/pebble.json", config)
	ctx, cancel := context.WithCancel(context.Background())
	server := exec.CommandContext(ctx, program, "-config", dir+"/pebble.json")
	server.Env = append(os.Environ(), "PEBBLE_VA_ALWAYS_VALID=1", "PEBBLE_VA_NOSLEEP=1", "PEBBLE_WFE_NONCEREJECT=0", "PEBBLE_AUTHZREUSE=100")
	out := &jobstest.Buffer{}
	server.Stdout, server.Stderr = out, out
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = server.Wait(); close(ended) }()
	a := &acme{dir: dir, directory: fmt.Sprintf("https://localhost:%d/dir", listen), stop: func() { cancel(); <-ended }}
	t.Cleanup(a.stop)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(read(t, dir+"/ca.pem")))
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}}
	defer client.CloseIdleConnections()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		response, err := client.Get(fmt.Sprintf("https://localhost:%d/roots/0", manage))
		if err == nil {
			root, err := io.ReadAll(response.Body)
			_ = response.Body.Close()
			if err == nil && response.StatusCode == http.StatusOK {
				write(t, dir+"/acme.pem", root)
				return a
			}
		}
		select {
		case <-ended:
			t.Fatalf("pebble ended:\n%s", out)
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("pebble does not answer: %v\n%s", err, out)
		}
	}
}

// arguments keep certbot in the test's own folders.
func (a *acme) arguments() []string {
	return []string{
		"--config-dir", a.dir + "/config", "--work-dir", a.dir + "/work", "--logs-dir", a.dir + "/logs", "--server", a.directory,
	}
}

// issue has certbot ask for the first certificate.
func (a *acme) issue(t *testing.T, name string) {
	t.Helper()
	arguments := append([]string{
		"certonly", "--non-interactive", "--agree-tos", "--register-unsafely-without-email", "--standalone",
		"--http-01-port", fmt.Sprint(freePort(t)), "--domain", name,
	}, a.arguments()...)
	issue := exec.CommandContext(t.Context(), "certbot", arguments...)
	issue.Env = append(os.Environ(), "REQUESTS_CA_BUNDLE="+a.dir+"/ca.pem")
	if out, err := issue.CombinedOutput(); err != nil {
		t.Fatalf("certbot certonly: %v\n%s", err, out)
	}
}

// TestCertbot: certbot renews at an authority, its hook runs, and the new
// certificate is served.
func TestCertbot(t *testing.T) {
	t.Parallel()
	a := startPebble(t)
	const name = "web.upkeep.test"
	a.issue(t, name)
	live := filepath.Join(a.dir, "config/live", name)
	load := fmt.Sprintf("cp -L '%[1]s/privkey.pem' '%[2]s/loaded.key' && cp -L '%[1]s/fullchain.pem' '%[2]s/loaded.pem'", live, a.dir)
	if out, err := exec.CommandContext(t.Context(), "sh", "-c", load).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	address := serveFiles(t, a.dir, "loaded")
	change := func(due unit.Share) func(o *certificate.Options) {
		return func(o *certificate.Options) {
			o.Certificates = []certificate.Certificate{{
				File: unit.Path(live + "/fullchain.pem"), Key: unit.Path(live + "/privkey.pem"), CA: unit.Path(a.dir + "/acme.pem"),
				Names: []string{name}, Served: []certificate.Place{{Address: address, ServerName: name}},
			}}
			o.Renew = &certificate.Renew{
				Arguments: append(a.arguments(), "--deploy-hook", "echo $RENEWED_LINEAGE >> "+a.dir+"/hook"),
				Env:       map[string]secret.String{"REQUESTS_CA_BUNDLE": secret.New(a.dir + "/ca.pem")},
				Due:       due, Reload: unit.Command{"/bin/sh", "-c", load}, Within: unit.Duration(30 * time.Second),
			}
		}
	}
	before := read(t, live+"/cert.pem")
	r, out, err := run(t, jobs.Hooks{}, change(1))
	if err != nil || ids(r) != "" || len(r.Events) != 0 || read(t, live+"/cert.pem") != before {
		t.Fatalf("what is not due: %+v, %v\n%s", r, err, out)
	}
	r, out, err = run(t, jobs.Hooks{DryRun: true}, change(99.999))
	if err != nil || !strings.Contains(out, "would renew certificate "+name) || read(t, live+"/cert.pem") != before {
		t.Fatalf("dry run: %+v, %v\n%s", r, err, out)
	}
	began := time.Now()
	r, out, err = run(t, jobs.Hooks{}, change(99.999))
	if err != nil || ids(r) != "" || len(r.Events) != 1 || read(t, live+"/cert.pem") == before || read(t, a.dir+"/loaded.pem") != read(t, live+"/fullchain.pem") {
		t.Fatalf("renewal: %+v, %v\n%s", r, err, out)
	}
	if hook := read(t, a.dir+"/hook"); hook != live+"\n" {
		t.Errorf("the deploy hook left %q", hook)
	}
	t.Logf("renewed after %s", time.Since(began).Round(time.Millisecond))

	a.stop()
	r, out, err = run(t, jobs.Hooks{}, change(99.999))
	if err == nil || !strings.Contains(err.Error(), "exit status 1: ") || !strings.Contains(err.Error(), "Connection refused") || len(r.Events) != 0 {
		t.Errorf("without an authority: %+v, %v\n%s", r, err, out)
	}
}

// TestCertbot_IsBusy: the words by which another certbot is recognized are
// those of the program.
func TestCertbot_IsBusy(t *testing.T) {
	t.Parallel()
	a := startPebble(t)
	a.issue(t, "busy.upkeep.test")
	live := filepath.Join(a.dir, "config/live/busy.upkeep.test")
	marker := filepath.Join(a.dir, rand.Text())
	// The hook of one certbot runs while it holds its lock: it starts the job's
	// one, and lets go when that has said that it waits.
	holder := exec.CommandContext(t.Context(), "certbot", append([]string{
		"renew", "--force-renewal", "--non-interactive", "--no-random-sleep-on-renew", "--cert-name", "busy.upkeep.test",
		"--pre-hook", fmt.Sprintf("touch %[1]s; for i in $(seq 600); do test -e %[1]s.go && break; sleep 0.05; done", marker),
	}, a.arguments()...)...)
	holder.Env = append(os.Environ(), "REQUESTS_CA_BUNDLE="+a.dir+"/ca.pem")
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(marker); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the first certbot does not reach its hook")
		}
	}
	options := certificate.Kind().Options()
	o := jobstest.Options[certificate.Options](t, options)
	o.Certificates = []certificate.Certificate{{File: unit.Path(live + "/fullchain.pem")}}
	o.Renew = &certificate.Renew{
		Arguments: a.arguments(), Due: 99.999, Env: map[string]secret.String{"REQUESTS_CA_BUNDLE": secret.New(a.dir + "/ca.pem")},
	}
	job, err := certificate.Kind().Build(options, jobstest.NewDeps(t))
	if err != nil {
		t.Fatal(err)
	}
	out := &release{path: marker + ".go", words: "waiting for another certbot"}
	r, err := job.Run(t.Context(), jobs.NewEnv(jobs.Env{RunID: "run-" + rand.Text(), Job: "tls", Attempt: 1, Root: a.dir, WorkDir: t.TempDir(), KillGrace: time.Second, Out: out}, jobs.Hooks{}))
	if held := holder.Wait(); held != nil {
		t.Errorf("the first certbot: %v", held)
	}
	if err != nil || len(r.Events) != 1 || !strings.Contains(out.String(), out.words) {
		t.Errorf("%+v, %v\n%s", r, err, out.String())
	}
}

// release makes a file when its words are written to it.
type release struct {
	jobstest.Buffer
	path, words string
}

// Write writes, and looks for the words.
func (r *release) Write(p []byte) (int, error) {
	n, err := r.Buffer.Write(p)
	if strings.Contains(r.String(), r.words) {
		return n, os.WriteFile(r.path, nil, 0o600)
	}
	return n, err
}
