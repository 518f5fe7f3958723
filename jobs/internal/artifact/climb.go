package artifact

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/crypt"
	"github.com/ghosteam/upkeep/storage/object"
)

// climb proves the new copy in each store further where a rung of the ladder
// is due. What a proof finds wrong becomes a finding; that no proof came about
// makes the error.
func (p *Publisher) climb(ctx context.Context, env *jobs.Env, work Work, out *Outcome) error {
	var errs []error
	for _, s := range p.stores {
		if !env.DryRun() && !out.holds(s.name) {
			continue
		}
		r, err := p.due(ctx, env, s)
		if err == nil && r != nil {
			err = p.prove(ctx, env, work, s.name, *r, out)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("store %s: %w", s.name, err))
		}
		if context.Cause(ctx) != nil {
			break
		}
	}
	return errors.Join(errs...)
}

// due returns the deepest rung that no artifact of this job in a store reached
// in its time; nil when there is none. The history is asked only when the
// artifacts that are there do not tell.
func (p *Publisher) due(ctx context.Context, env *jobs.Env, s store) (*rung, error) {
	rungs := p.options.Verify.rungs()
	if len(rungs) == 0 {
		return nil, nil
	}
	proven, err := p.provenIn(ctx, env, s)
	if err != nil {
		return nil, fmt.Errorf("look what was proven last: %w", err)
	}
	now := time.Now()
	if proven.lacks(rungs, now) == nil {
		return nil, nil
	}
	past, err := p.history.Past(ctx, mostPast)
	if err != nil {
		return nil, fmt.Errorf("look what was proven last: %w", err)
	}
	for _, run := range past {
		proven.note(object.Level(run.Result.Outputs[provenOutput+s.name]), run.Finished)
	}
	return proven.lacks(rungs, now), nil
}

// mostPast bounds how many runs are asked when something was proven.
const mostPast = 1000

// reached tells when each level was proven last.
type reached map[object.Level]time.Time

func (r reached) note(level object.Level, at time.Time) {
	if level.Rank() >= 0 && at.After(r[level]) {
		r[level] = at
	}
}

// lacks returns the first of the rungs that was not reached in its time.
func (r reached) lacks(rungs []rung, now time.Time) *rung {
	for i, wanted := range rungs {
		met := false
		for level, at := range r {
			met = met || level.Rank() >= wanted.level.Rank() && now.Sub(at) < wanted.every
		}
		if !met {
			return &rungs[i]
		}
	}
	return nil
}

// provenIn reads what stands beside the artifacts of this job in a store.
func (p *Publisher) provenIn(ctx context.Context, env *jobs.Env, s store) (reached, error) {
	proven := reached{}
	for a, err := range object.Artifacts(ctx, s.Store, object.Folder(env.Workflow, env.Job)) {
		switch {
		case a == nil:
			return nil, err
		case err != nil:
			continue // told by retention
		}
		if proof := a.Proof; proof != nil && proof.Damage == "" && a.Manifest.Kind == p.kind {
			proven.note(proof.Level, proof.Time)
		}
	}
	return proven, nil
}

// provenOutput begins the name of the output that says how far the copy in a
// store was proven beyond what each is.
const provenOutput = "proven."

// prove proves the copy in a store up to a rung, and records the outcome.
func (p *Publisher) prove(ctx context.Context, env *jobs.Env, work Work, name string, r rung, out *Outcome) error {
	what := fmt.Sprintf("prove the new artifact in store %s up to %s, as it was not %s", name, r.level, r.word)
	return env.Effect(ctx, what, func(ctx context.Context) error {
		c := out.copy(name)
		began := time.Now()
		proof, err := p.attempt(ctx, env, work, c, r.level, out)
		failed, unmet := errors.AsType[*jobs.AssertionError](err)
		damaged := errors.Is(err, object.ErrDamaged)
		switch {
		case damaged:
			out.complain("drill-damaged:"+name, "store %s: artifact %s was found damaged when it was proven up to %s: %v", name, c.Artifact.Manifest.ID, r.level, err)
		case unmet:
			out.complain("drill-assertion:"+name, "store %s: artifact %s was restored, but is not what is demanded of it: %s", name, c.Artifact.Manifest.ID, oneLine(failed))
			return nil
		case err != nil:
			return fmt.Errorf("the new artifact is there, proven %s, but a proof up to %s did not come about: %w", c.Artifact.Level(), r.level, err)
		}
		if proof.Time.IsZero() { // a kind that says only what is wrong
			proof, _ = Judge(env, c.Artifact, r.level, began, err)
		}
		c.Drilled = &proof
		return c.Artifact.Record(ctx, proof)
	})
}

// attempt proves one copy up to a level.
func (p *Publisher) attempt(ctx context.Context, env *jobs.Env, work Work, c *Copy, level object.Level, out *Outcome) (_ object.Proof, err error) {
	if level.Rank() <= object.L2.Rank() {
		prover := Prover(func(ctx context.Context, _ *jobs.Env, a *object.Artifact, keys crypt.Keys) error {
			return work.Prove(ctx, a, keys)
		})
		return prover.with(ctx, env, c.Artifact, level, c.keys)
	}
	if work.Driller == nil {
		return object.Proof{}, fmt.Errorf("jobs of this kind cannot prove %s", level)
	}
	path, back, err := c.keys.Lend()
	if err != nil {
		return object.Proof{}, err
	}
	defer func() { err = errors.Join(err, back()) }()
	d := work.Drill
	d.Level = level
	if path != "" {
		d.Identities = []string{path}
	}
	drilled, err := work.Driller.Drill(ctx, env, c.Artifact, d)
	out.Findings = append(out.Findings, drilled.Findings...)
	return drilled.Proof, err
}

// copy returns the copy in the store of that name.
func (o *Outcome) copy(name string) *Copy {
	for i := range o.Copies {
		if o.Copies[i].Store == name {
			return &o.Copies[i]
		}
	}
	return nil
}

func (o *Outcome) complain(id, format string, args ...any) {
	o.Findings = append(o.Findings, jobs.Finding{ID: id, Severity: jobs.Critical, Text: jobs.OneLine(fmt.Sprintf(format, args...))})
}
