package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
	"github.com/ghosteam/upkeep/web/api"
)

type outboxFlags struct {
	channel, incident string
	states            []string
	all               bool
	limit             int
}

func newAlertOutbox(a *app) *cobra.Command {
	var f outboxFlags
	cmd := &cobra.Command{
		Use:   "outbox",
		Short: "List the notices that are owed or were given up, and decide about them",
		Long: `List the notices that channels have not taken yet and those that were given up, newest
first; ` + "`upkeep alert outbox list`" + ` does the same. --all adds those that were sent.`,
		Example: "  upkeep alert outbox\n  upkeep alert outbox retry --dead\n  upkeep alert outbox drop 019aa1b2-0000-7000-8000-000000000000",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.outbox(cmd.Context(), f)
		},
	}
	a.outboxFlags(cmd, &f)
	return withCommands(cmd, newOutboxList(a), newOutboxRetry(a), newOutboxDrop(a))
}

func newOutboxList(a *app) *cobra.Command {
	var f outboxFlags
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the notices that are owed or were given up",
		Long:    "List the notices that channels have not taken yet and those that were given up, newest\nfirst. --all adds those that were sent, --state selects.",
		Example: "  upkeep alert outbox list --channel ops\n  upkeep alert outbox list --state dead -o csv",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.outbox(cmd.Context(), f)
		},
	}
	a.outboxFlags(cmd, &f)
	return cmd
}

// outboxFlags adds the flags that select notices.
func (a *app) outboxFlags(cmd *cobra.Command, f *outboxFlags) {
	a.outputFlag(cmd)
	cmd.Flags().StringVar(&f.channel, "channel", "", "only of this `CHANNEL`")
	cmd.Flags().StringVar(&f.incident, "incident", "", "only of this `INCIDENT`, by its ID")
	cmd.Flags().StringSliceVar(&f.states, "state", nil, "only in this `STATE`: pending, sending, sent, dead, superseded (several allowed)")
	cmd.Flags().BoolVar(&f.all, "all", false, "also what was sent or superseded")
	cmd.Flags().IntVarP(&f.limit, "limit", "n", 50, "at most this many (`N`)")
	completeFlag(cmd, "channel", a.completeChannels)
	completeFlag(cmd, "state", completeWords(noticeStates()))
}

func noticeStates() []runner.NoticeState {
	return []runner.NoticeState{runner.NoticePending, runner.NoticeSending, runner.NoticeSent, runner.NoticeDead, runner.NoticeSuperseded}
}

// filter is what the flags select.
func (f outboxFlags) filter() (runner.NoticeFilter, error) {
	filter := runner.NoticeFilter{Channel: f.channel, Limit: f.limit}
	for _, word := range f.states {
		state := runner.NoticeState(word)
		if !slices.Contains(noticeStates(), state) {
			return filter, usagef("--state %q is none of pending, sending, sent, dead, superseded", word)
		}
		filter.States = append(filter.States, state)
	}
	if len(filter.States) == 0 && !f.all {
		filter.States = []runner.NoticeState{runner.NoticePending, runner.NoticeSending, runner.NoticeDead}
	}
	return filter, nil
}

func (a *app) outbox(ctx context.Context, f outboxFlags) error {
	filter, err := f.filter()
	if err != nil {
		return err
	}
	reader, err := a.readLatest(ctx, f.limit)
	if err != nil {
		return err
	}
	defer reader.Close()
	if f.incident != "" {
		incident, err := reader.alerts.Incident(ctx, f.incident)
		if err != nil {
			return err
		}
		filter.Incident = incident.ID
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
		if n.Withheld {
			next = "withheld"
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

func newOutboxRetry(a *app) *cobra.Command {
	var dead bool
	cmd := &cobra.Command{
		Use:   "retry [NOTICE...]",
		Short: "Send notices again that wait or were given up",
		Long: `Make notices due now that wait for their next try or were given up; --dead takes all
that were given up. A service sends them.`,
		Example: "  upkeep alert outbox retry 019aa1b2-0000-7000-8000-000000000000\n  upkeep alert outbox retry --dead",
		RunE: func(cmd *cobra.Command, given []string) error {
			ids, err := a.noticesOf(cmd.Context(), given, dead)
			if err != nil {
				return err
			}
			return a.changeNotices(cmd.Context(), ids, noticeChange{
				command: "upkeep alert outbox retry", what: "retry-notice", done: "is due now",
				asked:  func(ctx context.Context, c *remote, id string) error { return c.RetryNotice(ctx, id) },
				itself: func(ctx context.Context, o runner.Outbox, id string) error { return o.Revive(ctx, id) },
			})
		},
	}
	cmd.Flags().BoolVar(&dead, "dead", false, "all that were given up")
	return cmd
}

func newOutboxDrop(a *app) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:     "drop [NOTICE...]",
		Short:   "Give notices up",
		Long:    "Give notices up that nobody needs any more. They stay on record.",
		Example: "  upkeep alert outbox drop 019aa1b2-0000-7000-8000-000000000000 --reason \"told by phone\"",
		RunE: func(cmd *cobra.Command, given []string) error {
			ids, err := a.noticesOf(cmd.Context(), given, false)
			if err != nil {
				return err
			}
			return a.changeNotices(cmd.Context(), ids, noticeChange{
				command: "upkeep alert outbox drop", what: "drop-notice", done: "is given up",
				asked: func(ctx context.Context, c *remote, id string) error { return c.DropNotice(ctx, id, reason) },
				itself: func(ctx context.Context, o runner.Outbox, id string) error {
					why := "dropped by " + whoAmI()
					if reason != "" {
						why += ": " + reason
					}
					return o.Bury(ctx, id, why)
				},
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why (`TEXT`)")
	return cmd
}

// mostDead is how many notices --dead takes at once.
const mostDead = 1000

// noticesOf returns the notices that are named or, with dead, all that were
// given up.
func (a *app) noticesOf(ctx context.Context, given []string, dead bool) ([]string, error) {
	switch {
	case dead && len(given) > 0:
		return nil, usagef("name notices or say --dead, not both")
	case !dead && len(given) == 0:
		return nil, usagef("name a notice; `upkeep alert outbox` lists them")
	case !dead:
		return given, nil
	}
	reader, err := a.openReader(ctx)
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	list, err := reader.alerts.Notices(ctx, runner.NoticeFilter{States: []runner.NoticeState{runner.NoticeDead}, Limit: mostDead})
	var ids []string
	for _, n := range list {
		ids = append(ids, n.ID)
	}
	return ids, err
}

// noticeChange is what a command does to a notice: through the service, or on
// the ledger itself.
type noticeChange struct {
	command, done string
	// what is the operation of the API that does the same.
	what   string
	asked  func(ctx context.Context, c *remote, id string) error
	itself func(ctx context.Context, o runner.Outbox, id string) error
}

// changeNotices changes notices through the service, so that it acts at once,
// or on the ledger itself.
func (a *app) changeNotices(ctx context.Context, ids []string, change noticeChange) error {
	cfg, c, err := a.configOrHolder(ctx)
	if err != nil {
		return err
	}
	each := func(do func(id string) error) error {
		for _, id := range ids {
			err := do(id)
			if errors.Is(err, runner.ErrNotFound) {
				return hintIfNone(&notFoundError{err: err}, "`upkeep alert outbox --all` lists the notices")
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(a.std.Out, "notice %s %s\n", id, change.done)
		}
		return nil
	}
	if c != nil {
		return each(func(id string) error { return change.asked(ctx, c, id) })
	}
	return a.onLedgerOf(ctx, cfg, change.command, func(ctx context.Context, l *ledger.Ledger) error {
		return each(func(id string) error { return acted(ctx, l, change.what, id, change.itself(ctx, l, id)) })
	})
}
