package service

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/executor"
	"github.com/ghosteam/upkeep/storage/ledger"
)

// StateDir is where this node keeps what belongs to it alone: beside the
// ledger when that is a file, else below the root.
func StateDir(cfg *configs.Config) string {
	if cfg.Ledger.Dialect == "sqlite" {
		return filepath.Dir(cfg.Ledger.Path)
	}
	return filepath.Join(cfg.Root, "var")
}

// makeStateDir makes StateDir for this user alone where it is missing.
func makeStateDir(cfg *configs.Config) error {
	if err := os.MkdirAll(StateDir(cfg), 0o700); err != nil {
		err = fmt.Errorf("make the folder for the state of this node: %w", err)
		if errors.Is(err, os.ErrPermission) {
			err = jobs.WithHint(err, "run upkeep as the user who owns "+filepath.Dir(StateDir(cfg))+", or make the folder for its user: it is `var` below `root`, or that of the ledger's file")
		}
		return err
	}
	return nil
}

// SocketPath is where the process that holds the ledger answers on this host.
func SocketPath(cfg *configs.Config) string { return filepath.Join(StateDir(cfg), "upkeep.sock") }

// LedgerOptions are the options that all ways of opening the ledger share.
func LedgerOptions(cfg *configs.Config, version string, log *slog.Logger) ledger.Options {
	state := StateDir(cfg)
	dsn := cfg.Ledger.URL
	if cfg.Ledger.Dialect == "sqlite" {
		dsn = secret.New("sqlite:" + cfg.Ledger.Path)
	}
	return ledger.Options{
		DSN: dsn, Node: cfg.Node, Labels: cfg.Labels, Version: version, StateDir: state, Log: log,
		Live: func(key runner.AttemptKey) (runner.Output, bool, error) {
			return executor.ReadLive(filepath.Join(state, "live"), key)
		},
	}
}

// ownFiles are the files and folders that jobs must leave alone.
func ownFiles(cfg *configs.Config) []string {
	state := StateDir(cfg)
	own := []string{
		filepath.Join(state, "live"), filepath.Join(state, "work"), filepath.Join(state, "plans"),
		SocketPath(cfg), filepath.Join(state, ledger.BallastName),
	}
	if path := cfg.Ledger.Path; path != "" {
		own = append(own, path, path+"-wal", path+"-shm", path+"-journal", path+".lock")
	}
	return own
}
