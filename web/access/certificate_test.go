package access_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/access"
)

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * 365 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

// sign returns a certificate and its key in PEM.
func (a *authority) sign(t *testing.T, name string, lasts time.Duration) (cert, key []byte) {
	t.Helper()
	private := newKey(t)
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<60))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(lasts),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, KeyUsage: x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &private.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
}

// put writes a file in one step, as who renews certificates does.
func put(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// secure is a server with a certificate.
type secure struct {
	*scene

	url  string
	root *authority
	dir  string
	cert *access.Certificate
}

func newSecure(t *testing.T, clients *authority, roles map[string]runner.Role) *secure {
	t.Helper()
	s := &secure{root: newAuthority(t), dir: t.TempDir()}
	s.renew(t, "first", 90*24*time.Hour)
	files := access.Files{Certificate: filepath.Join(s.dir, "tls.crt"), Key: filepath.Join(s.dir, "tls.key")}
	if clients != nil {
		files.Authorities = filepath.Join(s.dir, "clients.pem")
		put(t, files.Authorities, clients.pem)
	}
	log := new(bytes.Buffer)
	var err error
	if s.cert, err = access.LoadCertificate(files, slog.New(slog.NewTextHandler(log, nil))); err != nil {
		t.Fatal(err)
	}
	s.scene = newScene(access.Terms{Anonymous: runner.RoleNone, Clients: roles, Authorities: s.cert.Authorities()})
	s.log = log
	var config net.ListenConfig
	l, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.url = "https://" + l.Addr().String()
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.door.Harden(w.Header(), r)
		got, _ := s.ask(r)
		_, _ = io.WriteString(w, got.Name+" "+string(got.Role)+" "+string(got.Means)+" "+r.Proto)
	})}
	go func() { _ = server.Serve(access.NewListener(l, func() *access.Certificate { return s.cert })) }()
	t.Cleanup(func() { _ = server.Close() })
	return s
}

// renew puts another certificate into the files.
func (s *secure) renew(t *testing.T, name string, lasts time.Duration) {
	t.Helper()
	cert, key := s.root.sign(t, name, lasts)
	put(t, filepath.Join(s.dir, "tls.key"), key)
	put(t, filepath.Join(s.dir, "tls.crt"), cert)
}

// get asks over a new connection, and returns the answer and the name of the
// server's certificate.
func (s *secure) get(t *testing.T, config *tls.Config) (answer, name string, header http.Header) {
	t.Helper()
	config.RootCAs = x509.NewCertPool()
	config.RootCAs.AppendCertsFromPEM(s.root.pem)
	client := http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true, ForceAttemptHTTP2: true}}
	r, err := http.NewRequestWithContext(t.Context(), "GET", s.url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text), response.TLS.PeerCertificates[0].Subject.CommonName, response.Header
}

// becomes waits until something is so; what it waits for has no other sign.
func becomes(t *testing.T, what string, so func() bool) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for !so() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("it did not come about: " + what)
		}
	}
}

func TestCertificate_Renewed(t *testing.T) {
	t.Parallel()
	s := newSecure(t, nil, nil)
	answer, name, header := s.get(t, &tls.Config{MinVersion: tls.VersionTLS12})
	if answer != "anonymous none anonymous HTTP/2.0" || name != "first" || header.Get("Strict-Transport-Security") != "" {
		t.Fatalf("%q by %s, HSTS %q", answer, name, header.Get("Strict-Transport-Security"))
	}
	s.terms = &access.Terms{Anonymous: runner.RoleNone, Strict: 48 * time.Hour}
	if _, _, header = s.get(t, &tls.Config{MinVersion: tls.VersionTLS12}); header.Get("Strict-Transport-Security") != "max-age=172800" {
		t.Errorf("HSTS %q where two days are wanted", header.Get("Strict-Transport-Security"))
	}
	if problem := s.cert.Problem(time.Now()); problem != "" {
		t.Errorf("problem %q", problem)
	}
	if problem := s.cert.Problem(time.Now().Add(80 * 24 * time.Hour)); !strings.HasPrefix(problem, "the certificate ends at ") {
		t.Errorf("ten days before the end: %q", problem)
	}
	if problem := s.cert.Problem(time.Now().Add(100 * 24 * time.Hour)); !strings.HasPrefix(problem, "the certificate ended at ") {
		t.Errorf("after the end: %q", problem)
	}
	s.renew(t, "second", 90*24*time.Hour)
	becomes(t, "the new certificate is shown", func() bool {
		_, name, _ := s.get(t, new(tls.Config))
		return name == "second"
	})
	put(t, filepath.Join(s.dir, "tls.crt"), []byte("nonsense"))
	becomes(t, "a broken certificate is told", func() bool { return s.cert.Problem(time.Now()) != "" })
	if _, name, _ := s.get(t, new(tls.Config)); name != "second" {
		t.Errorf("the certificate is that of %s", name)
	}
	if problem := s.cert.Problem(time.Now()); !strings.Contains(problem, "the old one stays in force") {
		t.Errorf("problem %q", problem)
	}
	s.renew(t, "third", 90*24*time.Hour)
	becomes(t, "the certificate is whole again", func() bool {
		_, name, _ := s.get(t, new(tls.Config))
		return name == "third" && s.cert.Problem(time.Now()) == ""
	})
}

func TestCertificate_Broken(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a := newAuthority(t)
	cert, key := a.sign(t, "x", time.Hour)
	_, other := a.sign(t, "y", time.Hour)
	path := func(name string, text []byte) string {
		put(t, filepath.Join(dir, name), text)
		return filepath.Join(dir, name)
	}
	good := access.Files{Certificate: path("crt", cert), Key: path("key", key)}
	for name, files := range map[string]access.Files{
		"no file":        {Certificate: filepath.Join(dir, "none"), Key: good.Key},
		"another's key":  {Certificate: good.Certificate, Key: path("other", other)},
		"no authorities": {Certificate: good.Certificate, Key: good.Key, Authorities: filepath.Join(dir, "none")},
		"bad authority":  {Certificate: good.Certificate, Key: good.Key, Authorities: path("bad", []byte("x"))},
	} {
		if _, err := access.LoadCertificate(files, slog.New(slog.DiscardHandler)); err == nil {
			t.Errorf("%s: loaded", name)
		}
	}
}

func TestCertificate_Clients(t *testing.T) {
	t.Parallel()
	ours, theirs := newAuthority(t), newAuthority(t)
	s := newSecure(t, ours, map[string]runner.Role{"prometheus": runner.RoleViewer})
	with := func(a *authority, name string) *tls.Config {
		cert, key := a.sign(t, name, time.Hour)
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			t.Fatal(err)
		}
		return &tls.Config{MinVersion: tls.VersionTLS12, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }}
	}
	for name, tc := range map[string]struct {
		config *tls.Config
		want   string
	}{
		"none":             {new(tls.Config), "anonymous none anonymous"},
		"ours":             {with(ours, "prometheus"), "prometheus viewer certificate"},
		"ours, of no role": {with(ours, "eve"), "anonymous none anonymous"},
	} {
		if got, _, _ := s.get(t, tc.config); got != tc.want+" HTTP/2.0" {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
	config := with(theirs, "prometheus")
	config.RootCAs = x509.NewCertPool()
	config.RootCAs.AppendCertsFromPEM(s.root.pem)
	client := http.Client{Transport: &http.Transport{TLSClientConfig: config}}
	r, err := http.NewRequestWithContext(t.Context(), "GET", s.url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if response, err := client.Do(r); err == nil {
		_ = response.Body.Close()
		t.Error("a certificate of another authority was let in")
	}
	// A connection that is open does not outlive the authority.
	chain := with(ours, "prometheus")
	pair, err := chain.GetClientCertificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	plain := request("GET", "/", abroad)
	plain.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}}
	if got, _ := s.ask(plain); got.Name != "prometheus" {
		t.Fatalf("refused: %+v", got)
	}
	pool := x509.NewCertPool()
	pool.AddCert(theirs.cert)
	s.terms.Authorities = pool
	if got, _ := s.ask(plain); got.Name != "anonymous" {
		t.Errorf("a certificate outlives its authority: %+v", got)
	}
}

// TestListener_Bound opens more connections than are served.
func TestListener_Bound(t *testing.T) {
	t.Parallel()
	client, server := net.Pipe()
	defer func() { _ = client.Close() }()
	inner := &many{conn: server, left: access.MostConnections + 3, end: make(chan struct{})}
	l := access.NewListener(inner, func() *access.Certificate { return nil })
	var open []net.Conn
	for range access.MostConnections {
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, conn)
	}
	accepted := make(chan net.Conn)
	go func() {
		defer close(accepted)
		if conn, err := l.Accept(); err == nil {
			accepted <- conn
		}
	}()
	<-inner.end // the others were offered
	if conn, more := <-accepted; more {
		t.Errorf("one too many was accepted: %v", conn)
	}
	if inner.closed != 3 {
		t.Errorf("%d were closed, want the 3 that are too many", inner.closed)
	}
	if err := open[0].Close(); err != nil {
		t.Fatal(err)
	}
	inner.left = 1
	if _, err := l.Accept(); err != nil {
		t.Errorf("after one was closed: %v", err)
	}
}

// many offers connections.
type many struct {
	conn         net.Conn
	left, closed int
	end          chan struct{}
}

func (m *many) Accept() (net.Conn, error) {
	if m.left == 0 {
		close(m.end)
		return nil, net.ErrClosed
	}
	m.left--
	return &offered{m.conn, m}, nil
}
func (m *many) Close() error   { return nil }
func (m *many) Addr() net.Addr { return m.conn.LocalAddr() }

type offered struct {
	net.Conn

	of *many
}

func (o *offered) Close() error {
	o.of.closed++
	return nil
}
