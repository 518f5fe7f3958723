package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/web/access"
	"github.com/ghosteam/upkeep/web/api"
)

// frontEvery is how often a web server that could not listen tries again.
const frontEvery = 5 * time.Second

// front is the web server's side to the network. What goes wrong with it is
// told, and keeps nothing else from going on.
type front struct {
	log  *slog.Logger
	door *access.Door
	// serve answers on a listener until that is closed.
	serve   func(net.Listener) error
	serving sync.WaitGroup

	mu sync.Mutex
	// wanted is what the configuration says, terms what follows from it.
	wanted      configs.Web
	terms       *access.Terms
	certificate *access.Certificate
	// listener is nil while nothing listens; address is what it was made for.
	listener *access.Listener
	address  string
	// failed is why nothing listens, or why something older than the
	// configuration does.
	failed error
	closed bool
}

func newFront(log *slog.Logger, tokens access.Tokens) *front {
	f := &front{log: log, terms: new(access.Terms)}
	f.door = access.New(access.Options{Terms: f.inForce, Tokens: tokens, Log: log})
	return f
}

// inForce are the terms, with the authorities as their file says now.
func (f *front) inForce() *access.Terms {
	f.mu.Lock()
	terms, certificate := *f.terms, f.certificate
	f.mu.Unlock()
	if certificate != nil {
		terms.Authorities = certificate.Authorities()
	}
	return &terms
}

func termsOf(w configs.Web) *access.Terms {
	t := &access.Terms{
		Anonymous: w.Anonymous, Direct: w.Direct, Hosts: w.Hosts, Proxies: w.Proxies,
		Users: map[string]access.User{},
	}
	for _, u := range w.Users {
		t.Users[u.Name] = access.User{Hash: u.Hash, Role: u.Role}
	}
	if host, _, err := net.SplitHostPort(w.Listen); err == nil {
		t.Hosts = append([]string{strings.TrimSuffix(host, ".")}, t.Hosts...)
	}
	if w.TLS != nil {
		t.Clients, t.Strict = w.TLS.Clients, w.TLS.HSTS
		if len(w.Hosts) == 0 {
			t.Hosts = nil // the certificate says whose name it is
		}
	}
	return t
}

// configure takes over what the configuration says. Connections that are open
// stay; what they ask next is judged by the new terms.
func (f *front) configure(ctx context.Context, w configs.Web) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.wanted, f.terms = w, termsOf(w)
	f.apply(ctx)
}

// look tries again what did not work.
func (f *front) look(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failed != nil && !f.closed {
		f.apply(ctx)
	}
	return nil
}

// apply makes the listener what the configuration wants. f.mu is held.
func (f *front) apply(ctx context.Context) {
	before := f.failed
	f.failed = f.become(ctx)
	switch {
	case f.failed == nil && before != nil && f.listener != nil:
		f.log.InfoContext(ctx, "the web server listens after all", "url", f.url())
	case f.failed != nil && (before == nil || before.Error() != f.failed.Error()):
		f.log.WarnContext(ctx, "the web server does not listen as it should; everything else goes on", "listen", f.wanted.Listen, "error", f.failed, "hint", jobs.HintOf(f.failed))
	}
}

func (f *front) become(ctx context.Context) error {
	if f.wanted.Listen == "" {
		f.leave()
		f.certificate = nil
		return nil
	}
	uncertain := f.certify()
	if uncertain != nil && f.certificate == nil {
		// Nothing goes over the network as it is that was to be encrypted.
		f.leave()
		return uncertain
	}
	if f.listener != nil && f.address == f.wanted.Listen {
		return uncertain
	}
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", f.wanted.Listen)
	if f.listener != nil && errors.Is(err, syscall.EADDRINUSE) {
		// It may be ours, of another address with the same port.
		f.leave()
		l, err = config.Listen(ctx, "tcp", f.wanted.Listen)
	}
	if err != nil {
		if op, ok := errors.AsType[*net.OpError](err); ok && op.Err != nil {
			err = op.Err
		}
		err = fmt.Errorf("listen on %s: %w", f.wanted.Listen, err)
		if errors.Is(err, syscall.EADDRINUSE) {
			err = jobs.WithHint(err, "another program listens there; choose another address by listen: below web:, or write web: off")
		}
		return errors.Join(err, uncertain)
	}
	f.leave()
	f.listener, f.address = access.NewListener(l, f.presented), f.wanted.Listen
	listener := f.listener
	f.serving.Go(func() {
		if err := f.serve(listener); err != nil {
			f.log.WarnContext(context.WithoutCancel(ctx), "the web server stopped; it tries again", "error", err)
			f.mu.Lock()
			defer f.mu.Unlock()
			if f.listener == listener {
				f.listener, f.failed = nil, err
			}
		}
	})
	return uncertain
}

// presented is the certificate of new connections; nil for none.
func (f *front) presented() *access.Certificate {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.certificate
}

// certify loads the certificate that the configuration wants. When it does not
// load, that in force stays.
func (f *front) certify() error {
	if f.wanted.TLS == nil {
		f.certificate = nil
		return nil
	}
	files := access.Files{Certificate: f.wanted.TLS.Cert, Key: f.wanted.TLS.Key, Authorities: f.wanted.TLS.ClientCA}
	if f.certificate != nil && f.certificate.Files() == files {
		return nil
	}
	loaded, err := access.LoadCertificate(files, f.log)
	if err != nil {
		return err
	}
	f.certificate = loaded
	return nil
}

// leave closes the listener, if there is one. Its connections stay.
func (f *front) leave() {
	if f.listener == nil {
		return
	}
	if err := f.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		f.log.Warn("close the listener of the web server", "error", err)
	}
	f.listener, f.address = nil, ""
}

// close keeps the web server from listening again, and waits for the end of
// what listens. The API itself has been shut down.
func (f *front) close() {
	f.mu.Lock()
	f.closed = true
	f.leave()
	f.mu.Unlock()
	f.serving.Wait()
}

// url is the address of the first page; empty when nothing listens.
func (f *front) url() string {
	if f.listener == nil {
		return ""
	}
	scheme := "http"
	if f.certificate != nil {
		scheme = "https"
	}
	return scheme + "://" + f.listener.Addr().String()
}

// status is where the web server listens, and what is wrong with it.
func (f *front) status() (url string, check api.StatusCheck, wanted bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	check = api.StatusCheck{Name: "web", OK: true, Text: "the web server listens at " + f.url()}
	switch {
	case f.failed != nil && f.listener == nil:
		check.OK, check.Text = false, "the web server does not listen: "+firstLine(f.failed)
	case f.failed != nil:
		check.OK, check.Text = false, "the web server is not as the configuration says: "+firstLine(f.failed)
	case f.certificate != nil:
		if problem := f.certificate.Problem(time.Now()); problem != "" {
			check.OK, check.Text = false, problem
		}
	}
	return f.url(), check, f.wanted.Listen != ""
}

// web is the address of the web server; empty when none listens.
func (d *Daemon) web() string {
	url, _, _ := d.server.front.status()
	return url
}
