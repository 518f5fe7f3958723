package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/cmd/upkeep/service"
	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/storage/object/retention"
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
			return a.listBackups(cmd.Context(), scopeOf(given, f.store), f.limit)
		},
		ValidArgsFunction: a.completeBackupJobs,
	}
	a.outputFlag(cmd)
	cmd.Flags().StringVar(&f.store, "store", "", "only in this `STORE`")
	cmd.Flags().IntVarP(&f.limit, "limit", "n", 50, "list at most `N` artifacts")
	completeFlag(cmd, "store", a.completeStores)
	return cmd
}

func (a *app) listBackups(ctx context.Context, s backupScope, limit int) error {
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
	s.bare = true
	found, failed := a.backups(ctx, cfg, s)
	if found == nil && failed != nil {
		return failed
	}
	a.foretell(ctx, cfg, s, found, failed)
	if err := a.list(a.listOfBackups(cfg, s, found[:min(len(found), limit)])); err != nil {
		return err
	}
	a.tellRestorable(found)
	return failed
}

// tellRestorable says of each job what was last proven to be restorable.
func (a *app) tellRestorable(found []backup) {
	if a.format != formatTable {
		return
	}
	newest := map[string]bool{}
	for _, b := range found {
		key := b.store + "/" + b.name()
		if b.Proof == nil || b.Proof.Restored == nil || b.Proof.Damage != "" || newest[key] {
			continue
		}
		newest[key] = true
		fmt.Fprintf(a.std.Out, "%s in store %s: %s\n", b.name(), b.store, restorable(*b.Proof))
	}
}

// fate is what retention does with an artifact; zero when nothing says.
type fate struct {
	word    string
	reasons []string
}

// What becomes of an artifact.
const (
	fateKeep    = "keep"
	fateRemove  = "remove"
	fateRemoved = "removed"
)

// foretell sets the fates of artifacts from the retention of the configured
// jobs. A job that cannot be asked is told about and leaves them open.
func (a *app) foretell(ctx context.Context, cfg *configs.Config, s backupScope, found []backup, failed error) {
	stores, err := s.stores(cfg)
	if err != nil {
		return // which has been told
	}
	made := map[string]bool{}
	for _, b := range found {
		made[b.name()] = true
	}
	for _, j := range backupJobs(cfg, s) {
		if !made[j.name()] {
			continue
		}
		retained, err := a.retention(ctx, cfg, j, jobs.Pruning{Stores: only(s.store), Known: known(found, stores, failed)}, jobs.Hooks{DryRun: true})
		if err != nil {
			fmt.Fprintf(a.std.Err, "warning: what retention would do is not known: %s: %s\n", j.name(), oneLine(err.Error(), 0))
		}
		setFates(found, j, retained)
	}
}

// only returns a list of one name, or an empty one.
func only(name string) []string {
	if name == "" {
		return nil
	}
	return []string{name}
}

func setFates(found []backup, j backupJob, retained []jobs.Retained) {
	fates := map[string]fate{}
	for _, r := range retained {
		gone := map[string]bool{}
		for _, id := range r.Removed {
			gone[id] = true
		}
		note := func(word string, list []retention.Decision) {
			for _, d := range list {
				f := fate{word: word, reasons: d.Reasons}
				switch {
				case gone[d.Item.ID]:
					f.word = fateRemoved
				case !r.Active:
					f.reasons = []string{"no rule: all stay"}
				}
				fates[r.Store+"/"+d.Item.ID] = f
			}
		}
		note(fateKeep, r.Plan.Keep)
		note(fateRemove, r.Plan.Remove)
	}
	for i, b := range found {
		if f, ok := fates[b.store+"/"+b.Manifest.ID]; ok && b.name() == j.name() {
			found[i].fate = f
		}
	}
}

// viewBackup is the JSON form of an artifact.
func viewBackup(b backup, now time.Time) api.Backup {
	return service.BackupOf(b.Artifact, b.store, b.ratio, service.Fate{Word: b.fate.word, Reasons: b.fate.reasons}, now)
}

// backupsElsewhere lists what a service elsewhere knows of its stores.
func (a *app) backupsElsewhere(ctx context.Context, s backupScope, limit int) error {
	c, err := a.farther()
	if err != nil {
		return err
	}
	views := []api.Backup{}
	f := client.ArtifactFilter{Workflow: s.workflow, Job: s.job, Store: s.store}
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

// listOfBackups makes a list in all forms.
func (a *app) listOfBackups(cfg *configs.Config, s backupScope, found []backup) listing {
	now := time.Now()
	views := []api.Backup{}
	for _, b := range found {
		views = append(views, viewBackup(b, now))
	}
	return a.listOfViews(noBackups(cfg, s), views)
}

// listOfViews is listOfBackups for artifacts as they are shown.
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
			proofWord(p, v), fateWord(p, fate{v.Retention, v.Reasons}), v.ID,
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

func fateWord(p painter, f fate) string {
	switch f.word {
	case "":
		return "-"
	case fateKeep:
		return "keep: " + strings.Join(f.reasons, ", ")
	}
	return p.yellow(f.word) + ": " + strings.Join(f.reasons, ", ")
}

// noBackups says why a list is empty.
func noBackups(cfg *configs.Config, s backupScope) string {
	if len(cfg.Stores) == 0 {
		return "no stores are configured"
	}
	if s.workflow != "" {
		var err error
		if s.job == "" {
			_, err = cfg.Workflow(s.workflow)
		} else {
			_, err = cfg.Job(s.workflow, s.job)
		}
		if err != nil {
			return "there are no artifacts, and " + err.Error()
		}
	}
	return "there are no artifacts"
}
