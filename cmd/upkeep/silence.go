package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

func newSilence(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "silence",
		Short: "Keep incidents from being told for a while",
		Long: `Keep incidents from being told for a while. They stay on record; what lasts longer
than the silence is told at its end, and the end of what was told before is told all
the same.`,
		Example: "  upkeep silence add --check 'db*' --for 2h --why \"storage is being moved\"\n  upkeep silence list",
	}
	return withCommands(cmd, newSilenceAdd(a), newSilenceList(a), newSilenceEnd(a))
}

type silenceFlags struct {
	request      api.SilenceRequest
	severity     jobs.Severity
	lasts, until string
}

func newSilenceAdd(a *app) *cobra.Command {
	var f silenceFlags
	cmd := &cobra.Command{
		Use:   "add",
		Short: "Begin a silence",
		Long: `Begin a silence for the incidents that fit all that is given. In the patterns * ? [a-z]
and {a,b} are understood. The silence ends by itself: --for takes a duration, --until a
date, or a date and a time.`,
		Example: "  upkeep silence add --check 'db*' --for 2h --why \"storage is being moved\"\n" +
			"  upkeep silence add --workflow daily --reason missed --until \"2026-12-01 08:00\" --why freeze\n" +
			"  upkeep silence add --all --for 30m --why \"the data center is being cleaned\"",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.addSilence(cmd.Context(), f)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.request.Workflow, "workflow", "", "of workflows whose name fits this `PATTERN`")
	flags.StringVar(&f.request.Check, "check", "", "of checks whose name fits this `PATTERN`")
	flags.StringVar(&f.request.Reason, "reason", "", "whose reason fits this `PATTERN`: failed, missed, stale, check …")
	flags.Var(oneOf(&f.severity, jobs.Info, jobs.Warning, jobs.Critical), "severity", "of this severity: info, warning or critical")
	flags.BoolVar(&f.request.All, "all", false, "all incidents")
	flags.StringVar(&f.lasts, "for", "", "how long it lasts (`DURATION`)")
	flags.StringVar(&f.until, "until", "", "when it ends: a date or an instant (`WHEN`)")
	flags.StringVar(&f.request.Why, "why", "", "what for, for those who wonder (`TEXT`, required)")
	completeFlag(cmd, "severity", completeWords([]jobs.Severity{jobs.Info, jobs.Warning, jobs.Critical}))
	return cmd
}

func (a *app) addSilence(ctx context.Context, f silenceFlags) error {
	r := f.request
	r.Severity = f.severity
	now := time.Now()
	switch {
	case strings.TrimSpace(r.Why) == "":
		return jobs.WithHint(usagef("a silence needs a reason"), `add --why "what is going on"`)
	case (f.lasts == "") == (f.until == ""):
		return jobs.WithHint(usagef("say when the silence ends, once"), "add --for 2h, or --until with a date")
	}
	if f.lasts != "" && !isDuration(f.lasts) {
		return usagef("--for %q is not a duration, such as 30m, 2h or 3d", f.lasts)
	}
	until, err := parseUntil(f.lasts+f.until, time.Local, now)
	if err != nil {
		return err
	}
	r.Until = until
	if _, err := r.Runner("", now); err != nil {
		return err
	}
	return a.onDesk(ctx, "upkeep silence add", func(ctx context.Context, d deskWorker) error {
		s, err := d.Silence(ctx, r)
		if err != nil {
			return err
		}
		fmt.Fprintf(a.std.Out, "nobody is told of %s until %s\nend it before: %s\n", selection(s), stamp(s.Until), a.again("silence end "+s.ID))
		return nil
	})
}

// isDuration tells a duration from a date.
func isDuration(text string) bool {
	var d unit.Duration
	return d.UnmarshalText([]byte(text)) == nil && d > 0
}

// selection says in words which incidents a silence selects.
func selection(s runner.Silence) string {
	var words []string
	for _, part := range [][2]string{{"workflow", s.Workflow}, {"check", s.Check}, {"reason", s.Reason}, {"severity", s.Severity}} {
		if part[1] != "" {
			words = append(words, part[0]+" "+part[1])
		}
	}
	if len(words) == 0 {
		return "all incidents"
	}
	return strings.Join(words, ", ")
}

func newSilenceList(a *app) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the silences, newest first",
		Long:    "List the silences that have not ended, newest first; --all adds those that have.",
		Example: "  upkeep silence list\n  upkeep silence list --all -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.listSilences(cmd.Context(), all)
		},
	}
	a.outputFlag(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "also those that have ended")
	return cmd
}

func (a *app) listSilences(ctx context.Context, all bool) error {
	reader, err := a.openReader(ctx)
	if err != nil {
		return err
	}
	defer reader.Close()
	list, err := reader.desk.Silences(ctx, time.Now(), all)
	if err != nil {
		return err
	}
	l := listing{columns: []string{"SINCE", "UNTIL", "OF", "BY", "SILENCE", "WHY"}, empty: "nothing is silenced"}
	views := []api.Silence{}
	for _, s := range list {
		views = append(views, api.NewSilence(s))
		until := s.Until
		if !s.EndedAt.IsZero() {
			until = s.EndedAt
		}
		l.rows = append(l.rows, []string{stamp(s.Since), stamp(until), selection(s), s.By, s.ID, oneLine(s.Why, mostError)})
	}
	l.data = views
	return a.list(l)
}

func newSilenceEnd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:               "end SILENCE",
		Short:             "End a silence",
		Long:              "End a silence now: of what it kept back and is still open, people are told. SILENCE is its ID.",
		Example:           "  upkeep silence end 019aa1b2-0000-7000-8000-000000000000",
		ValidArgsFunction: a.completeSilences,
		RunE: func(cmd *cobra.Command, given []string) error {
			return a.onDesk(cmd.Context(), "upkeep silence end", func(ctx context.Context, d deskWorker) error {
				switch err := d.EndSilence(ctx, given[0]); {
				case errors.Is(err, runner.ErrNotFound):
					return hintIfNone(&notFoundError{err: err}, "`upkeep silence list` lists the silences")
				case err != nil:
					return err
				}
				fmt.Fprintf(a.std.Out, "silence %s has ended\n", given[0])
				return nil
			})
		},
	}
}
