package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"
	"slices"

	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/configs/secret"
	jobsall "github.com/ghosteam/upkeep/jobs/all"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/executor"
	"github.com/ghosteam/upkeep/storage/ledger"
	"github.com/ghosteam/upkeep/storage/object"
	objectall "github.com/ghosteam/upkeep/storage/object/all"
)

// catalog is everything that a configuration may name.
func (a *app) catalog() configs.Catalog {
	return configs.Catalog{Kinds: jobsall.Kinds(), Stores: object.NewRegistry(objectall.Kinds()...), Getenv: a.getenv}
}

// load reads the configuration. Errors of it are returned as configs.Problems.
//
// A configuration whose only errors are references without a value is returned
// beside its error: it can tell where the ledger is.
func (a *app) load() (*configs.Config, error) {
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

	nodes func(ctx context.Context) ([]ledger.Node, error)
	close func() error
	log   *slog.Logger
}

// Close ends the reading. What was read has been shown by then, so a failure is
// only logged.
func (h history) Close() {
	if err := h.close(); err != nil {
		h.log.Warn("close the ledger", "error", err)
	}
}

// orphaned tells whether nobody works on an open run: it was cut short by a
// crash or a stop, and can be continued.
func (h history) orphaned(ctx context.Context, run runner.Run) (bool, error) {
	if run.State.Final() {
		return false, nil
	}
	nodes, err := h.nodes(ctx)
	if err != nil {
		return false, err
	}
	return !slices.ContainsFunc(nodes, func(n ledger.Node) bool { return n.Alive && n.Instance == run.Owner }), nil
}

// openReader opens the ledger for reading. A ledger that does not exist yet
// reads as empty.
func (a *app) openReader(ctx context.Context) (history, error) {
	cfg, err := a.loadForReading()
	if err != nil {
		return history{}, err
	}
	return a.openHistory(ctx, cfg)
}

func (a *app) openHistory(ctx context.Context, cfg *configs.Config) (history, error) {
	reader, err := ledger.OpenReader(ctx, a.ledgerOptions(cfg))
	if errors.Is(err, ledger.ErrMissing) {
		return history{
			Reader: emptyLedger{}, close: func() error { return nil }, log: a.log(),
			nodes: func(context.Context) ([]ledger.Node, error) { return nil, nil },
		}, nil
	}
	if err != nil {
		return history{}, err
	}
	return history{Reader: reader, nodes: reader.Nodes, close: reader.Close, log: a.log()}, nil
}

// ledgerOptions are the options that all ways of opening the ledger share.
func (a *app) ledgerOptions(cfg *configs.Config) ledger.Options {
	state := stateDir(cfg)
	dsn := cfg.Ledger.URL
	if cfg.Ledger.Dialect == "sqlite" {
		dsn = secret.New("sqlite:" + cfg.Ledger.Path)
	}
	return ledger.Options{
		DSN: dsn, Node: cfg.Node, Version: version, StateDir: state, Log: a.log(),
		Live: func(key runner.AttemptKey) (runner.Output, bool, error) {
			return executor.ReadLive(filepath.Join(state, "live"), key)
		},
	}
}

// stateDir is where this node keeps what belongs to it alone: beside the
// ledger when that is a file, else below the root.
func stateDir(cfg *configs.Config) string {
	if cfg.Ledger.Dialect == "sqlite" {
		return filepath.Dir(cfg.Ledger.Path)
	}
	return filepath.Join(cfg.Root, "var")
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
