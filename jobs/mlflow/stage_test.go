package mlflow_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/jobs/mlflow"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const modelFile = `artifact_path: model
flavors:
  python_function:
    env:
      conda: conda.yaml
      virtualenv: python_env.yaml
    loader_module: mlflow.sklearn
mlflow_version: 2.14.1
signature:
  inputs: '[{"type": "double", "name": "amount", "required": true}, {"type": "long",
    "name": "items", "required": true}, {"type": "string", "name": "country''s", "required":
    false}]'
  outputs: '[{"type": "tensor", "tensor-spec": {"dtype": "int64", "shape": [-1]}}]'
  params: '[{"name": "threshold", "type": "double", "default": 0.5, "shape": null}]'
utc_time_created: '2024-06-01 10:00:00.000000'
`

// ago is an instant of the API, in milliseconds.
func ago(d time.Duration) int64 { return time.Now().Add(-d).UnixMilli() }

func aRun(id, experiment, status string, begun, ended time.Duration) map[string]any {
	i := map[string]any{"run_id": id, "run_uuid": id, "run_name": "run of " + id, "experiment_id": experiment, "status": status, "start_time": ago(begun), "lifecycle_stage": "active"}
	if ended > 0 {
		i["end_time"] = ago(ended)
	}
	return map[string]any{"info": i, "data": map[string]any{"metrics": []map[string]any{
		{"key": "accuracy", "value": 0.7, "timestamp": 1, "step": 0}, {"key": "accuracy", "value": 0.93, "timestamp": 2, "step": 1}, {"key": "loss", "value": "NaN", "timestamp": 2, "step": 1},
	}}}
}

// newServer returns a stand-in with a model that is in good order.
func newServer(t *testing.T) *standin {
	t.Helper()
	s := newStandin(t)
	version := func(n, stage string, age time.Duration) map[string]any {
		return map[string]any{
			"name": "fraud", "version": n, "creation_timestamp": ago(age), "current_stage": stage, "status": "READY", "run_id": "r1",
			"source": "mlflow-artifacts:/1/r1/artifacts/model",
		}
	}
	s.models["fraud"] = []map[string]any{version("7", "Archived", 90*24*time.Hour), version("8", "Staging", 9*24*time.Hour), version("9", "Production", 50*time.Hour), version("10", "None", time.Hour)}
	s.aliases["fraud@champion"] = "9"
	s.experiments = []map[string]any{
		{"experiment_id": "1", "name": "training", "lifecycle_stage": "active"},
		{"experiment_id": "2", "name": "old", "lifecycle_stage": "deleted"},
		{"experiment_id": "3", "name": "other", "lifecycle_stage": "active"},
	}
	s.runs = []map[string]any{aRun("r1", "1", "FINISHED", 51*time.Hour, 50*time.Hour)}
	s.artifacts["1/r1/artifacts/model/MLmodel"] = modelFile
	s.artifacts["1/r1/artifacts/model/requirements.txt"] = "mlflow==2.14.1\nscikit-learn==1.3.2\nnumpy<2,>=1.24\ntomli==2.0; python_version < \"3.11\"\n"
	return s
}

// options are those of the kind with the address of s.
func optionsOf(t *testing.T, s *standin, models ...mlflow.Model) mlflow.Options {
	t.Helper()
	o := *jobstest.Options[mlflow.Options](t, mlflow.Kind().Options())
	o.URL = secret.New(s.URL)
	// A machine under load is slow, which is not what is asked here.
	o.Latency.Warn, o.Latency.Crit = 0, 0
	o.Models = models
	return o
}

func champion() mlflow.Model { return mlflow.Model{Name: "fraud", Alias: "champion"} }

func build(t *testing.T, o mlflow.Options) (jobs.Job, error) {
	t.Helper()
	options := mlflow.Kind().Options()
	*jobstest.Options[mlflow.Options](t, options) = o
	return mlflow.Kind().Build(options, jobstest.NewDeps(t))
}

func try(ctx context.Context, t *testing.T, o mlflow.Options) (jobs.Result, error) {
	t.Helper()
	job, err := build(t, o)
	if err != nil {
		t.Fatalf("build: %v", err)
	}
	return job.Run(ctx, jobs.NewEnv(jobs.Env{RunID: "r", Workflow: "w", Job: "j", Attempt: 1, Out: &jobstest.Buffer{}}, jobs.Hooks{}))
}

func ask(t *testing.T, o mlflow.Options) jobs.Result {
	t.Helper()
	r, err := try(t.Context(), t, o)
	if err != nil {
		t.Fatalf("run: %v", err)
	}
	jobstest.CheckResult(t, r)
	return r
}

// wants checks that there is a finding of that id, severity and text.
func wants(t *testing.T, r jobs.Result, id string, s jobs.Severity, text string) {
	t.Helper()
	i := slices.IndexFunc(r.Findings, func(f jobs.Finding) bool { return f.ID == id })
	if i < 0 || r.Findings[i].Severity != s || !strings.Contains(r.Findings[i].Text, text) {
		t.Errorf("want the finding %s %s %q; there are %+v", s, id, text, r.Findings)
	}
}

// healthy checks that nothing was found, but for ids.
func healthy(t *testing.T, r jobs.Result, but ...string) {
	t.Helper()
	for _, f := range r.Findings {
		if !slices.Contains(but, f.ID) {
			t.Errorf("unwanted finding %+v", f)
		}
	}
}

func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
