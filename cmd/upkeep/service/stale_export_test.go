package service

import (
	"context"
	"log/slog"

	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/storage/ledger"
)

// on is a service with a ledger and a configuration, of which nothing goes yet.
func on(l *ledger.Ledger, cfg *configs.Config) *Daemon {
	o := Options{Log: slog.New(slog.DiscardHandler)}
	d := &Daemon{Engine: &Engine{ledger: l, o: o}, o: DaemonOptions{Options: o}}
	d.config.Store(cfg)
	return d
}

// StaleAway tells of the stale shares of nodes that are not there.
func StaleAway(ctx context.Context, l *ledger.Ledger, cfg *configs.Config) error {
	return on(l, cfg).staleAway(ctx)
}

// Scraped are the names of the applications that a node reads.
func Scraped(cfg *configs.Config, members []ledger.Member) []string {
	var names []string
	for _, t := range scrapeTargets(cfg, members) {
		names = append(names, t.Name)
	}
	return names
}
