package prune

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/ghosteam/upkeep/jobs"
)

const (
	// outputRule is the name under which a run leaves the digest of its rule
	// for the next one.
	outputRule = "rule"
	// remembered is how many earlier runs are asked whether they knew a rule.
	remembered = 32
)

func build(o Options, deps jobs.Deps) (jobs.Job, error) {
	history, err := deps.History("", "")
	if err != nil {
		return nil, fmt.Errorf("history of this job: %w", err)
	}
	return &rule{options: o, history: history, now: time.Now, host: thisHost()}, nil
}

// rule is the job.
type rule struct {
	options Options
	history jobs.History
	now     func() time.Time
	host    host
}

// LockKeys keeps two rules from working in the same folder at once.
func (r *rule) LockKeys() []string { return []string{"path" + string(r.options.Root)} }

// Check makes sure that the root exists and is one of those allowed.
func (r *rule) Check(context.Context, *jobs.Env) (err error) {
	root, err := openRoot(string(r.options.Root), r.options.MountRoot)
	if err != nil {
		return err
	}
	return root.Close()
}

// digest identifies the rule by what decides which files it dooms. The caps
// are no part of it: who raises one has seen what the rule does.
func (r *rule) digest() (string, error) {
	o := r.options
	o.MaxFiles, o.MaxBytes, o.MaxShare, o.FirstRun, o.MountRoot = 0, 0, 0, "", false
	// A rule of before there was compression is still the same rule.
	if o.Compress == compressNone {
		o.Compress = ""
	}
	text, err := json.Marshal(o)
	if err != nil {
		return "", fmt.Errorf("describe the rule: %w", err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16]), nil
}

// known tells whether an earlier run showed what this rule does.
func (r *rule) known(ctx context.Context, digest string) (bool, error) {
	past, err := r.history.Past(ctx, remembered)
	if err != nil {
		return false, fmt.Errorf("read earlier runs of this rule: %w", err)
	}
	for _, p := range past {
		if p.Result.Outputs[outputRule] == digest {
			return true, nil
		}
	}
	return false, nil
}

// Run shows or deletes.
func (r *rule) Run(ctx context.Context, env *jobs.Env) (result jobs.Result, err error) {
	if err := context.Cause(ctx); err != nil {
		return jobs.Result{}, fmt.Errorf("prune %s: %w", r.options.Root, err)
	}
	digest, err := r.digest()
	if err != nil {
		return jobs.Result{}, err
	}
	known, err := r.known(ctx, digest)
	if err != nil {
		return jobs.Result{}, err
	}
	root, err := openRoot(string(r.options.Root), r.options.MountRoot)
	if err != nil {
		return jobs.Result{}, err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	now := r.now()
	if plan := env.DemandedPlan(); plan != "" {
		if now, err = planTime(plan, now); err != nil {
			return jobs.Result{}, err
		}
	} else if env.DryRun() {
		now = now.Truncate(time.Second) // as exact as a plan says it
	}
	if r.options.OlderThan > 0 {
		env.Printf("cutoff: files last changed at or before %s are old enough", now.Add(-r.options.OlderThan.Std()).UTC().Format(time.RFC3339))
	}
	t := newTree(r.options, root, now, r.host)
	t.digests = env.DryRun() || env.DemandedPlan() != ""
	if err := t.survey(ctx, env); err != nil {
		return jobs.Result{}, err
	}
	t.chooseFolders()
	t.report(env)
	result, err = r.apply(ctx, env, t, digest, known)
	if result.Outputs == nil {
		result.Outputs = map[string]string{}
	}
	result.Outputs[outputRule] = digest
	return result, err
}

// apply does what the tree's files are doomed to, or shows it.
func (r *rule) apply(ctx context.Context, env *jobs.Env, t *tree, digest string, known bool) (jobs.Result, error) {
	refusal := r.rails(t)
	demanded := env.DemandedPlan()
	plan := ""
	if t.digests {
		plan = t.planName(digest)
		if err := env.Plan(plan); err != nil {
			return t.result(), err
		}
	}
	switch {
	case env.DryRun():
		if err := t.remove(ctx, env); err != nil {
			return t.result(), err
		}
		result := t.result()
		result.Summary = "would " + t.deeds(t.drops, t.packs, len(t.hollow)) + t.skips()
		result.Outputs = map[string]string{jobs.OutputPlan: plan}
		return result, refusal
	case refusal != nil && (known || demanded != "" || r.options.FirstRun == "apply"):
		return t.result(), refusal
	case !known && demanded == "" && r.options.FirstRun == "dry":
		return t.preview(refusal), nil
	}
	err := t.remove(ctx, env)
	return t.result(), err
}

// few is the number of matching files up to which max_share does not apply: of
// three files, two may well be old.
const few = 10

// rails refuses a run that would delete more than the rule allows.
func (r *rule) rails(t *tree) error {
	o := r.options
	refuse := func(rail, limit string) error {
		why := fmt.Sprintf("would delete %s of %s that match below %s, limit %s; nothing was deleted",
			amount(t.drops.files, t.drops.bytes), count(t.matching.files), o.Root, limit)
		return jobs.WithHint(&jobs.RefusedError{Rail: rail, Why: why},
			fmt.Sprintf("is the clock right? look with a dry run (upkeep run WORKFLOW.JOB --dry-run); if the files may go, raise %s for one run", rail))
	}
	switch {
	case t.drops.files > o.MaxFiles:
		return refuse("max_files", fmt.Sprint(o.MaxFiles))
	case o.MaxBytes > 0 && t.drops.bytes > int64(o.MaxBytes):
		return refuse("max_bytes", o.MaxBytes.String())
	case t.matching.files > few && float64(t.drops.files) > o.MaxShare.Fraction()*float64(t.matching.files):
		return refuse("max_share", o.MaxShare.String())
	}
	return nil
}
