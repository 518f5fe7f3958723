// Package post hands one message over by HTTP, for all channels that do: one
// request with a deadline, over a connection of its own that is verified and
// protected. It knows what went wrong with a connection and how long a server
// asks to wait; it refuses to know what an answer means to a channel, and it
// never tells an address, which for many receivers is the password.
package post

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/configs/unit"
)

const (
	// mostAnswer bounds what is read of an answer, mostHeader its header, both
	// in bytes.
	mostAnswer = 64 << 10
	mostHeader = 64 << 10
	// mostRedirects bounds how many redirects one message follows.
	mostRedirects = 3
)

// Client posts the messages of one channel. It does not change and may be used
// from several goroutines.
type Client struct {
	// who names the receiver for people, such as "Slack".
	who      string
	o        Options
	follow   bool
	redactor *secret.Redactor
}

// New returns a client that speaks of the receiver as who. follow lets it
// follow redirects within one server. Urls and secrets are what errors and
// receipts must not tell, the former in part too.
func New(who string, o Options, follow bool, urls, secrets []string) *Client {
	all := append([]string{o.Proxy.Reveal()}, secrets...)
	for _, text := range urls {
		all = append(all, secretsOf(text)...)
	}
	return &Client{who: who, o: o, follow: follow, redactor: secret.NewRedactor(all)}
}

// Request is what is posted.
type Request struct {
	Method string
	URL    string
	Header http.Header
	Body   []byte
}

// Answer is what came back.
type Answer struct {
	Status int
	Header http.Header
	// Body is the beginning of the answer, at most 64 KiB.
	Body []byte
	// Host is the server that answered.
	Host string
}

// slowError is the cause of a message that took too long.
type slowError struct{ limit unit.Duration }

// Error says how long was waited.
func (e *slowError) Error() string { return fmt.Sprintf("no answer within %s", e.limit) }

// Timeout tells the standard library's callers what it is.
func (e *slowError) Timeout() bool { return true }

// Do sends r once and returns the answer, whatever its status. Errors are
// *alerts.TemporaryError without secrets, with a hint; they wrap the cause of
// ctx when that has ended.
func (c *Client) Do(ctx context.Context, r Request) (*Answer, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.o.Timeout.Std(), &slowError{c.o.Timeout})
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, r.Method, r.URL, bytes.NewReader(r.Body))
	if err != nil {
		return nil, c.broken(ctx, "", errors.New("the request cannot be made")) // the error repeats the address
	}
	host := request.URL.Host
	if ctx.Err() != nil {
		return nil, c.broken(ctx, host, ctx.Err())
	}
	maps.Copy(request.Header, r.Header)
	request.Header.Set("User-Agent", "upkeep")
	if named := request.Header.Get("Host"); named != "" {
		request.Host = named
	}
	transport, err := c.transport()
	if err != nil {
		return nil, c.broken(ctx, host, err)
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, CheckRedirect: c.redirect}
	response, err := client.Do(request)
	if err != nil {
		return nil, c.broken(ctx, host, err)
	}
	defer func() { _ = response.Body.Close() }() // it has been read as far as it matters
	body, err := io.ReadAll(io.LimitReader(response.Body, mostAnswer))
	if err != nil {
		return nil, c.broken(ctx, host, fmt.Errorf("read the answer: %w", err))
	}
	return &Answer{Status: response.StatusCode, Header: response.Header, Body: body, Host: host}, nil
}

// transport is used for one message.
func (c *Client) transport() (*http.Transport, error) {
	config, err := c.config()
	if err != nil {
		return nil, err
	}
	t := &http.Transport{
		TLSClientConfig: config, DialContext: (&net.Dialer{}).DialContext, DisableKeepAlives: true,
		DisableCompression: true, MaxResponseHeaderBytes: mostHeader,
	}
	switch text := c.o.Proxy.Reveal(); text {
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
	return t, nil
}

func (c *Client) config() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.o.CAFile == "" {
		return config, nil
	}
	text, err := os.ReadFile(c.o.CAFile.String())
	if err != nil {
		return nil, fmt.Errorf("read ca_file: %w", err)
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("ca_file %s holds no certificate in PEM form", c.o.CAFile)
	}
	return config, nil
}

// redirectError is why a redirect is not followed.
type redirectError struct{ why string }

// Error says why.
func (e *redirectError) Error() string { return e.why }

// redirect judges a redirect before it is followed: a message goes where the
// configuration says, whole, or nowhere.
func (c *Client) redirect(next *http.Request, before []*http.Request) error {
	last := before[len(before)-1]
	switch {
	case !c.follow:
		return http.ErrUseLastResponse
	case len(before) > mostRedirects:
		return &redirectError{fmt.Sprintf("more than %d redirects", mostRedirects)}
	case next.URL.Host != last.URL.Host || next.URL.Scheme != last.URL.Scheme:
		return &redirectError{"a redirect leads to another server, " + next.URL.Scheme + "://" + next.URL.Host}
	case next.Method != last.Method || next.Body == nil:
		return &redirectError{"a redirect would make the server forget the message: it must answer 307 or 308"}
	}
	return nil
}
