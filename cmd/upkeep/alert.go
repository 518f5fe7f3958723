package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/cmd/upkeep/service"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
	"github.com/ghosteam/upkeep/web/api"
)

func newAlert(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "alert",
		Short: "Try channels, and look at what is owed to them",
		Long: `A workflow that failed, was lost, missed its slot or has not succeeded for too long
becomes an incident, and the incident owes its channels a notice: one when it opens,
one when it is resolved. Notices wait in the outbox until a channel has taken them.`,
		Example: "  upkeep alert test ops\n  upkeep alert outbox",
	}
	return withCommands(cmd, newAlertTest(a), newAlertOutbox(a), newAlertRetry(a), newAlertDrop(a))
}

func newAlertTest(a *app) *cobra.Command {
	return &cobra.Command{
		Use:               "test CHANNEL",
		Short:             "Send a test message to a channel at once",
		Long:              "Send a test message to a channel at once, past the outbox, and show what it answered. A\nservice that runs does it, with the configuration and the secrets that it has.",
		Example:           "  upkeep alert test ops",
		ValidArgsFunction: a.completeChannels,
		RunE: func(cmd *cobra.Command, given []string) error {
			return a.testChannel(cmd.Context(), given[0])
		},
	}
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

type outboxFlags struct {
	channel string
	all     bool
	limit   int
}

func newAlertOutbox(a *app) *cobra.Command {
	var f outboxFlags
	cmd := &cobra.Command{
		Use:   "outbox",
		Short: "List the notices that are owed or were given up",
		Long: `List the notices that channels have not taken yet and those that were given up, newest
first. --all adds those that were sent.`,
		Example: "  upkeep alert outbox\n  upkeep alert outbox --all -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.outbox(cmd.Context(), f)
		},
	}
	a.outputFlag(cmd)
	cmd.Flags().StringVar(&f.channel, "channel", "", "only of this `CHANNEL`")
	cmd.Flags().BoolVar(&f.all, "all", false, "also what was sent or superseded")
	cmd.Flags().IntVarP(&f.limit, "limit", "n", 50, "at most this many (`N`)")
	completeFlag(cmd, "channel", a.completeChannels)
	return cmd
}

func (a *app) outbox(ctx context.Context, f outboxFlags) error {
	reader, err := a.readLatest(ctx, f.limit)
	if err != nil {
		return err
	}
	defer reader.Close()
	filter := runner.NoticeFilter{Channel: f.channel, Limit: f.limit}
	if !f.all {
		filter.States = []runner.NoticeState{runner.NoticePending, runner.NoticeSending, runner.NoticeDead}
	}
	list, err := reader.alerts.Notices(ctx, filter)
	if err != nil {
		return err
	}
	l := listing{
		columns: []string{"CREATED", "CHANNEL", "ACTION", "STATE", "TRIES", "NEXT", "ABOUT", "NOTICE", "ERROR"},
		empty:   "nothing is owed",
	}
	views := []api.Notice{}
	for _, n := range list {
		about := n.Subject
		if n.Incident != "" {
			incident, err := reader.alerts.Incident(ctx, n.Incident)
			if err != nil {
				return err
			}
			about = incident.Title
		}
		next := "-"
		if n.State == runner.NoticePending {
			next = stamp(n.NextAt)
		}
		views = append(views, api.NewNotice(n))
		l.rows = append(l.rows, []string{
			stamp(n.CreatedAt), n.Channel, string(n.Action), string(n.State), strconv.Itoa(n.Attempts), next,
			oneLine(about, mostAbout), n.ID, oneLine(n.Error, mostError),
		})
	}
	l.data = views
	return a.list(l)
}

// mostAbout and mostError are how much of a text a column of the outbox shows;
// why something was not sent tends to stand at the end.
const (
	mostAbout = 60
	mostError = 200
)

func newAlertRetry(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "retry NOTICE",
		Short:   "Send a notice again that waits or was given up",
		Long:    "Make a notice due now that waits for its next try or was given up. A service sends it.",
		Example: "  upkeep alert retry 019aa1b2-0000-7000-8000-000000000000",
		RunE: func(cmd *cobra.Command, given []string) error {
			return a.changeNotice(cmd.Context(), given[0], "upkeep alert retry", func(ctx context.Context, o runner.Outbox) error { return o.Revive(ctx, given[0]) }, "is due now")
		},
	}
}

func newAlertDrop(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "drop NOTICE",
		Short:   "Give a notice up",
		Long:    "Give a notice up that nobody needs any more. It stays on record.",
		Example: "  upkeep alert drop 019aa1b2-0000-7000-8000-000000000000",
		RunE: func(cmd *cobra.Command, given []string) error {
			return a.changeNotice(cmd.Context(), given[0], "upkeep alert drop", func(ctx context.Context, o runner.Outbox) error {
				return o.Bury(ctx, given[0], "dropped by "+whoAmI())
			}, "is given up")
		},
	}
}

// changeNotice changes a notice through the service, so that it acts at once,
// or on the ledger itself.
func (a *app) changeNotice(ctx context.Context, id, command string, do func(context.Context, runner.Outbox) error, done string) (err error) {
	cfg, c, err := a.configOrHolder(ctx)
	if err != nil {
		return err
	}
	if c != nil {
		if command == "upkeep alert retry" {
			err = c.RetryNotice(ctx, id)
		} else {
			err = c.DropNotice(ctx, id, "")
		}
	} else {
		err = a.onLedgerOf(ctx, cfg, command, func(ctx context.Context, l *ledger.Ledger) error { return do(ctx, l) })
	}
	if errors.Is(err, runner.ErrNotFound) {
		return hintIfNone(&notFoundError{err: err}, "`upkeep alert outbox --all` lists the notices")
	}
	if err == nil {
		fmt.Fprintf(a.std.Out, "notice %s %s\n", id, done)
	}
	return err
}
