package jobstest

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/jobs"
)

// stops is at how many effects, counted from the first, a run is cut short.
const stops = 5

func (f Fixture) dryRun(t *testing.T, kind jobs.Kind) {
	s := f.stage(t, kind)
	before := s.world(t)
	o := s.run(t.Context(), t, jobs.Hooks{DryRun: true})
	if diff := cmp.Diff(before, s.world(t)); diff != "" {
		t.Errorf("a dry run changed the world (-before +after):\n%s", diff)
	}
	if len(o.effects) > 0 {
		t.Errorf("a dry run did effects: %q", o.effects)
	}
	if f.wantsError() {
		return
	}
	if o.err != nil {
		t.Errorf("a dry run failed: %v\noutput:\n%s", o.err, o.output)
	}
	if f.Effects && !strings.Contains(o.output, "would ") {
		t.Errorf("a dry run announced nothing; output:\n%s", o.output)
	}
	if len(o.result.Artifacts) > 0 {
		t.Errorf("a dry run says that it made %d artifacts", len(o.result.Artifacts))
	}
	CheckResult(t, o.result)
}

func (f Fixture) check(t *testing.T, kind jobs.Kind) {
	s := f.stage(t, kind)
	checker, ok := s.job.(jobs.Checker)
	if !ok {
		return
	}
	before := s.world(t)
	out := &Buffer{}
	env := s.env(t, out, jobs.Hooks{DryRun: true})
	start := time.Now()
	err := checker.Check(t.Context(), env)
	if took := time.Since(start); took > f.Patience {
		t.Errorf("a check took %s", took)
	}
	if err != nil && !f.wantsError() {
		t.Errorf("check: %v", err)
	}
	if strings.Contains(out.String(), "would ") {
		t.Errorf("a check announced an effect: %s", out.String())
	}
	s.keepsSecrets(t, outcome{err: err, output: out.String()})
	if diff := cmp.Diff(before, s.world(t)); diff != "" {
		t.Errorf("a check changed the world (-before +after):\n%s", diff)
	}
}

func (f Fixture) runTwice(t *testing.T, kind jobs.Kind) {
	s := f.stage(t, kind)
	first := s.watched(t)
	if f.judgeError(t, first) {
		return
	}
	CheckResult(t, first.result)
	if f.Effects && len(first.effects) == 0 {
		t.Error("the run did no effect through Env.Effect")
	}
	if !f.Effects && len(first.effects) > 0 {
		t.Errorf("the fixture has no effects, but the run did %q", first.effects)
	}
	if kind.Probe && len(first.effects) > 0 && !effectful(s.job) {
		t.Errorf("a probe did effects: %q", first.effects)
	}
	if f.Judge != nil {
		f.Judge(t, s.root, first.result)
	}
	s.settle(t, "the second run")
}

// settle runs the job undisturbed: it must succeed and leave the world as the
// fixture wants it.
func (s *stage) settle(t *testing.T, after string) {
	t.Helper()
	if o := s.run(t.Context(), t, jobs.Hooks{}); o.err != nil {
		t.Errorf("%s failed, so the job does not converge: %v\noutput:\n%s", after, o.err, o.output)
	}
	if s.fixture.Settled != nil {
		s.fixture.Settled(t, s.root)
	}
}

// judgeError compares the outcome with what the fixture wants and tells
// whether the story ends here.
func (f Fixture) judgeError(t *testing.T, o outcome) bool {
	t.Helper()
	switch {
	case !f.wantsError():
		if o.err != nil {
			t.Fatalf("run: %v\noutput:\n%s", o.err, o.output)
		}
		return false
	case o.err == nil:
		t.Fatalf("the run succeeded, want an error; summary %q", o.result.Summary)
	case !strings.Contains(o.err.Error(), f.Fails):
		t.Errorf("error %q does not contain %q", o.err, f.Fails)
	}
	_, refused := errors.AsType[*jobs.RefusedError](o.err)
	if refused != f.Refuses {
		t.Errorf("refused by a rail = %v, want %v (%v)", refused, f.Refuses, o.err)
	}
	encode(t, o.result)
	return true
}

func (f Fixture) deadContext(t *testing.T, kind jobs.Kind) {
	s := f.stage(t, kind)
	before := s.world(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errStop)
	o := s.run(ctx, t, jobs.Hooks{})
	if o.err == nil {
		t.Error("the run succeeded under a dead context")
	} else if !f.wantsError() && !errors.Is(o.err, errStop) {
		t.Errorf("error %q does not wrap the context's cause", o.err)
	}
	if diff := cmp.Diff(before, s.world(t)); diff != "" {
		t.Errorf("a run under a dead context changed the world (-before +after):\n%s", diff)
	}
}

// stopAtEffects cuts runs short at one effect after the other, then lets one
// come to its end.
func (f Fixture) stopAtEffects(t *testing.T, kind jobs.Kind) {
	s := f.stage(t, kind)
	for at := 1; at <= stops; at++ {
		ctx, cancel := context.WithCancelCause(t.Context())
		var reached atomic.Int64
		var stoppedAt time.Time
		o := s.run(ctx, t, jobs.Hooks{Effect: func(string) {
			if reached.Add(1) == int64(at) {
				stoppedAt = time.Now()
				cancel(errStop)
			}
		}})
		cancel(nil)
		if stoppedAt.IsZero() {
			if at == 1 {
				t.Fatal("no effect was reached, so nothing was stopped")
			}
			break
		}
		if took := time.Since(stoppedAt); took > f.Patience {
			t.Errorf("the job went on for %s after its context had ended", took)
		}
		if o.err != nil && !errors.Is(o.err, errStop) {
			t.Errorf("stopped at effect %d: error %q does not wrap the context's cause", at, o.err)
		}
	}
	s.settle(t, "the run after the stops")
}

// effectful tells whether a job of a probe kind says that it is none for a
// check.
func effectful(job jobs.Job) bool {
	e, ok := job.(jobs.Effectful)
	return ok && e.Effectful() != nil
}
