package executor_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

// before is an attempt that is on record from an earlier claim.
func before(job string, number int, s runner.State, r runner.Reason) runner.Attempt {
	at := time.Now().UTC().Add(time.Duration(number-100) * time.Minute)
	return runner.Attempt{
		Run: runID, Job: job, Kind: "test", Number: number, Epoch: 1, State: s, Reason: r,
		ExitCode: -1, StartedAt: at, FinishedAt: at.Add(time.Second),
	}
}

func superseded(a runner.Attempt) runner.Attempt {
	a.Superseded = true
	return a
}

func TestHandle_Resume(t *testing.T) {
	t.Parallel()
	never := func(p *runner.PlannedJob) { p.OnCrash = runner.Never }
	lost := func(n int) runner.Attempt { return before("a", n, runner.Lost, runner.ReasonCrash) }
	failed := func(n int, r runner.Reason) runner.Attempt { return before("a", n, runner.Failed, r) }
	tests := []struct {
		name    string
		job     runner.PlannedJob
		before  []runner.Attempt
		number  int    // of the latest attempt in the end
		want    string // its state
		verdict string
	}{
		{"Succeeded", job("a", fails), []runner.Attempt{before("a", 1, runner.Succeeded, "")}, 1, "succeeded", "succeeded"},
		{"Warned", job("a", fails), []runner.Attempt{before("a", 1, runner.Warned, runner.ReasonFindings)}, 1, "warned/findings", "warned/findings"},
		{"Skipped", job("a", fails), []runner.Attempt{before("a", 1, runner.Skipped, runner.ReasonCondition)}, 1, "skipped/condition", "skipped/condition"},
		{"LeftRunning", job("a", fine), []runner.Attempt{before("a", 1, runner.Running, "")}, 2, "succeeded", "succeeded"},
		{"Lost", job("a", fine), []runner.Attempt{lost(1)}, 2, "succeeded", "succeeded"},
		{"LostNever", job("a", fine, never), []runner.Attempt{lost(1)}, 1, "lost/crash", "failed/crash"},
		{"LostNeverMay", job("a", fine, never, may), []runner.Attempt{lost(1)}, 1, "lost/crash", "failed/crash"},
		{"ThreeRestarts", job("a", fine), []runner.Attempt{lost(1), lost(2), lost(3)}, 4, "succeeded", "succeeded"},
		{"NoFourth", job("a", fine), []runner.Attempt{lost(1), lost(2), lost(3), lost(4)}, 4, "lost/crash", "failed/crash"},
		{"CrashesBeforeARetryDoNotCount", job("a", fine), []runner.Attempt{superseded(lost(1)), superseded(lost(2)), superseded(lost(3)), superseded(lost(4))}, 5, "succeeded", "succeeded"},
		{"ShutdownNever", job("a", fine, never), []runner.Attempt{before("a", 1, runner.Canceled, runner.ReasonShutdown)}, 1, "canceled/shutdown", "canceled/shutdown"},
		{"Shutdown", job("a", fine), []runner.Attempt{before("a", 1, runner.Canceled, runner.ReasonShutdown)}, 2, "succeeded", "succeeded"},
		{"Failed", job("a", fine), []runner.Attempt{failed(1, runner.ReasonError)}, 1, "failed/error", "failed/error"},
		{"FailedRetryPending", job("a", fine, tries(1)), []runner.Attempt{failed(1, runner.ReasonError)}, 2, "succeeded", "succeeded"},
		{"FailedRetriesSpent", job("a", fine, tries(1)), []runner.Attempt{failed(1, runner.ReasonError), failed(2, runner.ReasonTimeout)}, 2, "failed/timeout", "failed/timeout"},
		{"FailedPermanent", job("a", fine, tries(5)), []runner.Attempt{failed(1, runner.ReasonPermanent)}, 1, "failed/permanent", "failed/permanent"},
		{"FailedRefused", job("a", fine, tries(5)), []runner.Attempt{failed(1, runner.ReasonRefused)}, 1, "failed/refused", "failed/refused"},
		{"FailedExitCode", job("a", fine, tries(5, 7)), []runner.Attempt{failed(1, runner.ReasonError)}, 1, "failed/error", "failed/error"},
		{"CrashDoesNotUseUpARetry", job("a", fate(nil, nil, errors.New("x"), nil), tries(1)), []runner.Attempt{lost(1), lost(2)}, 4, "succeeded", "succeeded"},
		{"Reopened", job("a", fine), []runner.Attempt{superseded(failed(1, runner.ReasonError))}, 2, "succeeded", "succeeded"},
		{"ReopenedRetriesAreFresh", job("a", fate(nil, nil, errors.New("x"), nil), tries(1)), []runner.Attempt{superseded(failed(1, runner.ReasonError)), superseded(failed(2, runner.ReasonError))}, 4, "succeeded", "succeeded"},
		{"UserCanceled", job("a", fine), []runner.Attempt{before("a", 1, runner.Canceled, runner.ReasonUser)}, 1, "canceled/user", "canceled/user"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				for i := range test.before { // times are those of the bubble
					test.before[i].StartedAt = time.Now().UTC().Add(time.Duration(i-100) * time.Minute)
					test.before[i].FinishedAt = test.before[i].StartedAt.Add(time.Second)
				}
				b := newBench(t, test.job)
				b.ledger.attempts = test.before
				b.ledger.run.Epoch = 1
				b.handle(t.Context())
				a := b.ledger.latest()["a"]
				if a.Number != test.number || verdict(a.State, a.Reason) != test.want || b.ledger.verdict() != test.verdict {
					t.Errorf("attempt %d is %s, run %s; want %d, %s, %s", a.Number, verdict(a.State, a.Reason), b.ledger.verdict(), test.number, test.want, test.verdict)
				}
			})
		})
	}
}

func TestHandle_ResumeKeepsDecisions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		// The handler was admitted when a had failed; its process died.
		b := newBench(t, job("a", fine), job("f", fine, needs("a"), when(runner.OnFailure), onlyIf(`run.params.x == "1"`)), job("s", fine, needs("a")))
		b.ledger.attempts = []runner.Attempt{
			before("a", 1, runner.Failed, runner.ReasonError),
			before("f", 1, runner.Lost, runner.ReasonCrash), before("s", 1, runner.Skipped, runner.ReasonCondition),
		}
		b.handle(t.Context())
		want := map[string]string{"a": "failed/error", "f": "succeeded", "s": "skipped/condition"}
		if diff := cmp.Diff(want, b.ledger.states()); diff != "" {
			t.Errorf("jobs (-want +got):\n%s", diff)
		}
	})
}

func TestHandle_ResumeHonorsTheBackoff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, job("a", fine, func(p *runner.PlannedJob) {
			tries(3)(p)
			p.Retry.Backoff.Min = time.Minute
		}))
		a := before("a", 1, runner.Failed, runner.ReasonError)
		a.FinishedAt = time.Now().UTC().Add(-20 * time.Second)
		b.ledger.attempts = []runner.Attempt{a}
		start := time.Now()
		b.handle(t.Context())
		if took := time.Since(start); took != 40*time.Second {
			t.Errorf("the retry began after %s, want the rest of the minute", took)
		}
	})
}

func TestHandle_TimeoutBeginsAnewWithARetry(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		by     string
		before func() []runner.Attempt
		took   time.Duration
	}{
		{"NeverReopened", "", func() []runner.Attempt { return nil }, 0},
		{"Reopened", "anna", func() []runner.Attempt {
			return []runner.Attempt{superseded(before("a", 1, runner.Failed, runner.ReasonTimeout))}
		}, time.Minute},
		{"ReopenedAndCrashed", "anna", func() []runner.Attempt {
			later := before("a", 2, runner.Lost, runner.ReasonCrash)
			later.Epoch, later.StartedAt = 3, time.Now().UTC().Add(-20*time.Second)
			return []runner.Attempt{superseded(before("a", 1, runner.Failed, runner.ReasonTimeout)), later}
		}, 40 * time.Second},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, job("a", takes(time.Hour)))
				b.plan(func(p *runner.Plan) { p.Timeout = time.Minute })
				b.ledger.run.StartedAt = time.Now().UTC().Add(-2 * time.Hour)
				b.ledger.run.ReopenedBy = test.by
				b.ledger.attempts = test.before()
				start := time.Now()
				b.handle(t.Context())
				if took := time.Since(start); took != test.took || b.ledger.verdict() != "failed/timeout" {
					t.Errorf("%s after %s, want %s", b.ledger.verdict(), took, test.took)
				}
			})
		})
	}
}

func TestHandle_ResumeCleansUp(t *testing.T) {
	t.Parallel()
	b := newBench(t, job("a", fine))
	lost := before("a", 1, runner.Lost, runner.ReasonCrash)
	b.ledger.attempts = []runner.Attempt{lost}
	live := filepath.Join(b.options.LiveDir, string(runID))
	files := map[string]string{"a.1.0": "head|", "a.1.5": "first|", "a.1.11": "second", "a.2.0": "a later attempt that never got on record"}
	if err := os.Mkdir(live, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(live, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	left := filepath.Join(b.options.WorkDir, "upkeep-"+string(runID)+".a.1-123")
	other := filepath.Join(b.options.WorkDir, "upkeep-another.a.1-123")
	for _, dir := range []string{left, other} {
		if err := os.MkdirAll(filepath.Join(dir, "deep"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	b.options.TailBytes = 8
	b.handle(t.Context())

	want := runner.Output{Head: []byte("head|"), Tail: []byte("t|second"), Cut: 4}
	if diff := cmp.Diff(want, b.ledger.outputs[lost.Key()]); diff != "" {
		t.Errorf("the dead attempt's output (-want +got):\n%s", diff)
	}
	for _, a := range b.ledger.attempts {
		if a.Number == 1 && (a.State != runner.Lost || a.OutputBytes != 17 || a.OutputCut != 4) {
			t.Errorf("the dead attempt is on record as %+v", a)
		}
	}
	if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the dead attempt's folder: %v", err)
	}
	if _, err := os.Stat(other); err != nil {
		t.Errorf("another run's folder: %v", err)
	}
	if _, err := os.Stat(live); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("live output after the run: %v", err)
	}
	if len(b.ledger.steps) != 2 {
		t.Errorf("%d steps: what the dead left costs a step of its own", len(b.ledger.steps))
	}
}

func TestHandle_WorkDir(t *testing.T) {
	t.Parallel()
	b := newBench(t, job("a", func(_ context.Context, env *jobs.Env) (jobs.Result, error) {
		info, err := os.Stat(env.WorkDir)
		if err != nil || info.Mode().Perm() != 0o700 || !filepath.IsAbs(env.WorkDir) {
			t.Errorf("private folder %s: %v, %v", env.WorkDir, info, err)
		}
		return jobs.Result{}, os.WriteFile(filepath.Join(env.WorkDir, "x"), nil, 0o400)
	}))
	b.handle(t.Context())
	if left, err := os.ReadDir(b.options.WorkDir); err != nil || len(left) != 0 {
		t.Errorf("left in the folder for private folders: %v, %v", left, err)
	}
	if got := b.ledger.verdict(); got != "succeeded" {
		t.Errorf("run %s: %s", got, b.ledger.run.Message)
	}

	b = newBench(t, job("a", fine))
	b.options.WorkDir = filepath.Join(b.options.WorkDir, "made", "when", "needed")
	b.handle(t.Context())
	if got := b.ledger.verdict(); got != "succeeded" {
		t.Errorf("run %s: %s", got, b.ledger.run.Message)
	}

	b = newBench(t, job("a", fine))
	b.options.WorkDir = filepath.Join(b.options.WorkDir, "file")
	if err := os.WriteFile(b.options.WorkDir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	b.handle(t.Context())
	if got := b.ledger.verdict(); got != "failed/error" {
		t.Errorf("without a place for private folders the run is %s", got)
	}
}

func TestHandle_History(t *testing.T) {
	t.Parallel()
	var got []jobs.Past
	b := newBench(t, job("a", nil, func(p *runner.PlannedJob) {
		p.Build = func(h runner.HistoryReader) (jobs.Job, []string, error) {
			return work{run: func(ctx context.Context, _ *jobs.Env) (jobs.Result, error) {
				own, err := h("", "").Past(ctx, 2)
				got = own
				if err != nil {
					return jobs.Result{}, err
				}
				_, err = h("weekly", "vacuum").Past(ctx, 1)
				if err == nil {
					t.Error("the history of another workflow was read as this one's")
				}
				return jobs.Result{}, nil
			}}, nil, nil
		}
	}))
	at := time.Now().UTC()
	b.ledger.past = []runner.Attempt{{Run: "r2", StartedAt: at, FinishedAt: at.Add(time.Minute), Result: jobs.Result{Summary: "x"}}, {Run: "r1"}, {Run: "r0"}}
	b.handle(t.Context())
	want := []jobs.Past{{RunID: "r2", Finished: at.Add(time.Minute), Duration: time.Minute, Result: jobs.Result{Summary: "x"}}, {RunID: "r1"}}
	if diff := cmp.Diff(want, got); diff != "" || b.ledger.verdict() != "succeeded" {
		t.Errorf("history (-want +got), run %s:\n%s", b.ledger.verdict(), diff)
	}
}
