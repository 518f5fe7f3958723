package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/storage/object"
	"github.com/ghosteam/upkeep/web/api"
)

type backupVerifyFlags struct {
	newest, all bool
	store       string
	level       string
	identities  []string
}

func newBackupVerify(a *app) *cobra.Command {
	var f backupVerifyFlags
	cmd := &cobra.Command{
		Use:   "verify [ARTIFACT]",
		Short: "Prove artifacts anew: read them back and compare",
		Long: `Prove artifacts anew, read through their store: L1 reads and hashes every stored byte,
L2 also reads the content with its own reader and compares it with the manifest. The
default is L2, or L1 for what is encrypted while no identity is given. The outcome is
kept beside the manifest: what is damaged no longer counts as a backup.

ARTIFACT is an id. With --newest or --all it may be WORKFLOW[.JOB]: the newest artifact
of each job in each store, or every one.`,
		Example: "  upkeep backup verify 20261123-023000.123-k3v2q5m7xd\n" +
			"  upkeep backup verify --newest\n" +
			"  upkeep backup verify daily.backup --all --level L1",
		RunE:              func(cmd *cobra.Command, given []string) error { return a.verifyBackups(cmd.Context(), given, f) },
		ValidArgsFunction: a.completeBackups,
	}
	a.outputFlag(cmd)
	flags := cmd.Flags()
	flags.BoolVar(&f.newest, "newest", false, "the newest artifact of each job in each store")
	flags.BoolVar(&f.all, "all", false, "every artifact")
	flags.StringVar(&f.store, "store", "", "only in this `STORE`")
	flags.StringVar(&f.level, "level", "", "how far (`LEVEL`): L1 or L2")
	flags.StringArrayVar(&f.identities, "identity", nil, "a `FILE` with age identities that decrypt (several allowed)")
	completeFlag(cmd, "store", a.completeStores)
	completeFlag(cmd, "level", completeWords([]object.Level{object.L1, object.L2}))
	return cmd
}

func (f backupVerifyFlags) check(given []string) error {
	switch {
	case f.newest && f.all:
		return usagef("--newest and --all exclude each other")
	case !f.newest && !f.all && len(given) == 0:
		return usagef("say which artifact: an id, --newest or --all")
	case f.level != "" && f.level != string(object.L1) && f.level != string(object.L2):
		return usagef("--level %q is neither L1 nor L2", f.level)
	}
	return nil
}

func (a *app) verifyBackups(ctx context.Context, given []string, f backupVerifyFlags) error {
	if err := f.check(given); err != nil {
		return err
	}
	r := api.VerifyRequest{Artifact: first(given), Newest: f.newest, All: f.all, Store: f.store, Level: object.Level(f.level)}
	return a.keep(ctx, keeping{identities: f.identities, do: func(ctx context.Context, c custodian) error {
		done, err := c.Verify(ctx, r)
		if len(done.Artifacts) == 0 {
			return err
		}
		return errors.Join(a.list(listOfProofs(a.painter(a.std.Out), done.Artifacts)), err)
	}})
}

// listOfProofs makes a list of what was proven in all forms.
func listOfProofs(p painter, views []api.Backup) listing {
	l := listing{columns: []string{"ARTIFACT", "JOB", "STORE", "SIZE", "LEVEL", "TOOK", "RATE"}}
	for _, v := range views {
		spent, rate := "-", "-"
		if v.Seconds > 0 {
			spent = unit.Took(time.Duration(v.Seconds * 1e9))
			rate = strings.TrimSpace(humanize.IBytes(uint64(float64(max(v.Bytes, 0))/v.Seconds))) + "/s"
		}
		l.rows = append(l.rows, []string{
			v.ID, v.Workflow + "." + v.Job, v.Store, humanize.IBytes(uint64(max(v.Bytes, 0))), proofWord(p, v), spent, rate,
		})
	}
	l.data = views
	return l
}
