package mlflow_test

import (
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/jobs/mlflow"
)

const day = unit.Duration(24 * time.Hour)

// Everything in this package is checked against a stand-in, never against a
// real MLflow; TestRealServer is for who has one.
func TestContract_AgainstAStandIn(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.authorization = "Bearer s3cr3t-token/of+mlflow"
	golden := file(t, "golden.json", `{"dataframe_split": {"columns": ["amount", "items"], "data": [[1.5, 2]]}}`)
	installed := file(t, "freeze.txt", "mlflow==2.14.1\nscikit_learn==1.3.2\nnumpy==1.26.4\n")
	fixture := jobstest.Fixture{
		Name: "everything", Secrets: []string{"s3cr3t-token/of+mlflow"},
		Arrange: func(t *testing.T, _ string, options any, _ *jobstest.Deps) {
			o := optionsOf(t, s, champion())
			o.Token = secret.New("s3cr3t-token/of+mlflow")
			o.Models[0].Golden, o.Installed.File = unit.Path(golden), unit.Path(installed)
			o.Models[0].Metrics = map[string]mlflow.Metric{"accuracy": {WarnBelow: new(0.9)}}
			o.Runs.Names = []string{"*"}
			*jobstest.Options[mlflow.Options](t, options) = o
		},
		World: func(*testing.T) any { s.mu.Lock(); defer s.mu.Unlock(); return len(s.runs) },
		Judge: func(t *testing.T, _ string, r jobs.Result) {
			healthy(t, r)
			for name, want := range map[string]float64{
				"models": 1, "models_sick": 0, "version.fraud.champion": 9, "metric_accuracy.fraud.champion": 0.93, "experiments": 2, "failed_runs": 0,
				"requirements.fraud.champion": 4, "requirements_missing.fraud.champion": 0, "requirements_conditional.fraud.champion": 1, "deleted_runs": 0,
			} {
				if got, ok := r.Values[name]; !ok || got != want {
					t.Errorf("value %s is %v, %v; want %v", name, got, ok, want)
				}
			}
			if r.Outputs["version"] != "2.14.1" || r.Outputs["run.fraud.champion"] != "r1" || r.Values["total_seconds"] <= 0 {
				t.Errorf("outputs %v, values %v", r.Outputs, r.Values)
			}
			if !strings.Contains(r.Summary, "1 of 1 models are fit") {
				t.Errorf("summary %q", r.Summary)
			}
		},
	}
	wrong := fixture
	wrong.Name, wrong.Secrets = "wrong password", []string{"wr0ng/p@ssword"}
	wrong.Arrange = func(t *testing.T, root string, options any, deps *jobstest.Deps) {
		fixture.Arrange(t, root, options, deps)
		o := jobstest.Options[mlflow.Options](t, options)
		o.Token = secret.String{}
		o.URL = secret.New(strings.Replace(s.URL, "http://", "http://ops:wr0ng%2Fp%40ssword@", 1))
	}
	wrong.Judge = func(t *testing.T, _ string, r jobs.Result) {
		wants(t, r, "mlflow:auth", jobs.Critical, "HTTP 401")
		if r.Outputs["error_kind"] != "auth" {
			t.Errorf("outputs %v", r.Outputs)
		}
	}
	jobstest.Exercise(t, mlflow.Kind(), fixture, wrong)
}

func TestFind_AgainstAStandIn(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		model   mlflow.Model
		version float64
		change  func(s *standin)
	}{
		"alias":            {champion(), 9, nil},
		"stage":            {mlflow.Model{Name: "fraud", Stage: "Staging"}, 8, nil},
		"version":          {mlflow.Model{Name: "fraud", Version: "7"}, 7, nil},
		"newest":           {mlflow.Model{Name: "fraud"}, 10, nil},
		"stage, later API": {mlflow.Model{Name: "fraud", Stage: "Production"}, 9, func(s *standin) { s.unknown = []string{"registered-models/get-latest-versions"} }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			if tt.change != nil {
				tt.change(s)
			}
			r := ask(t, optionsOf(t, s, tt.model))
			healthy(t, r)
			title := strings.ToLower(strings.Trim("fraud."+tt.model.Alias+tt.model.Stage+tt.model.Version, "."))
			if r.Values["version."+title] != tt.version {
				t.Errorf("values %v, want version.%s = %g", r.Values, title, tt.version)
			}
		})
	}
}

func TestModel_AgainstAStandIn(t *testing.T) {
	t.Parallel()
	with := func(change func(m *mlflow.Model)) mlflow.Model {
		m := champion()
		change(&m)
		return m
	}
	accuracy := func(m mlflow.Metric) mlflow.Model {
		return with(func(c *mlflow.Model) { c.Metrics = map[string]mlflow.Metric{"accuracy": m} })
	}
	for name, tt := range map[string]struct {
		model    mlflow.Model
		change   func(s *standin)
		id       string
		severity jobs.Severity
		text     string
	}{
		"no model":      {mlflow.Model{Name: "nothing"}, nil, "model:nothing:missing", jobs.Critical, "not in the registry"},
		"no alias":      {mlflow.Model{Name: "fraud", Alias: "gone"}, nil, "model:fraud.gone:missing", jobs.Critical, "alias gone not found"},
		"no stage":      {mlflow.Model{Name: "fraud", Stage: "Test"}, nil, "model:fraud.test:missing", jobs.Critical, "there is none"},
		"no version":    {mlflow.Model{Name: "fraud", Version: "77"}, nil, "model:fraud.77:missing", jobs.Critical, "not found"},
		"pending":       {champion(), func(s *standin) { s.models["fraud"][2]["status"] = "PENDING_REGISTRATION" }, "model:fraud.champion:status", jobs.Warning, "not READY yet"},
		"failed":        {champion(), func(s *standin) { s.models["fraud"][2]["status"] = "FAILED_REGISTRATION" }, "model:fraud.champion:status", jobs.Critical, "FAILED_REGISTRATION"},
		"old":           {with(func(m *mlflow.Model) { m.Age = mlflow.Age{Warn: day, Crit: 7 * day} }), nil, "model:fraud.champion:age", jobs.Warning, "is 2 days old, limit 1d"},
		"too old":       {with(func(m *mlflow.Model) { m.Age = mlflow.Age{Crit: day} }), nil, "model:fraud.champion:age", jobs.Critical, "limit 1d"},
		"run gone":      {champion(), func(s *standin) { s.runs = nil }, "model:fraud.champion:run", jobs.Warning, "is gone"},
		"run deleted":   {champion(), func(s *standin) { info(s.runs[0])["lifecycle_stage"] = "deleted" }, "model:fraud.champion:run", jobs.Warning, "is deleted"},
		"run failed":    {champion(), func(s *standin) { info(s.runs[0])["status"] = "FAILED" }, "model:fraud.champion:run", jobs.Critical, "did not finish: FAILED"},
		"run under way": {champion(), func(s *standin) { info(s.runs[0])["status"] = "RUNNING" }, "model:fraud.champion:run", jobs.Warning, "has not ended"},
		"metric low":    {accuracy(mlflow.Metric{WarnBelow: new(0.95), CritBelow: new(0.9)}), nil, "model:fraud.champion:metric/accuracy", jobs.Warning, "accuracy is 0.93, below 0.95"},
		"metric bad":    {accuracy(mlflow.Metric{CritBelow: new(0.95)}), nil, "model:fraud.champion:metric/accuracy", jobs.Critical, "below 0.95"},
		"metric high":   {accuracy(mlflow.Metric{WarnAbove: new(0.5)}), nil, "model:fraud.champion:metric/accuracy", jobs.Warning, "above 0.5"},
		"metric worse":  {accuracy(mlflow.Metric{CritAbove: new(0.5)}), nil, "model:fraud.champion:metric/accuracy", jobs.Critical, "above 0.5"},
		"no metric": {
			with(func(m *mlflow.Model) { m.Metrics = map[string]mlflow.Metric{"f1": {WarnBelow: new(float64(1))}} }), nil, "model:fraud.champion:metric/f1", jobs.Warning, "no metric f1",
		},
		"metric is NaN": {
			with(func(m *mlflow.Model) { m.Metrics = map[string]mlflow.Metric{"loss": {WarnAbove: new(float64(1))}} }), nil, "model:fraud.champion:metric/loss", jobs.Critical, "NaN",
		},
		"old server": {champion(), func(s *standin) { s.release, s.unknown = "1.30.0", []string{"registered-models/alias"} }, "unseen:model:fraud.champion:registry", jobs.Warning, "MLflow 1.30.0 does not know"},
		"forbidden": {
			champion(), func(s *standin) {
				s.faults["runs/get"] = []fault{{status: 403, body: `{"error_code":"PERMISSION_DENIED","message":"Permission denied"}`}}
			}, "unseen:model:fraud.champion:run", jobs.Warning, "does not permit",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			if tt.change != nil {
				tt.change(s)
			}
			r := ask(t, optionsOf(t, s, tt.model))
			wants(t, r, tt.id, tt.severity, tt.text)
			if r.Values["models_sick"] != 1 || r.Outputs["error_kind"] != "" {
				t.Errorf("values %v, outputs %v", r.Values, r.Outputs)
			}
		})
	}
}

func TestMetricsOfLoggedModel_AgainstAStandIn(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.release = "3.1.0"
	v := s.models["fraud"][2]
	v["source"], v["run_id"] = "models:/m-0123", ""
	s.logged["m-0123"] = map[string]any{
		"info": map[string]any{"model_id": "m-0123", "artifact_uri": "mlflow-artifacts:/1/models/m-0123/artifacts", "status": "LOGGED_MODEL_READY"},
		"data": map[string]any{"metrics": []map[string]any{{"key": "f1", "value": 0.5, "timestamp": "1700000000000"}}},
	}
	s.artifacts["1/models/m-0123/artifacts/MLmodel"] = modelFile
	m := champion()
	m.Metrics = map[string]mlflow.Metric{"f1": {WarnBelow: new(0.6)}}
	m.Golden = unit.Path(file(t, "g.json", `{"amount": 1, "items": 2}`))
	r := ask(t, optionsOf(t, s, m))
	wants(t, r, "model:fraud.champion:metric/f1", jobs.Warning, "below 0.6")
	healthy(t, r, "model:fraud.champion:metric/f1")
}
