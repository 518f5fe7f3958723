package certificate_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/certificate"
	"github.com/ghosteam/upkeep/jobs/jobstest"
)

// day is the unit in which the tests count.
const day = 24 * time.Hour

// pair is a certificate with its key.
type pair struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// issue makes a certificate by the issuer, or a self-signed one without.
func issue(t testing.TB, issuer *pair, change func(c *x509.Certificate)) pair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-10 * day), NotAfter: time.Now().Add(80 * day)}
	change(c)
	by := pair{c, key}
	if issuer != nil {
		by = *issuer
	}
	der, err := x509.CreateCertificate(rand.Reader, c, by.cert, key.Public(), by.key)
	if err != nil {
		t.Fatal(err)
	}
	if c, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return pair{c, key}
}

// authority is a root with an intermediate.
type authority struct{ root, middle pair }

func newAuthority(t testing.TB) authority {
	t.Helper()
	ca := func(name string) func(c *x509.Certificate) {
		return func(c *x509.Certificate) {
			c.Subject.CommonName, c.IsCA, c.BasicConstraintsValid, c.KeyUsage = name, true, true, x509.KeyUsageCertSign
			c.NotBefore, c.NotAfter = time.Now().Add(-1000*day), time.Now().Add(1000*day)
		}
	}
	root := issue(t, nil, ca("root"))
	return authority{root, issue(t, &root, ca("middle"))}
}

// server issues the certificate of a server for localhost: it began before and
// ends after now by so many days.
func (a authority) server(t testing.TB, before, after float64, names ...string) pair {
	t.Helper()
	return issue(t, &a.middle, func(c *x509.Certificate) {
		c.DNSNames = append([]string{"localhost"}, names...)
		c.NotBefore, c.NotAfter = time.Now().Add(-time.Duration(before*float64(day))), time.Now().Add(time.Duration(after*float64(day)))
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	})
}

func pemOf(certs ...*x509.Certificate) []byte {
	var out []byte
	for _, c := range certs {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return out
}

func (p pair) keyPEM(t testing.TB) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(p.key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func write(t testing.TB, path string, text []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// save writes NAME.pem with the chain and NAME.key below a folder.
func (a authority) save(t testing.TB, dir, name string, p pair) {
	t.Helper()
	write(t, filepath.Join(dir, name+".pem"), pemOf(p.cert, a.middle.cert))
	write(t, filepath.Join(dir, name+".key"), p.keyPEM(t))
	write(t, filepath.Join(dir, "ca.pem"), pemOf(a.root.cert))
}

// accept serves connections until the test ends, and returns the address.
func accept(t testing.TB, serve func(c net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer func() { _ = c.Close() }()
				_ = c.SetDeadline(time.Now().Add(30 * time.Second))
				serve(c)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		wg.Wait()
	})
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return "localhost:" + port
}

// shake serves TLS on a connection.
func shake(c net.Conn, certificate func() (*tls.Certificate, error)) {
	session := tls.Server(c, &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return certificate() }})
	_, _ = io.Copy(io.Discard, session)
}

// serve shows a chain.
func serve(t testing.TB, key pair, chain ...*x509.Certificate) string {
	t.Helper()
	shown := &tls.Certificate{PrivateKey: key.key}
	for _, c := range chain {
		shown.Certificate = append(shown.Certificate, c.Raw)
	}
	return accept(t, func(c net.Conn) { shake(c, func() (*tls.Certificate, error) { return shown, nil }) })
}

// serveFiles shows what is in NAME.pem at each moment.
func serveFiles(t testing.TB, dir, name string) string {
	t.Helper()
	return accept(t, func(c net.Conn) {
		shake(c, func() (*tls.Certificate, error) {
			p, err := tls.LoadX509KeyPair(filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key"))
			return &p, err
		})
	})
}

// run builds the job from changed defaults and runs it.
func run(t *testing.T, hooks jobs.Hooks, change func(o *certificate.Options)) (jobs.Result, string, error) {
	t.Helper()
	options := certificate.Kind().Options()
	o := jobstest.Options[certificate.Options](t, options)
	o.Timeout = unit.Duration(30 * time.Second) // a test machine may be busy
	change(o)
	job, err := certificate.Kind().Build(options, jobstest.NewDeps(t))
	if err != nil {
		t.Fatalf("build: %v", err)
	}
	out := &jobstest.Buffer{}
	r, err := job.Run(context.Background(), jobs.NewEnv(jobs.Env{
		RunID: "run-" + rand.Text(), Job: "tls", Attempt: 1, Root: t.TempDir(), WorkDir: t.TempDir(), KillGrace: time.Second, Out: out,
	}, hooks))
	jobstest.CheckResult(t, r)
	return r, out.String(), err
}

// ids are the findings without the places.
func ids(r jobs.Result) string {
	var out []string
	for _, f := range r.Findings {
		parts := strings.Split(f.ID, ":")
		out = append(out, parts[0]+"="+string(f.Severity))
	}
	return strings.Join(out, " ")
}
