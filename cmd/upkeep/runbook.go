package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/cmd/upkeep/service"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/health/runbook"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

// runbookReader reads what speaks against starting runbooks, and what they did.
type runbookReader = service.RunbookReader

// Locks returns none.
func (emptyLedger) Locks(context.Context) ([]runner.LockHolder, error) { return nil, nil }

func (emptyLedger) Waits(context.Context) ([]runner.LockWait, error) { return nil, nil }

// Remedies returns none.
func (emptyLedger) Remedies(context.Context, runner.RemedyFilter) ([]runner.Remedy, error) {
	return nil, nil
}

func newRunbook(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "runbook",
		Short: "Look at the workflows that checks start",
		Long: `Look at runbooks: the workflows with a trigger:, which a check starts. Each run is
judged by the check that started it: it fixed the fault when the check is well
within limits.grace after the run. When two runs in a row did not help, the runbook
is paused and an incident runbook/NAME says so; ` + "`upkeep unpause`" + ` lets it go on.

A run that waits for approval goes with ` + "`upkeep approve`" + `, and is turned down with
` + "`upkeep cancel`" + `.`,
		Example: "  upkeep runbook list\n  upkeep runbook plan high-memory\n  upkeep approve high-memory",
	}
	return withCommands(cmd, newRunbookList(a), newRunbookShow(a), newRunbookPlan(a))
}

func newRunbookList(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the runbooks and how well they do",
		Long: `List the runbooks: what starts each, how often its check did so, the share of the runs
that fixed the fault, the median time from when a run was due to the proof of that,
and how many fixes did not last 24 hours. What the ledger no longer has does not count.`,
		Example: "  upkeep runbook list\n  upkeep runbook list -o json",
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.listRunbooks(cmd.Context()) },
	}
	a.outputFlag(cmd)
	return cmd
}

// playbook tells of runbooks: a service elsewhere, or what is on record here. The
// obligations are those of service.Playbook.
type playbook interface {
	Runbooks(ctx context.Context) ([]api.Runbook, error)
	Runbook(ctx context.Context, name string) (api.RunbookStory, error)
	Plan(ctx context.Context, name string) (api.RunbookPlan, error)
}

// farPlaybook is a service elsewhere that tells of its runbooks.
type farPlaybook struct{ *remote }

// Plan tells what a runbook would run.
func (p farPlaybook) Plan(ctx context.Context, name string) (api.RunbookPlan, error) {
	return p.RunbookPlan(ctx, name)
}

// onRunbooks has something told of runbooks.
func (a *app) onRunbooks(ctx context.Context, tell func(playbook) error) error {
	if c, err := a.farther(); c != nil || err != nil {
		if err != nil {
			return err
		}
		return tell(farPlaybook{c})
	}
	cfg, err := a.loadForReading()
	if err != nil {
		return err
	}
	reader, err := a.openHistory(ctx, cfg)
	if err != nil {
		return err
	}
	defer reader.Close()
	drained, err := a.drained(ctx)
	if err != nil {
		return err
	}
	return tell(service.Playbook{Config: cfg, Records: reader.runbooks, Series: reader.facts.Series, Drained: drained})
}

// drained tells whether the service, if there is one, starts nothing new.
func (a *app) drained(ctx context.Context) (bool, error) {
	_, c, err := a.readingOrHolder(ctx)
	if err != nil || c == nil {
		return false, err
	}
	status, err := c.Status(ctx)
	return status.Draining, err
}

func (a *app) listRunbooks(ctx context.Context) error {
	return a.onRunbooks(ctx, func(book playbook) error {
		list, err := book.Runbooks(ctx)
		if err != nil {
			return err
		}
		l := listing{columns: []string{"RUNBOOK", "WHEN", "MODE", "RUNS", "FIXED", "TIME TO FIX", "RELAPSED", "STATE"}, empty: "no workflow has a trigger", data: list}
		p := a.painter(a.std.Out)
		for _, v := range list {
			state := "ready"
			if v.Paused != "" {
				state = p.yellow("paused by " + oneLine(v.Paused, mostAbout))
			}
			l.rows = append(l.rows, []string{
				v.Name, v.Trigger, v.Mode, strconv.Itoa(v.Score.Runs), rateOf(v.Score), timeToFix(v.Score), strconv.Itoa(v.Score.Relapsed), state,
			})
		}
		return a.list(l)
	})
}

func rateOf(s api.RunbookScore) string {
	if s.FixRate == nil {
		return "-"
	}
	return fmt.Sprintf("%d of %d", s.Fixed, s.Fixed+s.NotFixed+s.Worse)
}

func timeToFix(s api.RunbookScore) string {
	if s.TimeToFixSeconds == nil {
		return "-"
	}
	return unit.Duration(time.Duration(*s.TimeToFixSeconds * float64(time.Second)).Round(time.Second)).String()
}

func newRunbookShow(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show NAME",
		Short: "Show a runbook, its score and its runs",
		Long: `Show what starts a runbook, its limits and its score, and for each of its latest runs
what its check reported, what came of it and why that is known.`,
		Example:           "  upkeep runbook show high-memory\n  upkeep runbook show high-memory -o json",
		ValidArgsFunction: a.completeRunbooks,
		RunE:              func(cmd *cobra.Command, given []string) error { return a.showRunbook(cmd.Context(), given[0]) },
	}
	a.outputFlag(cmd)
	return cmd
}

func (a *app) showRunbook(ctx context.Context, name string) error {
	return a.onRunbooks(ctx, func(book playbook) error {
		v, err := book.Runbook(ctx, name)
		if err != nil {
			return err
		}
		l := listing{columns: []string{"AT", "RUN", "OUTCOME", "REPORT", "WHY"}, empty: "its check has not started it yet", data: v}
		for _, r := range v.Remedies {
			outcome := strings.ReplaceAll(string(r.Outcome), "_", " ")
			if r.RelapsedAt != nil {
				outcome += ", relapsed"
			}
			if r.Disabled {
				outcome += ", paused"
			}
			l.rows = append(l.rows, []string{stamp(r.BegunAt), string(r.Run), outcome, oneLine(r.Report, mostAbout), oneLine(r.Why, mostError)})
		}
		if a.format == formatTable {
			a.tellRunbook(v.Runbook)
		}
		return a.list(l)
	})
}

// tellRunbook writes what stands above the runs.
func (a *app) tellRunbook(v api.Runbook) {
	facts := [][2]string{
		{"runbook", v.Name},
		{"when", v.Trigger},
		{"mode", v.Mode},
		{"limits", fmt.Sprintf("%d within %s, cool-down %s, grace %s", v.Limits.Max, inSeconds(v.Limits.PerSeconds), inSeconds(v.Limits.CooldownSeconds), inSeconds(v.Limits.GraceSeconds))},
		{"fixed", rateOf(v.Score)},
		{"time to fix", timeToFix(v.Score)},
		{"relapsed", fmt.Sprintf("%d within %s", v.Score.Relapsed, unit.Duration(runbook.Relapse))},
	}
	if v.Paused != "" {
		facts = append(facts, [2]string{"paused by", oneLine(v.Paused, 0)}, [2]string{"let it go on", a.again("unpause " + v.Name)})
	}
	for _, f := range facts {
		fmt.Fprintf(a.std.Out, "%-12s  %s\n", f[0], f[1])
	}
	fmt.Fprintln(a.std.Out)
}

func inSeconds(s float64) string {
	return unit.Duration(time.Duration(s * float64(time.Second))).String()
}

// completeRunbooks offers the workflows that a check starts.
func (a *app) completeRunbooks(_ *cobra.Command, given []string, _ string) ([]string, cobra.ShellCompDirective) {
	cfg, err := a.loadForReading()
	if err != nil || len(given) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, b := range cfg.Runbooks() {
		names = append(names, b.Name+"\t"+b.Trigger.String())
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
