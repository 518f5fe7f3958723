package mlflow_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/mlflow"
)

func TestRuns_AgainstAStandIn(t *testing.T) {
	t.Parallel()
	for name, release := range map[string]string{"now": "2.14.1", "of a server that cannot compare times": "1.30.0"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.release = release
			for i := range 5 { // several pages
				s.runs = append(s.runs, aRun(fmt.Sprintf("f%d", i), "1", "FAILED", 30*time.Hour, time.Duration(i+1)*time.Hour))
			}
			s.runs = append(
				s.runs, aRun("long ago", "1", "FAILED", 80*time.Hour, 70*time.Hour), aRun("elsewhere", "2", "FAILED", 2*time.Hour, time.Hour), aRun("ended by hand", "1", "KILLED", 2*time.Hour, time.Hour),
				aRun("stuck", "3", "RUNNING", 90*time.Hour, 0), aRun("fresh", "1", "RUNNING", time.Hour, 0),
			)
			o := optionsOf(t, s)
			o.Runs.Names = []string{"*"}
			r := ask(t, o)
			wants(t, r, "runs:failed", jobs.Warning, `5 runs failed within 1d, the last one "run of f0" (f0) of experiment training`)
			wants(t, r, "runs:stale", jobs.Warning, `1 runs are RUNNING for more than 1d, the longest "run of stuck" (stuck) of experiment other for 3 days`)
			healthy(t, r, "runs:failed", "runs:stale")
			for name, want := range map[string]float64{"experiments": 2, "failed_runs": 5, "running_runs": 2, "stale_runs": 1, "deleted_runs": 0} {
				if r.Values[name] != want {
					t.Errorf("value %s is %v, want %v", name, r.Values[name], want)
				}
			}
			o.Runs.FailedCrit, o.Runs.StaleAfter = 5, 0
			r = ask(t, o)
			wants(t, r, "runs:failed", jobs.Critical, "5 runs failed")
			healthy(t, r, "runs:failed")
			o.Runs.FailedWithin = unit.Duration(90 * time.Minute)
			if r = ask(t, o); r.Values["failed_runs"] != 1 {
				t.Errorf("values %v", r.Values)
			}
			o.Runs.MaxRuns = 3
			o.Runs.FailedWithin = day
			wants(t, ask(t, o), "unseen:failed_runs", jobs.Warning, "more than 3 runs")
		})
	}
}

func TestNames_AgainstAStandIn(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	o := optionsOf(t, s)
	o.Runs.Names = []string{"training", "old", "nothing"}
	r := ask(t, o)
	wants(t, r, "experiment:old:missing", jobs.Warning, "is deleted")
	wants(t, r, "experiment:nothing:missing", jobs.Warning, "there is no experiment")
	if r.Values["experiments"] != 1 {
		t.Errorf("values %v", r.Values)
	}
	s.unknown = []string{"experiments/get-by-name"}
	wants(t, ask(t, o), "unseen:experiments", jobs.Warning, "does not know the question experiments/get-by-name")
	s.unknown = []string{"runs/search"}
	o.Runs.Names = []string{"training"}
	wants(t, ask(t, o), "unseen:failed_runs", jobs.Warning, "does not know the question runs/search")
}

// TestDeleted goes through the life of a run: it is deleted, and its artifacts
// are still there.
func TestDeleted_AgainstAStandIn(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.runs = append(s.runs, aRun("r2", "1", "FINISHED", 51*time.Hour, 50*time.Hour))
	s.lists["r2/"] = []map[string]any{{"path": "a", "is_dir": true}, {"path": "m.bin", "is_dir": false, "file_size": "1000000"}, {"path": "n.bin", "is_dir": false, "file_size": 500}}
	s.lists["r2/a"] = []map[string]any{{"path": "a/b", "is_dir": true}, {"path": "a", "is_dir": true}, {"path": "a/c", "is_dir": false, "file_size": 7}}
	s.lists["r2/a/b"] = []map[string]any{{"path": "a/b/d", "is_dir": false, "file_size": 30}}
	o := optionsOf(t, s)
	o.Runs.Names, o.Runs.DeletedSize, o.Runs.DeletedWarn = []string{"training"}, true, 1000
	if r := ask(t, o); r.Values["deleted_runs"] != 0 || r.Values["deleted_bytes"] != 0 {
		t.Errorf("values %v", r.Values)
	}
	answer, err := http.Post(s.URL+mlflowAPI+"runs/delete", "application/json", strings.NewReader(`{"run_id":"r2"}`))
	if err != nil {
		t.Fatal(err)
	}
	if err := answer.Body.Close(); err != nil || answer.StatusCode != http.StatusOK {
		t.Fatal(answer.Status, err)
	}
	http.DefaultClient.CloseIdleConnections()
	r := ask(t, o)
	wants(t, r, "runs:deleted", jobs.Warning, "1 deleted runs still take 977 KiB, limit 1000 B")
	if r.Values["deleted_runs"] != 1 || r.Values["deleted_bytes"] != 1000537 {
		t.Errorf("values %v", r.Values)
	}
	s.fail("artifacts/list", fault{status: 404, body: `{"error_code":"RESOURCE_DOES_NOT_EXIST","message":"gone"}`})
	wants(t, ask(t, o), "unseen:deleted_bytes", jobs.Info, "of 1 runs could not be listed")
}

func TestRequirements_AgainstAStandIn(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.artifacts["1/r1/artifacts/model/requirements.txt"] = strings.Join([]string{
		"mlflow==2.14.1", "Scikit.Learn[plots]==1.3.2 --hash=sha256:00", "numpy<2,>=1.24", "pandas==1.5.3", "torch==2.1.0", "xgboost~=2.0.1", "lightgbm==0.3.1",
		"colorama ; sys_platform == 'win32'", "-r other.txt", "--extra-index-url https://example.org", "# a note", "", "own @ https://example.org/own.whl", "pytest==8.0", "odd!=1.*",
	}, "\n")
	m := champion()
	m.Ignore = []string{"PyTest"}
	o := optionsOf(t, s, m)
	o.Installed.File = unit.Path(file(t, "freeze.txt", strings.Join([]string{
		"mlflow==2.14.3", "scikit_learn==1.3.2", "numpy==2.0.1", "pandas==2.2.0", "torch==2.1.0+cu118", "xgboost==2.1.0", "lightgbm==0.4.0", "-e git+https://example.org/x#egg=own", "odd==1.5",
	}, "\n")))
	r := ask(t, o)
	const id = "model:fraud.champion:requirement/"
	wants(t, r, id+"mlflow", jobs.Info, "requires mlflow==2.14.1, and 2.14.3 is installed: another minor version")
	wants(t, r, id+"numpy", jobs.Warning, "requires numpy<2,>=1.24, and 2.0.1 is installed: out of range")
	wants(t, r, id+"pandas", jobs.Warning, "another major version")
	wants(t, r, id+"xgboost", jobs.Warning, "out of range")
	wants(t, r, id+"lightgbm", jobs.Warning, "another major version")
	wants(t, r, id+"odd", jobs.Warning, "out of range")
	healthy(t, r, id+"mlflow", id+"numpy", id+"pandas", id+"xgboost", id+"lightgbm", id+"odd")
	if r.Values["requirements_differ.fraud.champion"] != 6 || r.Values["requirements_conditional.fraud.champion"] != 1 {
		t.Errorf("values %v", r.Values)
	}
	o.Installed.File = unit.Path(file(t, "pip.json", `[{"name": "mlflow", "version": "2.14.1"}]`))
	r = ask(t, o)
	wants(t, r, id+"torch", jobs.Critical, "requires torch==2.1.0, which is not installed")

	delete(s.artifacts, "1/r1/artifacts/model/requirements.txt")
	s.artifacts["1/r1/artifacts/model/conda.yaml"] = "channels:\n- conda-forge\ndependencies:\n- python=3.10.12\n- pip<=23\n- pip:\n  - mlflow==2.14.1\n  - 'torch==2.1.0'\nname: mlflow-env\n"
	r = ask(t, o)
	wants(t, r, id+"torch", jobs.Critical, "not installed")
	healthy(t, r, id+"torch")
	delete(s.artifacts, "1/r1/artifacts/model/conda.yaml")
	wants(t, ask(t, o), "unseen:model:fraud.champion:requirements", jobs.Warning, "No such artifact")
	o.Installed = mlflow.Installed{URL: s.URL + "/nothing"}
	wants(t, ask(t, o), "unseen:installed", jobs.Warning, "404")
}
