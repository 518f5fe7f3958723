package main

import (
	"context"
	"slices"

	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/web/api"
)

// logWords are the levels of the log.
func logWords() []string { return []string{"debug", "info", "warn", "error"} }

func newLog(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "log",
		Short: "Change what the service logs while it runs",
		Long: `Look at the log of the service itself and change what it holds. What runs wrote is
shown by ` + "`upkeep logs`" + `.`,
		Example: "  upkeep log level\n  upkeep log level debug --for 10m",
	}
	return withCommands(cmd, newLogLevel(a))
}

type logFlags struct {
	logger, lasts string
	reset         bool
}

func newLogLevel(a *app) *cobra.Command {
	var f logFlags
	cmd := &cobra.Command{
		Use:   "level [LEVEL]",
		Short: "Show or change the level from which on the service logs",
		Long: `Without LEVEL, show from which level on the loggers of the service log. With debug,
info, warn or error, change it: for all loggers that have no level of their own, or for
the one that --logger names and those below it; http means http.access too. The change
holds until the time of --for is over, until --reset, or until the service ends; what
the configuration says holds again after that.

The loggers: alerts executor health http http.access ledger queue ticker.`,
		Example: "  upkeep log level\n  upkeep log level debug --for 10m\n  upkeep log level info --logger http.access\n  upkeep log level --reset",
		RunE: func(cmd *cobra.Command, given []string) error {
			level := ""
			if len(given) > 0 {
				level = given[0]
			}
			return a.logLevel(cmd.Context(), level, f)
		},
		ValidArgsFunction: completeWords(logWords()),
	}
	a.outputFlag(cmd)
	cmd.Flags().StringVar(&f.logger, "logger", "", "of the logger of this `NAME` and those below it")
	cmd.Flags().StringVar(&f.lasts, "for", "", "for this `TIME`, such as 10m")
	cmd.Flags().BoolVar(&f.reset, "reset", false, "make the configured level hold again")
	completeFlag(cmd, "logger", completeWords([]string{"alerts", "executor", "health", "http", "http.access", "ledger", "queue", "ticker"}))
	return cmd
}

func (a *app) logLevel(ctx context.Context, level string, f logFlags) error {
	var lasts unit.Duration
	if f.lasts != "" {
		if err := lasts.UnmarshalText([]byte(f.lasts)); err != nil || lasts <= 0 {
			return usagef("--for %q is not a length of time such as 10m", f.lasts)
		}
	}
	switch {
	case level != "" && !slices.Contains(logWords(), level):
		return usagef("%q is not a level: use debug, info, warn or error", level)
	case level == "" && f.lasts != "":
		return usagef("say which level: debug, info, warn or error")
	case level != "" && f.reset:
		return usagef("--reset goes without a level")
	case level == "" && f.logger != "" && !f.reset:
		return usagef("--logger goes with a level, or with --reset")
	}
	_, c, err := a.configOrHolder(ctx)
	switch {
	case err != nil:
		return err
	case c == nil:
		return errNoService
	}
	switch {
	case f.reset:
		was, err := c.ResetLogLevel(ctx, f.logger)
		if err == nil && !was {
			err = skippedf("", "the level was not changed")
		}
		if err != nil {
			return err
		}
	case level != "":
		if _, err := c.SetLogLevel(ctx, f.logger, level, lasts.Std()); err != nil {
			return err
		}
	}
	list, err := c.LogLevels(ctx)
	if err != nil {
		return err
	}
	return a.list(levelListing(list))
}

// levelListing shows the levels of loggers.
func levelListing(list []api.LogLevel) listing {
	l := listing{columns: []string{"LOGGER", "LEVEL", "CONFIGURED", "UNTIL"}, data: list}
	for _, v := range list {
		name, configured := v.Logger, v.Configured
		if name == "" {
			name = "all"
		}
		if configured == "" {
			configured = "-"
		}
		until := "-"
		switch {
		case v.Until != nil:
			until = stamp(*v.Until)
		case v.Changed:
			until = "the service ends"
		}
		l.rows = append(l.rows, []string{name, v.Level, configured, until})
	}
	return l
}
