package web_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web"
	"github.com/ghosteam/upkeep/web/api"
)

const followedID = runner.RunID("019ab000-0000-7000-8000-000000000abc")

func attempt(job string, number int, state runner.State) runner.Attempt {
	a := runner.Attempt{Run: followedID, Job: job, Kind: "script", Number: number, Epoch: 1, State: state, ExitCode: -1, StartedAt: day(1)}
	if state.Final() {
		a.FinishedAt = day(1).Add(1)
		a.Result = jobs.Result{Summary: "did " + job, Values: map[string]float64{"n": 1}}
	}
	return a
}

func progress(job string, done int64) runner.AttemptProgress {
	return runner.AttemptProgress{Key: runner.AttemptKey{Run: followedID, Job: job, Number: 1}, Done: done, Total: 1000, Unit: "B", At: day(1)}
}

func followed(state runner.State) runner.Run {
	r := runner.Run{ID: followedID, Request: runner.Request{Spec: runner.Spec{Workflow: "followed"}, Trigger: runner.ByManual, Slot: day(1)}, State: state, Epoch: 1, Owner: "i-1", QueuedAt: day(1), StartedAt: day(1)}
	if state == runner.Queued {
		r.Epoch, r.StartedAt = 0, r.FinishedAt
	}
	if state.Final() {
		r.FinishedAt = day(2)
	}
	return r
}

func TestHub_PassesOn(t *testing.T) {
	t.Parallel()
	h := web.NewHub()
	ctx := t.Context()
	l := h.Listen(followedID)
	other := h.Listen("other")
	defer other.Close()
	running := attempt("a", 1, runner.Running)
	h.Observe(ctx, runner.RunStarted{Run: followed(runner.Running), Jobs: []runner.JobName{{Name: "a", Kind: "script"}}})
	h.Observe(ctx, runner.AttemptStarted{Attempt: running})
	for i := range int64(1000) {
		h.Observe(ctx, progress("a", i))
	}
	h.Observe(ctx, runner.RunNoted{Run: followedID, Text: "the window closes", At: day(1)})
	h.Observe(ctx, runner.AttemptWaiting{Key: running.Key(), Holder: &runner.LockHolder{Lock: "db"}})
	ended := attempt("a", 1, runner.Succeeded)
	h.Observe(ctx, runner.AttemptEnded{Attempt: ended})
	ended.Result.Values["n"] = 99 // whoever observes may not keep it
	h.Observe(ctx, runner.RunEnded{Run: followed(runner.Succeeded)})
	kinds, texts, lost := l.Take()
	want := []string{api.EventRunStarted, api.EventAttemptStarted, api.EventAttemptProgress, api.EventRunNoted, api.EventAttemptWaiting, api.EventAttemptEnded, api.EventRunEnded}
	if diff := cmp.Diff(want, kinds); diff != "" || lost {
		t.Fatalf("lost %v\n%s", lost, diff)
	}
	for i, says := range map[int]string{0: `"jobs":[{"name":"a"`, 2: `"done":999,`, 3: "the window closes", 4: `"lock":"db"`, 5: `"n":1}`} {
		if !strings.Contains(texts[i], says) {
			t.Errorf("%s says %s", kinds[i], texts[i])
		}
	}
	if kinds, _, lost := other.Take(); len(kinds) != 0 || lost {
		t.Errorf("another run got %q", kinds)
	}
	if l.Close(); h.Listening(followedID) != 0 || h.Underway() != 0 {
		t.Errorf("left behind: %d listen, %d under way", h.Listening(followedID), h.Underway())
	}
}

func TestHub_SlowListener(t *testing.T) {
	t.Parallel()
	h := web.NewHub()
	l := h.Listen(followedID)
	defer l.Close()
	for i := range 10 * web.MostPending {
		h.Observe(t.Context(), runner.AttemptStarted{Attempt: attempt("a", i, runner.Running)})
	}
	if kinds, _, lost := l.Take(); !lost || len(kinds) != 0 {
		t.Errorf("lost %v, got %d", lost, len(kinds))
	}
	h.Observe(t.Context(), runner.RunEnded{Run: followed(runner.Failed)})
	if kinds, _, lost := l.Take(); lost || len(kinds) != 1 {
		t.Errorf("lost %v, got %q", lost, kinds)
	}
}

// TestHub_AtOnce observes and listens from many goroutines.
func TestHub_AtOnce(t *testing.T) {
	t.Parallel()
	h := web.NewHub()
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 200 {
				job := fmt.Sprint(i)
				h.Observe(t.Context(), runner.RunStarted{Run: followed(runner.Running)})
				h.Observe(t.Context(), runner.AttemptStarted{Attempt: attempt(job, j, runner.Running)})
				h.Observe(t.Context(), progress(job, int64(j)))
				h.Observe(t.Context(), runner.AttemptEnded{Attempt: attempt(job, j, runner.Succeeded)})
			}
		})
		all.Go(func() {
			for range 100 {
				l := h.Listen(followedID)
				l.Take()
				l.Close()
			}
		})
	}
	all.Wait()
	h.Observe(t.Context(), runner.RunEnded{Run: followed(runner.Succeeded)})
	if h.Listening(followedID) != 0 || h.Underway() != 0 {
		t.Errorf("left behind: %d listen, %d under way", h.Listening(followedID), h.Underway())
	}
}
