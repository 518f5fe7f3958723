package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

func newMetric(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "metric",
		Short: "Record and show values that were measured elsewhere",
		Long: `Record values that something else than upkeep measured, such as the accuracy of a
model or the length of a queue, and show what is on record. Single samples are kept
for two days, then their mean, lowest and highest of every five minutes, after a
month of every hour, as long as ` + "`history.keep`" + ` says.`,
		Example: "  upkeep metric add accuracy=0.934\n  upkeep metric list",
	}
	return withCommands(cmd, newMetricAdd(a), newMetricList(a), newMetricShow(a))
}

func newMetricAdd(a *app) *cobra.Command {
	var file, at string
	cmd := &cobra.Command{
		Use:   "add [NAME=VALUE...]",
		Short: "Record values",
		Long: `Record values, all or none. A name is written with a-z, 0-9, _, . and -, its unit at
the end or before a dot and what it is about: latency_seconds.checkout. A second value
of a name for the same instant takes the place of the first.

--file reads lines of NAME=VALUE or NAME VALUE, with an instant behind if need be;
empty lines and those that begin with # are left out.`,
		Example: "  upkeep metric add accuracy=0.934 accuracy.fraud=0.91\n" +
			"  upkeep metric add orders_per_minute=1240 --at 2026-11-23T02:30:00Z\n" +
			"  measure.sh | upkeep metric add --file -",
		RunE: func(cmd *cobra.Command, given []string) error { return a.addSamples(cmd.Context(), given, file, at) },
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "read values from `FILE` too; - is standard input")
	cmd.Flags().StringVar(&at, "at", "", "when they were measured (`TIME`); without it, now")
	return cmd
}

func (a *app) addSamples(ctx context.Context, given []string, file, at string) error {
	instant, err := moment("at", at, time.Now())
	if err != nil {
		return err
	}
	samples, err := a.readSamples(given, file, instant)
	if err != nil {
		return err
	}
	if len(samples) == 0 {
		return usagef("say what was measured: NAME=VALUE, or --file")
	}
	err = a.onFacts(ctx, "upkeep metric add", func(ctx context.Context, f factsKeeper) error {
		return f.AddSamples(ctx, samples...)
	})
	if err == nil {
		fmt.Fprintf(a.std.Out, "recorded %s\n", count(len(samples), "value"))
	}
	return err
}

// readSamples reads values from the command line and from a file.
func (a *app) readSamples(given []string, file string, at time.Time) ([]runner.Sample, error) {
	var samples []runner.Sample
	for _, text := range given {
		one, err := parseSample(text, at)
		if err != nil {
			return nil, usagef("%q: %v", text, err)
		}
		samples = append(samples, one)
	}
	if file == "" {
		return samples, nil
	}
	from := a.std.In
	if file != "-" {
		opened, err := os.Open(file)
		if err != nil {
			return nil, fmt.Errorf("read values: %w", err)
		}
		defer opened.Close() //nolint:errcheck // it was only read
		from = opened
	}
	more, err := scanSamples(from, at)
	if err != nil {
		return nil, usagef("%s:%v", file, err)
	}
	return append(samples, more...), nil
}

// scanSamples reads lines of values. Its error begins with the number of the
// line.
func scanSamples(from io.Reader, at time.Time) ([]runner.Sample, error) {
	var samples []runner.Sample
	lines := bufio.NewScanner(from)
	number := 0
	for lines.Scan() {
		number++
		text := strings.TrimSpace(lines.Text())
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		one, err := parseSample(text, at)
		if err != nil {
			return nil, fmt.Errorf("%d: %w", number, err)
		}
		samples = append(samples, one)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%d: %w", number+1, err)
	}
	return samples, nil
}

// parseSample reads NAME=VALUE or NAME VALUE, and an instant behind it.
func parseSample(text string, at time.Time) (runner.Sample, error) {
	name, rest, found := strings.Cut(text, "=")
	if !found {
		name, rest, found = strings.Cut(text, " ")
	}
	fields := strings.Fields(rest)
	name = strings.TrimSpace(name)
	switch {
	case !found || len(fields) == 0 || len(fields) > 2:
		return runner.Sample{}, errors.New("write NAME=VALUE")
	case !jobs.ValidName(name):
		return runner.Sample{}, fmt.Errorf("the name %q: use a-z, 0-9, _, . and -", name)
	}
	value, err := strconv.ParseFloat(fields[0], 64)
	if err != nil || value != value || value-value != 0 { //nolint:gocritic // not a number, or infinite
		return runner.Sample{}, fmt.Errorf("%q is not a finite number", fields[0])
	}
	if len(fields) == 2 {
		if at, err = time.Parse(time.RFC3339, fields[1]); err != nil {
			return runner.Sample{}, fmt.Errorf("%q is not an instant such as 2026-11-23T02:30:00Z", fields[1])
		}
	}
	return runner.Sample{Series: name, At: at, Value: value}, nil
}

func newMetricList(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list [PREFIX]",
		Short:   "List what is measured, with the latest values",
		Long:    "List the series on record with their latest values, those whose names begin with PREFIX.",
		Example: "  upkeep metric list\n  upkeep metric list accuracy -o json",
		RunE: func(cmd *cobra.Command, given []string) error {
			return a.listSeries(cmd.Context(), strings.Join(given, ""))
		},
	}
	a.outputFlag(cmd)
	return cmd
}

func (a *app) listSeries(ctx context.Context, prefix string) error {
	reader, err := a.openReader(ctx)
	if err != nil {
		return err
	}
	defer reader.Close()
	list, err := reader.facts.Series(ctx, prefix)
	if err != nil {
		return err
	}
	l := listing{columns: []string{"NAME", "VALUE", "MEASURED", "SINCE"}, data: api.NewSeriesList(list).Series, empty: "nothing is on record; `upkeep metric add NAME=VALUE` records a value"}
	for _, s := range list {
		l.rows = append(l.rows, []string{s.Name, number(s.Name, s.Value), stamp(s.Last), stamp(s.First)})
	}
	return a.list(l)
}

func newMetricShow(a *app) *cobra.Command {
	var since string
	var limit int
	cmd := &cobra.Command{
		Use:     "show NAME",
		Short:   "Show what was measured in the order of time",
		Long:    "Show the samples of one name in the order of time. What is older is shown as the mean, the lowest and the highest of a stretch.",
		Example: "  upkeep metric show accuracy --since 7d\n  upkeep metric show accuracy -o csv",
		RunE: func(cmd *cobra.Command, given []string) error {
			return a.showSeries(cmd.Context(), given[0], since, limit)
		},
		ValidArgsFunction: a.completeSeries,
	}
	a.outputFlag(cmd)
	cmd.Flags().StringVar(&since, "since", "", "only what was measured at this `TIME` or later")
	cmd.Flags().IntVarP(&limit, "limit", "n", 50, "the latest `N` at most")
	return cmd
}

func (a *app) showSeries(ctx context.Context, name, since string, limit int) error {
	from, err := moment("since", since, time.Now())
	if err != nil {
		return err
	}
	reader, err := a.readLatest(ctx, limit)
	if err != nil {
		return err
	}
	defer reader.Close()
	known, err := reader.facts.Series(ctx, name)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(known, func(s runner.Series) bool { return s.Name == name }) {
		return notFoundf("`upkeep metric list` shows what is on record", "nothing is on record of %s", name)
	}
	list, err := reader.facts.Samples(ctx, runner.SampleFilter{Series: name, Since: from, Limit: limit})
	if err != nil {
		return err
	}
	l := listing{columns: []string{"AT", "LENGTH", "SAMPLES", "MEAN", "LOW", "HIGH"}, data: api.NewSamples(name, list).Samples, empty: "nothing was measured since then"}
	for _, s := range list {
		length := "-"
		if s.Length > 0 {
			length = unit.Took(s.Length)
		}
		l.rows = append(l.rows, []string{stamp(s.At), length, strconv.FormatInt(s.Count, 10), number(name, s.Mean()), number(name, s.Low), number(name, s.High)})
	}
	return a.list(l)
}
