package main

import (
	"context"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

type auditFlags struct {
	filter       runner.ActionFilter
	since, until string
}

func newAudit(a *app) *cobra.Command {
	var f auditFlags
	ends := []runner.ActionEnd{runner.ActionDone, runner.ActionRefused, runner.ActionFailed}
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "List who did what, newest first",
		Long: `List who did what, from where, and what became of it: everything that was asked of the
service but to read, over the socket and over TCP, also what was refused. Refusals
that are alike are counted together. It goes back as far as ` + "`history: keep`" + ` says.

--since and --until take a duration back from now (36h, 7d), a date or an instant.`,
		Example: "  upkeep audit --since 7d --who anna\n  upkeep audit --end refused -o json",
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.listAudit(cmd.Context(), f) },
	}
	a.outputFlag(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.filter.Who, "who", "", "only what this `NAME` did")
	flags.StringVar(&f.filter.What, "what", "", "only this `OPERATION`, such as cancel-run")
	flags.Var(oneOf(&f.filter.End, ends...), "end", "only what ended so: done, refused or failed")
	flags.StringVar(&f.since, "since", "", "only what was asked at this `TIME` or later")
	flags.StringVar(&f.until, "until", "", "only what was asked before this `TIME`")
	flags.IntVarP(&f.filter.Limit, "limit", "n", 50, "list at most `N` lines")
	completeFlag(cmd, "end", completeWords(ends))
	return cmd
}

func (a *app) listAudit(ctx context.Context, f auditFlags) error {
	now := time.Now()
	if f.filter.Limit < 1 || f.filter.Limit > mostRuns {
		return usagef("--limit %d is out of range: use 1 to %d", f.filter.Limit, mostRuns)
	}
	var err error
	if f.filter.Since, err = moment("since", f.since, now); err != nil {
		return err
	}
	if f.filter.Until, err = moment("until", f.until, now); err != nil {
		return err
	}
	return a.onAccess(ctx, "upkeep audit", func(ctx context.Context, k accessKeeper) error {
		list, err := k.Actions(ctx, f.filter)
		if err != nil {
			return err
		}
		l := listing{columns: []string{"AT", "WHO", "ROLE", "BY", "FROM", "WHAT", "SUBJECT", "END", "TIMES"}, empty: "nothing is in the audit"}
		views := []api.Action{}
		for _, v := range list {
			views = append(views, api.NewAction(v))
			who := v.Who
			if who == "" {
				who = "-"
			}
			l.rows = append(l.rows, []string{stamp(v.At), who, string(v.Role), v.Means, v.From, v.What, oneLine(v.Subject, mostAbout), string(v.End), strconv.Itoa(v.Count)})
		}
		l.data = views
		return a.list(l)
	})
}
