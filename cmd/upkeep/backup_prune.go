package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/cmd/upkeep/custody"
	"github.com/ghosteam/upkeep/web/api"
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
			return a.pruneBackups(cmd.Context(), custody.ScopeOf(first(given), f.store), f)
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

func (a *app) pruneBackups(ctx context.Context, s custody.Scope, f backupPruneFlags) error {
	if f.dryRun && f.apply {
		return usagef("--dry-run and --apply exclude each other")
	}
	r := api.PruneRequest{Workflow: s.Workflow, Job: s.Job, Store: s.Store, Apply: f.apply}
	return a.keep(ctx, keeping{strict: true, do: func(ctx context.Context, c custodian) error {
		done, err := c.Prune(ctx, r)
		if len(done.Artifacts) == 0 && err != nil {
			return err
		}
		if a.format == formatTable {
			verb := "would remove"
			if f.apply {
				verb = "removed"
			}
			fmt.Fprintf(a.std.Out, "%s %s, %s\n", verb, count(done.Number, "artifact"), humanize.IBytes(uint64(max(done.Bytes, 0))))
		}
		if a.format != formatTable || len(done.Artifacts) > 0 {
			err = errors.Join(err, a.list(a.listOfViews(done.Empty, done.Artifacts)))
		}
		return err
	}})
}
