package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
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
	cfg, err := a.loadForReading()
	if err != nil {
		return err
	}
	s := scopeOf(given, f.store)
	var chosen []backup
	var errs []error
	if f.newest || f.all {
		found, err := a.backups(ctx, cfg, s)
		if found == nil && err != nil {
			return err
		}
		errs = append(errs, err)
		if chosen = found; f.newest {
			chosen = newestOf(found)
		}
		if len(chosen) == 0 && err == nil {
			return notFoundf("`upkeep backup list` shows what there is", "%s", noBackups(cfg, s))
		}
	} else {
		one, err := a.findBackup(ctx, cfg, given[0], f.store)
		if err != nil {
			return err
		}
		chosen = []backup{one}
	}
	var proven []backup
	for _, b := range chosen {
		err := a.verifyBackup(ctx, cfg, &b, f)
		if context.Cause(ctx) != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			errs = append(errs, b.scrub(err))
		}
		proven = append(proven, b)
	}
	if err := a.list(listOfProofs(a.painter(a.std.Out), proven)); err != nil {
		return err
	}
	return errors.Join(errs...)
}

// newestOf returns the newest artifact of each job in each store.
func newestOf(found []backup) []backup {
	seen := map[string]bool{}
	var out []backup
	for _, b := range found {
		key := b.store + "/" + b.name() + "/" + b.Manifest.Kind
		if !seen[key] {
			out = append(out, b)
		}
		seen[key] = true
	}
	return out
}

// errRemoved says that an artifact was removed while it was read.
var errRemoved = errors.New("it was removed meanwhile")

// verifyBackup proves one artifact and records the outcome.
func (a *app) verifyBackup(ctx context.Context, cfg *configs.Config, b *backup, f backupVerifyFlags) error {
	what := fmt.Sprintf("verify %s of %s in store %s", b.Manifest.ID, b.name(), b.store)
	level, err := f.levelFor(*b)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	kind, ok := jobsall.Kinds().Lookup(b.Manifest.Kind)
	if !ok || kind.Artifacts == nil {
		return fmt.Errorf("%s: this version of upkeep knows no artifacts of the kind %q", what, b.Manifest.Kind)
	}
	if f.level == "" && level == object.L1 {
		fmt.Fprintf(a.std.Err, "%s: encrypted, and --identity is not given: proven up to L1 only\n", b.Manifest.ID)
	}
	stop := a.watch(b.meter, "verify "+b.Manifest.ID, b.Manifest.Stored())
	var proof object.Proof
	err = inScratch(func(dir string) (err error) {
		env := a.backupEnv(cfg, *b, dir, jobs.Hooks{})
		proof, err = kind.Artifacts.Verify(ctx, env, b.Artifact, jobs.Proving{Level: level, Identities: f.identities})
		return err
	})
	stop()
	if context.Cause(ctx) != nil || err != nil && !errors.Is(err, object.ErrDamaged) {
		return fmt.Errorf("%s: %w", what, err)
	}
	if gone := b.gone(ctx); gone != nil {
		return fmt.Errorf("%s: %w", what, gone)
	}
	if err != nil {
		err = b.advise(fmt.Errorf("%s: %w", what, err))
	}
	if !deeper(b.Proof, proof) {
		return err
	}
	return errors.Join(err, b.Record(ctx, proof))
}

// levelFor returns how far an artifact is to be proven.
func (f backupVerifyFlags) levelFor(b backup) (object.Level, error) {
	encrypted := false
	for _, s := range b.Manifest.Streams {
		encrypted = encrypted || len(s.Recipients) > 0
	}
	switch {
	case encrypted && len(f.identities) == 0 && f.level == string(object.L2):
		return "", jobs.WithHint(errors.New("it is encrypted, so that L2 needs an identity"), "name the file with --identity, or use --level L1")
	case f.level != "":
		return object.Level(f.level), nil
	case encrypted && len(f.identities) == 0:
		return object.L1, nil
	}
	return object.L2, nil
}

// deeper tells whether a new proof says more than the one on record: damage
// always does, and a proof takes the place of others that went no further.
func deeper(old *object.Proof, proof object.Proof) bool {
	return old == nil || proof.Damage != "" || proof.Level.Rank() >= old.Level.Rank()
}

// gone tells whether the artifact was removed since it was found.
func (b backup) gone(ctx context.Context) error {
	_, err := b.reload(ctx)
	if errors.Is(err, object.ErrNotFound) {
		return errRemoved
	}
	return nil
}

// backupEnv is the world of what a kind does with an artifact beside a run.
func (a *app) backupEnv(cfg *configs.Config, b backup, dir string, h jobs.Hooks) *jobs.Env {
	return jobs.NewEnv(jobs.Env{
		RunID: "cli-" + filepath.Base(dir), Workflow: b.Manifest.Workflow, Job: b.Manifest.Job, Attempt: 1, Trigger: "manual",
		Slot: time.Now().UTC(), Node: cfg.Node, Version: version, Zone: cfg.Timezone, Root: cfg.Root,
		WorkDir: dir, KillGrace: cfg.KillGrace, Log: a.log(), Out: a.std.Err,
	}, h)
}

// listOfProofs makes a list of what was proven in all forms.
func listOfProofs(p painter, proven []backup) listing {
	now := time.Now()
	l := listing{columns: []string{"ARTIFACT", "JOB", "STORE", "SIZE", "LEVEL", "TOOK", "RATE"}}
	views := []api.Backup{}
	for _, b := range proven {
		v := viewBackup(b, now)
		views = append(views, v)
		spent, rate := "-", "-"
		if v.Seconds > 0 {
			spent = unit.Took(time.Duration(v.Seconds * 1e9))
			rate = strings.TrimSpace(humanize.IBytes(uint64(float64(max(v.Bytes, 0))/v.Seconds))) + "/s"
		}
		l.rows = append(l.rows, []string{
			v.ID, b.name(), v.Store, humanize.IBytes(uint64(max(v.Bytes, 0))), proofWord(p, v), spent, rate,
		})
	}
	l.data = views
	return l
}
