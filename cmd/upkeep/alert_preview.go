package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/alerts"
	"github.com/ghosteam/upkeep/cmd/upkeep/service"
	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/runner"
)

func newAlertPreview(a *app) *cobra.Command {
	var channel, incident string
	sample := runner.NoticeOpen
	cmd := &cobra.Command{
		Use:   "preview",
		Short: "Show what would be sent, without sending it",
		Long: `Show what a channel would send, with its template and in its form: about an incident that
is on record, or of an invented one. Without a channel, what each of them would send.`,
		Example: "  upkeep alert preview --channel ops\n  upkeep alert preview --sample resolve\n  upkeep alert preview --incident 019aa1b2",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if incident != "" && cmd.Flags().Changed("sample") {
				return usagef("show an incident or a sample, not both")
			}
			return a.previewAlert(cmd.Context(), channel, incident, sample)
		},
	}
	cmd.Flags().StringVar(&channel, "channel", "", "only of this `CHANNEL`")
	cmd.Flags().StringVar(&incident, "incident", "", "about this `INCIDENT`, by its ID or the beginning of it")
	cmd.Flags().Var(oneOf(&sample, alerts.Samples()...), "sample", "what an invented fault would be told by: open, resolve, worse, repeat, ack, remind, digest or weekly")
	completeFlag(cmd, "channel", a.completeChannels)
	completeFlag(cmd, "sample", completeWords(alerts.Samples()))
	return cmd
}

// previewAlert shows what channels would send.
func (a *app) previewAlert(ctx context.Context, channel, incident string, sample runner.NoticeAction) error {
	reader, err := a.openReader(ctx)
	if err != nil {
		return err
	}
	defer reader.Close()
	cfg := reader.config
	if len(cfg.Channels) == 0 {
		return usagef("no channel is configured: `channels:` in the configuration")
	}
	known := slices.ContainsFunc(cfg.Channels, func(c configs.Channel) bool { return c.Name == channel })
	if channel != "" && !known {
		_, _, err := cfg.OpenChannel(channel)
		return &notFoundError{err: err}
	}
	for _, c := range cfg.Channels {
		if channel != "" && c.Name != channel {
			continue
		}
		m := alerts.Sample(service.Origin(cfg), sample)
		if incident != "" {
			if m, err = composeOf(ctx, reader, incident, c.Name); err != nil {
				return err
			}
		}
		opened, secrets, err := cfg.OpenChannel(c.Name)
		if err != nil {
			return err
		}
		text, err := alerts.Preview(opened, c.Settings, m)
		if err != nil {
			return fmt.Errorf("channel %s: %w", c.Name, err)
		}
		fmt.Fprintf(a.std.Out, "--- %s (%s)\n%s\n", c.Name, c.Kind, strings.TrimRight(secret.NewRedactor(secrets).Scrub(text), "\n"))
	}
	return nil
}

// composeOf makes the message that would be sent about an incident now.
func composeOf(ctx context.Context, reader history, id, channel string) (alerts.Message, error) {
	incident, err := reader.alerts.Incident(ctx, id)
	if err != nil {
		return alerts.Message{}, err
	}
	n := runner.Notice{ID: incident.ID, Incident: incident.ID, Channel: channel, Action: runner.NoticeOpen, CreatedAt: time.Now()}
	if incident.State == runner.IncidentResolved {
		n.Action = runner.NoticeResolve
	}
	records := struct {
		runner.Reader
		runner.AlertReader
	}{reader.Reader, reader.alerts}
	stories := struct {
		runner.DeskReader
		factsReader
	}{reader.desk, reader.facts}
	return alerts.Compose(ctx, records, stories, service.Origin(reader.config), n)
}
