package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/health/runbook"
	"github.com/ghosteam/upkeep/runner"
)

// mostRemedies is how many runs of a runbook its score rests on.
const mostRemedies = 1000

// runbookReader reads what speaks against starting runbooks, and what they did.
type runbookReader interface {
	runbook.Records
	Remedies(ctx context.Context, f runner.RemedyFilter) ([]runner.Remedy, error)
}

// Locks returns none.
func (emptyLedger) Locks(context.Context) ([]runner.LockHolder, error) { return nil, nil }

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

// runbookView is a runbook as -o json shows it.
type runbookView struct {
	Name    string       `json:"name"`
	Trigger string       `json:"trigger"`
	Mode    runbook.Mode `json:"mode"`
	// Paused says who paused it and why; empty when it is not.
	Paused string `json:"paused"`
	// Limits are those that its check is bound by.
	Limits limitsView `json:"limits"`
	Score  scoreView  `json:"score"`
}

// runbookStory is a runbook with its latest runs, the newest first.
type runbookStory struct {
	runbookView

	Remedies []remedyView `json:"remedies"`
}

type limitsView struct {
	CooldownSeconds float64 `json:"cooldown_seconds"`
	Max             int     `json:"max"`
	PerSeconds      float64 `json:"per_seconds"`
	GraceSeconds    float64 `json:"grace_seconds"`
}

type scoreView struct {
	Runs     int `json:"runs"`
	Fixed    int `json:"fixed"`
	NotFixed int `json:"not_fixed"`
	Worse    int `json:"worse"`
	Observed int `json:"observed"`
	Dropped  int `json:"dropped"`
	Open     int `json:"open"`
	Relapsed int `json:"relapsed"`
	// FixRate is from 0 to 1; null when no outcome is known.
	FixRate *float64 `json:"fix_rate"`
	// TimeToFixSeconds is the median; null when nothing was fixed.
	TimeToFixSeconds *float64 `json:"time_to_fix_seconds"`
}

type remedyView struct {
	Run        runner.RunID   `json:"run"`
	BegunAt    time.Time      `json:"begun_at"`
	Report     string         `json:"report"`
	Outcome    runner.Outcome `json:"outcome"`
	Why        string         `json:"why"`
	DecidedAt  *time.Time     `json:"decided_at"`
	RelapsedAt *time.Time     `json:"relapsed_at"`
	Disabled   bool           `json:"disabled"`
}

func (a *app) listRunbooks(ctx context.Context) error {
	cfg, err := a.loadForReading()
	if err != nil {
		return err
	}
	reader, err := a.openHistory(ctx, cfg)
	if err != nil {
		return err
	}
	defer reader.Close()
	l := listing{columns: []string{"RUNBOOK", "WHEN", "MODE", "RUNS", "FIXED", "TIME TO FIX", "RELAPSED", "STATE"}, empty: "no workflow has a trigger"}
	views := []runbookView{}
	p := a.painter(a.std.Out)
	for _, b := range cfg.Runbooks() {
		v, err := viewRunbook(ctx, reader, b)
		if err != nil {
			return err
		}
		views = append(views, v.runbookView)
		state := "ready"
		if v.Paused != "" {
			state = p.yellow("paused by " + oneLine(v.Paused, mostAbout))
		}
		l.rows = append(l.rows, []string{
			v.Name, v.Trigger, string(v.Mode), strconv.Itoa(v.Score.Runs), rateOf(v.Score), timeToFix(v.Score), strconv.Itoa(v.Score.Relapsed), state,
		})
	}
	l.data = views
	return a.list(l)
}

// viewRunbook is what the ledger has of a runbook.
func viewRunbook(ctx context.Context, reader history, b runbook.Runbook) (runbookStory, error) {
	v := runbookStory{Remedies: []remedyView{}}
	v.runbookView = runbookView{Name: b.Name, Trigger: b.Trigger.String(), Mode: b.Mode, Limits: limitsView{
		CooldownSeconds: b.Limits.Cooldown.Seconds(), Max: b.Limits.Max, PerSeconds: b.Limits.Per.Seconds(), GraceSeconds: b.Limits.Grace.Seconds(),
	}}
	pauses, err := reader.slots.Pauses(ctx)
	if err != nil {
		return v, err
	}
	for _, p := range pauses {
		if p.Workflow == b.Name {
			v.Paused = p.By + ": " + p.Why
		}
	}
	remedies, err := reader.runbooks.Remedies(ctx, runner.RemedyFilter{Workflow: b.Name, Limit: mostRemedies})
	if err != nil {
		return v, err
	}
	s := runbook.ScoreOf(remedies)
	v.Score = scoreView{
		Runs: s.Runs, Fixed: s.Fixed, NotFixed: s.NotFixed, Worse: s.Worse, Observed: s.Observed, Dropped: s.Dropped, Open: s.Open, Relapsed: s.Relapsed,
	}
	if rate, ok := s.Rate(); ok {
		v.Score.FixRate = &rate
	}
	if s.Fixed > 0 {
		seconds := s.TimeToFix.Seconds()
		v.Score.TimeToFixSeconds = &seconds
	}
	for _, r := range remedies {
		v.Remedies = append(v.Remedies, remedyView{
			Run: r.Run, BegunAt: r.BegunAt, Report: r.Report, Outcome: outcomeWord(r.Outcome), Why: r.Why, DecidedAt: maybe(r.DecidedAt), RelapsedAt: maybe(r.RelapsedAt), Disabled: r.Disabled,
		})
	}
	return v, nil
}

// outcomeWord names an outcome that nobody knows yet.
func outcomeWord(o runner.Outcome) runner.Outcome {
	if o == runner.OutcomeOpen {
		return "open"
	}
	return o
}

func maybe(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func rateOf(s scoreView) string {
	if s.FixRate == nil {
		return "-"
	}
	return fmt.Sprintf("%d of %d", s.Fixed, s.Fixed+s.NotFixed+s.Worse)
}

func timeToFix(s scoreView) string {
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

// shownRemedies is how many runs are shown.
const shownRemedies = 20

func (a *app) showRunbook(ctx context.Context, name string) error {
	_, b, reader, err := a.runbookOf(ctx, name)
	if err != nil {
		return err
	}
	defer reader.Close()
	v, err := viewRunbook(ctx, reader, b)
	if err != nil {
		return err
	}
	v.Remedies = v.Remedies[:min(len(v.Remedies), shownRemedies)]
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
		a.tellRunbook(v.runbookView)
	}
	return a.list(l)
}

// tellRunbook writes what stands above the runs.
func (a *app) tellRunbook(v runbookView) {
	facts := [][2]string{
		{"runbook", v.Name},
		{"when", v.Trigger},
		{"mode", string(v.Mode)},
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

// runbookOf finds a runbook and opens the ledger for reading.
func (a *app) runbookOf(ctx context.Context, name string) (*configs.Config, runbook.Runbook, history, error) {
	cfg, err := a.loadForReading()
	if err != nil {
		return nil, runbook.Runbook{}, history{}, err
	}
	b, err := cfg.Runbook(name)
	if err != nil {
		return nil, b, history{}, hintIfNone(&notFoundError{err: err}, "`upkeep runbook list` shows the runbooks")
	}
	reader, err := a.openHistory(ctx, cfg)
	return cfg, b, reader, err
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
