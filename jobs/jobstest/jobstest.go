// Package jobstest is the harness that every kind of job passes: it proves
// what the contract in package jobs promises, on the real thing. It also holds
// the surroundings that kinds need in tests (Deps, Buffer, Tree). Production
// code never imports it.
//
// What it cannot see: an effect that a kind has in a place that neither the
// fixture's root nor its stores nor World show, a secret in the arguments of a
// child process that lives for less than about a millisecond, and whether the
// work itself is right. The tests of the harness hold a bad kind for each
// property that it proves.
package jobstest

import (
	"errors"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/jobs"
)

// patience bounds what must happen "soon" by the contract. It is generous,
// because test machines are busy; only a hang exceeds it.
const patience = 30 * time.Second

// errStop is the cause with which the harness ends contexts.
var errStop = errors.New("jobstest: stop")

// Fixture is one configuration of a kind together with the world it acts on.
type Fixture struct {
	// Name names the subtest.
	Name string
	// Arrange makes the world of one run below root, an empty directory, and
	// fills in options, which is what Kind.Options returned. It is called for
	// every property of the contract with a new root, in the kill test also
	// by another process with the same one.
	Arrange func(t *testing.T, root string, options any, deps *Deps)
	// World returns what the job may change beside the files below root and
	// the objects in the stores, in a form that cmp.Diff can compare; nil for
	// nothing.
	World func(t *testing.T) any
	// Effects tells that a run of this fixture changes something, so that a
	// dry run must announce at least one effect.
	Effects bool
	// Fails tells that the run must return an error that contains this text.
	Fails string
	// Refuses tells that the error must be a *jobs.RefusedError.
	Refuses bool
	// Secrets are texts that the job was given and that must never show: in
	// its output, log, effects, result, error, and in the arguments of any
	// process that it starts, whole or encoded.
	Secrets []string
	// Judge looks at the result of the first undisturbed run.
	Judge func(t *testing.T, root string, r jobs.Result)
	// Settled looks at the world after a run came to its end, however often
	// others were cut short before it; nil for no look.
	Settled func(t *testing.T, root string)
	// Patience bounds what must happen soon; by default 30 seconds.
	Patience time.Duration
}

// Exercise proves the contract on each fixture. The subtests are parallel.
func Exercise(t *testing.T, kind jobs.Kind, fixtures ...Fixture) {
	t.Helper()
	t.Run("Documented", func(t *testing.T) { t.Parallel(); checkDocumented(t, kind) })
	for _, f := range fixtures {
		if f.Patience == 0 {
			f.Patience = patience
		}
		t.Run(f.Name, func(t *testing.T) {
			t.Parallel()
			t.Run("DryRunChangesNothing", func(t *testing.T) { t.Parallel(); f.dryRun(t, kind) })
			t.Run("CheckChangesNothing", func(t *testing.T) { t.Parallel(); f.check(t, kind) })
			t.Run("RunsAndConverges", func(t *testing.T) { t.Parallel(); f.runTwice(t, kind) })
			t.Run("DeadContextChangesNothing", func(t *testing.T) { t.Parallel(); f.deadContext(t, kind) })
			if f.Effects && !f.wantsError() {
				t.Run("StopsAtAnEffectAndConverges", func(t *testing.T) { t.Parallel(); f.stopAtEffects(t, kind) })
				t.Run("SurvivesKill", func(t *testing.T) { t.Parallel(); f.kill(t, kind) })
			}
		})
	}
}

func (f Fixture) wantsError() bool { return f.Fails != "" || f.Refuses }

// Options is what Kind.Options returned, as the type that the kind's package
// knows.
func Options[O any](t testing.TB, options any) *O {
	t.Helper()
	o, ok := options.(*O)
	if !ok {
		t.Fatalf("the options are %T, not %T", options, o)
	}
	return o
}
