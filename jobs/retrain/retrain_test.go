package retrain_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/answer"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/jobs/retrain"
)

func shell(text string) unit.Command { return unit.Command{"/bin/sh", "-c", text} }

// The programs of the tests: the model is a file with its accuracy, latency and
// a word for the gate.
const (
	trainText    = `cp "$ROOT/next" "$UPKEEP_MODEL_DIR/model"; echo "trained $UPKEEP_MODEL_VERSION"`
	evaluateText = `read -r accuracy latency word < "$UPKEEP_MODEL_DIR/model"
		printf '{"schema":1,"summary":"s","values":{"accuracy":%s,"latency_seconds":%s,"samples":100}}' "$accuracy" "$latency" > "$UPKEEP_RESULT"`
	gateText  = `read -r accuracy latency word < "$ROOT/models/churn/current/model" && test "$word" = good && test ! -e "$ROOT/red"`
	serveText = `echo "$UPKEEP_MODEL_VERSION" >> "$ROOT/served"`
)

// stage is a folder with models and the programs that make them.
type stage struct {
	root   string
	adjust func(*retrain.Options)
	deps   *jobstest.Deps
	runs   int
}

func newStage(t *testing.T) *stage {
	t.Helper()
	return &stage{root: t.TempDir(), deps: jobstest.NewDeps(t)}
}

func arrange(root string, o *retrain.Options) {
	o.Model, o.Root = "churn", unit.Path(filepath.Join(root, "models"))
	o.Train, o.Evaluate = shell(trainText), shell(evaluateText)
	o.Promote.Metric, o.Promote.Margin, o.Promote.MinSamples, o.Promote.Run = "accuracy", 0.005, 100, shell(serveText)
	o.Guards = map[string]retrain.Guard{"latency_seconds": {Better: "lower", Tolerance: 0.01}}
	o.Gate = retrain.Gate{Run: shell(gateText), Within: unit.Duration(30 * time.Millisecond), Stable: unit.Duration(20 * time.Millisecond), Every: unit.Duration(10 * time.Millisecond), Timeout: unit.Duration(time.Minute)}
	o.Data.Files = []unit.Path{unit.Path(filepath.Join(root, "data.csv"))}
	o.Env = map[string]secret.String{"ROOT": secret.New(root), "TOKEN": secret.New("hunter2-hunter2")}
}

// next says what the next training makes.
func (s *stage) next(t testing.TB, model string) {
	t.Helper()
	write(t, filepath.Join(s.root, "next"), model)
	write(t, filepath.Join(s.root, "data.csv"), "a,b\n1,2\n")
}

func write(t testing.TB, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func (s *stage) job(t testing.TB) jobs.Job {
	t.Helper()
	kind := retrain.Kind()
	given := kind.Options()
	o := jobstest.Options[retrain.Options](t, given)
	arrange(s.root, o)
	if s.adjust != nil {
		s.adjust(o)
	}
	job, err := kind.Build(given, s.deps)
	if err != nil {
		t.Fatal(err)
	}
	return job
}

// env is the world of the attempt of the run with that number.
func (s *stage) env(t testing.TB, run int, hooks jobs.Hooks) *jobs.Env {
	t.Helper()
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d", s.root, run))
	return jobs.NewEnv(jobs.Env{
		RunID: hex.EncodeToString(sum[:8]), Workflow: "monthly", Job: "retrain", Attempt: 1, Trigger: "schedule", Node: "n", Version: "v0",
		Slot: time.Date(2026, 3, run, 2, 30, 0, 0, time.UTC), Root: s.root, WorkDir: t.TempDir(), KillGrace: 100 * time.Millisecond, Out: t.Output(),
	}, hooks)
}

// run trains once, as another run than before.
func (s *stage) run(t testing.TB) (jobs.Result, error) {
	t.Helper()
	s.runs++
	r, err := s.job(t).Run(t.Context(), s.env(t, s.runs, jobs.Hooks{}))
	s.whole(t)
	return r, err
}

// must is run without an error.
func (s *stage) must(t testing.TB, outcome string) jobs.Result {
	t.Helper()
	r, err := s.run(t)
	if err != nil || r.Outputs["outcome"] != outcome {
		t.Fatalf("outcome %q, want %q; error %v; %s; findings %+v", r.Outputs["outcome"], outcome, err, r.Summary, r.Findings)
	}
	return r
}

// current is the content of the model in use.
func (s *stage) current(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.root, "models/churn/current/model"))
	if errors.Is(err, os.ErrNotExist) {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// states are the states of the versions, oldest first.
func (s *stage) states(t testing.TB) (out []string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(s.root, "models/churn/versions"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		var m struct{ State string }
		text, err := os.ReadFile(filepath.Join(s.root, "models/churn/versions", e.Name(), "upkeep-model.json"))
		if err == nil {
			err = json.Unmarshal(text, &m)
		}
		if err != nil {
			out = append(out, e.Name()+": "+err.Error())
			continue
		}
		out = append(out, m.State)
	}
	return out
}

// whole proves that the link leads to a whole model, if it leads anywhere.
func (s *stage) whole(t testing.TB) {
	t.Helper()
	if _, err := os.Lstat(filepath.Join(s.root, "models/churn/current")); err == nil && s.current(t) == "" {
		t.Error("the link leads nowhere")
	}
}

func count(states []string, state string) (n int) {
	for _, s := range states {
		if s == state {
			n++
		}
	}
	return n
}

func finding(r jobs.Result, id string) jobs.Severity {
	for _, f := range r.Findings {
		if f.ID == id {
			return f.Severity
		}
	}
	return ""
}

func TestKind(t *testing.T) {
	t.Parallel()
	fixture := func(name, model string) jobstest.Fixture {
		return jobstest.Fixture{
			Name: name, Effects: true, Secrets: []string{"hunter2-hunter2"},
			Arrange: func(t *testing.T, root string, given any, _ *jobstest.Deps) {
				arrange(root, jobstest.Options[retrain.Options](t, given))
				(&stage{root: root}).next(t, model)
			},
		}
	}
	good := fixture("promotes", "0.9 0.1 good\n")
	good.Judge = func(t *testing.T, _ string, r jobs.Result) {
		if r.Outputs["promoted"] != "true" || r.Values["candidate.accuracy"] != 0.9 || len(r.Events) != 1 {
			t.Errorf("result %+v", r)
		}
	}
	good.Settled = func(t *testing.T, root string) {
		s := &stage{root: root}
		if s.current(t) != "0.9 0.1 good\n" || count(s.states(t), "promoted") != 1 || count(s.states(t), "training") > 0 {
			t.Errorf("in use is %q, the versions are %q", s.current(t), s.states(t))
		}
	}
	bad := fixture("rolls back", "0.9 0.1 bad\n")
	bad.Settled = func(t *testing.T, root string) {
		s := &stage{root: root}
		if s.current(t) != "" || count(s.states(t), "rolled_back") != 1 || count(s.states(t), "training") > 0 {
			t.Errorf("in use is %q, the versions are %q", s.current(t), s.states(t))
		}
	}
	broken := fixture("fails", "0.9 0.1 good\n")
	arranged := broken.Arrange
	broken.Fails = "no disk"
	broken.Arrange = func(t *testing.T, root string, given any, deps *jobstest.Deps) {
		arranged(t, root, given, deps)
		jobstest.Options[retrain.Options](t, given).Train = shell("echo half > $UPKEEP_MODEL_DIR/model; echo 'error: no disk'; exit 1")
	}
	jobstest.Exercise(t, retrain.Kind(), good, bad, broken)
}

// TestRun_Story follows a model over its life.
func TestRun_Story(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.next(t, "0.90 0.10 good\n")
	r := s.must(t, "promoted")
	first := r.Outputs["version"]
	if want := []jobs.Event{{Kind: "deploy", Subject: "model churn", Text: "version " + first + ", the first"}}; !cmp.Equal(want, r.Events) {
		t.Errorf("events %+v", r.Events)
	}
	s.next(t, "0.904 0.10 good\n")
	r = s.must(t, "not_better")
	if r.Outputs["promoted"] != "false" || finding(r, "retrain:not-better") != jobs.Info || r.Worst() != jobs.Info || s.current(t) != "0.90 0.10 good\n" {
		t.Errorf("not better: %+v, in use %q", r, s.current(t))
	}
	s.next(t, "0.95 0.12 good\n")
	if r = s.must(t, "held_back"); finding(r, "retrain:guard:latency_seconds") != jobs.Warning || r.Outputs["better"] != "true" {
		t.Errorf("held back: %+v", r)
	}
	s.next(t, "0.95 0.10 good\n")
	r = s.must(t, "promoted")
	second := r.Outputs["version"]
	if want := []jobs.Event{{Kind: "deploy", Subject: "model churn", Text: "version " + first + " to " + second}}; !cmp.Equal(want, r.Events) {
		t.Errorf("events %+v", r.Events)
	}
	if r.Values["candidate.accuracy"] != 0.95 || r.Values["incumbent.accuracy"] != 0.9 || r.Values["versions"] != 4 {
		t.Errorf("values %v", r.Values)
	}
	s.next(t, "0.99 0.10 bad\n")
	r = s.must(t, "rolled_back")
	if finding(r, "retrain:rolled-back") != jobs.Critical || s.current(t) != "0.95 0.10 good\n" || r.Events[0].Kind != "rollback" {
		t.Errorf("rolled back: %+v, in use %q", r, s.current(t))
	}
	served := strings.Fields(read(t, filepath.Join(s.root, "served")))
	if want := []string{first, second, r.Outputs["version"], second}; !cmp.Equal(want, served) {
		t.Errorf("the server was told of %q, want %q", served, want)
	}
	if want := []string{"promoted", "rejected", "rejected", "promoted", "rolled_back"}; !cmp.Equal(want, s.states(t)) {
		t.Errorf("the versions are %q", s.states(t))
	}
	manifest := read(t, filepath.Join(s.root, "models/churn/versions", second, "upkeep-model.json"))
	for _, want := range []string{`"parent": "` + first, `"data_sha256": "`, `"accuracy": 0.95`, `"incumbent_metrics"`, `"files_sha256"`, `"workflow": "monthly"`, `data.csv`} {
		if !strings.Contains(manifest, want) {
			t.Errorf("the manifest lacks %s:\n%s", want, manifest)
		}
	}
}

func TestRun_Candidate(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.adjust = func(o *retrain.Options) { o.Mode, o.Keep = "candidate", 0 }
	s.next(t, "0.90 0.10 good\n")
	r := s.must(t, "candidate")
	if r.Outputs["promoted"] != "false" || r.Outputs["better"] != "true" || s.current(t) != "" || !cmp.Equal(s.states(t), []string{"candidate"}) {
		t.Errorf("result %+v, in use %q, versions %q", r, s.current(t), s.states(t))
	}
}

// TestRun_MarginEdge compares differences that binary fractions cannot hold.
func TestRun_MarginEdge(t *testing.T) {
	t.Parallel()
	base := retrain.Options{Promote: retrain.Promote{Metric: "m", Better: "higher", Margin: 0.005, Samples: "samples"}}
	for _, tt := range []struct {
		now, before, margin float64
		lower, better       bool
	}{
		{0.815, 0.81, 0.005, false, true},
		{0.905, 0.9, 0.005, false, true},
		{0.9049, 0.9, 0.005, false, false},
		{0.9, 0.9, 0, false, false},
		{0.9 + 1e-15, 0.9, 0, false, false},
		{0.9001, 0.9, 0, false, true},
		{0.9, 0.95, 0, false, false},
		{0.81, 0.815, 0.005, true, true},
		{0.82, 0.815, 0.005, true, false},
		{-3, -4, 1, false, true},
	} {
		o := base
		o.Promote.Margin = tt.margin
		if tt.lower {
			o.Promote.Better = "lower"
		}
		better, err := retrain.Compare(&o, map[string]float64{"m": tt.now}, map[string]float64{"m": tt.before})
		if err != nil || better != tt.better {
			t.Errorf("%v after %v by %v (lower %v): better %v, error %v", tt.now, tt.before, tt.margin, tt.lower, better, err)
		}
	}
	for name, metrics := range map[string][2]map[string]float64{
		"did not report m of the candidate":   {{"x": 1}, {"m": 1}},
		"did not report m of the incumbent":   {{"m": 1}, {}},
		"measured on 10 samples and the incu": {{"m": 1, "samples": 10}, {"m": 0, "samples": 9}},
	} {
		if _, err := retrain.Compare(&base, metrics[0], metrics[1]); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error %v does not contain %q", err, name)
		}
	}
}

func TestRun_HeldBack(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		adjust func(*stage, *retrain.Options)
		id     string
	}{
		"too few samples": {func(_ *stage, o *retrain.Options) { o.Promote.MinSamples = 101 }, "retrain:samples"},
		"a critical finding": {func(_ *stage, o *retrain.Options) {
			o.Evaluate = shell(strings.Replace(evaluateText, `"samples":100}`, `"samples":100},"findings":[{"id":"biased","severity":"critical","text":"it is"}]`, 1))
		}, "retrain:evaluation"},
		"a gate that is red before": {func(s *stage, _ *retrain.Options) { write(t, filepath.Join(s.root, "red"), "") }, "retrain:gate"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			s.next(t, "0.90 0.10 good\n")
			s.must(t, "promoted")
			s.next(t, "0.95 0.10 good\n")
			s.adjust = func(o *retrain.Options) { tt.adjust(s, o) }
			if r := s.must(t, "held_back"); finding(r, tt.id) != jobs.Warning || s.current(t) != "0.90 0.10 good\n" {
				t.Errorf("result %+v, in use %q", r, s.current(t))
			}
		})
	}
}

// TestRun_Fails proves that what fails leaves the model in use and no folder.
func TestRun_Fails(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		adjust func(*retrain.Options)
		want   string
		left   []string
	}{
		"a full disk while training": {func(o *retrain.Options) {
			o.Train = shell("echo half > $UPKEEP_MODEL_DIR/model; echo rest > /dev/full")
		}, "train model churn", nil},
		"a file beyond the limit": {func(o *retrain.Options) {
			o.Train, o.Limits = shell("head -c 100000 /dev/zero > $UPKEEP_MODEL_DIR/model"), answer.Limits{FileSize: 4096}
		}, "train", nil},
		"training that leaves nothing": {func(o *retrain.Options) { o.Train = shell("true") }, "holds no model", nil},
		"an empty model":               {func(o *retrain.Options) { o.Train = shell(": > $UPKEEP_MODEL_DIR/model") }, "holds no model", nil},
		"a pipe for a model":           {func(o *retrain.Options) { o.Train = shell("mkfifo $UPKEEP_MODEL_DIR/model") }, "neither a file nor a folder", nil},
		"training over the manifest":   {func(o *retrain.Options) { o.Train = shell("echo x > $UPKEEP_MODEL_DIR/upkeep-model.json; exit 3") }, "exit status 3", nil},
		"data that are bad":            {func(o *retrain.Options) { o.Data.Run = shell("echo 'error: no rows'; exit 1") }, "no rows", nil},
		"data that somebody judges bad": {func(o *retrain.Options) {
			o.Data.Run = shell(`printf '{"schema":1,"findings":[{"id":"rows","severity":"critical","text":"half of it is gone"}]}' > "$UPKEEP_RESULT"`)
		}, "half of it is gone", nil},
		"data that are not there":                          {func(o *retrain.Options) { o.Data.Files = []unit.Path{"/nope"} }, "hash the data", nil},
		"data that change meanwhile":                       {func(o *retrain.Options) { o.Evaluate = shell(evaluateText + `; echo 3,4 >> "$ROOT/data.csv"`) }, "it was changed", []string{"trained"}},
		"no measurement":                                   {func(o *retrain.Options) { o.Evaluate = shell("true") }, "it was not written", []string{"trained"}},
		"a measurement that breaks":                        {func(o *retrain.Options) { o.Evaluate = shell("echo 'error: no GPU'; exit 1") }, "measure the candidate: evaluate: /bin/sh: exit status 1: no GPU", []string{"trained"}},
		"a metric that is not measured":                    {func(o *retrain.Options) { o.Promote.Metric = "f1" }, "did not report f1", []string{"trained"}},
		"a candidate that is changed while it is measured": {func(o *retrain.Options) { o.Evaluate = shell(evaluateText + `; echo >> "$UPKEEP_MODEL_DIR/model"`) }, "its files were changed", []string{"trained"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			s.next(t, "0.90 0.10 good\n")
			s.must(t, "promoted")
			s.next(t, "0.95 0.10 good\n")
			before := s.current(t)
			if strings.Contains(name, "is changed while") {
				before += "\n" // the incumbent is measured by the same program
			}
			s.adjust = tt.adjust
			_, err := s.run(t)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v does not contain %q", err, tt.want)
			}
			if s.current(t) != before || !cmp.Equal(s.states(t), slices.Concat([]string{"promoted"}, tt.left)) {
				t.Errorf("in use is %q, the versions are %q", s.current(t), s.states(t))
			}
			s.adjust = nil
			s.next(t, "0.96 0.10 good\n")
			s.must(t, "promoted")
		})
	}
}
