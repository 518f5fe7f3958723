package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	jobsall "github.com/ghosteam/upkeep/jobs/all"
	"github.com/ghosteam/upkeep/storage/object"
)

func newBackup(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "backup",
		Short: "List, prove, prune and restore what jobs put into stores",
		Long: `Everything that a job put into a store is an artifact with a manifest, which says what
it is, what it consists of and how far it was proven. These commands read the stores
themselves: they need neither the service nor the ledger.`,
		Example: "  upkeep backup list\n  upkeep backup verify --newest",
	}
	return withCommands(cmd, newBackupList(a), newBackupVerify(a), newBackupDrill(a), newBackupRestore(a), newBackupPrune(a))
}

// backupScope says which artifacts a command is about; an empty field means
// all.
type backupScope struct {
	workflow, job string
	store         string
	// bare leaves out what kinds say of their artifacts, which can be long;
	// such artifacts are not for reading what is in them.
	bare bool
}

// scopeOf reads WORKFLOW[.JOB].
func scopeOf(given []string, store string) backupScope {
	s := backupScope{store: store}
	if len(given) > 0 {
		s.workflow, s.job, _ = strings.Cut(given[0], ".")
	}
	return s
}

// prefix is how the keys begin of what the scope names.
func (s backupScope) prefix() string {
	switch {
	case s.workflow == "":
		return ""
	case s.job == "":
		return s.workflow + "/"
	}
	return object.Folder(s.workflow, s.job)
}

// stores returns the configured stores that the scope names.
func (s backupScope) stores(cfg *configs.Config) ([]string, error) {
	var names []string
	for _, store := range cfg.Stores {
		names = append(names, store.Name)
	}
	switch {
	case s.store == "":
		return names, nil
	case !slices.Contains(names, s.store):
		return nil, notFoundf("the configuration has "+joinWords(names), "there is no store %q", s.store)
	}
	return []string{s.store}, nil
}

// backup is an artifact in a store of the configuration.
type backup struct {
	*object.Artifact
	store string
	// from is that store.
	from object.Store
	// meter is told how many bytes are read from the store.
	meter *meter
	// scrub takes the store's secrets out of an error.
	scrub func(error) error
	// ratio is its stored size by that of the one before; 0 for the first.
	ratio float64
	fate  fate
}

func (b backup) name() string { return b.Manifest.Workflow + "." + b.Manifest.Job }

// advise says what to do about an artifact that is damaged.
func (b backup) advise(err error) error {
	if !errors.Is(err, object.ErrDamaged) || jobs.HintOf(err) != "" {
		return err
	}
	return jobs.WithHint(err, fmt.Sprintf("`upkeep backup list %s` shows what else there is; make a new one with `upkeep run %s`, and look at the disk of the store %s", b.name(), b.name(), b.store))
}

// reload reads the artifact anew.
func (b backup) reload(ctx context.Context) (*object.Artifact, error) {
	return object.Load(ctx, b.from, b.Info.Key)
}

// scrubbedError is an error of which the text holds no secret.
type scrubbedError struct {
	err  error
	text string
}

func (e *scrubbedError) Error() string { return e.text }
func (e *scrubbedError) Unwrap() error { return e.err }

// scrubber takes secrets out of the texts of errors.
func scrubber(secrets []string) func(error) error {
	redactor := secret.NewRedactor(secrets)
	return func(err error) error {
		if err == nil {
			return nil
		}
		return &scrubbedError{err: err, text: redactor.Scrub(err.Error())}
	}
}

// backups reads the manifests in the scope, newest first. Manifests that cannot
// be read are told at once; stores that fail make the error that is returned
// beside what the others hold.
func (a *app) backups(ctx context.Context, cfg *configs.Config, s backupScope) ([]backup, error) {
	names, err := s.stores(cfg)
	if err != nil {
		return nil, err
	}
	var all []backup
	var errs []error
	for _, name := range names {
		found, err := a.backupsIn(ctx, cfg, name, s)
		all = append(all, found...)
		if context.Cause(ctx) != nil {
			return nil, context.Cause(ctx)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("store %s: %w", name, err))
		}
	}
	slices.SortFunc(all, func(x, y backup) int {
		return cmp.Or(y.Manifest.Created.Compare(x.Manifest.Created), cmp.Compare(y.Manifest.ID, x.Manifest.ID), cmp.Compare(x.store, y.store))
	})
	compareSizes(all)
	return all, errors.Join(errs...)
}

func (a *app) backupsIn(ctx context.Context, cfg *configs.Config, name string, s backupScope) ([]backup, error) {
	store, scrub, m, err := openMetered(cfg, name)
	if err != nil {
		return nil, err
	}
	from := object.Store(store)
	if s.bare {
		from = store.Store // it can do more than be read
	}
	var found []backup
	for artifact, err := range object.Artifacts(ctx, from, s.prefix()) {
		switch {
		case artifact == nil:
			return found, scrub(err)
		case errors.Is(err, object.ErrDamaged), errors.Is(err, object.ErrNewer):
			fmt.Fprintf(a.std.Err, "warning: store %s: %s\n", name, oneLine(scrub(err).Error(), 0))
		case err != nil:
			return found, scrub(err)
		default:
			if s.bare {
				artifact.Manifest.Details = nil
			}
			found = append(found, backup{Artifact: artifact, store: name, from: store, meter: m, scrub: scrub})
		}
	}
	return found, nil
}

// openMetered opens a store of which the readers count.
func openMetered(cfg *configs.Config, name string) (*meteredStore, func(error) error, *meter, error) {
	store, secrets, err := cfg.OpenStore(name)
	scrub := scrubber(secrets)
	if err != nil {
		return nil, scrub, nil, scrub(err)
	}
	m := &meter{}
	return &meteredStore{Store: store, meter: m}, scrub, m, nil
}

// known hands what was read to a job that applies its retention to it; nil when
// a store could not be read to its end.
func known(found []backup, stores []string, failed error) map[string][]*object.Artifact {
	if failed != nil {
		return nil
	}
	out := map[string][]*object.Artifact{}
	for _, name := range stores {
		out[name] = nil // read, and it may hold nothing
	}
	for _, b := range found {
		out[b.store] = append(out[b.store], b.Artifact)
	}
	return out
}

// compareSizes sets the ratios of artifacts, which are newest first, to the
// ones before of the same job in the same store.
func compareSizes(all []backup) {
	newer := map[string]int{}
	for i, b := range all {
		key := b.store + "/" + b.name() + "/" + b.Manifest.Kind
		if at, ok := newer[key]; ok && b.Manifest.Stored() > 0 {
			all[at].ratio = float64(all[at].Manifest.Stored()) / float64(b.Manifest.Stored())
		}
		newer[key] = i
	}
}

// backupJobs returns the configured jobs in the scope whose kind makes
// artifacts.
func backupJobs(cfg *configs.Config, s backupScope) []backupJob {
	kinds := jobsall.Kinds()
	var out []backupJob
	for _, w := range cfg.Workflows {
		for _, j := range w.Jobs {
			kind, ok := kinds.Lookup(j.Kind)
			if ok && kind.Artifacts != nil && (s.workflow == "" || s.workflow == w.Name) && (s.job == "" || s.job == j.Name) {
				out = append(out, backupJob{workflow: w, job: j})
			}
		}
	}
	return out
}

// backupJob is a configured job that makes artifacts.
type backupJob struct {
	workflow *configs.Workflow
	job      configs.Job
}

func (j backupJob) name() string { return j.workflow.Name + "." + j.job.Name }

// findBackup returns the artifact of that id; store is empty for any.
func (a *app) findBackup(ctx context.Context, cfg *configs.Config, id, store string) (backup, error) {
	if _, err := object.IDTime(id); err != nil {
		return backup{}, notFoundf("`upkeep backup list` shows the ids", "%q is not the id of an artifact", id)
	}
	names, err := backupScope{store: store}.stores(cfg)
	if err != nil {
		return backup{}, err
	}
	var errs []error
	for _, name := range names {
		opened, scrub, m, err := openMetered(cfg, name)
		if err == nil {
			var found *object.Artifact
			if found, err = object.Find(ctx, opened, id); err == nil {
				return backup{Artifact: found, store: name, from: opened, meter: m, scrub: scrub}, nil
			}
		}
		if context.Cause(ctx) != nil {
			return backup{}, context.Cause(ctx)
		}
		if !errors.Is(err, object.ErrNotFound) {
			errs = append(errs, fmt.Errorf("store %s: %w", name, scrub(err)))
		}
	}
	if len(errs) > 0 {
		return backup{}, errors.Join(errs...)
	}
	return backup{}, notFoundf("`upkeep backup list` shows the ids", "no store holds an artifact %s", id)
}

// completeBackups offers the artifacts with their ids.
func (a *app) completeBackups(cmd *cobra.Command, given []string, _ string) ([]string, cobra.ShellCompDirective) {
	const directive = cobra.ShellCompDirectiveNoFileComp
	cfg, err := a.loadForReading()
	if err != nil || len(given) > 0 {
		return nil, directive
	}
	found, err := a.backups(cmd.Context(), cfg, backupScope{})
	if err != nil {
		return nil, directive
	}
	var words []string
	for _, b := range found[:min(len(found), 50)] {
		words = append(words, fmt.Sprintf("%s\t%s in %s, %s", b.Manifest.ID, b.name(), b.store, stamp(b.Manifest.Created)))
	}
	return words, directive
}

// completeBackupJobs offers the workflows and jobs that make artifacts.
func (a *app) completeBackupJobs(_ *cobra.Command, given []string, _ string) ([]string, cobra.ShellCompDirective) {
	cfg, err := a.loadForReading()
	if err != nil || len(given) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var words []string
	for _, j := range backupJobs(cfg, backupScope{}) {
		words = append(words, j.name()+"\t"+j.job.Kind)
	}
	return words, cobra.ShellCompDirectiveNoFileComp
}

// completeStores offers the configured stores.
func (a *app) completeStores(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	cfg, err := a.loadForReading()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, s := range cfg.Stores {
		names = append(names, s.Name+"\t"+s.Kind)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// age is how old an artifact is, in words.
func age(created, now time.Time) string { return unit.Took(now.Sub(created).Round(time.Second)) }
