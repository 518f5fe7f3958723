package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
	"github.com/ghosteam/upkeep/web/client"
)

// farFlags say which service elsewhere commands are for.
type farFlags struct {
	server, tokenFile, caFile string
	insecure                  bool
}

// The environment variables that stand for flags.
const (
	envServer    = "UPKEEP_SERVER"
	envTokenFile = "UPKEEP_TOKEN_FILE" // #nosec G101 -- a name, no secret
	envCAFile    = "UPKEEP_CA_FILE"
)

// mostToken bounds what is read of a file with a token, in bytes.
const mostToken = 4 << 10

// farServer is the address of the service that commands are for; empty for
// the one of this machine.
func (a *app) farServer() string {
	text, _ := a.getenv(envServer)
	return cmp.Or(a.far.server, text)
}

// farther returns the service elsewhere that the command is for; nil when it is
// for this machine.
func (a *app) farther() (*remote, error) {
	server := a.farServer()
	if server == "" {
		return nil, nil //nolint:nilnil // nobody is a good answer
	}
	at, err := farAddress(server)
	if err != nil {
		return nil, err
	}
	token, err := a.farToken()
	if err != nil {
		return nil, err
	}
	if token != "" && at.Scheme == "http" && !isLoopback(at.Hostname()) && !a.far.insecure {
		return nil, jobs.WithHint(&jobs.RefusedError{Rail: "insecure", Why: "the token would go to " + at.Host + " unencrypted, and whoever reads it on the way could use it"},
			"use https, a tunnel to a port of this machine (ssh -L), or --insecure if you trust the network")
	}
	transport, err := a.farTransport()
	if err != nil {
		return nil, err
	}
	return &remote{Client: client.New(client.Options{URL: at.String(), Transport: bearer{token: token, next: transport}, By: "cli"})}, nil
}

// farAddress reads the address of a service.
func farAddress(text string) (*url.URL, error) {
	at, err := url.Parse(text)
	const hint = "write it like https://upkeep.example.com or http://127.0.0.1:8620"
	switch {
	case err != nil || at.Scheme != "http" && at.Scheme != "https" || at.Hostname() == "":
		return nil, jobs.WithHint(usagef("--server is not the address of a service"), hint) // it may hold a password
	case at.User != nil:
		return nil, jobs.WithHint(usagef("--server holds a name or a password, which others on this machine could read"), "put a token into a file and name that with --token-file")
	case at.RawQuery != "" || at.Fragment != "":
		return nil, jobs.WithHint(usagef("--server is more than the address of a service"), hint)
	}
	at.Path = strings.TrimSuffix(at.Path, "/")
	return at, nil
}

// isLoopback tells whether a host is this machine, however it is resolved.
func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// farToken reads the token; empty for none.
func (a *app) farToken() (string, error) {
	text, _ := a.getenv(envTokenFile)
	path := cmp.Or(a.far.tokenFile, text)
	if path == "" {
		return "", nil
	}
	f, err := os.Open(path)
	if err != nil {
		return "", jobs.WithHint(usagef("read the token: %v", err), "`upkeep token create` makes one")
	}
	defer f.Close() //nolint:errcheck // only read
	content, err := io.ReadAll(io.LimitReader(f, mostToken))
	if err != nil {
		return "", usagef("read the token: %v", err)
	}
	token := strings.TrimSpace(string(content))
	if token == "" || strings.ContainsFunc(token, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return "", jobs.WithHint(usagef("the file %s holds no token", path), "it holds the token alone, in one line")
	}
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o004 != 0 {
		fmt.Fprintf(a.std.Err, "warning: everybody on this machine can read the token in %s\n", path)
	}
	return token, nil
}

// farTransport connects to services elsewhere.
func (a *app) farTransport() (http.RoundTripper, error) {
	t := &http.Transport{
		Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 8, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true,
		TLSHandshakeTimeout: 10 * time.Second, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
		DialContext: (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
	}
	text, _ := a.getenv(envCAFile)
	path := cmp.Or(a.far.caFile, text)
	if path == "" {
		return t, nil
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, usagef("read the authorities: %v", err)
	}
	t.TLSClientConfig.RootCAs = x509.NewCertPool()
	if !t.TLSClientConfig.RootCAs.AppendCertsFromPEM(content) {
		return nil, jobs.WithHint(usagef("the file %s holds no certificate", path), "it holds certificates of authorities in PEM")
	}
	return t, nil
}

// bearer shows a token with every request.
type bearer struct {
	token string
	next  http.RoundTripper
}

// RoundTrip asks with the token. No error says it.
func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	if b.token != "" {
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", "Bearer "+b.token)
	}
	response, err := b.next.RoundTrip(r)
	if is[*tls.CertificateVerificationError](err) {
		err = jobs.WithHint(err, "name the authority of its certificate with --ca-file")
	}
	return response, err
}

// CloseIdleConnections is for http.Client.
func (b bearer) CloseIdleConnections() {
	if c, ok := b.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// errHere is what a command says that cannot be for a service elsewhere.
func errHere() error {
	return jobs.WithHint(usagef("this command works on the configuration, the stores or the ledger of this machine, and not for a service elsewhere"),
		"leave out --server and "+envServer+", or run it on the machine of the service")
}

// fartherHistory reads the ledger of a service elsewhere.
func (a *app) fartherHistory(c *remote) history {
	return history{
		Reader: c.Client, far: c, config: &configs.Config{}, slots: farSlots{c.Client}, alerts: c.Client, desk: farDesk{c.Client}, facts: farFacts{c.Client}, runbooks: emptyLedger{},
		nodes: func(ctx context.Context) ([]ledger.Node, error) {
			list, err := c.Nodes(ctx)
			nodes := make([]ledger.Node, len(list))
			for i, n := range list {
				nodes[i] = ledger.Node{Instance: n.Instance, Name: n.Name, Host: n.Host, PID: n.PID, Version: n.Version, Command: n.Command, Alive: n.Alive}
			}
			return nodes, err
		},
		members: c.Members, locks: c.Locks, close: func() error { c.Close(); return nil }, log: a.log(),
	}
}

// historyOf is the reading of a service elsewhere, unless it cannot be asked.
func (a *app) historyOf(c *remote, err error) (history, error) {
	if err != nil {
		return history{}, err
	}
	return a.fartherHistory(c), nil
}

// farSlots are the slots of a service elsewhere, as far as commands ask itself
// for them; what follows from them it tells by its own operations.
type farSlots struct{ *client.Client }

var _ runner.SlotReader = farSlots{}

// Slots refuses.
func (farSlots) Slots(context.Context, string, time.Time, time.Time, int) ([]runner.Run, error) {
	return nil, errHere()
}

// Usual refuses.
func (farSlots) Usual(context.Context, []string) (map[string]runner.Usual, error) {
	return nil, errHere()
}

// Successes refuses.
func (farSlots) Successes(context.Context, []string) (map[string]time.Time, error) {
	return nil, errHere()
}

// Shares refuses.
func (farSlots) Shares(context.Context, []string) ([]runner.Share, error) { return nil, errHere() }

// Cursors refuses.
func (farSlots) Cursors(context.Context, string) ([]runner.Cursor, error) { return nil, errHere() }

// farDesk is what people did about incidents elsewhere.
type farDesk struct{ *client.Client }

var _ runner.DeskReader = farDesk{}

// Silences returns those that have not ended, or all.
func (d farDesk) Silences(ctx context.Context, _ time.Time, all bool) ([]runner.Silence, error) {
	return d.Client.Silences(ctx, all)
}

// farFacts are the samples and events of a service elsewhere.
type farFacts struct{ *client.Client }

var _ factsReader = farFacts{}

// Samples returns what f selects in the order of time.
func (f farFacts) Samples(ctx context.Context, filter runner.SampleFilter) ([]runner.Stretch, error) {
	return f.Stretches(ctx, filter)
}
