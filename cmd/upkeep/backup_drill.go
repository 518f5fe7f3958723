package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	jobsall "github.com/ghosteam/upkeep/jobs/all"
	"github.com/ghosteam/upkeep/storage/object"
	"github.com/ghosteam/upkeep/web/api"
)

type backupDrillFlags struct {
	at, store, level, database string
	assert, identities         []string
	dryRun, keep               bool
}

func newBackupDrill(a *app) *cobra.Command {
	var f backupDrillFlags
	cmd := &cobra.Command{
		Use:   "drill [ARTIFACT | WORKFLOW[.JOB]]",
		Short: "Prove that artifacts can be restored, and how long that takes",
		Long: `Prove that artifacts can be restored: restore them in full, compare what came back with
the manifest, ask assertions, measure the time, and remove everything again. L3 restores a
database into a scratch database on a configured server, and files into a working
directory; L4 restores a database on a throwaway server of its own. The outcome is kept
beside the manifest.

ARTIFACT is an id. WORKFLOW[.JOB] stands for the newest artifact of each job in each store;
without an argument every job's is meant. Which server takes the scratch database, and the
assertions, are those of the job, if it is configured.`,
		Example: "  upkeep backup drill daily.backup\n" +
			"  upkeep backup drill daily.backup --at 7d --database staging --assert 'SELECT count(*) > 1000 FROM orders'\n" +
			"  upkeep backup drill 20261123-023000.123-k3v2q5m7xd --level L4",
		RunE:              func(cmd *cobra.Command, given []string) error { return a.drillBackups(cmd.Context(), given, f) },
		ValidArgsFunction: a.completeBackups,
	}
	a.outputFlag(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.at, "at", "", "the newest artifact made at this `TIME` or before")
	flags.StringVar(&f.store, "store", "", "only in this `STORE`")
	flags.StringVar(&f.level, "level", string(object.L3), "how far (`LEVEL`): L3 or L4")
	flags.StringVar(&f.database, "database", "", "the `NAME` of a database whose server takes the scratch database")
	flags.StringArrayVar(&f.assert, "assert", nil, "`SQL` that the restored database must answer with true, or with rows (several allowed)")
	flags.StringArrayVar(&f.identities, "identity", nil, "a `FILE` with age identities that decrypt (several allowed)")
	flags.BoolVar(&f.dryRun, "dry-run", false, "make the checks, say what would be done, and change nothing")
	flags.BoolVar(&f.keep, "keep", false, "leave what was restored where it is")
	completeFlag(cmd, "store", a.completeStores)
	completeFlag(cmd, "level", completeWords([]object.Level{object.L3, object.L4}))
	return cmd
}

func (a *app) drillBackups(ctx context.Context, given []string, f backupDrillFlags) error {
	switch {
	case f.level != string(object.L3) && f.level != string(object.L4):
		return usagef("--level %q is neither L3 nor L4; `upkeep backup verify` proves L1 and L2", f.level)
	case f.keep && f.level == string(object.L4):
		return usagef("--keep is for L3: the server of L4 ends with the drill")
	}
	cfg, err := a.loadForReading()
	if err != nil {
		return err
	}
	chosen, err := a.chooseDrills(ctx, cfg, given, f)
	if len(chosen) == 0 {
		return err
	}
	errs := []error{err}
	drills := make([]drilled, len(chosen))
	for i, b := range chosen {
		drills[i].backup = b
		if err := a.drillBackup(ctx, cfg, &drills[i], f); err != nil {
			errs = append(errs, err)
		}
		if context.Cause(ctx) != nil {
			return errors.Join(errs...)
		}
	}
	return errors.Join(append(errs, a.tellDrilled(drills, f))...)
}

// drilled is an artifact and what its drill did.
type drilled struct {
	backup

	jobs.Drilled
}

// chooseDrills finds the artifacts that an id, or jobs and a time, name.
func (a *app) chooseDrills(ctx context.Context, cfg *configs.Config, given []string, f backupDrillFlags) ([]backup, error) {
	if len(given) > 0 {
		if _, err := object.IDTime(given[0]); err == nil {
			if f.at != "" {
				return nil, usagef("--at is for WORKFLOW[.JOB]; an id names one artifact already")
			}
			one, err := a.findBackup(ctx, cfg, given[0], f.store)
			if err != nil {
				return nil, err
			}
			return []backup{one}, nil
		}
	}
	at, err := moment("at", f.at, time.Now())
	if err != nil {
		return nil, err
	}
	s := scopeOf(given, f.store)
	found, failed := a.backups(ctx, cfg, s)
	if !at.IsZero() {
		found = slices.DeleteFunc(found, func(b backup) bool { return b.Manifest.Created.After(at) })
	}
	chosen := newestOf(found)
	if len(chosen) == 0 && failed == nil {
		return nil, notFoundf("`upkeep backup list` shows what there is", "%s", noBackups(cfg, s))
	}
	return chosen, failed
}

// drillBackup drills one artifact and records the outcome.
func (a *app) drillBackup(ctx context.Context, cfg *configs.Config, b *drilled, f backupDrillFlags) error {
	what := fmt.Sprintf("drill %s of %s in store %s", b.Manifest.ID, b.name(), b.store)
	kind, ok := jobsall.Kinds().Lookup(b.Manifest.Kind)
	driller, can := kind.Artifacts.(jobs.Driller)
	if !ok || !can {
		return fmt.Errorf("%s: this version of upkeep does not drill artifacts of the kind %q", what, b.Manifest.Kind)
	}
	a.warnBefore(b.backup)
	var secrets []string
	drill := a.drillOf(cfg, b.backup, f)
	drill.Open = func(name string) (jobs.Database, error) {
		database, found, err := cfg.OpenDatabase(name)
		secrets = append(secrets, found...)
		if is[*configs.UnknownError](err) {
			err = hintIfNone(&notFoundError{err: err}, "name a database of the configuration with --database")
		}
		return database, err
	}
	stop := a.watch(b.meter, "drill "+b.Manifest.ID, b.Manifest.Stored())
	var err error
	err = inScratch(func(dir string) (err error) {
		env := a.backupEnv(cfg, b.backup, dir, jobs.Hooks{DryRun: f.dryRun})
		if !f.dryRun {
			env.Out = io.Discard // the summary says it
		}
		b.Drilled, err = driller.Drill(ctx, env, b.Artifact, drill)
		return err
	})
	stop()
	if err != nil {
		err = scrubber(secrets)(b.scrub(b.advise(fmt.Errorf("%s: %w", what, err))))
	}
	if b.Drilled.Proof.Time.IsZero() {
		return err
	}
	if gone := b.gone(ctx); gone != nil {
		return fmt.Errorf("%s: %w", what, gone)
	}
	if !deeper(b.Artifact.Proof, b.Drilled.Proof) {
		return err
	}
	return errors.Join(err, b.scrub(b.Record(ctx, b.Drilled.Proof)))
}

// drillOf says how to drill an artifact: as its job is configured to, and as
// the command line says. A job that cannot be built is told about.
func (a *app) drillOf(cfg *configs.Config, b backup, f backupDrillFlags) jobs.Drill {
	var drill jobs.Drill
	for _, j := range backupJobs(cfg, backupScope{workflow: b.Manifest.Workflow, job: b.Manifest.Job}) {
		if j.job.Kind != b.Manifest.Kind {
			continue
		}
		job, secrets, err := j.job.Build(nil)
		if err != nil {
			fmt.Fprintf(a.std.Err, "warning: the assertions of %s are not known: %s\n", j.name(), oneLine(scrubber(secrets)(err).Error(), 0))
			continue
		}
		if drilling, ok := job.(jobs.Drilling); ok {
			drill = drilling.Drill()
		}
	}
	drill.Level, drill.Identities, drill.Keep = object.Level(f.level), f.identities, f.keep
	drill.Assert = append(slices.Clone(drill.Assert), f.assert...)
	if f.database != "" {
		drill.Database = f.database
	}
	return drill
}

// tellDrilled shows what was done.
func (a *app) tellDrilled(drills []drilled, f backupDrillFlags) error {
	warnings := 0
	l := listing{columns: []string{"ARTIFACT", "JOB", "STORE", "LEVEL", "AS OF", "RESTORED", "TOOK"}}
	views := []api.Backup{}
	for _, d := range drills {
		for _, finding := range d.Findings {
			fmt.Fprintf(a.std.Err, "%s: %s\n", finding.Severity, oneLine(finding.Text, 0))
			if finding.Severity != jobs.Info {
				warnings++
			}
		}
		v := viewBackup(d.backup, time.Now())
		views = append(views, v)
		row := []string{v.ID, d.name(), v.Store, proofWord(a.painter(a.std.Out), v), "-", "-", "-"}
		if v.RestorableAsOf != nil {
			row[4], row[5], row[6] = stamp(*v.RestorableAsOf), humanize.IBytes(uint64(max(v.RestoredBytes, 0))), unit.Took(seconds(v.RestoreSeconds))
		}
		l.rows = append(l.rows, row)
		if a.format != formatTable {
			continue
		}
		switch {
		case f.dryRun:
			if d.Summary != "" {
				fmt.Fprintf(a.std.Out, "%s of %s: %s\n", v.ID, d.name(), oneLine(d.Summary, 0))
			}
		case d.Drilled.Proof.Damage != "":
			fmt.Fprintf(a.std.Out, "%s of %s: %s\n", v.ID, d.name(), a.painter(a.std.Out).red("damaged"))
		case d.Drilled.Proof.Restored != nil:
			fmt.Fprintf(a.std.Out, "%s of %s: %s\n", v.ID, d.name(), restorable(d.Drilled.Proof))
			fmt.Fprintf(a.std.Out, "  %s\n", oneLine(d.Summary, 0))
		}
		if d.Kept != "" {
			fmt.Fprintf(a.std.Out, "  kept: %s\n", oneLine(d.Kept, 0))
		}
	}
	l.data = views
	var err error
	if a.format != formatTable {
		err = a.list(l)
	}
	if warnings > 0 {
		return errors.Join(err, &warnedError{count: warnings})
	}
	return err
}

// restorable says what a drill has proven.
func restorable(p object.Proof) string {
	r := p.Restored
	text := fmt.Sprintf("restorable as of %s (proven %s by drill, took %s for %s", stamp(r.AsOf), p.Level, unit.Took(seconds(r.Seconds)), humanize.IBytes(uint64(max(r.Bytes, 0))))
	if r.Assertions > 0 {
		text += ", " + count(r.Assertions, "assertion") + " held"
	}
	return text + ")"
}

func seconds(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }
