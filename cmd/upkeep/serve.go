package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/cmd/upkeep/service"
	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/runner/metrics"
)

// logFormat is how the service writes its log.
type logFormat string

const (
	logText    logFormat = "text"
	logJSON    logFormat = "json"
	logJournal logFormat = "journal"
)

func newServe(a *app) *cobra.Command {
	form, debug := logText, false
	if under, _ := a.getenv("JOURNAL_STREAM"); under != "" {
		form = logJournal
	}
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the scheduler service",
		Long: `Keep the calendar: run every workflow when it is due, catch up what was missed by
the rule of its workflow, send alerts, prune the history, and answer other upkeep
commands on a socket beside the ledger. One service holds a ledger; a second one
ends with exit code 75 and names the first.

Signals: HUP reloads the configuration whole, or keeps the old one and says so, and
opens the file of the log anew.
TERM and INT stop the calendar and wait for what runs, at most ` + "`drain_timeout`" + `; a
second one stops at once. What was interrupted goes on at the next start.

Under systemd use Type=notify: readiness, reloads, a status line and the watchdog
are reported.`,
		Example: "  upkeep serve\n  upkeep -c /etc/upkeep/upkeep.yaml serve --log-format json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.serve(cmd.Context(), form, cmd.Flags().Changed("log-format"), debug)
		},
	}
	cmd.Flags().Var(oneOf(&form, logText, logJSON, logJournal), "log-format", "text, json or journal (lines with syslog levels and without times); by default what `log.format` says")
	completeFlag(cmd, "log-format", completeWords([]logFormat{logText, logJSON, logJournal}))
	cmd.Flags().BoolVar(&debug, "debug", false, "log more")
	return cmd
}

// serve runs the service. The form of the log on standard error is what was
// asked for, else what the configuration says, unless the journal reads it.
func (a *app) serve(ctx context.Context, form logFormat, asked, debug bool) (err error) {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	if !asked && form != logJournal && cfg.Log.Format != "" {
		form = logFormat(cfg.Log.Format)
	}
	set := metrics.New(metrics.Options{Version: version, Commit: commit, SeedNames: cfg.Metrics.SeedNames})
	log, book, err := a.openLogbook(cfg.Log, form, debug, set)
	if err != nil {
		return err
	}
	if book.File != nil {
		defer func() { err = errors.Join(err, book.File.Close()) }()
	}
	for _, w := range cfg.Warnings {
		log.WarnContext(ctx, "the configuration looks odd", "what", w.Message, "at", fmt.Sprintf("%s:%d", w.File, w.Line), "path", w.Path)
	}
	restore := keepRunningWithoutReader()
	defer restore()
	path, err := a.configFile()
	if err != nil {
		return err
	}
	return service.RunDaemon(context.WithoutCancel(ctx), service.DaemonOptions{
		Options: service.Options{Config: cfg, Version: version, Command: "upkeep serve", Log: log, Metrics: set},
		Logbook: book,
		Load:    func() (*configs.Config, error) { return configs.Load(path, a.catalog()) },
		Signals: a.signals.received,
	})
}
