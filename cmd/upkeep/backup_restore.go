package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	jobsall "github.com/ghosteam/upkeep/jobs/all"
	"github.com/ghosteam/upkeep/storage/object"
)

type backupRestoreFlags struct {
	to, at, store    string
	only, identities []string
	dryRun, undo     bool
	demands          jobs.Target
}

func newBackupRestore(a *app) *cobra.Command {
	var f backupRestoreFlags
	cmd := &cobra.Command{
		Use:   "restore ARTIFACT",
		Short: "Put back what an artifact holds, beside what is there or in its place",
		Long: `Put back what an artifact holds, proving it on the way. ARTIFACT is an id, or
WORKFLOW[.JOB] for its newest artifact, with --at that of a time. A target that exists
or holds anything is refused, unless --replace is given.

--to is the path of a new file for sqlitebackup and of a new directory for archive, and
the name under databases: of an empty database for pgbackup.

--replace restores beside the target, counts, and only then gives the new one its
name, at once. What was there is kept beside it and never removed by upkeep; with --undo,
ARTIFACT is the target, and the two are exchanged again. A database must have no sessions
of others then, or --disconnect ends them; an SQLite file must not be open anywhere.

For pgbackup, --create makes a database that does not exist. --only picks one of several
databases, or tables as DATABASE:SCHEMA.TABLE, with their keys, indexes and defaults.
The default is one transaction, which leaves all or nothing; --jobs loads faster by
several connections, from a copy of the dump in the temporary directory.`,
		Example: "  upkeep backup restore daily.app --to /tmp/app.db\n" +
			"  upkeep backup restore daily.backup --to scratch --create --dry-run\n" +
			"  upkeep backup restore daily.backup --at 2026-11-20 --to shop --replace --disconnect\n" +
			"  upkeep backup restore --undo shop --disconnect\n" +
			"  upkeep backup restore daily.backup --to scratch --only shop:public.orders\n" +
			"  upkeep backup restore daily.files --at 2026-11-20 --to /tmp/files --only data/models",
		RunE: func(cmd *cobra.Command, given []string) error {
			if f.undo {
				return a.undoRestore(cmd.Context(), given[0], f)
			}
			return a.restoreBackup(cmd.Context(), given[0], f)
		},
		ValidArgsFunction: a.completeBackups,
	}
	a.outputFlag(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.to, "to", "", "where to restore to (`TARGET`)")
	flags.StringVar(&f.at, "at", "", "the newest artifact made at this `TIME` or before")
	flags.StringArrayVar(&f.only, "only", nil, "only this part (`NAME`), and what is below it (several allowed)")
	flags.StringVar(&f.store, "store", "", "from this `STORE`")
	flags.StringArrayVar(&f.identities, "identity", nil, "a `FILE` with age identities that decrypt (several allowed)")
	flags.BoolVar(&f.dryRun, "dry-run", false, "make the checks, show every step, and change nothing")
	d := &f.demands
	flags.BoolVar(&d.Replace, jobs.DemandReplace, false, "put it in the place of what is there, which is kept beside it")
	flags.BoolVar(&f.undo, "undo", false, "exchange TARGET again with what --replace put aside")
	flags.BoolVar(&d.Create, jobs.DemandCreate, false, "make the database when it does not exist")
	flags.BoolVar(&d.Disconnect, jobs.DemandDisconnect, false, "end the sessions of others in a database that is exchanged")
	flags.IntVarP(&d.Jobs, jobs.DemandJobs, "j", 1, "load by `N` connections, not in one transaction")
	flags.BoolVar(&d.Globals, jobs.DemandGlobals, false, "first make the roles and tablespaces of the backup that are missing")
	flags.BoolVar(&d.NoOwner, jobs.DemandNoOwner, false, "leave out who owns what")
	flags.BoolVar(&d.NoPrivileges, jobs.DemandNoPrivileges, false, "leave out who may do what")
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
	Created  time.Time      `json:"created,omitzero"`
	To       string         `json:"to"`
	DryRun   bool           `json:"dry_run"`
	Summary  string         `json:"summary"`
	Seconds  float64        `json:"seconds"`
	Findings []jobs.Finding `json:"findings"`
	// Steps are what would be done, when DryRun.
	Steps []string `json:"steps"`
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
	restorer, err := restorerOf(b.Manifest.Kind, f.demands)
	if err != nil {
		return err
	}
	a.warnBefore(b)
	var secrets []string
	target := f.target(cfg, &secrets)
	began := time.Now()
	stop := a.watch(b.meter, "restore "+b.Manifest.ID, b.Manifest.Stored())
	var restored jobs.Restored
	var steps []string
	err = inScratch(func(dir string) (err error) {
		restored, steps, err = a.inSteps(cfg, b, dir, f.dryRun, func(env *jobs.Env) (jobs.Restored, error) {
			return restorer.Restore(ctx, env, b.Artifact, target)
		})
		return err
	})
	stop()
	if err != nil {
		return scrubber(secrets)(b.scrub(b.advise(fmt.Errorf("restore %s of %s: %w", b.Manifest.ID, b.name(), err))))
	}
	return a.tellRestored(b, restored, steps, f, time.Since(began))
}

// restorerOf returns what restores artifacts of a kind, and refuses demands
// that it does not know.
func restorerOf(name string, t jobs.Target) (jobs.Restorer, error) {
	kind, ok := jobsall.Kinds().Lookup(name)
	restorer, can := kind.Artifacts.(jobs.Restorer)
	if !ok || !can {
		return nil, jobs.WithHint(fmt.Errorf("this version of upkeep does not restore artifacts of the kind %q", name), "`upkeep kinds KIND` may say how to do it by hand")
	}
	var known []string
	if d, ok := restorer.(jobs.Demanding); ok {
		known = d.Demands()
	}
	for _, demand := range t.Demands() {
		if !slices.Contains(known, demand) {
			return nil, usagef("--%s is not for artifacts of the kind %s", demand, name)
		}
	}
	return restorer, nil
}

// target is what the flags say; secrets takes those of databases that are
// opened.
func (f backupRestoreFlags) target(cfg *configs.Config, secrets *[]string) jobs.Target {
	t := f.demands
	t.To, t.Only, t.Identities = f.to, f.only, f.identities
	t.Database = func(name string) (jobs.Database, error) {
		database, found, err := cfg.OpenDatabase(name)
		*secrets = append(*secrets, found...)
		if is[*configs.UnknownError](err) {
			err = hintIfNone(&notFoundError{err: err}, "name a database of the configuration, under databases:")
		}
		return database, err
	}
	return t
}

// inSteps lets a kind restore, and shows each step: what would be done after a
// dry run, and else what is being done, on a terminal.
func (a *app) inSteps(cfg *configs.Config, b backup, dir string, dry bool, do func(*jobs.Env) (jobs.Restored, error)) (jobs.Restored, []string, error) {
	hooks := jobs.Hooks{DryRun: dry}
	if isTerminal(a.std.Err) && !a.dumb() {
		hooks.Effect = func(what string) { fmt.Fprintf(a.std.Err, "\r%s%s\n", eraseBelow, oneLine(what, 0)) }
	}
	env := a.backupEnv(cfg, b, dir, hooks)
	var said strings.Builder
	if dry {
		env.Out = &said
	}
	restored, err := do(env)
	var steps []string
	for line := range strings.Lines(said.String()) {
		steps = append(steps, strings.TrimSpace(line))
	}
	return restored, steps, err
}

// undoRestore exchanges a target again with what a restore put aside.
func (a *app) undoRestore(ctx context.Context, to string, f backupRestoreFlags) error {
	if f.to != "" || f.at != "" || f.store != "" || len(f.only) > 0 || len(f.identities) > 0 {
		return usagef("--undo needs a target and no artifact: only --disconnect and --dry-run go with it")
	}
	for _, demand := range f.demands.Demands() {
		if demand != jobs.DemandDisconnect {
			return usagef("--undo and --%s exclude each other", demand)
		}
	}
	cfg, err := a.loadForReading()
	if err != nil {
		return err
	}
	f.to = to
	var secrets []string
	target := f.target(cfg, &secrets)
	nothing := jobs.ErrNothingReplaced
	for _, name := range jobsall.Kinds().Names() {
		kind, _ := jobsall.Kinds().Lookup(name)
		undoer, ok := kind.Artifacts.(jobs.Undoer)
		if !ok {
			continue
		}
		began := time.Now()
		nobody := backup{Artifact: &object.Artifact{}}
		nobody.Manifest.Kind = name
		var restored jobs.Restored
		var steps []string
		err := inScratch(func(dir string) (err error) {
			restored, steps, err = a.inSteps(cfg, nobody, dir, f.dryRun, func(env *jobs.Env) (jobs.Restored, error) { return undoer.Undo(ctx, env, target) })
			return err
		})
		switch {
		case errors.Is(err, jobs.ErrNothingReplaced) && is[*notFoundError](err):
			// It is no database; the next kind may know it.
		case errors.Is(err, jobs.ErrNothingReplaced):
			if nothing == jobs.ErrNothingReplaced { //nolint:errorlint // whether anybody has said more
				nothing = err
			}
		case err != nil:
			return scrubber(secrets)(fmt.Errorf("undo the restore of %s: %w", to, err))
		default:
			return a.tellRestored(nobody, restored, steps, f, time.Since(began))
		}
	}
	return scrubber(secrets)(&notFoundError{err: fmt.Errorf("undo the restore of %s: %w", to, nothing)})
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
func (a *app) tellRestored(b backup, r jobs.Restored, steps []string, f backupRestoreFlags, spent time.Duration) error {
	if r.Findings == nil {
		r.Findings = []jobs.Finding{}
	}
	if steps == nil {
		steps = []string{}
	}
	var err error
	m := b.Manifest
	switch a.format {
	case formatTable:
		for _, step := range steps {
			fmt.Fprintln(a.std.Out, oneLine(step, 0))
		}
		verb := "restored"
		if f.dryRun {
			verb = "would restore"
		}
		what := fmt.Sprintf("%s %s of %s, made %s", verb, m.ID, b.name(), stamp(m.Created))
		switch {
		case f.undo && f.dryRun:
			what = "would undo"
		case f.undo:
			what = "undone"
		}
		fmt.Fprintf(a.std.Out, "%s: %s (in %s)\n", what, oneLine(r.Summary, 0), unit.Took(spent))
	case formatJSON, formatCSV:
		err = a.list(listing{
			columns: []string{"ARTIFACT", "JOB", "STORE", "CREATED", "TO", "DRY RUN", "SUMMARY"},
			rows:    [][]string{{m.ID, b.name(), b.store, stamp(m.Created), f.to, fmt.Sprint(f.dryRun), r.Summary}},
			data: restoredView{
				Artifact: m.ID, Workflow: m.Workflow, Job: m.Job, Kind: m.Kind, Store: b.store, Created: m.Created.UTC(), To: f.to,
				DryRun: f.dryRun, Summary: r.Summary, Seconds: spent.Seconds(), Findings: r.Findings, Steps: steps,
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
