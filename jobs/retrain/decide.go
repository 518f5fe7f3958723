package retrain

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/ghosteam/upkeep/jobs"
)

// decide acts on the verdict.
func (r *run) decide(ctx context.Context, v *manifest, link string, verdict verdict) error {
	r.result.Findings = append(r.result.Findings, verdict.findings...)
	r.result.Outputs["better"] = strconv.FormatBool(verdict.better)
	if verdict.outcome == "" && r.options.Mode == modeCandidate {
		verdict.outcome = outcomeCandidate
	}
	if verdict.outcome == "" && link != "" {
		// A system that is not well could not tell whether the candidate is.
		if err := r.askOnce(ctx); err != nil {
			if cause := context.Cause(ctx); cause != nil {
				return fmt.Errorf("ask the gate: %w", cause)
			}
			verdict.outcome = outcomeHeldBack
			r.addFinding("retrain:gate", jobs.Warning, "the candidate is better but held back, because the gate was not green before: "+err.Error())
		}
	}
	if verdict.outcome == "" {
		return r.promote(ctx, v, link, verdict.text)
	}
	state := stateRejected
	if verdict.outcome == outcomeCandidate {
		state = stateCandidate
	}
	if err := r.note(ctx, v, state, verdict.outcome+": "+verdict.text); err != nil {
		return err
	}
	return r.end(ctx, v, verdict.outcome, verdict.text)
}

// note writes the state of a version.
func (r *run) note(ctx context.Context, v *manifest, state, outcome string) error {
	return r.env.Effect(ctx, "note that version "+v.Version+" is "+state, func(context.Context) error {
		v.State, v.Outcome = state, outcome
		return r.m.writeManifest(linkTo(v.Version), v)
	})
}

// end removes what is not kept and tells the outcome.
func (r *run) end(ctx context.Context, v *manifest, outcome, text string) error {
	err := r.prune(ctx, v)
	link, linkErr := r.m.current()
	r.result.Outputs["version"], r.result.Outputs["incumbent"], r.result.Outputs["outcome"] = v.Version, versionOf(link), outcome
	words := map[string]string{
		outcomePromoted: "promoted", outcomeCandidate: "trained", outcomeNotBetter: "not promoted", outcomeHeldBack: "held back", outcomeRolledBack: "rolled back",
	}[outcome]
	r.result.Summary = r.env.OneLine(fmt.Sprintf("model %s: version %s %s (%s)", r.m.name, v.Version, words, text))
	return errors.Join(err, linkErr)
}

// prune removes old versions: never the one in use, the one before it, or what
// this run has just made for a person to look at.
func (r *run) prune(ctx context.Context, own *manifest) error {
	versions, err := r.m.versions()
	if err != nil {
		return err
	}
	link, err := r.m.current()
	if err != nil {
		return err
	}
	spared := map[string]bool{versionOf(link): true}
	if own.State == stateCandidate {
		spared[own.Version] = true
	}
	for _, v := range versions {
		if link == linkTo(v.Version) {
			spared[v.Parent] = true
		}
	}
	left, kept := len(versions), 0
	for _, v := range versions {
		if spared[v.Version] {
			continue
		}
		if kept++; kept <= r.options.Keep {
			continue
		}
		err := r.env.Effect(ctx, fmt.Sprintf("remove version %s of model %s (%s)", v.Version, r.m.name, v.State), func(context.Context) error {
			return r.m.remove(linkTo(v.Version))
		})
		if err != nil {
			return err
		}
		left--
	}
	r.result.Values["versions"] = float64(left)
	return nil
}
