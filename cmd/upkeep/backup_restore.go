package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/web/api"
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

// request is what the flags say.
func (f backupRestoreFlags) request(given string) (api.RestoreRequest, error) {
	d := f.demands
	r := api.RestoreRequest{
		Artifact: given, To: f.to, Store: f.store, Only: f.only, DryRun: f.dryRun, Undo: f.undo,
		Replace: d.Replace, Create: d.Create, Disconnect: d.Disconnect, Jobs: d.Jobs, Globals: d.Globals, NoOwner: d.NoOwner, NoPrivileges: d.NoPrivileges,
	}
	var err error
	if r.At, err = atMoment(f.at); err != nil {
		return r, err
	}
	if !f.undo {
		if f.to == "" {
			return r, usagef("say where to restore to: --to")
		}
		return r, nil
	}
	if f.to != "" || f.at != "" || f.store != "" || len(f.only) > 0 || len(f.identities) > 0 {
		return r, usagef("--undo needs a target and no artifact: only --disconnect and --dry-run go with it")
	}
	for _, demand := range d.Demands() {
		if demand != jobs.DemandDisconnect {
			return r, usagef("--undo and --%s exclude each other", demand)
		}
	}
	r.Artifact, r.To = "", given
	return r, nil
}

func (a *app) restoreBackup(ctx context.Context, given string, f backupRestoreFlags) error {
	r, err := f.request(given)
	if err != nil {
		return err
	}
	return a.keep(ctx, keeping{identities: f.identities, do: func(ctx context.Context, c custodian) error {
		done, err := c.Restore(ctx, r)
		if err != nil || done.Restored == nil {
			return err
		}
		return a.tellRestored(*done.Restored, done.Warnings, f.undo)
	}})
}

// tellRestored shows what was done.
func (a *app) tellRestored(r api.Restored, warnings int, undo bool) error {
	name := r.Workflow + "." + r.Job
	var err error
	switch a.format {
	case formatTable:
		for _, step := range r.Steps {
			fmt.Fprintln(a.std.Out, oneLine(step, 0))
		}
		verb := "restored"
		if r.DryRun {
			verb = "would restore"
		}
		what := fmt.Sprintf("%s %s of %s, made %s", verb, r.Artifact, name, stamp(r.Created))
		switch {
		case undo && r.DryRun:
			what = "would undo"
		case undo:
			what = "undone"
		}
		fmt.Fprintf(a.std.Out, "%s: %s (in %s)\n", what, oneLine(r.Summary, 0), unit.Took(seconds(r.Seconds)))
	case formatJSON, formatCSV:
		err = a.list(listing{
			columns: []string{"ARTIFACT", "JOB", "STORE", "CREATED", "TO", "DRY RUN", "SUMMARY"},
			rows:    [][]string{{r.Artifact, name, r.Store, stamp(r.Created), r.To, fmt.Sprint(r.DryRun), r.Summary}},
			data:    r,
		})
	}
	for _, finding := range r.Findings {
		fmt.Fprintf(a.std.Err, "%s: %s\n", finding.Severity, oneLine(finding.Text, 0))
	}
	if warnings > 0 {
		return errors.Join(err, &warnedError{count: warnings})
	}
	return err
}
