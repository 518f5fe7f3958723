package service

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/jobs"
	jobsall "github.com/ghosteam/upkeep/jobs/all"
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

// BackupOf is an artifact as the API answers it. ratio is its stored size by
// that of the one before, 0 when there is none.
func BackupOf(a *object.Artifact, store string, ratio float64, fate Fate, now time.Time) api.Backup {
	m := a.Manifest
	v := api.Backup{
		ID: m.ID, Set: m.Set, Workflow: m.Workflow, Job: m.Job, Kind: m.Kind, Store: store, Run: m.Run, Node: m.Node,
		Created: m.Created.UTC(), AgeSeconds: math.Round(now.Sub(m.Created).Seconds()), Bytes: m.Stored(),
		Level: a.Level(), ProvenAt: m.Proven.UTC(), Suspect: m.Suspect, Retention: fate.Word, Reasons: append([]string{}, fate.Reasons...),
	}
	for _, s := range m.Streams {
		v.PlainBytes += s.Plain.Bytes
		v.Encrypted = v.Encrypted || len(s.Recipients) > 0
	}
	if ratio > 0 {
		v.Ratio = &ratio
	}
	if p := a.Proof; p != nil {
		v.ProvenAt, v.Seconds, v.Damage = p.Time.UTC(), p.Seconds, p.Damage
		if r := p.Restored; r != nil && p.Damage == "" {
			at := r.AsOf.UTC()
			v.RestorableAsOf, v.RestoreSeconds, v.RestoredBytes, v.RestoredRows, v.RestoredOn = &at, r.Seconds, r.Bytes, r.Rows, r.Server
		}
	}
	return v
}

// FatesOf are the fates of the artifacts of a job in one store by their IDs.
func FatesOf(r jobs.Retained) map[string]Fate {
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

// retained is what the retention of a job does in one store.
type retained struct {
	state api.RetentionState
	fates map[string]Fate
}

// foretell asks the jobs that made artifacts what their retention does with
// those in a store at the next run.
func (e *Engine) foretell(ctx context.Context, cfg *configs.Config, store string, found []*object.Artifact) []retained {
	made := map[string]bool{}
	for _, a := range found {
		made[a.Manifest.Workflow+"."+a.Manifest.Job] = true
	}
	kinds := jobsall.Kinds()
	var out []retained
	for _, w := range cfg.Workflows {
		for _, j := range w.Jobs {
			kind, ok := kinds.Lookup(j.Kind)
			if !ok || kind.Artifacts == nil || !made[w.Name+"."+j.Name] {
				continue
			}
			state := api.RetentionState{Workflow: w.Name, Job: j.Name, Store: store}
			list, err := e.retention(ctx, cfg, w, j, jobs.Pruning{Stores: []string{store}, Known: map[string][]*object.Artifact{store: found}})
			if err != nil {
				state.Error = jobs.OneLine(err.Error())
				out = append(out, retained{state: state})
				continue
			}
			for _, r := range list {
				if r.Store == store {
					out = append(out, retainedOf(state, r, found))
				}
			}
		}
	}
	return out
}

func retainedOf(state api.RetentionState, r jobs.Retained, found []*object.Artifact) retained {
	one := retained{state: state, fates: FatesOf(r)}
	one.state.Active, one.state.Held = r.Active, r.Plan.Held
	for _, a := range found {
		switch one.fates[a.Manifest.ID].Word {
		case FateKeep:
			one.state.Keep++
		case FateRemove:
			one.state.Remove++
			one.state.Bytes += a.Manifest.Stored()
		}
	}
	return one
}

// retention asks a job what its retention would do; nothing when it has none.
func (e *Engine) retention(ctx context.Context, cfg *configs.Config, w *configs.Workflow, j configs.Job, p jobs.Pruning) ([]jobs.Retained, error) {
	failed, err := e.newestFailure(ctx, w.Name, j.Name)
	if err != nil {
		return nil, err
	}
	p.Failed = failed
	job, secrets, err := j.Build(nil)
	scrub := secret.NewRedactor(secrets)
	if err != nil {
		return nil, scrubbed{scrub.Scrub(err.Error()), err}
	}
	keeper, ok := job.(jobs.Keeper)
	if !ok {
		return nil, nil
	}
	env := jobs.Env{
		Workflow: w.Name, Job: j.Name, Attempt: 1, Trigger: string(runner.ByAPI), Slot: time.Now().UTC(),
		Node: cfg.Node, Version: e.o.Version, Zone: w.Zone, Root: cfg.Root, KillGrace: cfg.KillGrace, Log: e.o.Log,
	}
	list, err := keeper.Prune(ctx, jobs.NewEnv(env, jobs.Hooks{DryRun: true}), p)
	if err != nil {
		return list, scrubbed{scrub.Scrub(err.Error()), err}
	}
	return list, nil
}

// scrubbed is an error of which the text holds no secret.
type scrubbed struct {
	text string
	err  error
}

func (e scrubbed) Error() string { return e.text }
func (e scrubbed) Unwrap() error { return e.err }

// pastRuns is how many runs are looked through for the newest end of a job.
const pastRuns = 50

// newestFailure returns when a job failed, if it has not succeeded since.
func (e *Engine) newestFailure(ctx context.Context, workflow, job string) (time.Time, error) {
	runs, err := e.ledger.Runs(ctx, runner.Filter{Workflow: workflow, Limit: pastRuns})
	if err != nil {
		return time.Time{}, err
	}
	ids, dry := make([]runner.RunID, len(runs)), map[runner.RunID]bool{}
	for i, r := range runs {
		ids[i], dry[r.ID] = r.ID, r.DryRun
	}
	attempts, err := e.ledger.Attempts(ctx, ids...)
	if err != nil {
		return time.Time{}, err
	}
	var newest runner.Attempt
	for _, at := range attempts {
		ended := at.State.Done() || at.State == runner.Failed || at.State == runner.Lost
		if at.Job == job && ended && !dry[at.Run] && at.StartedAt.After(newest.StartedAt) {
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
