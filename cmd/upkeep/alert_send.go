package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/cmd/upkeep/service"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/storage/ledger"
	"github.com/ghosteam/upkeep/web/api"
)

func newAlertSend(a *app) *cobra.Command {
	var meta []string
	var r api.AlertRequest
	severity := jobs.Warning
	cmd := &cobra.Command{
		Use:   "send TYPE [MESSAGE]",
		Short: "Say that something is wrong, or with --resolve that it is over",
		Long: `Say that something is wrong that upkeep cannot see by itself: it becomes an incident with
the fingerprint alert/TYPE, and the routes say whom it is told, with the reason raised.
As long as it is open the same TYPE adds to it; --resolve ends it. A service sends what
follows; without one it waits in the outbox.`,
		Example: "  upkeep alert send model-drift \"accuracy fell to 81 %\" --severity critical --meta model=v41\n" +
			"  upkeep alert send model-drift --resolve",
		RunE: func(cmd *cobra.Command, given []string) error {
			r.Type, r.Severity = given[0], severity
			if len(given) > 1 {
				r.Message = given[1]
			}
			if r.Message == "" && !r.Resolve {
				return usagef("say what is wrong: `upkeep alert send TYPE MESSAGE`")
			}
			for _, pair := range meta {
				name, value, found := strings.Cut(pair, "=")
				if !found || name == "" {
					return usagef("--meta %q is not NAME=VALUE", pair)
				}
				if r.Metadata == nil {
					r.Metadata = map[string]string{}
				}
				r.Metadata[name] = value
			}
			return a.sendAlert(cmd.Context(), r)
		},
	}
	cmd.Flags().Var(oneOf(&severity, jobs.Info, jobs.Warning, jobs.Critical), "severity", "how grave it is: info, warning or critical")
	cmd.Flags().StringArrayVar(&meta, "meta", nil, "what else there is to know, `NAME=VALUE` (several allowed)")
	cmd.Flags().BoolVar(&r.Resolve, "resolve", false, "it is over")
	completeFlag(cmd, "severity", completeWords([]jobs.Severity{jobs.Info, jobs.Warning, jobs.Critical}))
	return cmd
}

// sendAlert puts an alert on record, through the service when there is one.
func (a *app) sendAlert(ctx context.Context, r api.AlertRequest) error {
	cfg, c, err := a.configOrHolder(ctx)
	if err != nil {
		return err
	}
	var done api.Alerted
	if c != nil {
		done, err = c.SendAlert(ctx, r)
	} else {
		err = a.onLedgerOf(ctx, cfg, "upkeep alert send", func(ctx context.Context, l *ledger.Ledger) error {
			var err error
			done, err = service.RaiseAlert(ctx, cfg, l, r)
			return acted(ctx, l, "send-alert", r.Type, err)
		})
	}
	if err != nil {
		return err
	}
	told := "nobody is told: no route is for it"
	if len(done.Channels) > 0 {
		told = "told: " + strings.Join(done.Channels, ", ")
	}
	switch {
	case r.Resolve && done.Changed:
		fmt.Fprintf(a.std.Out, "resolved: %s\n", done.Fingerprint)
	case r.Resolve:
		fmt.Fprintf(a.std.Out, "nothing to resolve: no incident of %s is open\n", done.Fingerprint)
	case done.Changed:
		fmt.Fprintf(a.std.Out, "opened: %s; %s\n", done.Fingerprint, told)
	default:
		fmt.Fprintf(a.std.Out, "added to the open incident of %s\n", done.Fingerprint)
	}
	return nil
}
