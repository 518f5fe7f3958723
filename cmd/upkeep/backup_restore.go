package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/jobs"
	jobsall "github.com/ghosteam/upkeep/jobs/all"
	"github.com/ghosteam/upkeep/storage/object"
)

type backupRestoreFlags struct {
	to, at, store    string
	only, identities []string
	dryRun           bool
}

func newBackupRestore(a *app) *cobra.Command {
	var f backupRestoreFlags
	cmd := &cobra.Command{
		Use:   "restore ARTIFACT",
		Short: "Put back what an artifact holds, beside what is there",
		Long: `Put back what an artifact holds, proving it on the way. ARTIFACT is an id, or
WORKFLOW[.JOB] for its newest artifact, with --at that of a time. It never replaces
anything: a target that exists or holds anything is refused.

--to is the path of a new file for sqlitebackup and of a new directory for archive, and
the name under databases: of an empty database for pgbackup.`,
		Example: "  upkeep backup restore daily.app --to /tmp/app.db\n" +
			"  upkeep backup restore daily.backup --to scratch --dry-run\n" +
			"  upkeep backup restore daily.files --at 2026-11-20 --to /tmp/files --only data/models",
		RunE:              func(cmd *cobra.Command, given []string) error { return a.restoreBackup(cmd.Context(), given[0], f) },
		ValidArgsFunction: a.completeBackups,
	}
	a.outputFlag(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.to, "to", "", "where to restore to (`TARGET`)")
	flags.StringVar(&f.at, "at", "", "the newest artifact made at this `TIME` or before")
	flags.StringArrayVar(&f.only, "only", nil, "only this part (`NAME`), and what is below it (several allowed)")
	flags.StringVar(&f.store, "store", "", "from this `STORE`")
	flags.StringArrayVar(&f.identities, "identity", nil, "a `FILE` with age identities that decrypt (several allowed)")
	flags.BoolVar(&f.dryRun, "dry-run", false, "make the checks, and change nothing")
	completeFlag(cmd, "store", a.completeStores)
	return cmd
}

// restoredView is the JSON form of a restore.
type restoredView struct {
	Artifact string         `json:"artifact"`
	Workflow string         `json:"workflow"`
	Job      string         `json:"job"`
	Kind     string         `json:"kind"`
	Store    string         `json:"store"`
	Created  time.Time      `json:"created"`
	To       string         `json:"to"`
	DryRun   bool           `json:"dry_run"`
	Summary  string         `json:"summary"`
	Seconds  float64        `json:"seconds"`
	Findings []jobs.Finding `json:"findings"`
}

func (a *app) restoreBackup(ctx context.Context, name string, f backupRestoreFlags) error {
	if f.to == "" {
		return usagef("say where to restore to: --to")
	}
	cfg, err := a.loadForReading()
	if err != nil {
		return err
	}
	b, err := a.chooseBackup(ctx, cfg, name, f)
	if err != nil {
		return err
	}
	kind, ok := jobsall.Kinds().Lookup(b.Manifest.Kind)
	restorer, can := kind.Artifacts.(jobs.Restorer)
	if !ok || !can {
		return jobs.WithHint(fmt.Errorf("this version of upkeep does not restore artifacts of the kind %q", b.Manifest.Kind), "`upkeep kinds KIND` may say how to do it by hand")
	}
	a.warnBefore(b)
	var secrets []string
	target := jobs.Target{To: f.to, Only: f.only, Identities: f.identities, Database: func(name string) (jobs.Database, error) {
		database, found, err := cfg.OpenDatabase(name)
		secrets = append(secrets, found...)
		if is[*configs.UnknownError](err) {
			err = hintIfNone(&notFoundError{err: err}, "name a database of the configuration, under databases:")
		}
		return database, err
	}}
	began := time.Now()
	stop := a.watch(b.meter, "restore "+b.Manifest.ID, b.Manifest.Stored())
	var restored jobs.Restored
	err = inScratch(func(dir string) (err error) {
		env := a.backupEnv(cfg, b, dir, jobs.Hooks{DryRun: f.dryRun})
		if f.dryRun {
			env.Out = io.Discard // the summary says it
		}
		restored, err = restorer.Restore(ctx, env, b.Artifact, target)
		return err
	})
	stop()
	if err != nil {
		return scrubber(secrets)(b.scrub(fmt.Errorf("restore %s of %s: %w", b.Manifest.ID, b.name(), err)))
	}
	return a.tellRestored(b, restored, f, time.Since(began))
}

// warnBefore says what is odd about an artifact that is going to be used.
func (a *app) warnBefore(b backup) {
	if b.Manifest.Suspect != "" {
		fmt.Fprintf(a.std.Err, "warning: %s is suspect: %s\n", b.Manifest.ID, oneLine(b.Manifest.Suspect, 0))
	}
	if b.Proof != nil && b.Proof.Damage != "" {
		fmt.Fprintf(a.std.Err, "warning: %s was found damaged: %s\n", b.Manifest.ID, oneLine(b.Proof.Damage, 0))
	}
}

// chooseBackup finds the artifact that an id or a job and a time name.
func (a *app) chooseBackup(ctx context.Context, cfg *configs.Config, name string, f backupRestoreFlags) (backup, error) {
	if _, err := object.IDTime(name); err == nil {
		if f.at != "" {
			return backup{}, usagef("--at is for WORKFLOW[.JOB]; an id names one artifact already")
		}
		return a.findBackup(ctx, cfg, name, f.store)
	}
	at, err := moment("at", f.at, time.Now())
	if err != nil {
		return backup{}, err
	}
	s := scopeOf([]string{name}, f.store)
	found, failed := a.backups(ctx, cfg, s)
	if context.Cause(ctx) != nil {
		return backup{}, failed
	}
	if failed != nil {
		fmt.Fprintf(a.std.Err, "warning: %s\n", oneLine(failed.Error(), 0))
	}
	var jobsFound []string
	for _, b := range found {
		if !slices.Contains(jobsFound, b.name()) {
			jobsFound = append(jobsFound, b.name())
		}
	}
	if len(jobsFound) > 1 {
		return backup{}, usagef("%s has artifacts of several jobs: say which of %s", name, joinWords(jobsFound))
	}
	for _, b := range found {
		switch {
		case !at.IsZero() && b.Manifest.Created.After(at):
		case b.Proof != nil && b.Proof.Damage != "":
			fmt.Fprintf(a.std.Err, "warning: %s is passed over: it was found damaged\n", b.Manifest.ID)
		default:
			return b, nil
		}
	}
	switch {
	case failed != nil && len(found) == 0:
		return backup{}, failed
	case len(found) == 0:
		return backup{}, notFoundf("`upkeep backup list` shows what there is", "%s", noBackups(cfg, s))
	}
	return backup{}, notFoundf("`upkeep backup list "+name+"` shows what there is", "no artifact of %s fits", name)
}

// tellRestored shows what was done.
func (a *app) tellRestored(b backup, r jobs.Restored, f backupRestoreFlags, spent time.Duration) error {
	if r.Findings == nil {
		r.Findings = []jobs.Finding{}
	}
	var err error
	switch a.format {
	case formatTable:
		verb := "restored"
		if f.dryRun {
			verb = "would restore"
		}
		fmt.Fprintf(a.std.Out, "%s %s of %s, made %s: %s (in %s)\n", verb, b.Manifest.ID, b.name(), stamp(b.Manifest.Created), oneLine(r.Summary, 0), took(spent))
	case formatJSON, formatCSV:
		m := b.Manifest
		err = a.list(listing{
			columns: []string{"ARTIFACT", "JOB", "STORE", "CREATED", "TO", "DRY RUN", "SUMMARY"},
			rows:    [][]string{{m.ID, b.name(), b.store, stamp(m.Created), f.to, fmt.Sprint(f.dryRun), r.Summary}},
			data: restoredView{
				Artifact: m.ID, Workflow: m.Workflow, Job: m.Job, Kind: m.Kind, Store: b.store, Created: m.Created.UTC(), To: f.to,
				DryRun: f.dryRun, Summary: r.Summary, Seconds: spent.Seconds(), Findings: r.Findings,
			},
		})
	}
	warnings := 0
	for _, finding := range r.Findings {
		fmt.Fprintf(a.std.Err, "%s: %s\n", finding.Severity, oneLine(finding.Text, 0))
		if finding.Severity != jobs.Info {
			warnings++
		}
	}
	if warnings > 0 {
		return errors.Join(err, &warnedError{count: warnings})
	}
	return err
}
