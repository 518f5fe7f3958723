package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/cmd/upkeep/custody"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/web/api"
	"github.com/ghosteam/upkeep/web/client"
)

// mostBackups bounds --limit.
const mostBackups = 100_000

type backupListFlags struct {
	store string
	limit int
}

func newBackupList(a *app) *cobra.Command {
	var f backupListFlags
	cmd := &cobra.Command{
		Use:   "list [WORKFLOW[.JOB]]",
		Short: "List the artifacts in the stores, newest first",
		Long: `List the artifacts in the stores, newest first, from their manifests alone. RATIO is the
stored size by that of the one before. RETENTION is what the job's retention would do
with it now, and why. What has no whole manifest is not listed; manifests that
are damaged are told on standard error.`,
		Example: "  upkeep backup list\n  upkeep backup list daily.backup --store offsite -o json",
		RunE: func(cmd *cobra.Command, given []string) error {
			return a.listBackups(cmd.Context(), custody.ScopeOf(first(given), f.store), f.limit)
		},
		ValidArgsFunction: a.completeBackupJobs,
	}
	a.outputFlag(cmd)
	cmd.Flags().StringVar(&f.store, "store", "", "only in this `STORE`")
	cmd.Flags().IntVarP(&f.limit, "limit", "n", 50, "list at most `N` artifacts")
	completeFlag(cmd, "store", a.completeStores)
	return cmd
}

func (a *app) listBackups(ctx context.Context, s custody.Scope, limit int) error {
	if limit < 1 || limit > mostBackups {
		return usagef("--limit %d is out of range: use 1 to %d", limit, mostBackups)
	}
	if a.farServer() != "" {
		return a.backupsElsewhere(ctx, s, limit)
	}
	cfg, err := a.loadForReading()
	if err != nil {
		return err
	}
	s.Bare = true
	c := custody.New(custody.Options{Config: cfg, Version: version, Out: a.std.Err, Log: a.log()})
	found, failed := c.Artifacts(ctx, s)
	if found == nil && failed != nil {
		return failed
	}
	for _, state := range c.Foretell(ctx, s, found, failed) {
		if state.Error != "" {
			fmt.Fprintf(a.std.Err, "warning: what retention would do is not known: %s.%s: %s\n", state.Workflow, state.Job, oneLine(state.Error, 0))
		}
	}
	if err := a.list(a.listOfViews(s.Nothing(cfg), custody.Views(found[:min(len(found), limit)], time.Now()))); err != nil {
		return err
	}
	a.tellRestorable(found)
	return failed
}

// tellRestorable says of each job what was last proven to be restorable.
func (a *app) tellRestorable(found []custody.Artifact) {
	if a.format != formatTable {
		return
	}
	newest := map[string]bool{}
	for _, b := range found {
		key := b.Store + "/" + b.Name()
		if b.Proof == nil || b.Proof.Restored == nil || b.Proof.Damage != "" || newest[key] {
			continue
		}
		newest[key] = true
		fmt.Fprintf(a.std.Out, "%s in store %s: %s\n", b.Name(), b.Store, custody.Restorable(*b.Proof))
	}
}

// backupsElsewhere lists what a service elsewhere knows of its stores.
func (a *app) backupsElsewhere(ctx context.Context, s custody.Scope, limit int) error {
	c, err := a.farther()
	if err != nil {
		return err
	}
	views := []api.Backup{}
	f := client.ArtifactFilter{Workflow: s.Workflow, Job: s.Job, Store: s.Store}
	var page api.Backups
	for left := limit; left > 0; left = limit - len(views) {
		f.Limit = left
		if page, err = c.Artifacts(ctx, f); err != nil {
			return err
		}
		views = append(views, page.Artifacts...)
		if f.Before = page.Next; f.Before == "" {
			break
		}
	}
	for _, store := range page.Stores {
		switch {
		case store.Error != "":
			fmt.Fprintf(a.std.Err, "warning: store %s: %s\n", store.Name, oneLine(store.Error, 0))
		case store.AsOf == nil:
			fmt.Fprintf(a.std.Err, "warning: store %s is still being read\n", store.Name)
		}
		for _, damaged := range store.Damaged {
			fmt.Fprintf(a.std.Err, "warning: store %s: %s\n", store.Name, oneLine(damaged, 0))
		}
	}
	return a.list(a.listOfViews("there are no artifacts", views))
}

// listOfViews makes a list of artifacts in all forms.
func (a *app) listOfViews(empty string, views []api.Backup) listing {
	now := time.Now()
	p := a.painter(a.std.Out)
	l := listing{columns: []string{"CREATED", "AGE", "JOB", "KIND", "STORE", "SIZE", "RATIO", "LEVEL", "RETENTION", "ARTIFACT"}, empty: empty}
	for _, v := range views {
		ratio := "-"
		if v.Ratio != nil {
			ratio = fmt.Sprintf("%.2f", *v.Ratio)
		}
		l.rows = append(l.rows, []string{
			stamp(v.Created), age(v.Created, now), v.Workflow + "." + v.Job, v.Kind, v.Store, humanize.IBytes(uint64(max(v.Bytes, 0))), ratio,
			proofWord(p, v), fateWord(p, v), v.ID,
		})
	}
	l.data = views
	return l
}

// proofWord says how far an artifact was proven, and what is odd.
func proofWord(p painter, v api.Backup) string {
	word := string(v.Level)
	switch {
	case v.Damage != "":
		word = p.red("damaged")
	case word == "":
		word = "unproven"
	case v.RestorableAsOf != nil:
		word += " in " + unit.Took(seconds(v.RestoreSeconds))
	}
	if v.Suspect != "" {
		word += ", " + p.yellow("suspect")
	}
	return word
}

// fateWord says what retention does with an artifact, and why.
func fateWord(p painter, v api.Backup) string {
	switch v.Retention {
	case "":
		return "-"
	case custody.FateKeep:
		return "keep: " + strings.Join(v.Reasons, ", ")
	}
	return p.yellow(v.Retention) + ": " + strings.Join(v.Reasons, ", ")
}
