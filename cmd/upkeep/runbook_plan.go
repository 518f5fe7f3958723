package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/health/runbook"
	"github.com/ghosteam/upkeep/web/api"
)

func newRunbookPlan(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "plan NAME",
		Short: "Show what a runbook would run now, and what would refuse it",
		Long: `Show how the check of a runbook is, as far as the ledger knows, the jobs that would run
and the locks that they take, what is left of its budget, and everything that would
keep its check from starting it now. Nothing is run: ` + "`upkeep run NAME --dry-run`" + ` shows what
each job would do.

Exit code 4 when something would refuse it.`,
		Example:           "  upkeep runbook plan high-memory\n  upkeep runbook plan high-memory -o json",
		ValidArgsFunction: a.completeRunbooks,
		RunE:              func(cmd *cobra.Command, given []string) error { return a.planRunbook(cmd.Context(), given[0]) },
	}
	a.outputFlag(cmd)
	return cmd
}

func (a *app) planRunbook(ctx context.Context, name string) error {
	return a.onRunbooks(ctx, func(book playbook) error {
		p, err := book.Plan(ctx, name)
		if err != nil {
			return err
		}
		if err := a.showPlan(p); err != nil {
			return err
		}
		if len(p.Refusals) > 0 {
			return skippedf("", "%s would not start now: %s", p.Name, p.Refusals[0].Text)
		}
		return nil
	})
}

// showPlan writes a plan in the format that the user chose.
func (a *app) showPlan(p api.RunbookPlan) error {
	l := listing{columns: []string{"JOB", "KIND", "NEEDS", "IF"}, data: p}
	for _, j := range p.Jobs {
		l.rows = append(l.rows, []string{j.Job, j.Kind, strings.Join(j.Needs, ", "), j.If})
	}
	if a.format != formatTable {
		return a.list(l)
	}
	then := map[runbook.Mode]string{
		runbook.Auto: "it runs by itself", runbook.Approve: "it waits for approval", runbook.Observe: "a dry run shows what it would do",
	}
	facts := [][2]string{
		{"runbook", p.Name},
		{"when", p.Trigger},
		{"now", p.Check},
		{"mode", fmt.Sprintf("%s: %s", p.Mode, then[runbook.Mode(p.Mode)])},
		{"budget", fmt.Sprintf("%d of %d within %s are used", p.Used, p.Max, inSeconds(p.PerSeconds))},
	}
	if len(p.Locks) > 0 {
		facts = append(facts, [2]string{"locks", strings.Join(p.Locks, ", ")})
	}
	for _, r := range p.Refusals {
		text := r.Rule + ": " + oneLine(r.Text, 0)
		if r.Until != nil {
			text += ", until " + stamp(*r.Until)
		}
		facts = append(facts, [2]string{"refused", text})
	}
	if len(p.Refusals) == 0 {
		facts = append(facts, [2]string{"refused", "nothing stands in its way"})
	}
	for _, f := range facts {
		fmt.Fprintf(a.std.Out, "%-8s  %s\n", f[0], f[1])
	}
	fmt.Fprintln(a.std.Out)
	return a.list(l)
}
