package service

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
	"github.com/ghosteam/upkeep/web/access"
	"github.com/ghosteam/upkeep/web/api"
)

// Watch feeds the watchdog of whoever started this process while alive says
// so.
func Watch(ctx context.Context, alive func() bool) {
	(&supervisor{log: slog.New(slog.DiscardHandler)}).watch(ctx, alive)
}

// PatienceWith is how long a run of a workflow may take before it counts as
// stuck.
func PatienceWith(u runner.Usual) time.Duration { return patienceWith(u) }

// Front is the web server's side to the network.
type Front struct{ f *front }

// NewFront makes one that answers with handler.
func NewFront(log *slog.Logger, handler http.Handler) Front {
	f := newFront(log, nil)
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute, ConnContext: func(ctx context.Context, _ net.Conn) context.Context {
		return access.Through(ctx, f.door)
	}}
	f.serve = func(l net.Listener) error {
		if err := server.Serve(l); !errors.Is(err, net.ErrClosed) && !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	}
	return Front{f}
}

// Mirror shows other nodes what attempts write.
type Mirror struct{ m *mirror }

// NewMirror makes one that writes to somebody.
func NewMirror(write func(context.Context, []ledger.LivePiece, []ledger.LiveGap) error) Mirror {
	return Mirror{newMirror(write, slog.New(slog.DiscardHandler))}
}

// Wrote takes over what an attempt wrote.
func (m Mirror) Wrote(key runner.AttemptKey, from int64, p []byte) { m.m.wrote(key, from, p) }

// Flush writes what is new.
func (m Mirror) Flush(ctx context.Context) { m.m.flush(ctx) }

// Observe is told of what happens.
func (m Mirror) Observe(ctx context.Context, e runner.Event) { m.m.Observe(ctx, e) }

// Outside is the address of the pages for others.
func Outside(node string, names []string, address string) string {
	return outside(node, names, address)
}

// Configure takes over a configuration.
func (f Front) Configure(ctx context.Context, w configs.Web) { f.f.configure(ctx, w) }

// Look tries again what did not work.
func (f Front) Look(ctx context.Context) error { return f.f.look(ctx) }

// Status is where it listens, and what is wrong with it.
func (f Front) Status() (url string, check api.StatusCheck, wanted bool) { return f.f.status() }

// Terms are those in force.
func (f Front) Terms() *access.Terms { return f.f.inForce() }

// Close ends it.
func (f Front) Close() { f.f.close() }

// TurnOf is when a node that goes by a configuration decides slots, by what it saw
// of the nodes at an instant.
func TurnOf(list []ledger.Node, at time.Time, node, config string) func(workflow string) (time.Duration, bool) {
	cfg := &configs.Config{Node: node}
	return (&turns{
		config: func() *configs.Config { return cfg }, digest: func(*configs.Config) string { return config },
		peers: func() ([]ledger.Node, time.Time) { return list, at },
	}).turn
}
