package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

// deployResult is how a deploy ended.
type deployResult string

const (
	deployOK       deployResult = "ok"
	deployFailed   deployResult = "failed"
	deployRollback deployResult = "rollback"
)

func newEvent(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "event",
		Short: "Record and list what happened to the system",
		Long: `Record what happened to the system, such as a deploy, and list it: together with the
packages that upkeep updated, the services that it restarted and the configurations
that it loaded, this is what had changed before something broke.`,
		Example: "  upkeep event deploy --version 1.4.2\n  upkeep event list --since 2d",
	}
	return withCommands(cmd, newEventList(a), newEventDeploy(a), newEventAdd(a))
}

func newEventList(a *app) *cobra.Command {
	var kinds []string
	var since, until string
	var limit int
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List what happened, the latest first",
		Long: `List what happened to the system, the latest first. --since and --until take a
duration back from now (36h, 7d), a date, or an instant.`,
		Example: "  upkeep event list\n  upkeep event list --kind deploy,packages --since 7d -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.listEvents(cmd.Context(), kinds, since, until, limit)
		},
	}
	a.outputFlag(cmd)
	cmd.Flags().StringSliceVar(&kinds, "kind", nil, "only of this `KIND` (several allowed)")
	cmd.Flags().StringVar(&since, "since", "", "only what happened at this `TIME` or later")
	cmd.Flags().StringVar(&until, "until", "", "only what happened before this `TIME`")
	cmd.Flags().IntVarP(&limit, "limit", "n", 50, "at most this many (`N`)")
	completeFlag(cmd, "kind", completeWords([]string{"deploy", "packages", "restart", "certificate", "reload", "pause", "disk"}))
	return cmd
}

func (a *app) listEvents(ctx context.Context, kinds []string, since, until string, limit int) error {
	f := runner.HappeningFilter{Kinds: kinds, Limit: limit}
	now := time.Now()
	var err error
	if f.Since, err = moment("since", since, now); err != nil {
		return err
	}
	if f.Until, err = moment("until", until, now); err != nil {
		return err
	}
	reader, err := a.readLatest(ctx, limit)
	if err != nil {
		return err
	}
	defer reader.Close()
	list, err := reader.facts.Happenings(ctx, f)
	if err != nil {
		return err
	}
	l := listing{columns: []string{"AT", "KIND", "SUBJECT", "WHAT", "BY"}, empty: "nothing is on record"}
	views := []api.Happening{}
	for _, h := range list {
		views = append(views, api.NewHappening(h))
		l.rows = append(l.rows, []string{stamp(h.At), h.Kind, oneLine(h.Subject, mostAbout), oneLine(h.Text, mostError), h.By})
	}
	l.data = views
	return a.list(l)
}

func newEventDeploy(a *app) *cobra.Command {
	var deployed, at, note string
	result := deployOK
	cmd := &cobra.Command{
		Use:   "deploy [SUBJECT]",
		Short: "Record that a version was deployed",
		Long: `Record that a version of SUBJECT was deployed, and how that ended; without SUBJECT it
is the project. The record reads VERSION RESULT, and the note behind a colon.`,
		Example: "  upkeep event deploy --version 1.4.2\n" +
			"  upkeep event deploy api --version 1.4.2 --result rollback --note \"errors on checkout\"",
		RunE: func(cmd *cobra.Command, given []string) error {
			return a.addDeploy(cmd.Context(), strings.Join(given, ""), deployed, result, at, note)
		},
	}
	cmd.Flags().StringVar(&deployed, "version", "", "the `VERSION` (required)")
	cmd.Flags().Var(oneOf(&result, deployOK, deployFailed, deployRollback), "result", "how it ended: ok, failed or rollback")
	cmd.Flags().StringVar(&at, "at", "", "when it happened (`TIME`); without it, now")
	cmd.Flags().StringVar(&note, "note", "", "what else to say (`TEXT`)")
	completeFlag(cmd, "result", completeWords([]deployResult{deployOK, deployFailed, deployRollback}))
	return cmd
}

func (a *app) addDeploy(ctx context.Context, subject, deployed string, result deployResult, at, note string) error {
	if deployed == "" || strings.ContainsAny(deployed, " \t\n") {
		return usagef("say which version was deployed: --version, one word")
	}
	if subject == "" {
		cfg, err := a.loadForReading()
		if err != nil {
			return err
		}
		if subject = cfg.Project; subject == "" {
			return usagef("say what was deployed: `upkeep event deploy SUBJECT`, or name the project in the configuration")
		}
	}
	text := deployed + " " + string(result)
	if note != "" {
		text += ": " + note
	}
	return a.addEvent(ctx, "deploy", subject, text, at)
}

func newEventAdd(a *app) *cobra.Command {
	var at string
	cmd := &cobra.Command{
		Use:     "add KIND SUBJECT TEXT",
		Short:   "Record that something happened",
		Long:    "Record that something happened: KIND is one word, SUBJECT is what it happened to, TEXT says what.",
		Example: "  upkeep event add failover db-2 \"promoted by hand\"",
		RunE: func(cmd *cobra.Command, given []string) error {
			return a.addEvent(cmd.Context(), given[0], given[1], given[2], at)
		},
	}
	cmd.Flags().StringVar(&at, "at", "", "when it happened (`TIME`); without it, now")
	return cmd
}

func (a *app) addEvent(ctx context.Context, kind, subject, text, at string) error {
	instant, err := moment("at", at, time.Now())
	switch {
	case err != nil:
		return err
	case !jobs.ValidName(kind):
		return usagef("the kind %q is not one word of a-z, 0-9, _, . and -", kind)
	case strings.TrimSpace(subject) == "":
		return usagef("the subject is empty")
	}
	err = a.onFacts(ctx, "upkeep event", func(ctx context.Context, f factsKeeper) error {
		return f.AddEvents(ctx, runner.Happening{Kind: kind, Subject: subject, Text: text, At: instant})
	})
	if err == nil {
		fmt.Fprintf(a.std.Out, "recorded: %s of %s: %s\n", kind, oneLine(subject, 0), oneLine(text, 0))
	}
	return err
}
