package access

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// lookEvery is how often the files of a certificate are looked at, at most.
const lookEvery = 2 * time.Second

// Files are where a certificate is.
type Files struct {
	// Certificate is that of the server, with those between it and the root.
	Certificate, Key string
	// Authorities are those who sign client certificates; empty for none.
	Authorities string
}

// Certificate is what a server proves itself by. It comes from files and
// follows them: when they change, connections that begin a few seconds later
// get what they say then. What does not load leaves the old one in force. Its
// methods may be called from several goroutines.
type Certificate struct {
	files Files
	log   *slog.Logger

	mu      sync.Mutex
	looked  time.Time
	seen    [3]stamp
	config  *tls.Config
	pool    *x509.CertPool
	expires time.Time
	broken  error
}

// stamp is what of a file changes with it.
type stamp struct {
	at   time.Time
	size int64
}

// LoadCertificate reads a certificate.
func LoadCertificate(files Files, log *slog.Logger) (*Certificate, error) {
	c := &Certificate{files: files, log: log, looked: time.Now()}
	c.seen = c.stamps()
	if err := c.load(); err != nil {
		return nil, err
	}
	return c, nil
}

// Files returns where the certificate is.
func (c *Certificate) Files() Files { return c.files }

// Config returns the configuration of TLS for a connection that begins now.
func (c *Certificate) Config() *tls.Config {
	c.look()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.config
}

// Authorities returns those who sign client certificates; nil for none.
func (c *Certificate) Authorities() *x509.CertPool {
	c.look()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pool
}

// soon is how long before its end a certificate is a problem.
const soon = 14 * 24 * time.Hour

// Problem says what is wrong with the certificate at an instant; empty for
// nothing.
func (c *Certificate) Problem(now time.Time) string {
	c.look()
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.broken != nil:
		return "the new certificate does not load, the old one stays in force: " + c.broken.Error()
	case now.After(c.expires):
		return "the certificate ended at " + c.expires.UTC().Format(time.RFC3339)
	case now.Add(soon).After(c.expires):
		return "the certificate ends at " + c.expires.UTC().Format(time.RFC3339)
	}
	return ""
}

// look takes up files that have changed.
func (c *Certificate) look() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if now.Sub(c.looked) < lookEvery {
		return
	}
	c.looked = now
	seen := c.stamps()
	if seen == c.seen {
		return
	}
	c.seen = seen
	if err := c.load(); err != nil {
		c.broken = err
		c.log.Warn("the new certificate of the web server does not load; the old one stays in force", "error", err)
		return
	}
	c.broken = nil
	c.log.Info("the web server has a new certificate", "until", c.expires.UTC())
}

func (c *Certificate) stamps() (list [3]stamp) {
	for i, path := range []string{c.files.Certificate, c.files.Key, c.files.Authorities} {
		if path == "" {
			continue
		}
		if info, err := os.Stat(path); err == nil {
			list[i] = stamp{info.ModTime(), info.Size()}
		}
	}
	return list
}

// load reads the files.
func (c *Certificate) load() error {
	pair, err := tls.LoadX509KeyPair(c.files.Certificate, c.files.Key)
	if err != nil {
		return fmt.Errorf("load the certificate %s with the key %s: %w", c.files.Certificate, c.files.Key, err)
	}
	config := &tls.Config{
		Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
		// A session that goes on would prove what counted when it began.
		SessionTicketsDisabled: true,
	}
	var pool *x509.CertPool
	if c.files.Authorities != "" {
		text, err := os.ReadFile(c.files.Authorities)
		if err != nil {
			return fmt.Errorf("load the authorities of clients: %w", err)
		}
		pool = x509.NewCertPool()
		if !pool.AppendCertsFromPEM(text) {
			return fmt.Errorf("load the authorities of clients: %w", errors.New(c.files.Authorities+" holds no certificate in PEM"))
		}
		config.ClientCAs, config.ClientAuth = pool, tls.VerifyClientCertIfGiven
	}
	c.config, c.pool, c.expires = config, pool, pair.Leaf.NotAfter
	return nil
}
