package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/cmd/upkeep/service"
	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/health"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

type healthFlags struct {
	checks        []string
	fresh, nagios bool
}

func newHealth(a *app) *cobra.Command {
	var f healthFlags
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Show how the checks are",
		Long: `Show how the checks are, and end with a code that says it: 0 healthy, 5 warnings, 1
critical. A check of the impact outage that could not be asked counts as critical, any
other as a warning.

When a service runs, this is what it knows, with the age of each answer: a check fails
after several bad answers in a row. --fresh has it ask anew. Without a service the
checks are asked here and now, and one answer decides.

--nagios writes the one line that monitoring plugins write, with performance data, and
ends with 0 ok, 1 warning, 2 critical or 3 unknown. -o json has the form timestamp,
overall_status and components, as the address /health of the service.`,
		Example: "  upkeep health\n  upkeep health --check database --fresh\n  upkeep health --nagios\n  upkeep health -o json",
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.health(cmd.Context(), f) },
	}
	a.outputFlag(cmd)
	cmd.Flags().StringSliceVar(&f.checks, "check", nil, "only the check of that `NAME` (several allowed)")
	cmd.Flags().BoolVar(&f.fresh, "fresh", false, "ask anew, instead of showing the latest answers")
	cmd.Flags().BoolVar(&f.nagios, "nagios", false, "one line for Nagios and the like, and their exit codes")
	completeFlag(cmd, "check", a.completeChecks)
	return cmd
}

// unhealthy carries the health of everything to the exit code; it has been
// shown already.
type unhealthy struct {
	health runner.Health
	nagios bool
}

func (e *unhealthy) Error() string { return "overall " + string(e.health) }

// code is the exit code. Those of --nagios are the ones of the Monitoring
// Plugins Development Guidelines, section 2.
func (e *unhealthy) code() int {
	switch {
	case e.nagios:
		return map[runner.Health]int{runner.Healthy: 0, runner.HealthWarning: 1, runner.HealthCritical: 2}[e.health] + e.unknown()
	case e.health == runner.HealthWarning:
		return exitWarned
	}
	return exitFailed
}

// unknown is what Nagios calls 3.
func (e *unhealthy) unknown() int {
	if e.health == runner.HealthUnknown {
		return 3
	}
	return 0
}

func (a *app) health(ctx context.Context, f healthFlags) error {
	if f.nagios && a.format != formatTable {
		return usagef("--nagios and -o exclude each other")
	}
	checks, watched, err := a.checks(ctx, f)
	if err != nil && f.nagios {
		fmt.Fprintf(a.std.Out, "UPKEEP UNKNOWN - %s\n", strings.ReplaceAll(oneLine(err.Error(), 0), "|", "/"))
		return &unhealthy{health: runner.HealthUnknown, nagios: true}
	}
	if err != nil {
		return err
	}
	overall := api.Overall(checks)
	switch {
	case f.nagios:
		fmt.Fprintln(a.std.Out, nagiosLine(checks, overall, len(f.checks) > 0))
	case a.format == formatJSON:
		err = writeJSON(a.std.Out, api.NewSystemHealth(checks, time.Now()))
	default:
		err = a.showChecks(checks, overall, watched)
	}
	if err == nil && overall != runner.Healthy {
		return &unhealthy{health: overall, nagios: f.nagios}
	}
	return err
}

// checks returns how the checks are: what a service knows, or what they answer
// here and now.
func (a *app) checks(ctx context.Context, f healthFlags) (_ []api.Check, watched bool, err error) {
	cfg, c, err := a.readingOrHolder(ctx)
	if err != nil {
		return nil, false, err
	}
	if c != nil {
		answer, err := c.Checks(ctx, f.fresh, f.checks...)
		if problem, ok := errors.AsType[*api.Problem](err); !ok || problem.Code != api.CodeUnavailable {
			return answer.Checks, true, err
		}
		// A command in the foreground holds the ledger, and watches nothing.
	}
	var past runner.SampleReader = emptyLedger{}
	if slices.ContainsFunc(cfg.Checks, func(c configs.Check) bool { return c.Kind == health.KindHeartbeat }) {
		reader, err := a.openHistory(ctx, cfg)
		if err != nil {
			return nil, false, err
		}
		defer reader.Close()
		past = reader.facts
	}
	checks, err := service.CheckOnce(ctx, cfg, past, version, f.checks...)
	return checks, false, err
}

// showChecks writes the table.
func (a *app) showChecks(checks []api.Check, overall runner.Health, watched bool) error {
	now := time.Now()
	p := a.painter(a.std.Out)
	l := listing{columns: []string{"CHECK", "STATUS", "FOR", "AGE", "MESSAGE"}, empty: "no checks are configured"}
	for _, c := range checks {
		since, age := "-", "-"
		if c.Since != nil && watched {
			since = unit.Took(now.Sub(*c.Since).Round(time.Second))
		}
		if c.At != nil {
			age = unit.Took(max(0, now.Sub(*c.At)).Round(time.Second))
		}
		l.rows = append(l.rows, []string{c.Name, paintHealth(p, c.Health), since, age, about(c)})
	}
	if err := a.list(l); err != nil || a.format != formatTable || len(checks) == 0 {
		return err
	}
	how := "asked just now"
	if watched {
		how = "as the service sees it"
	}
	fmt.Fprintf(a.std.Out, "overall %s, %s\n", paintHealth(p, overall), how)
	return nil
}

// about says what there is to know of a check in one line.
func about(c api.Check) string {
	text := oneLine(c.Message, mostError)
	if c.Phase == runner.CheckSuspect || c.Phase == runner.CheckRecovering {
		text = string(c.Phase) + ": " + text
	}
	if c.Cause != "" {
		text += " (because of " + c.Cause + ")"
	}
	return text
}

func paintHealth(p painter, h runner.Health) string {
	switch h {
	case runner.Healthy:
		return p.paint("32", string(h))
	case runner.HealthCritical:
		return p.red(string(h))
	case runner.HealthWarning, runner.HealthUnknown:
	}
	return p.yellow(string(h))
}

// mostPerfdata is how many values of one check go into performance data.
const mostPerfdata = 40

// nagiosLine is one line in the form of the Monitoring Plugins Development
// Guidelines: SERVICE STATUS - text | 'label'=value[unit] ... . With values it
// has those of the checks too.
func nagiosLine(checks []api.Check, overall runner.Health, values bool) string {
	word := map[runner.Health]string{runner.Healthy: "OK", runner.HealthWarning: "WARNING", runner.HealthCritical: "CRITICAL"}[overall]
	if word == "" {
		word = "UNKNOWN"
	}
	var bad, data []string
	healthy := 0
	for _, c := range checks {
		if c.Health == runner.Healthy {
			healthy++
		} else {
			bad = append(bad, fmt.Sprintf("%s %s: %s", c.Name, c.Health, about(c)))
		}
		if c.TookSeconds > 0 {
			data = append(data, fmt.Sprintf("'%s.seconds'=%.6fs", c.Name, c.TookSeconds))
		}
		if values {
			names := slices.Sorted(maps.Keys(c.Values))
			for _, name := range names[:min(len(names), mostPerfdata)] {
				data = append(data, fmt.Sprintf("'%s.%s'=%v%s", c.Name, name, c.Values[name], unitOf(name)))
			}
		}
	}
	text := strings.Join(bad, "; ")
	switch {
	case text == "" && len(checks) == 1:
		text = checks[0].Name + ": " + about(checks[0])
	case text == "" || overall == runner.Healthy:
		text = count(healthy, "check") + " healthy"
	case healthy > 0:
		text += fmt.Sprintf("; %d healthy", healthy)
	}
	line := fmt.Sprintf("UPKEEP %s - %s", word, strings.ReplaceAll(text, "|", "/"))
	if len(data) > 0 {
		line += " | " + strings.Join(data, " ")
	}
	return line
}

// unitOf is the unit of a value as performance data knows it, by the end of its
// name or of the part before a dot and what it is about.
func unitOf(name string) string {
	base, _, _ := strings.Cut(name, ".")
	switch {
	case strings.HasSuffix(base, "_seconds"):
		return "s"
	case strings.HasSuffix(base, "_percent"):
		return "%"
	case strings.HasSuffix(base, "_bytes"):
		return "B"
	}
	return ""
}

// completeChecks offers the names of checks.
func (a *app) completeChecks(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	cfg, err := a.loadForReading()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, c := range cfg.Checks {
		names = append(names, c.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// tellDetection says, for each configured check, how long a fault can last
// before it is on record.
func (a *app) tellDetection(cfg *configs.Config) {
	for _, c := range cfg.Checks {
		if c.Implicit {
			continue
		}
		how := fmt.Sprintf("asked every %s, then every %s until %s in a row, each at most %s",
			unit.Duration(c.Every), unit.Duration(c.RetryEvery), count(c.FailAfter, "bad answer"), unit.Duration(c.Timeout))
		switch {
		case c.Slug != "":
			how = fmt.Sprintf("told every %s, at most %s late", unit.Duration(c.Every), unit.Duration(c.Grace))
		case c.FailAfter == 1:
			how = fmt.Sprintf("asked every %s, each answer at most %s", unit.Duration(c.Every), unit.Duration(c.Timeout))
		}
		fmt.Fprintf(a.std.Out, "check %s: a fault is on record within %s (%s)\n", c.Name, unit.Duration(c.WorstDetection()), how)
	}
}
