package http

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/ghosteam/upkeep/jobs"
)

// The kinds of trouble, in the order of the phases of a request.
const (
	kindDNS      = "dns"
	kindTCP      = "tcp"
	kindTLS      = "tls"
	kindTimeout  = "timeout"
	kindRedirect = "redirect"
	kindStatus   = "status"
	kindHeader   = "header"
	kindBody     = "body"
)

// fault is why an answer is not good.
type fault struct{ kind, text string }

// Error returns the text.
func (f *fault) Error() string { return f.text }

// errTimeout is the cause with which a request is given up.
var errTimeout = errors.New("no whole answer in time")

// times are how long the phases took; zero for one that did not happen.
type times struct{ dns, connect, tls, firstByte, total time.Duration }

// answer is what came back.
type answer struct {
	status  int
	header  http.Header
	body    []byte
	cut     bool
	expires time.Time
	times   times
	values  map[string]float64
}

// trace notes the instants of a request's last hop. Its hooks come from several
// goroutines, and some after the request has failed.
type trace struct {
	mu    sync.Mutex
	at    map[string]time.Time
	phase string
}

func (t *trace) note(event, phase string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if event == "get" {
		clear(t.at)
	}
	t.at[event], t.phase = time.Now(), phase
}

func (t *trace) between(from, to string) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	a, b := t.at[from], t.at[to]
	if a.IsZero() || b.Before(a) {
		return 0
	}
	return b.Sub(a)
}

// doing says in which phase the request is.
func (t *trace) doing() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.phase
}

func (t *trace) hooks() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GetConn:              func(string) { t.note("get", "before it was connected") },
		DNSStart:             func(httptrace.DNSStartInfo) { t.note("dns", "while its address was looked up") },
		DNSDone:              func(httptrace.DNSDoneInfo) { t.note("dns done", "before it was connected") },
		ConnectStart:         func(string, string) { t.note("connect", "while it was connected") },
		ConnectDone:          func(string, string, error) { t.note("connect done", "before the request was sent") },
		TLSHandshakeStart:    func() { t.note("tls", "while TLS was agreed on") },
		TLSHandshakeDone:     func(tls.ConnectionState, error) { t.note("tls done", "before the request was sent") },
		WroteRequest:         func(httptrace.WroteRequestInfo) { t.note("wrote", "before the first byte of the answer") },
		GotFirstResponseByte: func() { t.note("first", "while the answer was read") },
	}
}

// exchange sends one request and reads the answer. Its error is a *fault, or
// wraps the cause of ctx.
func (j *Job) exchange(ctx context.Context, env *jobs.Env, client *http.Client, body []byte) (*answer, error) {
	t := &trace{at: map[string]time.Time{}, phase: "before it was connected"}
	limited, cancel := context.WithTimeoutCause(ctx, j.options.Timeout.Std(), errTimeout)
	defer cancel()
	began := time.Now()
	a, err := j.send(httptrace.WithClientTrace(limited, t.hooks()), env, client, body)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return nil, fmt.Errorf("%s: %w", j.title(), cause)
		}
		return nil, j.fault(err, t)
	}
	a.times = times{
		dns: t.between("dns", "dns done"), connect: t.between("connect", "connect done"), tls: t.between("tls", "tls done"),
		firstByte: t.between("wrote", "first"), total: time.Since(began),
	}
	return a, nil
}

func (j *Job) send(ctx context.Context, env *jobs.Env, client *http.Client, body []byte) (_ *answer, err error) {
	request, err := j.request(ctx, env, body)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }() // the answer has been read as far as it matters
	a := &answer{status: response.StatusCode, header: response.Header, values: map[string]float64{}}
	if response.TLS != nil && len(response.TLS.PeerCertificates) > 0 {
		a.expires = response.TLS.PeerCertificates[0].NotAfter
	}
	limit := j.options.MaxBody.Bytes()
	a.body, err = io.ReadAll(io.LimitReader(response.Body, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(a.body)) > limit {
		a.body, a.cut = a.body[:limit], true
	}
	return a, nil
}

func (j *Job) request(ctx context.Context, env *jobs.Env, body []byte) (*http.Request, error) {
	o := j.options
	u, err := url.Parse(o.URL)
	if err != nil {
		return nil, errors.New("the URL cannot be read")
	}
	if len(o.Query) > 0 {
		query := u.Query()
		for name, value := range o.Query {
			query.Set(name, value.Reveal())
		}
		u.RawQuery = query.Encode()
	}
	var content io.Reader
	if len(body) > 0 {
		content = bytes.NewReader(body)
	}
	request, err := http.NewRequestWithContext(ctx, o.Method, u.String(), content)
	if err != nil {
		return nil, errors.New("the request cannot be made")
	}
	request.Header.Set("User-Agent", "upkeep/"+env.Version)
	if o.IdempotencyKey {
		request.Header.Set("Idempotency-Key", env.RunID+"."+env.Job)
	}
	for name, value := range o.Headers {
		if strings.EqualFold(name, "Host") {
			request.Host = value.Reveal()
			continue
		}
		request.Header.Set(name, value.Reveal())
	}
	if o.Username != "" {
		request.SetBasicAuth(o.Username, o.Password.Reveal())
	}
	return request, nil
}

// fault says what kind of trouble err is, without the URL, which may hold
// secrets.
func (j *Job) fault(err error, t *trace) *fault {
	if outer, ok := errors.AsType[*url.Error](err); ok {
		err = outer.Err
	}
	if _, ok := errors.AsType[*redirectError](err); ok {
		return &fault{kindRedirect, err.Error()}
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok && !dns.IsTimeout {
		return &fault{kindDNS, fmt.Sprintf("the address of %s is not known: %s", dns.Name, dns.Err)}
	}
	if timeout, ok := errors.AsType[net.Error](err); errors.Is(err, errTimeout) || errors.Is(err, context.DeadlineExceeded) || ok && timeout.Timeout() {
		return &fault{kindTimeout, fmt.Sprintf("no whole answer within %s: given up %s", j.options.Timeout, t.doing())}
	}
	if isTLS(err) || strings.Contains(t.doing(), "TLS") {
		return &fault{kindTLS, err.Error()}
	}
	return &fault{kindTCP, fmt.Sprintf("%s (%s)", err, t.doing())}
}

func isTLS(err error) bool {
	for _, is := range []func(error) bool{
		is[*tls.CertificateVerificationError], is[tls.RecordHeaderError], is[tls.AlertError],
		is[x509.HostnameError], is[x509.CertificateInvalidError], is[x509.UnknownAuthorityError],
	} {
		if is(err) {
			return true
		}
	}
	// The client hides the alert of a server that refuses it in a plain text.
	text := err.Error()
	return strings.Contains(text, "tls: ") || strings.Contains(text, "x509: ") || strings.Contains(text, "HTTP response to HTTPS client")
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// title names the request for people, without the parameters of its URL.
func (j *Job) title() string {
	u, err := url.Parse(j.options.URL)
	if err != nil {
		return j.options.Method
	}
	u.RawQuery, u.ForceQuery, u.User = "", false, nil
	return j.options.Method + " " + u.String()
}
