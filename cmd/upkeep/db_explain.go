package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/cmd/upkeep/service"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs/pgreview"
	"github.com/ghosteam/upkeep/web/api"
)

func newDB(a *app) *cobra.Command {
	return withCommands(&cobra.Command{
		Use:   "db",
		Short: "Look into databases of the configuration",
		Long: `Look into databases of the configuration, without changing anything in them. The kinds
pgreview, pgindex and pgvacuum look after them.`,
		Example: "  upkeep db explain ghosteam 'SELECT count(*) FROM predictions'",
	}, newDBExplain(a))
}

// planFormat is how a plan is shown.
type planFormat string

const (
	planText planFormat = "text"
	planJSON planFormat = "json"
)

// Set takes one of the formats.
func (f *planFormat) Set(text string) error {
	if given := planFormat(text); given == planText || given == planJSON {
		*f = given
		return nil
	}
	return errors.New("use text or json")
}

// String returns the format's name.
func (f *planFormat) String() string { return string(*f) }

// Type names the value in the help.
func (f *planFormat) Type() string { return "FORMAT" }

type explainFlags struct {
	file, save, diff string
	analyze          bool
	timeout          string
	format           planFormat
}

func newDBExplain(a *app) *cobra.Command {
	f := explainFlags{format: planText}
	cmd := &cobra.Command{
		Use:   "explain DATABASE [SQL]",
		Short: "Show how a database means to run a statement, and what changed",
		Long: `Show the plan of one statement: as SQL on the command line, or from a file, where it is
not in the list of processes. The statement is not run, unless --analyze says so: then in a
transaction that can only read and is rolled back, so that a statement that changes rows is
refused.

--save keeps the plan under a name in a file beside the ledger (plans/DATABASE/NAME.json,
readable by its owner alone, since it holds the statement); --diff shows what changed since:
steps, indexes, and by how much the estimates and times differ. It ends with 5 when the plan
is another one, or at least twice as costly.`,
		Example: "  upkeep db explain ghosteam \"SELECT * FROM predictions WHERE model_name = 'm'\" --save by-model\n" +
			"  upkeep db explain ghosteam -f query.sql --analyze --diff by-model",
		RunE: func(cmd *cobra.Command, given []string) error {
			return a.explainSQL(cmd.Context(), given[0], given[1:], f)
		},
		ValidArgsFunction: a.completeDatabases,
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.file, "file", "f", "", "read the statement from a `FILE`; - is standard input")
	flags.BoolVar(&f.analyze, "analyze", false, "run the statement, read-only, and measure")
	flags.StringVar(&f.timeout, "timeout", "30s", "how long the statement may take (`DURATION`)")
	flags.StringVar(&f.save, "save", "", "keep the plan under this `NAME`")
	flags.StringVar(&f.diff, "diff", "", "show what changed since the plan that was kept under this `NAME`")
	flags.VarP(&f.format, "output", "o", "text or json")
	completeFlag(cmd, "output", completeWords([]planFormat{planText, planJSON}))
	return cmd
}

// completeDatabases offers the names of databases.
func (a *app) completeDatabases(_ *cobra.Command, given []string, _ string) ([]string, cobra.ShellCompDirective) {
	cfg, err := a.loadForReading()
	if err != nil || len(given) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, d := range cfg.Databases {
		names = append(names, d.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// explainedView is the JSON form of a plan, with what changed.
type explainedView struct {
	pgreview.Plan
	Difference *pgreview.Difference `json:"difference,omitempty"`
}

func (a *app) explainSQL(ctx context.Context, name string, given []string, f explainFlags) error {
	sql, err := a.statement(given, f.file)
	if err != nil {
		return err
	}
	timeout, err := unit.ParseDuration(f.timeout)
	if err != nil || timeout < time.Millisecond {
		return usagef("--timeout: %q is not a time of at least 1ms", f.timeout)
	}
	r := api.ExplainRequest{SQL: sql, Analyze: f.analyze, Seconds: timeout.Seconds(), Save: f.save, Diff: f.diff}
	c, err := a.farther()
	if err != nil {
		return err
	}
	if c != nil {
		return a.explainSQLElsewhere(ctx, c, name, r, f.format)
	}
	cfg, err := a.loadForReading()
	if err != nil {
		return err
	}
	plan, changed, err := service.ExplainStatement(ctx, cfg, name, r)
	if err != nil {
		return err
	}
	return a.tellPlan(plan, changed, f.format)
}

// explainSQLElsewhere asks a service elsewhere, with the rights that it has.
func (a *app) explainSQLElsewhere(ctx context.Context, c *remote, name string, r api.ExplainRequest, format planFormat) error {
	answer, err := c.Explain(ctx, name, r)
	if err != nil {
		return err
	}
	var plan pgreview.Plan
	var changed *pgreview.Difference
	if err := errors.Join(json.Unmarshal(answer.Plan, &plan), json.Unmarshal(answer.Difference, &changed)); err != nil {
		return fmt.Errorf("the plan that the service answered makes no sense: %w", err)
	}
	return a.tellPlan(plan, changed, format)
}

// longestStatement bounds what is read from a file.
const longestStatement = 1 << 20

// statement is what the command line says to explain.
func (a *app) statement(given []string, file string) (string, error) {
	switch {
	case len(given) > 0 && file != "":
		return "", usagef("give the statement, or a file with it, not both")
	case len(given) > 0:
		return given[0], nil
	case file == "":
		return "", usagef("give a statement, or a file with it: -f")
	}
	in := a.std.In
	if file != "-" {
		opened, err := os.Open(file)
		if err != nil {
			return "", &usageError{err: err}
		}
		defer func() { _ = opened.Close() }() // it was only read
		in = opened
	}
	text, err := io.ReadAll(io.LimitReader(in, longestStatement+1))
	if err != nil {
		return "", fmt.Errorf("read the statement: %w", err)
	}
	if len(text) > longestStatement {
		return "", usagef("%s is longer than %d bytes", file, longestStatement)
	}
	return string(text), nil
}

// tellPlan shows a plan and what changed since an earlier one.
func (a *app) tellPlan(plan pgreview.Plan, changed *pgreview.Difference, format planFormat) error {
	if format == planJSON {
		if err := writeJSON(a.std.Out, explainedView{Plan: plan, Difference: changed}); err != nil {
			return err
		}
	} else {
		var b strings.Builder
		err := plan.WriteText(&b)
		if changed != nil {
			b.WriteByte('\n')
			err = errors.Join(err, changed.WriteText(&b))
		}
		if err != nil {
			return err
		}
		fmt.Fprint(a.std.Out, string(printable([]byte(b.String()))))
	}
	if changed != nil && (changed.Changed() || changed.Worse()) {
		return &warnedError{count: 1}
	}
	return nil
}
