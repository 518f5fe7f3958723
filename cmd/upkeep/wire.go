package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/user"
	"slices"

	"github.com/ghosteam/upkeep/alerts"
	alertsall "github.com/ghosteam/upkeep/alerts/all"
	"github.com/ghosteam/upkeep/cmd/upkeep/service"
	"github.com/ghosteam/upkeep/configs"
	jobsall "github.com/ghosteam/upkeep/jobs/all"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
	"github.com/ghosteam/upkeep/storage/object"
	objectall "github.com/ghosteam/upkeep/storage/object/all"
	"github.com/ghosteam/upkeep/web/api"
)

// catalog is everything that a configuration may name.
func (a *app) catalog() configs.Catalog {
	return configs.Catalog{
		Kinds: jobsall.Kinds(), Stores: object.NewRegistry(objectall.Kinds()...), Channels: alerts.NewRegistry(alertsall.Kinds()...), Getenv: a.getenv,
	}
}

// load reads the configuration. Errors of it are returned as configs.Problems.
//
// A configuration whose only errors are references without a value is returned
// beside its error: it can tell where the ledger is.
func (a *app) load() (*configs.Config, error) {
	if a.farServer() != "" {
		return nil, errHere()
	}
	path, err := a.configFile()
	if err != nil {
		return nil, err
	}
	return configs.Load(path, a.catalog())
}

// config reads a configuration that must be free of errors.
func (a *app) config() (*configs.Config, error) {
	cfg, err := a.load()
	if err != nil {
		return nil, err
	}
	return cfg, nil
}

// loadForReading reads a configuration for what only looks at it or at the
// ledger: references without a value, such as a variable that only the service
// has, do not keep anyone from that.
func (a *app) loadForReading() (*configs.Config, error) {
	cfg, err := a.load()
	if cfg == nil {
		return nil, err
	}
	return cfg, nil
}

// log is where the program itself speaks to the person at the keyboard.
func (a *app) log() *slog.Logger { return slog.New(&noteHandler{w: a.std.Err}) }

// history is the read side of a ledger together with its end.
type history struct {
	runner.Reader

	// far is the service elsewhere that reads; nil for this process.
	far *remote
	// config is that by which the ledger was found.
	config *configs.Config
	slots  runner.SlotReader
	alerts runner.AlertReader
	desk   runner.DeskReader
	facts  factsReader
	// runbooks reads what runbooks did.
	runbooks runbookReader
	nodes    func(ctx context.Context) ([]ledger.Node, error)
	members  func(ctx context.Context) ([]api.Member, error)
	locks    func(ctx context.Context) ([]api.Lock, error)
	close    func() error
	log      *slog.Logger
}

// Close ends the reading. What was read has been shown by then, so a failure is
// only logged.
func (h history) Close() {
	if err := h.close(); err != nil {
		h.log.Warn("close the ledger", "error", err)
	}
}

// orphaned tells whether nobody works on an open run, or will: it was cut short
// by a crash or a stop, and can be continued.
func (h history) orphaned(ctx context.Context, run runner.Run) (bool, error) {
	if run.State.Final() || waitsForApproval(run) {
		return false, nil
	}
	nodes, err := h.nodes(ctx)
	if err != nil {
		return false, err
	}
	return !slices.ContainsFunc(nodes, func(n ledger.Node) bool {
		return n.Alive && (run.State == runner.Queued || n.Instance == run.Owner)
	}), nil
}

// openReader opens the ledger for reading. A ledger that does not exist yet
// reads as empty. A configuration with errors keeps nobody from what happened:
// it is enough that it says where the ledger is.
func (a *app) openReader(ctx context.Context) (history, error) {
	if c, err := a.farther(); c != nil || err != nil {
		return a.historyOf(c, err)
	}
	cfg, err := a.loadForReading()
	if !is[configs.Problems](err) {
		if err != nil {
			return history{}, err
		}
		return a.openHistory(ctx, cfg)
	}
	path, unnamed := a.configFile()
	if unnamed != nil {
		return history{}, unnamed
	}
	place, unknown := configs.Locate(path, a.catalog())
	if unknown != nil {
		return history{}, err
	}
	reader, unread := a.openHistory(ctx, place)
	if unread == nil {
		fmt.Fprintf(a.std.Err, "warning: %s has errors; `upkeep validate` shows them\n", path)
	}
	return reader, unread
}

// readLatest opens the ledger for a list of the latest of many, at most limit.
func (a *app) readLatest(ctx context.Context, limit int) (history, error) {
	if limit < 1 {
		return history{}, usagef("--limit %d is not at least 1", limit)
	}
	return a.openReader(ctx)
}

func (a *app) openHistory(ctx context.Context, cfg *configs.Config) (history, error) {
	if c, err := a.farther(); c != nil || err != nil {
		return a.historyOf(c, err)
	}
	reader, err := ledger.OpenReader(ctx, service.LedgerOptions(cfg, version, a.log()))
	if errors.Is(err, ledger.ErrMissing) {
		return history{
			Reader: emptyLedger{}, config: cfg, slots: emptyLedger{}, alerts: emptyLedger{}, desk: emptyLedger{}, facts: emptyLedger{}, runbooks: emptyLedger{}, close: func() error { return nil }, log: a.log(),
			nodes:   func(context.Context) ([]ledger.Node, error) { return nil, nil },
			members: func(context.Context) ([]api.Member, error) { return nil, nil },
			locks:   func(ctx context.Context) ([]api.Lock, error) { return service.NamedLocks(ctx, cfg, emptyLedger{}) },
		}, nil
	}
	if err != nil {
		return history{}, err
	}
	return history{
		Reader: reader, config: cfg, slots: reader, alerts: reader, desk: reader, facts: reader, runbooks: reader, nodes: reader.Nodes, close: reader.Close, log: a.log(),
		members: func(ctx context.Context) ([]api.Member, error) { return service.MembersOf(ctx, reader) },
		locks:   func(ctx context.Context) ([]api.Lock, error) { return service.NamedLocks(ctx, cfg, reader) },
	}, nil
}

// whoAmI names the person at the keyboard for the record.
func whoAmI() string {
	name := "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s@%s (cli)", name, host)
}
