package retrain_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/jobs/retrain"
)

// TestRun_RollbackFails has a gate that is red for every version once a bad one
// was in use.
func TestRun_RollbackFails(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.next(t, "0.90 0.10 good\n")
	s.must(t, "promoted")
	s.next(t, "0.95 0.10 bad\n")
	s.adjust = func(o *retrain.Options) { o.Gate.Run = shell(gateText + ` || { : > "$ROOT/red"; exit 1; }`) }
	r, err := s.run(t)
	if err == nil || !strings.Contains(err.Error(), "failed too") || jobs.HintOf(err) == "" {
		t.Errorf("error %v, hint %q", err, jobs.HintOf(err))
	}
	if s.current(t) != "0.90 0.10 good\n" || finding(r, "retrain:rolled-back") != jobs.Critical || len(r.Events) != 1 || r.Events[0].Kind != "rollback" {
		t.Errorf("in use is %q; result %+v", s.current(t), r)
	}
	// The server that cannot be told is as bad.
	s = newStage(t)
	s.next(t, "0.90 0.10 good\n")
	s.must(t, "promoted")
	s.next(t, "0.95 0.10 good\n")
	s.adjust = func(o *retrain.Options) { o.Promote.Run = shell("echo 'error: no server'; exit 1") }
	if _, err := s.run(t); err == nil || !strings.Contains(err.Error(), "no server") || s.current(t) != "0.90 0.10 good\n" {
		t.Errorf("error %v, in use is %q", err, s.current(t))
	}
}

// TestRun_TwoAtOnce starts a run while another one trains.
func TestRun_TwoAtOnce(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.next(t, "0.90 0.10 good\n")
	s.must(t, "promoted")
	s.adjust = func(o *retrain.Options) {
		o.Train = shell(`: > "$ROOT/busy"; while test ! -e "$ROOT/go"; do sleep 0.01; done; ` + trainText)
	}
	s.next(t, "0.95 0.10 good\n")
	job, env := s.job(t), s.env(t, 2, jobs.Hooks{})
	done := make(chan error, 1)
	go func() {
		_, err := job.Run(t.Context(), env)
		done <- err
	}()
	for _, err := os.Stat(filepath.Join(s.root, "busy")); err != nil; _, err = os.Stat(filepath.Join(s.root, "busy")) {
		if t.Context().Err() != nil {
			t.Fatal("the first run never trained")
		}
	}
	if _, err := s.job(t).Run(t.Context(), s.env(t, 3, jobs.Hooks{})); err == nil || !strings.Contains(err.Error(), "another run is at work") {
		t.Errorf("the second run: %v", err)
	}
	write(t, filepath.Join(s.root, "go"), "")
	if err := <-done; err != nil || s.current(t) != "0.95 0.10 good\n" || !cmp.Equal(s.states(t), []string{"promoted", "promoted"}) {
		t.Errorf("the first run: %v; in use is %q, the versions are %q", err, s.current(t), s.states(t))
	}
	locks, ok := s.job(t).(jobs.Exclusive)
	if !ok || !slices.Equal(locks.LockKeys(), []string{"model/churn"}) {
		t.Error("the job does not lock its model")
	}
}

// TestRun_Hostile proves that only what is provably ours is ever removed.
func TestRun_Hostile(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.adjust = func(o *retrain.Options) { o.Keep = 0 }
	s.next(t, "0.90 0.10 good\n")
	s.must(t, "promoted")
	versions := filepath.Join(s.root, "models/churn/versions")
	outside := filepath.Join(s.root, "outside")
	mkdir(t, outside)
	ours := `{"schema":1,"model":"churn","version":"20200101T000000Z-a","state":"training"}`
	write(t, filepath.Join(outside, "upkeep-model.json"), ours)
	foreign := map[string]string{
		"..20200101T000000Z-a":           ours,
		"20200101T000000Z-other":         ours, // the manifest speaks of another one
		"20200101T000000Z-model":         `{"schema":1,"model":"fraud","version":"20200101T000000Z-model","state":"training"}`,
		"20200101T000000Z-\nrm -rf":      ours,
		"20200101T000000Z-none":          "",
		"20200101T000000Z-cut":           `{"schema":1,"mod`,
		".removing-20200101T000000Z-own": "",
		"mine":                           ours,
		"20200101T000000Z-\xff\xfe":      ours,
	}
	for name, manifest := range foreign {
		mkdir(t, filepath.Join(versions, name))
		write(t, filepath.Join(versions, name, "precious"), "data")
		if manifest != "" {
			write(t, filepath.Join(versions, name, "upkeep-model.json"), manifest)
		}
	}
	if err := os.Symlink(outside, filepath.Join(versions, "20200101T000000Z-a")); err != nil {
		t.Fatal(err)
	}
	for i, model := range []string{"0.91 0.10 good\n", "0.92 0.10 good\n", "0.93 0.10 good\n", "0.1 0.1 good\n"} {
		s.next(t, model)
		s.must(t, []string{"promoted", "promoted", "promoted", "not_better"}[i])
	}
	for name := range foreign {
		if read(t, filepath.Join(versions, name, "precious")) != "data" {
			t.Errorf("%q was touched", name)
		}
	}
	if read(t, filepath.Join(outside, "upkeep-model.json")) != ours {
		t.Error("what lies outside was touched")
	}
	if n := count(s.states(t), "promoted"); n != 2 || count(s.states(t), "rejected") > 0 || s.current(t) != "0.93 0.10 good\n" {
		t.Errorf("%d versions are left, want the one in use and the one before it: %q", n, s.states(t))
	}
}

func TestRun_Keep(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.adjust = func(o *retrain.Options) { o.Keep = 1 }
	for _, model := range []string{"0.90", "0.91", "0.92", "0.93", "0.94"} {
		s.next(t, model+" 0.1 good\n")
		s.must(t, "promoted")
	}
	if want := []string{"promoted", "promoted", "promoted"}; !cmp.Equal(want, s.states(t)) {
		t.Errorf("the versions are %q", s.states(t))
	}
}

// TestRun_ForeignCurrent begins with a model that somebody put there by hand.
func TestRun_ForeignCurrent(t *testing.T) {
	t.Parallel()
	hand := func(t *testing.T, model string) *stage {
		s := newStage(t)
		mkdir(t, filepath.Join(s.root, "by-hand"))
		mkdir(t, filepath.Join(s.root, "models/churn"))
		write(t, filepath.Join(s.root, "by-hand/model"), "0.90 0.10 good\n")
		if err := os.Symlink("../../by-hand", filepath.Join(s.root, "models/churn/current")); err != nil {
			t.Fatal(err)
		}
		s.next(t, model)
		return s
	}
	s := hand(t, "0.95 0.10 bad\n")
	s.must(t, "rolled_back")
	if link, err := os.Readlink(filepath.Join(s.root, "models/churn/current")); err != nil || link != "../../by-hand" {
		t.Errorf("rolled back to %q, %v", link, err)
	}
	s.next(t, "0.95 0.10 good\n")
	if r := s.must(t, "promoted"); !strings.Contains(r.Events[0].Text, "version ../../by-hand to ") {
		t.Errorf("events %+v", r.Events)
	}
	// One that leads nowhere is no model to compare with, and none to begin anew.
	s = hand(t, "0.95 0.10 good\n")
	if err := os.RemoveAll(filepath.Join(s.root, "by-hand")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.job(t).Run(t.Context(), s.env(t, 1, jobs.Hooks{})); err == nil || !strings.Contains(err.Error(), "the model in use is gone") {
		t.Errorf("error %v", err)
	}
	// A folder cannot be exchanged at once.
	s = newStage(t)
	mkdir(t, filepath.Join(s.root, "models/churn/current"))
	write(t, filepath.Join(s.root, "models/churn/current/model"), "0.90 0.10 good\n")
	s.next(t, "0.95 0.10 good\n")
	if _, err := s.run(t); !isRefused(err) {
		t.Errorf("error %v", err)
	}
	checker, ok := s.job(t).(jobs.Checker)
	if !ok || !isRefused(checker.Check(t.Context(), s.env(t, 9, jobs.Hooks{DryRun: true}))) {
		t.Error("the check lets a folder pass")
	}
}

func isRefused(err error) bool {
	_, ok := errors.AsType[*jobs.RefusedError](err)
	return ok
}

// TestRun_Journal begins with journals that do not fit.
func TestRun_Journal(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ text, fails string }{
		"cut":          {`{"schema":1`, "promotion.json"},
		"a path":       {`{"schema":1,"phase":"promoting","from":"","to":"../../../etc"}`, "not one of ours"},
		"a later one":  {`{"schema":9,"phase":"promoting","from":"","to":"20260301T023000Z-abc"}`, "not one of ours"},
		"another link": {`{"schema":1,"phase":"promoting","from":"versions/gone","to":"20260301T023000Z-abc"}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			s.next(t, "0.90 0.10 good\n")
			s.must(t, "promoted")
			write(t, filepath.Join(s.root, "models/churn/promotion.json"), tt.text)
			s.next(t, "0.95 0.10 good\n")
			r, err := s.run(t)
			switch {
			case tt.fails == "" && (err != nil || finding(r, "retrain:foreign-link") != jobs.Warning || r.Outputs["promoted"] != "true"):
				t.Errorf("error %v, result %+v", err, r)
			case tt.fails != "" && (err == nil || !strings.Contains(err.Error(), tt.fails) || s.current(t) != "0.90 0.10 good\n"):
				t.Errorf("error %v does not contain %q; in use is %q", err, tt.fails, s.current(t))
			}
		})
	}
}

// probe is a check that finds the model in use well or not.
type probe struct {
	stage *stage
	t     *testing.T
}

func (p probe) Run(context.Context, *jobs.Env) (jobs.Result, error) {
	if strings.Contains(p.stage.current(p.t), "bad") {
		return jobs.Result{Findings: []jobs.Finding{{ID: "x", Severity: jobs.Critical, Text: "it answers nonsense"}}}, nil
	}
	return jobs.Result{Findings: []jobs.Finding{{ID: "x", Severity: jobs.Warning, Text: "a bit slow"}}}, nil
}

func TestRun_GateIsACheck(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.deps.AddCheck(jobs.Check{Name: "api", Kind: "http", Probe: probe{s, t}})
	s.adjust = func(o *retrain.Options) { o.Gate.Check, o.Gate.Run = "api", nil }
	s.next(t, "0.90 0.10 good\n")
	s.must(t, "promoted")
	s.next(t, "0.95 0.10 bad\n")
	if r := s.must(t, "rolled_back"); !strings.Contains(r.Summary, "check api: it answers nonsense") {
		t.Errorf("summary %q", r.Summary)
	}
	kind := retrain.Kind()
	given := kind.Options()
	o := jobstest.Options[retrain.Options](t, given)
	arrange(s.root, o)
	o.Gate.Check, o.Gate.Run = "nope", nil
	if _, err := kind.Build(given, s.deps); err == nil || !strings.Contains(err.Error(), `gate.check: no check "nope"`) {
		t.Errorf("a check that does not exist: %v", err)
	}
}

// TestRun_StoppedInTheGate ends the context after the link was exchanged: the
// next run asks again.
func TestRun_StoppedInTheGate(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.next(t, "0.90 0.10 good\n")
	s.must(t, "promoted")
	s.next(t, "0.95 0.10 bad\n")
	stop := errors.New("stop")
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	_, err := s.job(t).Run(ctx, s.env(t, 2, jobs.Hooks{Effect: func(what string) {
		if strings.HasPrefix(what, "ask the gate about") {
			cancel(stop)
		}
	}}))
	if !errors.Is(err, stop) || jobs.HintOf(err) == "" || !strings.Contains(s.current(t), "bad") {
		t.Errorf("error %v, hint %q, in use is %q", err, jobs.HintOf(err), s.current(t))
	}
	s.next(t, "0.80 0.10 good\n")
	s.runs = 2
	r := s.must(t, "not_better")
	if finding(r, "retrain:rolled-back") != jobs.Critical || s.current(t) != "0.90 0.10 good\n" || r.Events[0].Kind != "rollback" {
		t.Errorf("in use is %q; result %+v", s.current(t), r)
	}
}

func TestOptions_Validate(t *testing.T) {
	t.Parallel()
	o := retrain.Options{
		Model: "../x", Mode: "maybe", Train: unit.Command{""}, Keep: -1, Nice: 20,
		Promote: retrain.Promote{Metric: "A b", Better: "more", Margin: -1, MinSamples: -1},
		Guards:  map[string]retrain.Guard{"x y": {}, "a": {}, "b": {Better: "lower", Tolerance: -1}},
		Gate:    retrain.Gate{Check: "api", Run: shell("true")},
	}
	want := `model: "../x" is not a name: use a-z, 0-9, _ and -, at most 100 characters
root: there is no folder for the models
mode: "maybe" is neither promote nor candidate
train: there is no program to run
evaluate: there is no program to run
promote.metric: "A b" is not the name of a value: use a-z, 0-9, _, . and -
promote.better: "more" is neither higher nor lower
promote.margin: a worse candidate is never promoted
promote.min_samples: there are never fewer than 0 samples
promote.samples: "" is not the name of a value
guards.a.better: "" is neither higher nor lower
guards.b.tolerance: use 0 or more
guards.x y: "x y" is not the name of a value: use a-z, 0-9, _, . and -
gate.every: 0s is below the shortest pause, 10ms
gate.timeout: there is no time for an answer
gate.within: there is no time to become well
gate.run: the gate is check "api" already
keep: -1 is out of range: use 0 to 1000
nice: 20 is out of range: use -20 to 19`
	err := o.Validate()
	if err == nil {
		t.Fatal("no error")
	}
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Errorf("errors (-want +got):\n%s", diff)
	}
}
