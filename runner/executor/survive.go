package executor

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

// unjudgedError says that a planned restart has happened and nobody can tell
// what became of the attempt.
type unjudgedError struct{ kind, planned string }

func (e *unjudgedError) Error() string {
	return fmt.Sprintf("upkeep ended after the job had planned to %s, and kind %s cannot tell what became of it", e.planned, e.kind)
}

// Hint says what a person can do.
func (e *unjudgedError) Hint() string { return "look at what it left, then retry the run" }

// Planned returns the names of the jobs whose running attempts planned a
// restart: what they left at work is judged by the next owner of their run and
// must not be ended before.
func Planned(attempts []runner.Attempt) []string {
	var names []string
	for _, a := range attempts {
		if isPlanned(a) {
			names = append(names, a.Job)
		}
	}
	return names
}

func isPlanned(a runner.Attempt) bool {
	return a.State == runner.Running && a.Planned != "" && !a.Superseded
}

// planRestart puts on record what the attempt is about to do. It may be called
// beside the run's loop: a step is one transaction, and this one concerns an
// attempt that the loop leaves alone until it has ended.
func (a *attempt) planRestart(asked context.Context, what string) error {
	if err := context.Cause(asked); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(a.ctx)
	defer cancel(nil)
	detach := context.AfterFunc(asked, func() { cancel(context.Cause(asked)) })
	defer detach()
	what = a.redactor.Scrub(what)
	//nolint:contextcheck // ctx ends with both
	err := a.run.persistWithin(ctx, "plan a restart", func(ctx context.Context) error {
		_, err := a.run.Ledger.Advance(ctx, a.run.claim, runner.Step{Planned: map[string]string{a.record.Job: what}})
		return err //nolint:wrapcheck // persist says what was being done
	})
	if err != nil {
		return err
	}
	a.log.Info("the job is about to end upkeep", "planned", what)
	return a.run.halt.plan(a, what)
}

// handOver lets go of attempts that planned a restart, once this process is
// about to end.
func (r *run) handOver() {
	for _, a := range r.halt.handOver() {
		a.place.phase = interrupted
		r.underway--
		r.handed = true
		a.log.Info("the attempt is left to the next process of upkeep", "planned", a.planned)
	}
}

// judge goes on with the attempt of a job that planned a restart.
func (r *run) judge(p *place) {
	record := p.last
	record.Epoch = r.claim.Epoch
	work, err := r.build(p)
	a := r.newAttempt(p, record, work)
	a.judging, a.planned = true, record.Planned
	a.resumeOutput()
	survivor, ok := work.job.(jobs.Survivor)
	if err == nil && !ok {
		err = &unjudgedError{kind: p.Kind, planned: record.Planned}
	}
	if err != nil {
		a.record.FinishedAt = now()
		a.endLeftovers()
		a.conclude(outcome{err: err}, nil)
		r.done = append(r.done, a)
		return
	}
	a.do = func(ctx context.Context, env *jobs.Env) (jobs.Result, error) {
		return survivor.Judge(ctx, env, record.StartedAt)
	}
	r.start(a)
}

// resumeOutput lets the attempt's output go on after what is left of it.
func (a *attempt) resumeOutput() {
	if a.run.LiveDir != "" {
		earlier, offsets, end, err := readLive(a.run.LiveDir, a.record.Key())
		if err != nil {
			a.log.Warn("recover the output from before the restart", "error", err)
		} else {
			a.out.capture.resume(earlier)
			a.out.capture.live.resume(offsets, end)
		}
	}
	_, _ = io.WriteString(a.out, "-- upkeep has been started again; the job had planned to "+a.record.Planned+"\n") // out never fails
}

// leftoverBound is how long leftovers may take to end after they were killed.
const leftoverBound = 10 * time.Second

// endLeftovers ends what is still at work when the attempt was judged.
func (a *attempt) endLeftovers() {
	ctx, cancel := context.WithTimeoutCause(context.Background(), a.run.plan.KillGrace+leftoverBound,
		&runner.TimeoutError{What: "to end leftovers", After: a.run.plan.KillGrace + leftoverBound})
	defer cancel()
	killed, err := jobs.KillJobLeftovers(ctx, string(a.record.Run), a.record.Job, a.record.StartedAt, a.run.plan.KillGrace)
	if err != nil {
		a.log.Warn("end what a planned restart left at work", "error", err)
	}
	if killed > 0 {
		a.log.Warn("what a planned restart left at work has been ended", "count", killed)
	}
}

// endUnjudged ends attempts that planned a restart in a run that cannot go on.
func (r *run) endUnjudged(earlier []runner.Attempt, why string) {
	for _, a := range earlier {
		if !isPlanned(a) {
			continue
		}
		if _, err := jobs.KillJobLeftovers(r.halt.shutdown, string(a.Run), a.Job, a.StartedAt, r.plan.KillGrace); err != nil {
			r.log.Warn("end what a planned restart left at work", "error", err)
		}
		a.State, a.Reason, a.Error, a.Epoch, a.FinishedAt = runner.Failed, runner.ReasonSpec, why, r.claim.Epoch, now()
		output, _, err := ReadLive(r.LiveDir, a.Key())
		if err != nil {
			r.log.Warn("recover the output from before the restart", "error", err)
		}
		r.relics = append(r.relics, r.relic(a, output))
	}
}

func keysOf(places []*place) []runner.AttemptKey {
	var keys []runner.AttemptKey
	for _, p := range places {
		keys = append(keys, p.last.Key())
	}
	return keys
}
