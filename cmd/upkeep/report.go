package main

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/cmd/upkeep/custody"
	"github.com/ghosteam/upkeep/cmd/upkeep/service"
	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/reports"
	"github.com/ghosteam/upkeep/web/api"
)

// reportForm is the form of a report.
type reportForm string

const (
	formMarkdown reportForm = "markdown"
	formHTML     reportForm = "html"
)

// reportFlags say where a report goes.
type reportFlags struct {
	form reportForm
	out  string
}

// add adds --format and --out to a command that writes a report.
func (f *reportFlags) add(cmd *cobra.Command) {
	f.form = formMarkdown
	cmd.Flags().Var(oneOf(&f.form, formMarkdown, formHTML), "format", "markdown or html; by default as the name of the file says, or markdown")
	cmd.Flags().StringVar(&f.out, "out", "", "write it to `FILE`, in the place of what is there, instead of to standard output")
	completeFlag(cmd, "format", completeWords([]reportForm{formMarkdown, formHTML}))
}

// reportMode are the permissions of a report: it tells much about a system.
const reportMode = 0o640

// writeReport writes what is made in the form that was asked for. A file is
// whole or stays as it was.
func (a *app) writeReport(cmd *cobra.Command, f reportFlags, inForm func(html bool) ([]byte, error)) error {
	if ext := strings.ToLower(filepath.Ext(f.out)); !cmd.Flags().Changed("format") && (ext == ".html" || ext == ".htm") {
		f.form = formHTML
	}
	text, err := inForm(f.form == formHTML)
	if err != nil {
		return err
	}
	if f.out == "" {
		if _, err := a.std.Out.Write(text); err != nil {
			return fmt.Errorf("write the report: %w", err)
		}
		return nil
	}
	if err := renameio.WriteFile(f.out, text, reportMode); err != nil {
		return jobs.WithHint(fmt.Errorf("write the report to %s: %w", f.out, err), "name a file in a folder that exists and that you may write to")
	}
	fmt.Fprintf(a.std.Out, "the report is in %s\n", f.out)
	return nil
}

// written is a document in one of its two forms.
func written(d reports.Document, html bool) ([]byte, error) {
	var text bytes.Buffer
	write := d.Markdown
	if html {
		write = d.HTML
	}
	err := write(&text)
	return text.Bytes(), err
}

func newReport(a *app) *cobra.Command {
	var window string
	var f reportFlags
	cmd := &cobra.Command{
		Use:   "report",
		Short: "Write a performance report",
		Long: `Write what happened in a stretch of time: the operational figures, the runs of every
workflow with their durations and failures, the backups with their proof and sizes, the
checks with their latencies, incidents, how storage grows, and what changed. As HTML it
is one file with charts, without scripts and without anything from elsewhere.`,
		Example: "  upkeep report\n  upkeep report --window 30d --out report.html",
		RunE: func(cmd *cobra.Command, _ []string) error {
			back, err := windowOf(window)
			if err != nil {
				return err
			}
			return a.report(cmd, back, f)
		},
	}
	cmd.Flags().StringVar(&window, "window", "7d", "how far to look back (`TIME`)")
	f.add(cmd)
	return cmd
}

func (a *app) report(cmd *cobra.Command, window time.Duration, f reportFlags) error {
	ctx := cmd.Context()
	c, err := a.farther()
	if err != nil {
		return err
	}
	if c != nil {
		return a.writeReport(cmd, f, func(html bool) ([]byte, error) { return c.Report(ctx, window, html) })
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
	backups, unread := a.reviewBackups(ctx, cfg)
	if err := context.Cause(ctx); err != nil {
		return err
	}
	d, err := service.Report(ctx, cfg, reader.source(), window, backups, unread)
	if err != nil {
		return err
	}
	return a.writeReport(cmd, f, func(html bool) ([]byte, error) { return written(d, html) })
}

// reviewBackups is what the stores hold, and why some could not be read: a
// report is worth reading without them.
func (a *app) reviewBackups(ctx context.Context, cfg *configs.Config) (list []api.Backup, unread []string) {
	if len(cfg.Stores) == 0 {
		return nil, nil
	}
	found, err := custody.New(custody.Options{Config: cfg, Out: a.std.Err, Log: a.log()}).Artifacts(ctx, custody.Scope{Bare: true})
	if err != nil {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			unread = append(unread, jobs.OneLine(line))
		}
	}
	return custody.Views(found, time.Now()), unread
}
