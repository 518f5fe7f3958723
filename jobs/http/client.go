package http

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/jobs"
)

// mostRedirects bounds how many redirects one request follows.
const mostRedirects = 10

// config is how TLS is spoken.
func (j *Job) config() (*tls.Config, error) {
	o := j.options.TLS
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: o.ServerName}
	c.InsecureSkipVerify = o.Insecure // the run says so
	if o.CA != "" {
		text, err := os.ReadFile(string(o.CA))
		if err != nil {
			return nil, fmt.Errorf("read the authorities to trust: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("read the authorities to trust: %s holds no certificate", o.CA)
		}
	}
	if o.Certificate != "" {
		pair, err := tls.LoadX509KeyPair(string(o.Certificate), string(o.Key))
		if err != nil {
			return nil, jobs.WithHint(fmt.Errorf("read our certificate: %w", err), "tls.certificate and tls.key must be PEM and belong together")
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// client returns a client for one run. The caller closes what it keeps open.
func (j *Job) client() (*http.Client, error) {
	c, err := j.config()
	if err != nil {
		return nil, err
	}
	dialer := &net.Dialer{Timeout: j.options.Timeout.Std()}
	t := &http.Transport{
		TLSClientConfig: c, ForceAttemptHTTP2: true, DialContext: dialer.DialContext,
		TLSHandshakeTimeout: j.options.Timeout.Std(), MaxIdleConnsPerHost: j.options.Repeat.Concurrency,
		IdleConnTimeout: 30 * time.Second, MaxResponseHeaderBytes: 1 << 20,
	}
	if socket := string(j.options.Socket); socket != "" {
		t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", socket)
		}
	}
	switch text := j.options.Proxy.Reveal(); text {
	case "":
	case proxyFromEnvironment:
		t.Proxy = http.ProxyFromEnvironment
	default:
		proxy, err := url.Parse(text)
		if err != nil {
			return nil, errors.New("proxy: it is not a URL") // the error repeats it
		}
		t.Proxy = http.ProxyURL(proxy)
	}
	return &http.Client{Transport: t, CheckRedirect: j.follow}, nil
}

// errRedirect is what makes a redirect not be followed.
type redirectError struct{ why string }

// Error says why.
func (e *redirectError) Error() string { return e.why }

// follow judges a redirect before it is followed.
func (j *Job) follow(next *http.Request, before []*http.Request) error {
	if j.options.Redirects == redirectNone {
		return http.ErrUseLastResponse
	}
	last := before[len(before)-1]
	where := next.URL.Scheme + "://" + next.URL.Host
	switch {
	case len(before) > mostRedirects:
		return &redirectError{fmt.Sprintf("more than %d redirects", mostRedirects)}
	case next.URL.Scheme != "https" && last.URL.Scheme == "https":
		return &redirectError{"a redirect leads away from https, to " + where}
	case sameHost(last.URL, next.URL):
		return nil
	case j.options.Redirects == redirectSame:
		return &redirectError{"a redirect leads to another host, " + where}
	case next.Body != nil && next.Body != http.NoBody:
		return &redirectError{"a redirect would send the body to another host, " + where}
	}
	for name := range j.options.Headers {
		next.Header.Del(name)
	}
	next.Header.Del("Authorization")
	return nil
}

// sameHost tells whether two addresses are of one server; from http to https
// the default port changes too.
func sameHost(a, b *url.URL) bool {
	if !strings.EqualFold(a.Hostname(), b.Hostname()) {
		return false
	}
	return a.Port() == b.Port() && a.Scheme == b.Scheme || a.Scheme == "http" && b.Scheme == "https" && a.Port() == "" && b.Port() == ""
}
