package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
	"github.com/ghosteam/upkeep/web/socket"
)

// What can be wrong with the way to the daemon. All of them are ways of being
// unavailable, but for ErrPermission.
var (
	// ErrNoDaemon reports that nobody listens: there is no daemon.
	ErrNoDaemon = fmt.Errorf("%w: no daemon answers", runner.ErrUnavailable)
	// ErrSilent reports that somebody listens and did not answer in time.
	ErrSilent = fmt.Errorf("%w: the daemon does not answer", runner.ErrUnavailable)
	// ErrLostTouch reports that the connection broke before the answer. What was
	// asked for may have been done.
	ErrLostTouch = fmt.Errorf("%w: the connection to the daemon broke", runner.ErrUnavailable)
	// ErrPermission reports that this user may not talk to the daemon.
	ErrPermission = errors.New("the daemon belongs to another user")
)

// mostAnswer bounds what is read of an answer.
const mostAnswer = 256 << 20

const (
	prefix  = "/api/v1"
	problem = "application/problem+json"
)

// Options say where the daemon is.
type Options struct {
	// Socket is the path of its unix socket, of any length.
	Socket string
	// URL is its address instead, such as "http://127.0.0.1:8620".
	URL string
	// Transport carries requests in place of a connection, such as within one
	// process.
	Transport http.RoundTripper
	// By says what asks, such as "cli"; it is recorded behind the user's name.
	By string
	// Within is how long an answer may take; the default is 30 seconds.
	Within time.Duration
	// Patience is how long Follow waits for a daemon that went away to come
	// back; the default is 30 seconds, less than 0 is not at all.
	Patience time.Duration
}

// Client asks one daemon. Its methods may be called from several goroutines.
type Client struct {
	o    Options
	base string
	http *http.Client
}

var (
	_ runner.Reader      = (*Client)(nil)
	_ runner.AlertReader = (*Client)(nil)
)

// New makes a client. It connects when it is first used.
func New(o Options) *Client {
	if o.Within <= 0 {
		o.Within = 30 * time.Second
	}
	if o.Patience == 0 {
		o.Patience = 30 * time.Second
	}
	c := &Client{o: o, base: strings.TrimSuffix(o.URL, "/")}
	transport := &http.Transport{MaxIdleConnsPerHost: 8, IdleConnTimeout: time.Minute}
	if o.Socket != "" {
		c.base = "http://upkeep"
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) { return socket.Dial(ctx, o.Socket) }
	}
	c.http = &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	if o.Transport != nil {
		c.http.Transport = o.Transport
		if c.base == "" {
			c.base = "http://upkeep"
		}
	}
	return c
}

// Close closes idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// place names the daemon for people.
func (c *Client) place() string {
	if c.o.Socket != "" {
		return c.o.Socket
	}
	return c.base
}

// query is the parameters of a request.
type query map[string][]string

// set adds a parameter unless it is empty.
func (q query) set(name, value string) query {
	if value != "" {
		q[name] = []string{value}
	}
	return q
}

// path joins the parts of an address, each escaped.
func path(parts ...string) string {
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	return "/" + strings.Join(parts, "/")
}

// call is one request.
type call struct {
	method, path string
	// root tells that the path stands outside of the API.
	root   bool
	query  query
	header http.Header
	body   any
	// text is the body instead, as it is; empty for none.
	text string
	// within is how long the answer may take, 0 for the client's usual.
	within time.Duration
}

// do asks and decodes the answer into out.
func (c *Client) do(ctx context.Context, k call, out any) error {
	if k.within <= 0 {
		k.within = c.o.Within
	}
	ctx, cancel := context.WithTimeoutCause(ctx, k.within, ErrSilent)
	defer cancel()
	response, err := c.send(ctx, k)
	if err != nil {
		return err
	}
	defer response.Body.Close() //nolint:errcheck // only read
	body, err := io.ReadAll(io.LimitReader(response.Body, mostAnswer+1))
	switch {
	case err != nil:
		return c.lost(ctx, err)
	case len(body) > mostAnswer:
		return fmt.Errorf("ask the daemon at %s: the answer is longer than %d bytes", c.place(), mostAnswer)
	}
	if err := json.Unmarshal(body, out); err != nil {
		return fmt.Errorf("ask the daemon at %s: its answer to %s makes no sense: %w", c.place(), k.path, err)
	}
	return nil
}

// send asks and returns an answer that is a success. The caller closes its
// body.
func (c *Client) send(ctx context.Context, k call) (*http.Response, error) {
	var body io.Reader
	if k.body != nil {
		text, err := json.Marshal(k.body)
		if err != nil {
			return nil, fmt.Errorf("ask the daemon: %w", err)
		}
		body = bytes.NewReader(text)
	}
	if k.text != "" {
		body = strings.NewReader(k.text)
	}
	address := c.base + prefix + k.path
	if k.root {
		address = c.base + k.path
	}
	if len(k.query) > 0 {
		address += "?" + url.Values(k.query).Encode()
	}
	request, err := http.NewRequestWithContext(ctx, k.method, address, body)
	if err != nil {
		return nil, fmt.Errorf("ask the daemon at %s: %w", c.place(), err)
	}
	maps.Copy(request.Header, k.header)
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
		if k.text != "" {
			request.Header.Set("Content-Type", "text/plain; charset=utf-8")
		}
	}
	if c.o.By != "" {
		request.Header.Set("Upkeep-By", c.o.By)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, c.lost(ctx, err)
	}
	if response.StatusCode >= http.StatusOK && response.StatusCode < http.StatusMultipleChoices {
		return response, nil
	}
	defer response.Body.Close() //nolint:errcheck // only read
	return nil, c.refusal(response)
}

// refusal reads an answer that is an error.
func (c *Client) refusal(response *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	p := &api.Problem{}
	if err == nil && strings.HasPrefix(response.Header.Get("Content-Type"), problem) {
		err = json.Unmarshal(body, p)
	}
	if err != nil || p.Code == "" {
		return fmt.Errorf("ask the daemon at %s: it answered %s, which is no answer of upkeep", c.place(), response.Status)
	}
	return p
}

// lost says what is wrong with the way to the daemon.
func (c *Client) lost(ctx context.Context, err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	}
	at := c.place()
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, ErrSilent), errors.Is(err, syscall.EAGAIN):
		return jobs.WithHint(fmt.Errorf("%w at %s", ErrSilent, at), "look at its log; it may be stopped or overloaded")
	case cause != nil:
		return cause
	case errors.Is(err, fs.ErrPermission):
		return jobs.WithHint(fmt.Errorf("%w: %s", ErrPermission, at), "run the command as root or as the user of the daemon")
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOTDIR):
		return jobs.WithHint(fmt.Errorf("%w at %s", ErrNoDaemon, at), "start it with `upkeep serve`")
	}
	return fmt.Errorf("%w: %w", ErrLostTouch, err)
}
