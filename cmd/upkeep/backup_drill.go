package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/configs/unit"
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
	at, err := atMoment(f.at)
	if err != nil {
		return err
	}
	r := api.DrillRequest{
		Artifact: first(given), At: at, Store: f.store, Level: object.Level(f.level), Database: f.database, Assert: f.assert, DryRun: f.dryRun, Keep: f.keep,
	}
	return a.keep(ctx, keeping{identities: f.identities, do: func(ctx context.Context, c custodian) error {
		done, err := c.Drill(ctx, r)
		if len(done.Artifacts) == 0 || ctx.Err() != nil {
			return err
		}
		return errors.Join(err, a.tellDrilled(done, f.dryRun))
	}})
}

// tellDrilled shows what was done.
func (a *app) tellDrilled(done api.Worked, dryRun bool) error {
	p := a.painter(a.std.Out)
	l := listing{columns: []string{"ARTIFACT", "JOB", "STORE", "LEVEL", "AS OF", "RESTORED", "TOOK"}, data: done.Artifacts}
	for i, v := range done.Artifacts {
		name := v.Workflow + "." + v.Job
		row := []string{v.ID, name, v.Store, proofWord(p, v), "-", "-", "-"}
		if v.RestorableAsOf != nil {
			row[4], row[5], row[6] = stamp(*v.RestorableAsOf), humanize.IBytes(uint64(max(v.RestoredBytes, 0))), unit.Took(seconds(v.RestoreSeconds))
		}
		l.rows = append(l.rows, row)
		if a.format == formatTable && i < len(done.Drills) {
			a.tellDrill(v.ID+" of "+name, done.Drills[i], dryRun)
		}
	}
	var err error
	if a.format != formatTable {
		err = a.list(l)
	}
	if done.Warnings > 0 {
		return errors.Join(err, &warnedError{count: done.Warnings})
	}
	return err
}

// tellDrill says what was done with one artifact.
func (a *app) tellDrill(name string, d api.Drill, dryRun bool) {
	out := a.std.Out
	switch {
	case dryRun:
		if d.Summary != "" {
			fmt.Fprintf(out, "%s: %s\n", name, oneLine(d.Summary, 0))
		}
	case d.Damaged:
		fmt.Fprintf(out, "%s: %s\n", name, a.painter(out).red("damaged"))
	case d.Done != "":
		fmt.Fprintf(out, "%s: %s\n  %s\n", name, oneLine(d.Done, 0), oneLine(d.Summary, 0))
	}
	if d.Kept != "" {
		fmt.Fprintf(out, "  kept: %s\n", oneLine(d.Kept, 0))
	}
}
