package custody

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/object"
	"github.com/ghosteam/upkeep/web/api"
)

// Fate is what retention does with an artifact; zero when nothing says.
type Fate struct {
	// Word is one of FateKeep, FateRemove and FateRemoved.
	Word    string
	Reasons []string
}

// What becomes of an artifact.
const (
	FateKeep    = "keep"
	FateRemove  = "remove"
	FateRemoved = "removed"
)

// fatesOf are the fates of the artifacts of a job in one store by their IDs.
func fatesOf(r jobs.Retained) map[string]Fate {
	fates := map[string]Fate{}
	for _, d := range r.Plan.Keep {
		fates[d.Item.ID] = Fate{Word: FateKeep, Reasons: d.Reasons}
	}
	for _, d := range r.Plan.Remove {
		fates[d.Item.ID] = Fate{Word: FateRemove, Reasons: d.Reasons}
	}
	for id, f := range fates {
		switch {
		case slices.Contains(r.Removed, id):
			f.Word = FateRemoved
		case !r.Active:
			f.Reasons = []string{"no rule: all stay"}
		}
		fates[id] = f
	}
	return fates
}

// setFates sets the fates of those artifacts that retention speaks of.
func setFates(found []Artifact, m Maker, r jobs.Retained) {
	fates := fatesOf(r)
	for i, a := range found {
		if f, ok := fates[a.Manifest.ID]; ok && a.Store == r.Store && a.Name() == m.Name() {
			found[i].Fate = f
		}
	}
}

// Foretell asks the configured jobs that made artifacts what their retention
// does at the next run with those in the scope, and sets their fates. failed is
// what reading them ended with. Retentions say it by job and store; one that
// cannot be asked has its Error, and leaves the fates open.
func (c *Custodian) Foretell(ctx context.Context, s Scope, found []Artifact, failed error) []api.RetentionState {
	stores, err := s.stores(c.o.Config)
	if err != nil {
		return nil // which has been told
	}
	made := map[string]bool{}
	for _, a := range found {
		made[a.Name()] = true
	}
	p := jobs.Pruning{Stores: only(s.Store), Known: known(found, stores, failed)}
	var states []api.RetentionState
	for _, m := range Makers(c.o.Config, s) {
		if !made[m.Name()] {
			continue
		}
		list, err := c.retention(ctx, m, p, false)
		for _, r := range list {
			setFates(found, m, r)
			if s.Store == "" || s.Store == r.Store {
				states = append(states, stateOf(m, r, found))
			}
		}
		if err != nil {
			states = append(states, api.RetentionState{Workflow: m.Workflow.Name, Job: m.Job.Name, Store: s.Store, Error: jobs.OneLine(err.Error())})
		}
	}
	return states
}

// stateOf counts what retention does in one store.
func stateOf(m Maker, r jobs.Retained, found []Artifact) api.RetentionState {
	state := api.RetentionState{Workflow: m.Workflow.Name, Job: m.Job.Name, Store: r.Store, Active: r.Active, Held: r.Plan.Held}
	for _, a := range found {
		switch {
		case a.Store != r.Store || a.Name() != m.Name():
		case a.Fate.Word == FateKeep:
			state.Keep++
		case a.Fate.Word == FateRemove:
			state.Remove++
			state.Bytes += a.Manifest.Stored()
		}
	}
	return state
}

// only returns a list of one name, or an empty one.
func only(name string) []string {
	if name == "" {
		return nil
	}
	return []string{name}
}

// known hands what was read to a job that applies its retention to it; nil when
// a store could not be read to its end.
func known(found []Artifact, stores []string, failed error) map[string][]*object.Artifact {
	if failed != nil {
		return nil
	}
	out := map[string][]*object.Artifact{}
	for _, name := range stores {
		out[name] = nil // read, and it may hold nothing
	}
	for _, a := range found {
		out[a.Store] = append(out[a.Store], a.Artifact)
	}
	return out
}

// retention asks a job for what its retention does, or has it done. p.Failed is
// found out here.
func (c *Custodian) retention(ctx context.Context, m Maker, p jobs.Pruning, apply bool) ([]jobs.Retained, error) {
	var err error
	if p.Failed, err = c.newestFailure(ctx, m); err != nil {
		return nil, err
	}
	job, secrets, err := m.Job.Build(nil)
	scrub := Scrubber(secrets)
	if err != nil {
		return nil, scrub(err)
	}
	keeper, ok := job.(jobs.Keeper)
	if !ok {
		return nil, nil
	}
	cfg := c.o.Config
	env := jobs.Env{
		Workflow: m.Workflow.Name, Job: m.Job.Name, Attempt: 1, Trigger: string(c.o.Trigger), Slot: time.Now().UTC(),
		Node: cfg.Node, Version: c.o.Version, Zone: m.Workflow.Zone, Root: cfg.Root, KillGrace: cfg.KillGrace, Log: c.o.Log,
	}
	if apply {
		env.Out = c.o.Out // what stays although it was to go
	}
	retained, err := keeper.Prune(ctx, jobs.NewEnv(env, jobs.Hooks{DryRun: !apply}), p)
	if err != nil {
		err = scrub(fmt.Errorf("%s: %w", m.Name(), err))
	}
	return retained, err
}

// pastRuns is how many runs are looked through for the newest end of a job.
const pastRuns = 50

// newestFailure returns when a job failed, if it has not succeeded since.
func (c *Custodian) newestFailure(ctx context.Context, m Maker) (time.Time, error) {
	if c.o.Ledger == nil {
		return time.Time{}, nil
	}
	runs, err := c.o.Ledger.Runs(ctx, runner.Filter{Workflow: m.Workflow.Name, Limit: pastRuns})
	if err != nil {
		return time.Time{}, err
	}
	ids, dry := make([]runner.RunID, len(runs)), map[runner.RunID]bool{}
	for i, r := range runs {
		ids[i], dry[r.ID] = r.ID, r.DryRun
	}
	attempts, err := c.o.Ledger.Attempts(ctx, ids...)
	if err != nil {
		return time.Time{}, err
	}
	var newest runner.Attempt
	for _, at := range attempts {
		ended := at.State.Done() || at.State == runner.Failed || at.State == runner.Lost
		if at.Job == m.Job.Name && ended && !dry[at.Run] && at.StartedAt.After(newest.StartedAt) {
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
