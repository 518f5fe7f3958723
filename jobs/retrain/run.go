package retrain

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/child"
)

// training is the job.
type training struct {
	options Options
	check   func() (jobs.Check, error) // nil unless a check is the gate
}

var (
	_ jobs.Exclusive = (*training)(nil)
	_ jobs.Checker   = (*training)(nil)
)

// LockKeys keeps two runs off one model.
func (t *training) LockKeys() []string { return []string{"model/" + t.options.Model} }

// folder is the model's.
func (t *training) folder() string { return filepath.Join(string(t.options.Root), t.options.Model) }

// Check makes sure of the programs, the data and the folder.
func (t *training) Check(_ context.Context, env *jobs.Env) error {
	o := t.options
	for _, argv := range [][]string{o.Data.Run, o.Train, o.Evaluate, o.Promote.Run, o.Gate.Run} {
		if len(argv) == 0 {
			continue
		}
		if _, err := child.LookPath(argv[0], env.Environ(), t.workingDir(env)); err != nil {
			return jobs.WithHint(fmt.Errorf("find %s: %w", argv[0], err), "install the program, write its full path, or set PATH under `env:`")
		}
	}
	for _, file := range o.Data.Files {
		if _, err := os.Stat(string(file)); err != nil {
			return jobs.WithHint(fmt.Errorf("look at the data: %w", err), "correct `data.files`")
		}
	}
	current := filepath.Join(t.folder(), currentName)
	if info, err := os.Lstat(current); err == nil && info.Mode()&fs.ModeSymlink == 0 {
		return &jobs.RefusedError{Rail: currentName, Why: current + " is not a link, so no version can take its place"}
	}
	return nil
}

// Run trains, compares and perhaps promotes.
func (t *training) Run(ctx context.Context, env *jobs.Env) (result jobs.Result, err error) {
	if err := context.Cause(ctx); err != nil {
		return jobs.Result{}, fmt.Errorf("train model %s: %w", t.options.Model, err)
	}
	if env.DryRun() {
		return t.preview(ctx, env)
	}
	if _, err := os.Stat(filepath.Join(t.folder(), versionsName)); errors.Is(err, fs.ErrNotExist) {
		err := env.Effect(ctx, "make the folder "+t.folder(), func(context.Context) error {
			return os.MkdirAll(filepath.Join(t.folder(), versionsName), 0o755) //nolint:gosec // the server that loads models is another user as a rule
		})
		if err != nil {
			return jobs.Result{}, fmt.Errorf("make the folder of the model: %w", err)
		}
	}
	m, err := openModel(t.options.Model, t.folder())
	if err != nil {
		return jobs.Result{}, err
	}
	defer func() { err = errors.Join(err, m.close()) }()
	r := &run{training: t, env: env, m: m, result: jobs.Result{Values: map[string]float64{}, Outputs: map[string]string{"model": t.options.Model, "promoted": "false", "better": "false"}}}
	err = r.do(ctx)
	return r.result, err
}

// preview says what a run would do.
func (t *training) preview(ctx context.Context, env *jobs.Env) (jobs.Result, error) {
	o, link := t.options, ""
	if target, err := os.Readlink(filepath.Join(t.folder(), currentName)); err == nil {
		link = target
	}
	steps := []string{"train model " + o.Model + " by " + display(env, o.Train), "measure the candidate by " + display(env, o.Evaluate)}
	if link != "" {
		steps[1] = "measure the candidate and version " + versionOf(link) + " by " + display(env, o.Evaluate)
	}
	if o.Mode == modePromote {
		steps = append(steps, fmt.Sprintf("promote the candidate if its %s is better by %s", o.Promote.Metric, number(o.Promote.Margin)))
	}
	for _, what := range steps {
		if err := env.Effect(ctx, what, func(context.Context) error { return nil }); err != nil {
			return jobs.Result{}, err
		}
	}
	return jobs.Result{Summary: "would train and measure a candidate of model " + o.Model}, nil
}

// run is one attempt of the job.
type run struct {
	*training

	env    *jobs.Env
	m      *model
	result jobs.Result
}

func (r *run) do(ctx context.Context) error {
	ended, err := r.recover(ctx)
	if err != nil || ended {
		return err
	}
	if err := r.sweep(ctx); err != nil {
		return err
	}
	link, err := r.m.current()
	if err != nil {
		return err
	}
	data, files, err := hashFiles(ctx, r.options.Data.Files)
	if err != nil {
		return jobs.WithHint(fmt.Errorf("hash the data: %w", err), "correct `data.files`")
	}
	v, err := r.earlier(ctx, data)
	if err != nil {
		return err
	}
	switch {
	case v != nil && v.State == statePromoted && link == linkTo(v.Version):
		r.result.Outputs["better"], r.result.Outputs["promoted"] = "true", "true"
		return r.end(ctx, v, outcomePromoted, "version "+v.Version+" was promoted by this run already")
	case v != nil && v.State == stateRolledBack:
		r.addFinding("retrain:rolled-back", jobs.Critical, "version "+v.Version+" was promoted by this run and rolled back: "+v.Outcome)
		return r.end(ctx, v, outcomeRolledBack, "version "+v.Version+" was rolled back by this run already")
	case v == nil:
		if err := r.lookAtData(ctx); err != nil {
			return err
		}
		if v, err = r.train(ctx, link, data, files); err != nil {
			return err
		}
	default:
		r.env.Printf("going on with version %s, which an earlier attempt of this run trained", v.Version)
	}
	verdict, err := r.measure(ctx, v, link)
	if err != nil {
		return err
	}
	if err := unchanged(files); err != nil {
		return err
	}
	return r.decide(ctx, v, link, verdict)
}

// sweep removes what killed runs left half done.
func (r *run) sweep(ctx context.Context) error {
	folders, err := r.m.remains()
	if err != nil {
		return err
	}
	for _, folder := range folders {
		err := r.env.Effect(ctx, "remove the unfinished version "+path.Base(folder)+" of model "+r.m.name, func(context.Context) error {
			return r.m.remove(folder)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// earlier is the newest version that an earlier attempt of this run made and
// that is of use: it was promoted or rolled back, or it is whole and made of
// the same data. It is nil when there is none.
func (r *run) earlier(ctx context.Context, data string) (*manifest, error) {
	versions, err := r.m.versions()
	if err != nil {
		return nil, err
	}
	for _, v := range versions {
		if v.Run != r.env.RunID || v.Workflow != r.env.Workflow || v.Job != r.env.Job {
			continue
		}
		switch v.State {
		case statePromoted, stateRolledBack:
			return v, nil
		case stateTrained, stateCandidate, stateRejected:
			if files, err := r.m.hashModel(ctx, v.Version); err == nil && files == v.Files && v.Data == data {
				return v, nil
			}
			if err := context.Cause(ctx); err != nil {
				return nil, fmt.Errorf("look at version %s: %w", v.Version, err)
			}
		}
	}
	return nil, nil //nolint:nilnil // as documented
}

func (r *run) lookAtData(ctx context.Context) error {
	argv := r.options.Data.Run
	if len(argv) == 0 {
		return nil
	}
	return r.env.Effect(ctx, "look at the data by "+display(r.env, argv), func(ctx context.Context) error {
		result, err := r.program(ctx, "data.run", argv, true, mayReport)
		if err != nil || result == nil {
			return err
		}
		for _, f := range result.Findings {
			r.addFinding("data:"+f.ID, f.Severity, f.Text)
		}
		if result.Worst() == jobs.Critical {
			return jobs.WithHint(fmt.Errorf("no model is trained on such data: %s", jobs.Headline(result.Findings)), "correct the data, or what judges them")
		}
		return nil
	})
}

// train makes a version and trains into it.
func (r *run) train(ctx context.Context, link, data string, files []source) (*manifest, error) {
	v, err := r.draft(ctx, link, data, files)
	if err != nil {
		return nil, err
	}
	folder := linkTo(v.Version)
	err = r.env.Effect(ctx, "train model "+r.m.name+" into "+r.m.at(folder), func(ctx context.Context) error {
		if err := r.m.create(v); err != nil {
			return err
		}
		variables := append(r.about(v.Version, r.m.at(folder)), fmt.Sprintf("UPKEEP_MODEL_SEED=%d", v.Seed), "UPKEEP_MODEL_CURRENT=")
		if link != "" {
			variables = append(variables, "UPKEEP_MODEL_CURRENT="+r.m.folderOf(link))
		}
		start := time.Now()
		result, err := r.program(ctx, "train", r.options.Train, true, mayReport, variables...)
		if err != nil {
			return err
		}
		v.Seconds = time.Since(start).Seconds()
		if result != nil {
			v.Parameters = result.Outputs
		}
		if v.Files, err = r.m.hashModel(ctx, v.Version); err != nil {
			return err
		}
		v.State = stateTrained
		return r.m.writeManifest(folder, v)
	})
	if err != nil {
		return nil, r.abandon(ctx, v, fmt.Errorf("train model %s: %w", r.m.name, err))
	}
	r.result.Values["train_seconds"] = v.Seconds
	return v, nil
}

// abandon removes a version that was not trained to the end. When that cannot
// be done now, the next run does it.
func (r *run) abandon(ctx context.Context, v *manifest, cause error) error {
	if context.Cause(ctx) != nil {
		return cause
	}
	folder := linkTo(v.Version)
	if _, err := r.m.readManifest(folder); err != nil { // the program overwrote it
		if _, gone := r.m.root.Lstat(folder); gone == nil {
			v.State = stateTraining
			cause = errors.Join(cause, r.m.writeManifest(folder, v))
		}
	}
	return errors.Join(cause, r.sweep(ctx))
}

// draft is the manifest of a new version.
func (r *run) draft(ctx context.Context, link, data string, files []source) (*manifest, error) {
	code, _, err := hashFiles(ctx, r.options.Code)
	if err != nil {
		return nil, jobs.WithHint(fmt.Errorf("hash the code: %w", err), "correct `code`")
	}
	v := &manifest{
		Schema: manifestSchema, Model: r.m.name, State: stateTraining, Parent: versionOf(link),
		Run: r.env.RunID, Workflow: r.env.Workflow, Job: r.env.Job, Node: r.env.Node, Upkeep: r.env.Version, Slot: r.env.Slot.UTC(),
		Seed: r.options.Seed, Revision: gitRevision(r.dir()), Code: code, Data: data, DataFiles: files,
	}
	name := jobs.NameFrom(r.env.RunID)
	name = r.env.Slot.UTC().Format("20060102T150405Z") + "-" + name[:min(len(name), 64)]
	for n := 1; n <= mostKept; n++ {
		v.Version = name
		if n > 1 {
			v.Version = fmt.Sprintf("%s-%d", name, n)
		}
		if _, err := r.m.root.Lstat(linkTo(v.Version)); errors.Is(err, fs.ErrNotExist) && versionName.MatchString(v.Version) {
			return v, nil
		}
	}
	return nil, fmt.Errorf("there is no name left for a version of run %s in %s", r.env.RunID, r.m.at(versionsName))
}

// create makes the folder of a version, which has its manifest from the first
// moment that it has its name.
func (m *model) create(v *manifest) error {
	fresh := path.Join(versionsName, newPrefix+v.Version)
	err := m.root.Mkdir(fresh, 0o755)
	if err == nil {
		err = m.writeManifest(fresh, v)
	}
	if err == nil {
		err = m.root.Rename(fresh, linkTo(v.Version))
	}
	if err == nil {
		err = m.sync(versionsName)
	}
	if err != nil {
		return fmt.Errorf("make version %s: %w", v.Version, err)
	}
	return nil
}

// measure measures the candidate and the model in use by the same program.
func (r *run) measure(ctx context.Context, v *manifest, link string) (verdict, error) {
	result, err := r.evaluate(ctx, "candidate", v.Version, r.m.at(linkTo(v.Version)))
	if err != nil {
		return verdict{}, err
	}
	v.Metrics = result.Values
	if link != "" {
		if _, err := os.Stat(r.m.folderOf(link)); err != nil {
			return verdict{}, jobs.WithHint(fmt.Errorf("the model in use is gone: %w", err), "point "+r.m.at(currentName)+" at a version, or remove it to begin anew")
		}
		before, err := r.evaluate(ctx, "incumbent", versionOf(link), r.m.folderOf(link))
		if err != nil {
			return verdict{}, err
		}
		v.Incumbent = before.Values
	}
	out, err := r.options.compare(v.Metrics, v.Incumbent)
	if err != nil {
		return verdict{}, err
	}
	if link != "" {
		r.result.Values["improvement"] = improvement(r.options.Promote.Better, v.Metrics[r.options.Promote.Metric], v.Incumbent[r.options.Promote.Metric])
	}
	if result.Worst() == jobs.Critical && out.outcome == "" {
		out.outcome = outcomeHeldBack
		out.findings = append(out.findings, jobs.Finding{ID: "retrain:evaluation", Severity: jobs.Warning, Text: "the candidate is better but held back, because its evaluation found something critical"})
	}
	return out, nil
}

func (r *run) evaluate(ctx context.Context, role, version, folder string) (*jobs.Result, error) {
	var result *jobs.Result
	err := r.env.Effect(ctx, fmt.Sprintf("measure the %s %s by %s", role, version, display(r.env, r.options.Evaluate)), func(ctx context.Context) error {
		var err error
		result, err = r.program(ctx, "evaluate", r.options.Evaluate, true, mustReport, append(r.about(version, folder), "UPKEEP_MODEL_ROLE="+role)...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("measure the %s: %w", role, err)
	}
	for name, value := range result.Values {
		if jobs.ValidName(role + "." + name) {
			r.result.Values[role+"."+name] = value
		}
	}
	if role == "candidate" {
		for _, f := range result.Findings {
			r.addFinding("candidate:"+f.ID, f.Severity, f.Text)
		}
	}
	return result, nil
}

func (r *run) addFinding(id string, severity jobs.Severity, text string) {
	r.result.Findings = append(r.result.Findings, jobs.Finding{ID: jobs.FindingIDFrom(id), Severity: severity, Text: r.env.OneLine(text)})
}
