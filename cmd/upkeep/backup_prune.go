package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

type backupPruneFlags struct {
	dryRun, apply bool
	store         string
}

func newBackupPrune(a *app) *cobra.Command {
	var f backupPruneFlags
	cmd := &cobra.Command{
		Use:   "prune [WORKFLOW[.JOB]]",
		Short: "Show what retention would remove, or remove it",
		Long: `Show what the retention of each job would do now with what the stores hold, and why; with
--apply do it. The rules, the cap (max_remove) and what holds them back are those that the
job itself applies after a success: only proven artifacts count, min_keep of them
stay, and while the job's newest artifact is not proven, or its last run failed,
nothing goes. What jobs made that are no longer configured is never touched.`,
		Example: "  upkeep backup prune\n  upkeep backup prune daily.backup --apply",
		RunE: func(cmd *cobra.Command, given []string) error {
			return a.pruneBackups(cmd.Context(), scopeOf(given, f.store), f)
		},
		ValidArgsFunction: a.completeBackupJobs,
	}
	a.outputFlag(cmd)
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "say what would go, and change nothing (the default)")
	cmd.Flags().BoolVar(&f.apply, "apply", false, "remove it")
	cmd.Flags().StringVar(&f.store, "store", "", "only in this `STORE`")
	completeFlag(cmd, "store", a.completeStores)
	return cmd
}

func (a *app) pruneBackups(ctx context.Context, s backupScope, f backupPruneFlags) error {
	if f.dryRun && f.apply {
		return usagef("--dry-run and --apply exclude each other")
	}
	cfg, err := a.config()
	if err != nil {
		return err
	}
	stores, err := s.stores(cfg)
	if err != nil {
		return err
	}
	s.bare = true
	chosen := backupJobs(cfg, s)
	if len(chosen) == 0 {
		return notFoundf("`upkeep backup list` shows what there is", "no configured job in this scope makes artifacts")
	}
	reader, err := a.openHistory(ctx, cfg)
	if err != nil {
		return err
	}
	defer reader.Close()
	found, err := a.backups(ctx, cfg, s)
	if err != nil {
		return err
	}
	var errs []error
	bytes, number := int64(0), 0
	for _, j := range chosen {
		failed, err := newestFailure(ctx, reader, j)
		if err != nil {
			return err
		}
		what := jobs.Pruning{Stores: only(s.store), Failed: failed, Known: known(found, stores, nil)}
		retained, err := a.retention(ctx, cfg, j, what, jobs.Hooks{DryRun: !f.apply})
		errs = append(errs, err)
		setFates(found, j, retained)
		for _, r := range retained {
			errs = append(errs, a.tellRetained(j, r, failed, f.apply))
		}
		if context.Cause(ctx) != nil {
			break
		}
	}
	found = slices.DeleteFunc(found, func(b backup) bool { return b.fate.word == "" })
	for _, b := range found {
		if b.fate.word == fateRemove && !f.apply || b.fate.word == fateRemoved {
			number, bytes = number+1, bytes+b.Manifest.Stored()
		}
	}
	if a.format == formatTable {
		verb := "would remove"
		if f.apply {
			verb = "removed"
		}
		fmt.Fprintf(a.std.Out, "%s %s, %s\n", verb, count(number, "artifact"), humanize.IBytes(uint64(max(bytes, 0))))
	}
	if a.format != formatTable || len(found) > 0 {
		errs = append(errs, a.list(a.listOfBackups(cfg, s, found)))
	}
	return errors.Join(errs...)
}

// tellRetained tells what retention has to say beside the list. It is an error
// that a rail holds back everything which was to be removed.
func (a *app) tellRetained(j backupJob, r jobs.Retained, failed time.Time, apply bool) error {
	for _, f := range r.Findings {
		fmt.Fprintf(a.std.Err, "%s: %s: %s\n", f.Severity, j.name(), oneLine(f.Text, 0))
	}
	if r.Plan.Held == "" || !r.Active {
		return nil
	}
	why := r.Plan.Held
	if !failed.IsZero() {
		why += fmt.Sprintf(" (the job failed at %s)", stamp(failed))
	}
	if apply && len(r.Plan.Remove) == 0 {
		return jobs.WithHint(&jobs.RefusedError{Rail: "retention", Why: fmt.Sprintf("nothing of %s in store %s is removed: %s", j.name(), r.Store, why)},
			"run the job until it succeeds")
	}
	fmt.Fprintf(a.std.Err, "%s: store %s: retention holds back: %s\n", j.name(), r.Store, oneLine(why, 0))
	return nil
}

// retention asks a job for what its retention does.
func (a *app) retention(ctx context.Context, cfg *configs.Config, j backupJob, p jobs.Pruning, h jobs.Hooks) ([]jobs.Retained, error) {
	job, secrets, err := j.job.Build(nil)
	scrub := scrubber(secrets)
	if err != nil {
		return nil, scrub(err)
	}
	keeper, ok := job.(jobs.Keeper)
	if !ok {
		return nil, nil
	}
	env := jobs.Env{
		Workflow: j.workflow.Name, Job: j.job.Name, Attempt: 1, Trigger: "manual", Slot: time.Now().UTC(),
		Node: cfg.Node, Version: version, Zone: j.workflow.Zone, Root: cfg.Root, KillGrace: cfg.KillGrace, Log: a.log(),
	}
	if !h.DryRun {
		env.Out = a.std.Err // what stays although it was to go
	}
	retained, err := keeper.Prune(ctx, jobs.NewEnv(env, h), p)
	if err != nil {
		err = scrub(fmt.Errorf("%s: %w", j.name(), err))
	}
	return retained, err
}

// pastRuns is how many runs are looked through for the newest end of a job.
const pastRuns = 50

// newestFailure returns when a job failed, if it has not succeeded since.
func newestFailure(ctx context.Context, reader history, j backupJob) (time.Time, error) {
	runs, err := reader.Runs(ctx, runner.Filter{Workflow: j.workflow.Name, Limit: pastRuns})
	if err != nil {
		return time.Time{}, err
	}
	attempts, err := reader.Attempts(ctx, idsOf(runs)...)
	if err != nil {
		return time.Time{}, err
	}
	dry := map[runner.RunID]bool{}
	for _, r := range runs {
		dry[r.ID] = r.DryRun
	}
	var newest runner.Attempt
	for _, at := range attempts {
		ended := at.State == runner.Succeeded || at.State == runner.Warned || at.State == runner.Failed || at.State == runner.Lost
		if at.Job == j.job.Name && ended && !dry[at.Run] && at.StartedAt.After(newest.StartedAt) {
			newest = at
		}
	}
	if newest.State != runner.Failed && newest.State != runner.Lost {
		return time.Time{}, nil
	}
	if newest.FinishedAt.IsZero() {
		return newest.StartedAt, nil
	}
	return newest.FinishedAt, nil
}
