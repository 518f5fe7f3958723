package executor_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/executor"
)

// shelf is a ledger of several runs in memory.
type shelf struct {
	*memory // for what concerns no run
	runs    map[runner.RunID]*memory

	mu sync.Mutex
	// looks are of how many runs each Watch was.
	looks []int
}

func newShelf(count int) *shelf {
	s := &shelf{memory: newMemory(), runs: map[runner.RunID]*memory{}}
	for i := range count {
		m := newMemory()
		m.run.ID = runner.RunID(fmt.Sprintf("01930000-0000-7000-8000-%012d", i))
		s.runs[m.run.ID] = m
	}
	return s
}

func (s *shelf) Claim(ctx context.Context, id runner.RunID) (runner.Claim, runner.Run, error) {
	return s.runs[id].Claim(ctx, id)
}

func (s *shelf) Advance(ctx context.Context, c runner.Claim, step runner.Step) ([]runner.Blocked, error) {
	return s.runs[c.Run].Advance(ctx, c, step)
}

func (s *shelf) Watch(ctx context.Context, claims ...runner.Claim) (causes []error, err error) {
	s.mu.Lock()
	s.looks = append(s.looks, len(claims))
	s.mu.Unlock()
	for _, c := range claims {
		cause, err := s.runs[c.Run].Watch(ctx, c)
		if err != nil {
			return nil, err
		}
		causes = append(causes, cause...)
	}
	return causes, nil
}

// TestWatch_OneReadForAll: all runs under way are looked after by one read a
// second, each hears its own answer, and nobody looks while nothing runs.
func TestWatch_OneReadForAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newShelf(3)
		var mu sync.Mutex
		causes := map[runner.RunID]error{}
		b := newBench(t, job("a", func(ctx context.Context, env *jobs.Env) (jobs.Result, error) {
			result, err := takes(5500*time.Millisecond)(ctx, env)
			mu.Lock()
			defer mu.Unlock()
			causes[runner.RunID(env.RunID)] = context.Cause(ctx)
			return result, err
		}))
		b.options.Ledger = s
		x := executor.New(b.options)
		ids := slices.Sorted(maps.Keys(s.runs))
		time.AfterFunc(1500*time.Millisecond, func() { s.runs[ids[0]].cancel("anna") })
		time.AfterFunc(2500*time.Millisecond, s.runs[ids[1]].take)
		var handled sync.WaitGroup
		for _, id := range ids {
			handled.Go(func() { x.Handle(t.Context(), id) })
		}
		handled.Wait()
		time.Sleep(time.Minute)
		if want := []int{3, 3, 2, 1, 1}; !slices.Equal(s.looks, want) {
			t.Errorf("looked for so many runs: %v, want %v", s.looks, want)
		}
		var canceled *runner.CanceledError
		if !errors.As(causes[ids[0]], &canceled) || canceled.By != "anna" || !errors.Is(causes[ids[1]], runner.ErrSuperseded) || causes[ids[2]] != nil {
			t.Errorf("the jobs' contexts ended by %v", causes)
		}
		x.Handle(t.Context(), ids[0]) // it has ended
		if state := s.runs[ids[2]].run.State; state != runner.Succeeded || len(s.looks) != 5 {
			t.Errorf("the run that nobody touched is %s, after %d looks", state, len(s.looks))
		}
	})
}
