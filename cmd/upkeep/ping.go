package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/health"
	"github.com/ghosteam/upkeep/storage/ledger"
	"github.com/ghosteam/upkeep/web/api"
)

func newPing(a *app) *cobra.Command {
	var text string
	cmd := &cobra.Command{
		Use:   "ping SLUG [WHAT]",
		Short: "Tell a heartbeat how the work goes that it stands for",
		Long: `Tell a heartbeat (a check of kind heartbeat) how the work goes that it stands for. WHAT is
success (without it, too), start, fail, or the exit code of what ran: 0 is success. A
heartbeat that is told nothing for too long, or of a failure, becomes an incident.

SLUG is its slug, by default its name. Other machines tell it at /ping/SLUG of the API.`,
		Example: "  upkeep ping nightly-export start\n" +
			"  upkeep ping nightly-export \"$?\" --message \"exported 1200 rows\"",
		ValidArgsFunction: a.completeHeartbeats,
		RunE: func(cmd *cobra.Command, given []string) error {
			p, err := pingOf(given[1:])
			if err != nil {
				return err
			}
			p.Text = text
			return a.ping(cmd.Context(), given[0], p)
		},
	}
	cmd.Flags().StringVarP(&text, "message", "m", "", "what it says (`TEXT`)")
	return cmd
}

// pingOf reads what is told.
func pingOf(given []string) (api.PingRequest, error) {
	if len(given) == 0 {
		return api.PingRequest{}, nil
	}
	switch what := given[0]; what {
	case "success":
		return api.PingRequest{}, nil
	case "start":
		return api.PingRequest{Start: true}, nil
	case "fail":
		return api.PingRequest{Code: 1}, nil
	default:
		code, err := strconv.Atoi(what)
		if err != nil || code < 0 || code > 255 {
			return api.PingRequest{}, usagef("%q is none of success, start, fail and an exit code of 0 to 255", what)
		}
		return api.PingRequest{Code: code}, nil
	}
}

func (a *app) ping(ctx context.Context, slug string, p api.PingRequest) error {
	cfg, c, err := a.configOrHolder(ctx)
	if err != nil {
		return err
	}
	if c != nil {
		err = c.Ping(ctx, slug, p)
	} else {
		err = a.pingOnLedger(ctx, cfg, slug, p)
	}
	if err == nil {
		fmt.Fprintf(a.std.Out, "told %s\n", slug)
	}
	return err
}

// pingOnLedger leaves a ping for the next service.
func (a *app) pingOnLedger(ctx context.Context, cfg *configs.Config, slug string, p api.PingRequest) error {
	i := slices.IndexFunc(cfg.Checks, func(c configs.Check) bool { return c.Kind == health.KindHeartbeat && c.Slug == slug })
	if i < 0 {
		return notFoundf("`checks:` in the configuration names them", "there is no heartbeat %q", slug)
	}
	return a.onLedgerOf(ctx, cfg, "upkeep ping", func(ctx context.Context, l *ledger.Ledger) error {
		return l.Observe(ctx, health.Ping(p).Sample(cfg.Checks[i].Name, time.Now()))
	})
}

// completeHeartbeats offers the slugs of heartbeats, and what they are told.
func (a *app) completeHeartbeats(_ *cobra.Command, given []string, _ string) ([]string, cobra.ShellCompDirective) {
	const directive = cobra.ShellCompDirectiveNoFileComp
	if len(given) == 1 {
		return []string{"success", "start", "fail"}, directive
	}
	cfg, err := a.loadForReading()
	if err != nil || len(given) > 1 {
		return nil, directive
	}
	var slugs []string
	for _, c := range cfg.Checks {
		if c.Kind == health.KindHeartbeat {
			slugs = append(slugs, c.Slug)
		}
	}
	return slugs, directive
}
