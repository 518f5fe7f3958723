package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/cmd/upkeep/service"
)

func newAlert(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "alert",
		Short: "Say that something is wrong, try channels, and look at what is owed to them",
		Long: `A workflow that failed, was lost, missed its slot or has not succeeded for too long, and
a check that is not well, become an incident, and the incident owes its channels a
notice: when it opens, when it gets worse, when it is resolved, and, where the routes
say so, again while it lasts. Notices wait in the outbox until a channel has taken them.`,
		Example: "  upkeep alert test ops\n  upkeep alert send model-drift \"accuracy fell to 81 %\" --severity critical\n  upkeep alert outbox",
	}
	return withCommands(cmd, newAlertSend(a), newAlertTest(a), newAlertPreview(a), newAlertOutbox(a))
}

func newAlertTest(a *app) *cobra.Command {
	var channel string
	cmd := &cobra.Command{
		Use:   "test [CHANNEL]",
		Short: "Send a test message to a channel, or to all, at once",
		Long: `Send a test message to a channel at once, past the outbox, and show what it answered;
without a channel, to all of them that are enabled. A service that runs does it, with the configuration
and the secrets that it has.`,
		Example:           "  upkeep alert test ops\n  upkeep alert test",
		ValidArgsFunction: a.completeChannels,
		RunE: func(cmd *cobra.Command, given []string) error {
			if len(given) > 0 && channel != "" {
				return usagef("name the channel once: as an argument or by --channel")
			}
			return a.testChannels(cmd.Context(), strings.Join(given, "")+channel)
		},
	}
	cmd.Flags().StringVar(&channel, "channel", "", "only this `CHANNEL`")
	completeFlag(cmd, "channel", a.completeChannels)
	return cmd
}

// testChannels tries one channel, or all of them one after the other.
func (a *app) testChannels(ctx context.Context, name string) error {
	if name != "" {
		return a.testChannel(ctx, name)
	}
	cfg, err := a.loadForReading()
	if err != nil {
		return err
	}
	if len(cfg.Channels) == 0 {
		return usagef("no channel is configured: `channels:` in the configuration")
	}
	var errs []error
	for _, c := range cfg.Channels {
		if c.Settings.Disabled {
			fmt.Fprintf(a.std.Out, "channel %s is not enabled\n", c.Name)
			continue
		}
		errs = append(errs, a.testChannel(ctx, c.Name))
	}
	return errors.Join(errs...)
}

func (a *app) testChannel(ctx context.Context, name string) error {
	cfg, c, err := a.configOrHolder(ctx)
	if err != nil {
		return err
	}
	var receipt string
	if c != nil {
		receipt, err = c.TestChannel(ctx, name)
	} else {
		receipt, err = service.TestChannel(ctx, cfg, name, whoAmI())
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(a.std.Out, "channel %s took the message: %s\n", name, oneLine(receipt, 0))
	return nil
}
