package custody

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	jobsall "github.com/ghosteam/upkeep/jobs/all"
	"github.com/ghosteam/upkeep/storage/object"
	"github.com/ghosteam/upkeep/web/api"
)

// Restore puts back what an artifact holds, or with r.Undo exchanges a target
// again with what a restore put aside.
func (c *Custodian) Restore(ctx context.Context, r api.RestoreRequest) (api.Worked, error) {
	if c.isOwn(r.To) {
		return worked(nil), &jobs.RefusedError{Rail: "own files", Why: r.To + " belongs to upkeep itself"}
	}
	if r.Undo {
		return c.undo(ctx, r)
	}
	a, err := c.chooseOne(ctx, r)
	if err != nil {
		return worked(nil), err
	}
	restorer, err := restorerOf(a.Manifest.Kind, r)
	if err != nil {
		return worked(nil), err
	}
	if err := c.reachable(restorer, r.To); err != nil {
		return worked(nil), err
	}
	c.warnBefore(a)
	var secrets []string
	target := c.target(r, &secrets)
	began := time.Now()
	stop := c.watch(a, "restore")
	restored, steps, err := c.inSteps(a, r.DryRun, func(env *jobs.Env) (jobs.Restored, error) {
		return restorer.Restore(ctx, env, a.Artifact, target)
	})
	stop()
	if err != nil {
		return worked(nil), Scrubber(secrets)(a.scrub(a.advise(fmt.Errorf("restore %s of %s: %w", a.Manifest.ID, a.Name(), err))))
	}
	return c.restored(a, r, restored, steps, time.Since(began)), nil
}

// restorerOf returns what restores artifacts of a kind, and refuses demands
// that it does not know.
func restorerOf(name string, r api.RestoreRequest) (jobs.Restorer, error) {
	kind, ok := jobsall.Kinds().Lookup(name)
	restorer, can := kind.Artifacts.(jobs.Restorer)
	if !ok || !can {
		return nil, jobs.WithHint(fmt.Errorf("this version of upkeep does not restore artifacts of the kind %q", name), "`upkeep kinds KIND` may say how to do it by hand")
	}
	known := demandsOf(restorer)
	for _, demand := range demanded(r).Demands() {
		if !slices.Contains(known, demand) {
			return nil, invalid("--%s is not for artifacts of the kind %s", demand, name)
		}
	}
	return restorer, nil
}

// demandsOf are the demands that a kind meets.
func demandsOf(artifacts any) []string {
	if d, ok := artifacts.(jobs.Demanding); ok {
		return d.Demands()
	}
	return nil
}

// IntoPath tells whether the targets of a kind are paths, and not the names of
// databases.
func IntoPath(artifacts any) bool { return !slices.Contains(demandsOf(artifacts), jobs.DemandCreate) }

// reachable refuses relative paths where nobody could tell to what.
func (c *Custodian) reachable(artifacts any, to string) error {
	if c.o.Absolute && IntoPath(artifacts) && !filepath.IsAbs(to) {
		return api.NewProblem(api.CodeInvalid, "write the whole path, as it is on the machine of the service", fmt.Sprintf("the target %q is no absolute path", to))
	}
	return nil
}

// demanded is what a request demands beyond a plain restore.
func demanded(r api.RestoreRequest) jobs.Target {
	return jobs.Target{
		Replace: r.Replace, Create: r.Create, Disconnect: r.Disconnect, Jobs: r.Jobs, Globals: r.Globals, NoOwner: r.NoOwner, NoPrivileges: r.NoPrivileges,
	}
}

// target is what a request says; secrets takes those of databases that are
// opened.
func (c *Custodian) target(r api.RestoreRequest, secrets *[]string) jobs.Target {
	t := demanded(r)
	t.To, t.Only, t.Identities = r.To, r.Only, c.o.Identities
	t.Database = func(name string) (jobs.Database, error) {
		database, found, err := c.o.Config.OpenDatabase(name)
		*secrets = append(*secrets, found...)
		return database, unknownDatabase(err, "name a database of the configuration, under databases:")
	}
	return t
}

// inSteps lets a kind restore in a private folder, and tells each step: what
// would be done after a dry run, and else what is being done.
func (c *Custodian) inSteps(a Artifact, dry bool, do func(*jobs.Env) (jobs.Restored, error)) (restored jobs.Restored, steps []string, err error) {
	var said strings.Builder
	err = inScratch(func(dir string) (err error) {
		env := c.env(a, dir, jobs.Hooks{DryRun: dry, Effect: c.o.Step})
		if dry {
			env.Out = &said
		}
		restored, err = do(env)
		return err
	})
	for line := range strings.Lines(said.String()) {
		steps = append(steps, strings.TrimSpace(line))
	}
	return restored, steps, err
}

// undo exchanges a target again with what a restore put aside.
func (c *Custodian) undo(ctx context.Context, r api.RestoreRequest) (api.Worked, error) {
	if r.Artifact != "" || r.At != nil || r.Store != "" || len(r.Only) > 0 || len(c.o.Identities) > 0 {
		return worked(nil), invalid("undo needs a target and no artifact")
	}
	for _, demand := range demanded(r).Demands() {
		if demand != jobs.DemandDisconnect {
			return worked(nil), invalid("undo and %s exclude each other", demand)
		}
	}
	var secrets []string
	target := c.target(r, &secrets)
	nothing := jobs.ErrNothingReplaced
	for _, name := range jobsall.Kinds().Names() {
		kind, _ := jobsall.Kinds().Lookup(name)
		undoer, ok := kind.Artifacts.(jobs.Undoer)
		if !ok || c.reachable(kind.Artifacts, r.To) != nil {
			continue
		}
		began := time.Now()
		nobody := Artifact{Artifact: &object.Artifact{}}
		nobody.Manifest.Kind = name
		restored, steps, err := c.inSteps(nobody, r.DryRun, func(env *jobs.Env) (jobs.Restored, error) { return undoer.Undo(ctx, env, target) })
		problem, _ := errors.AsType[*api.Problem](err)
		switch {
		case errors.Is(err, jobs.ErrNothingReplaced) && problem != nil && problem.Code == api.CodeNotFound:
			// It is no database; the next kind may know it.
		case errors.Is(err, jobs.ErrNothingReplaced):
			if nothing == jobs.ErrNothingReplaced { //nolint:errorlint // whether anybody has said more
				nothing = err
			}
		case err != nil:
			return worked(nil), Scrubber(secrets)(fmt.Errorf("undo the restore of %s: %w", r.To, err))
		default:
			return c.restored(nobody, r, restored, steps, time.Since(began)), nil
		}
	}
	text := Scrubber(secrets)(fmt.Errorf("undo the restore of %s: %w", r.To, nothing)).Error()
	return worked(nil), api.NewProblem(api.CodeNotFound, jobs.HintOf(nothing), text)
}

// chooseOne finds the artifact that an id, or a job and a time, names.
func (c *Custodian) chooseOne(ctx context.Context, r api.RestoreRequest) (Artifact, error) {
	switch {
	case r.Artifact == "":
		return Artifact{}, invalid("say which artifact: an id, or WORKFLOW[.JOB]")
	case isID(r.Artifact) && r.At != nil:
		return Artifact{}, invalid("--at is for WORKFLOW[.JOB]; an id names one artifact already")
	case isID(r.Artifact):
		return c.find(ctx, r.Artifact, r.Store)
	}
	s := ScopeOf(r.Artifact, r.Store)
	found, failed := c.Artifacts(ctx, s)
	if canceled(ctx) != nil {
		return Artifact{}, failed
	}
	if failed != nil {
		c.say("warning: %s", jobs.OneLine(failed.Error()))
	}
	var makers []string
	for _, a := range found {
		if !slices.Contains(makers, a.Name()) {
			makers = append(makers, a.Name())
		}
	}
	if len(makers) > 1 {
		return Artifact{}, invalid("%s has artifacts of several jobs: say which of %s", r.Artifact, strings.Join(makers, ", "))
	}
	for _, a := range found {
		switch {
		case r.At != nil && a.Manifest.Created.After(*r.At):
		case a.Proof != nil && a.Proof.Damage != "":
			c.say("warning: %s is passed over: it was found damaged", a.Manifest.ID)
		default:
			return a, nil
		}
	}
	switch {
	case failed != nil && len(found) == 0:
		return Artifact{}, failed
	case len(found) == 0:
		return Artifact{}, c.nothing(s)
	}
	return Artifact{}, notFound("`upkeep backup list "+r.Artifact+"` shows what there is", "no artifact of %s fits", r.Artifact)
}

// restored is what was done.
func (c *Custodian) restored(a Artifact, r api.RestoreRequest, done jobs.Restored, steps []string, spent time.Duration) api.Worked {
	m := a.Manifest
	out := worked(nil)
	out.Restored = &api.Restored{
		Artifact: m.ID, Workflow: m.Workflow, Job: m.Job, Kind: m.Kind, Store: a.Store, Created: m.Created.UTC(), To: r.To, DryRun: r.DryRun,
		Summary: done.Summary, Seconds: spent.Seconds(), Findings: append([]jobs.Finding{}, done.Findings...), Steps: append([]string{}, steps...),
	}
	for _, f := range done.Findings {
		if f.Severity != jobs.Info {
			out.Warnings++
		}
	}
	return out
}
