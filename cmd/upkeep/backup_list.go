package main

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/storage/object"
	"github.com/ghosteam/upkeep/storage/object/retention"
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

// backupView is the JSON form of an artifact.
type backupView struct {
	ID         string       `json:"id"`
	Set        string       `json:"set"`
	Workflow   string       `json:"workflow"`
	Job        string       `json:"job"`
	Kind       string       `json:"kind"`
	Store      string       `json:"store"`
	Run        string       `json:"run"`
	Node       string       `json:"node"`
	Created    time.Time    `json:"created"`
	AgeSeconds float64      `json:"age_seconds"`
	Bytes      int64        `json:"bytes"`
	PlainBytes int64        `json:"plain_bytes"`
	Ratio      *float64     `json:"ratio"`
	Encrypted  bool         `json:"encrypted"`
	Level      object.Level `json:"level"`
	ProvenAt   time.Time    `json:"proven_at"`
	Seconds    float64      `json:"proof_seconds"`
	Damage     string       `json:"damage"`
	// What the newest proof restored; null, 0 and empty when it did not go so far.
	RestorableAsOf *time.Time `json:"restorable_as_of"`
	RestoreSeconds float64    `json:"restore_seconds"`
	RestoredBytes  int64      `json:"restored_bytes"`
	RestoredRows   int64      `json:"restored_rows"`
	RestoredOn     string     `json:"restored_on"`
	Suspect        string     `json:"suspect"`
	Retention      string     `json:"retention"`
	Reasons        []string   `json:"reasons"`
}

func viewBackup(b backup, now time.Time) backupView {
	m := b.Manifest
	v := backupView{
		ID: m.ID, Set: m.Set, Workflow: m.Workflow, Job: m.Job, Kind: m.Kind, Store: b.store, Run: m.Run, Node: m.Node,
		Created: m.Created.UTC(), AgeSeconds: math.Round(now.Sub(m.Created).Seconds()), Bytes: m.Stored(),
		Level: b.Level(), ProvenAt: m.Proven.UTC(), Suspect: m.Suspect, Retention: b.fate.word, Reasons: []string{},
	}
	for _, s := range m.Streams {
		v.PlainBytes += s.Plain.Bytes
		v.Encrypted = v.Encrypted || len(s.Recipients) > 0
	}
	if b.ratio > 0 {
		v.Ratio = &b.ratio
	}
	if p := b.Proof; p != nil {
		v.ProvenAt, v.Seconds, v.Damage = p.Time.UTC(), p.Seconds, p.Damage
		if r := p.Restored; r != nil && p.Damage == "" {
			at := r.AsOf.UTC()
			v.RestorableAsOf, v.RestoreSeconds, v.RestoredBytes, v.RestoredRows, v.RestoredOn = &at, r.Seconds, r.Bytes, r.Rows, r.Server
		}
	}
	v.Reasons = append(v.Reasons, b.fate.reasons...)
	return v
}

// listOfBackups makes a list in all forms.
func (a *app) listOfBackups(cfg *configs.Config, s backupScope, found []backup) listing {
	now := time.Now()
	p := a.painter(a.std.Out)
	l := listing{columns: []string{"CREATED", "AGE", "JOB", "KIND", "STORE", "SIZE", "RATIO", "LEVEL", "RETENTION", "ARTIFACT"}, empty: noBackups(cfg, s)}
	views := []backupView{}
	for _, b := range found {
		v := viewBackup(b, now)
		views = append(views, v)
		ratio := "-"
		if v.Ratio != nil {
			ratio = fmt.Sprintf("%.2f", *v.Ratio)
		}
		l.rows = append(l.rows, []string{
			stamp(v.Created), age(v.Created, now), b.name(), v.Kind, v.Store, humanize.IBytes(uint64(max(v.Bytes, 0))), ratio,
			proofWord(p, v), fateWord(p, b.fate), v.ID,
		})
	}
	l.data = views
	return l
}

// proofWord says how far an artifact was proven, and what is odd.
func proofWord(p painter, v backupView) string {
	word := string(v.Level)
	switch {
	case v.Damage != "":
		word = p.red("damaged")
	case word == "":
		word = "unproven"
	case v.RestorableAsOf != nil:
		word += " in " + took(seconds(v.RestoreSeconds))
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
