package executor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

// stopBound is how long a job may take to return after its children must be
// gone, before the executor gives it up.
const stopBound = 10 * time.Second

// attempt is one try of one job. The run's loop makes it and reads it after
// its end; in between it belongs to its goroutine.
type attempt struct {
	run    *run
	place  *place
	record runner.Attempt
	// do is the job's work, or its judgement of what a planned restart left.
	do  func(ctx context.Context, env *jobs.Env) (jobs.Result, error)
	out *out
	log *slog.Logger
	// locks are its named locks; fences the numbers of those that are kept
	// outside of the ledger.
	locks  []string
	fences map[string]int64
	// redactor knows the secrets that the attempt was given.
	redactor *secret.Redactor

	ctx    context.Context
	cancel context.CancelCauseFunc
	// last, once set, ends a `when: always` attempt that has outlived the
	// bound after its run's end.
	last *time.Timer
	// planned is the restart that the attempt planned, or empty; halt guards it.
	planned string
	// judging tells that an earlier process began the attempt.
	judging bool
	// handedOver tells that the next process goes on with the attempt, and this
	// one no longer waits for it.
	handedOver atomic.Bool

	// output, judgement, cause, err and abandoned are what came out.
	output    runner.Output
	judgement judgement
	cause     error
	err       error
	abandoned bool
}

// newAttempt prepares the attempt that record describes.
func (r *run) newAttempt(p *place, record runner.Attempt, work *workpiece) *attempt {
	a := &attempt{run: r, place: p, record: record, redactor: secret.NewRedactor(work.secrets)}
	a.log = slog.New(scrubbedLog{
		Handler: r.log.With("job", record.Job, "attempt", record.Number).Handler(), redactor: a.redactor,
	})
	if work.job != nil {
		a.do = work.job.Run
	}
	var mirror *live
	if r.LiveDir != "" {
		mirror = newLive(r.LiveDir, record.Key(), r.HeadBytes, r.TailBytes, a.log)
		mirror.full = r.OnNoSpace
	}
	captured := newCapture(r.HeadBytes, r.TailBytes, mirror)
	if r.OnOutput != nil {
		key := record.Key()
		captured.tell = func(from int64, written []byte) { r.OnOutput(key, from, written) }
	}
	a.out = &out{scrub: a.redactor.Writer(captured), capture: captured}
	a.ctx, a.cancel = context.WithCancelCause(context.WithoutCancel(r.halt.writes))
	return a
}

// halt ends the attempt because its run ends early. Jobs that run always
// outlive a cancel and the run's timeout, with a bound.
func (a *attempt) halt(level urgency, cause error) {
	if level == stopping && a.planned != "" && !errors.Is(cause, errUnrecordable) {
		return // it is handed over as it is
	}
	if level > ending || a.place.When != runner.Always {
		a.cancel(cause)
		return
	}
	if a.place.Timeout == 0 {
		a.last = time.AfterFunc(alwaysBound, func() {
			a.cancel(&runner.TimeoutError{What: "job " + a.place.Name + " after the end of its run", After: alwaysBound})
		})
	}
}

// execute runs the job and fills in what came out.
func (a *attempt) execute() {
	ctx := a.ctx
	defer a.cancel(nil)
	release, err := a.hold(ctx)
	if err != nil {
		a.record.FinishedAt = now()
		a.conclude(outcome{err: err}, context.Cause(ctx))
		return
	}
	defer release()
	if a.place.Timeout > 0 {
		var end context.CancelFunc
		ctx, end = context.WithTimeoutCause(ctx, a.place.Timeout,
			&runner.TimeoutError{What: "job " + a.place.Name, After: a.place.Timeout})
		defer end()
	}
	o := a.inWorkDir(ctx)
	cause := context.Cause(ctx)
	a.record.FinishedAt = now()
	a.conclude(o, cause)
}

// conclude judges the outcome and completes the record.
func (a *attempt) conclude(o outcome, cause error) {
	a.judgement = classify(o, cause, a.place.FailOn)
	a.err, a.cause, a.abandoned = o.err, cause, o.abandoned > 0
	a.record.State, a.record.Reason = a.judgement.state, a.judgement.reason
	a.record.Error, a.record.Hint = a.judgement.text, cmp.Or(a.judgement.hint, a.lookFurther())
	a.record.ExitCode = a.judgement.exitCode
	a.record.Result = o.result
	scrub(&a.record, a.redactor)
	if panicked, ok := o.err.(*panicError); ok { //nolint:errorlint // guard returns it bare
		_, _ = fmt.Fprintf(a.out, "\n%v\n\n%s", panicked, panicked.stack) // out never fails
	}
	a.output, a.record.OutputBytes = a.out.close()
	a.record.OutputCut = a.output.Cut
}

// lookFurther is the hint of last resort for an attempt that failed.
func (a *attempt) lookFurther() string {
	logs := fmt.Sprintf("see what it wrote: upkeep logs %s %s", a.record.Run, a.record.Job)
	switch {
	case a.judgement.state != runner.Failed:
		return ""
	case a.judgement.reason == runner.ReasonTimeout:
		return "give it more time with `timeout:`, or " + logs
	}
	return logs
}

// inWorkDir gives the job its private folder for as long as it runs.
func (a *attempt) inWorkDir(ctx context.Context) outcome {
	// A halt that came while the attempt was put on record.
	if cause := context.Cause(ctx); cause != nil {
		return outcome{err: cause}
	}
	dir, err := a.workDir()
	if err != nil {
		if noSpace(err) {
			a.run.OnNoSpace()
		}
		return outcome{err: fmt.Errorf("make the attempt's private folder: %w", err)}
	}
	remove := func(inTime bool) {
		if a.handedOver.Load() || inTime && a.run.spares.give(dir) {
			return
		}
		if err := os.RemoveAll(dir); err != nil {
			a.log.Warn("the private folder of the attempt could not be removed", "error", err)
		}
	}
	o := a.supervise(ctx, a.environment(dir), remove) //nolint:contextcheck // observers outlive the attempt
	if a.judging && !a.handedOver.Load() {
		a.endLeftovers() //nolint:contextcheck // also when the attempt was ended
	}
	return o
}

// workDir is the attempt's private folder: a new one, or the one that it had
// before a planned restart.
func (a *attempt) workDir() (string, error) {
	if a.judging {
		dir, err := findWorkDir(a.run.WorkDir, a.record.Key())
		if err != nil || dir != "" {
			return dir, err
		}
	}
	if dir := a.run.spares.take(a.record.Key()); dir != "" {
		return dir, nil
	}
	return makeWorkDir(a.run.WorkDir, a.record.Key())
}

// supervise runs the job and waits for it, but not for ever once its context
// has ended: a goroutine cannot be killed, so a job that ignores its context is
// left behind, its output is cut off and the run goes on. after is called when
// the job has really returned, and told whether that was in time.
func (a *attempt) supervise(ctx context.Context, env *jobs.Env, after func(inTime bool)) outcome {
	done := make(chan outcome, 1)
	go func() {
		var o outcome
		o.err = guard(func() (err error) {
			if o.result, err = a.do(ctx, env); err == nil {
				err = env.Planned()
			}
			return err
		}, func(err error) { done <- outcome{err: err} })
		done <- o
	}()
	select {
	case o := <-done:
		after(true)
		return o
	case <-ctx.Done():
	}
	patience := a.run.plan.KillGrace + stopBound
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case o := <-done:
		after(true)
		return o
	case <-timer.C:
	}
	a.log.Error("the job ignores the end of its context and is given up", "waited", patience)
	go func() {
		o := <-done
		after(false)
		a.log.Warn("a job that was given up has returned", "error", o.err)
	}()
	return outcome{abandoned: patience}
}

// environment is the world of the attempt.
func (a *attempt) environment(dir string) *jobs.Env {
	r := a.run
	return jobs.NewEnv(jobs.Env{
		RunID: string(a.record.Run), Workflow: r.record.Spec.Workflow, Job: a.record.Job, Attempt: a.record.Number,
		Trigger: string(r.record.Trigger), Slot: r.record.Slot, Node: r.Node, Version: r.Version,
		Zone: r.plan.Zone, Root: r.plan.Root, Fences: a.fences,
		WorkDir: dir, KillGrace: r.plan.KillGrace, Log: a.log, Out: a.out,
	}, jobs.Hooks{
		DryRun:   r.record.DryRun,
		Plan:     r.record.Params[runner.ParamPlan],
		Progress: a.progress(),
		Allowed:  a.allowed,
		Effect:   func(what string) { a.log.Info("effect", "what", what) },
		Scrub:    a.redactor.Scrub,
		Own:      r.Own,

		OwnDatabase: r.OwnDatabase,

		PlanRestart: a.planRestart,
	})
}

// allowed tells why the attempt must not change the world any more: a process
// that was stopped for a while finds out here that others may own its run by
// now, whatever it was about to do. The run ends then.
func (a *attempt) allowed() error {
	err := a.run.Holds(a.run.claim)
	if err != nil {
		a.run.halt.end(runner.ErrSuperseded)
	}
	return err //nolint:wrapcheck // the gate says what was not started
}

// progress tells the observer how far the attempt is, once per second.
func (a *attempt) progress() func(done, total int64, unit string) {
	var mu sync.Mutex
	var told time.Time
	return func(done, total int64, unit string) {
		at := time.Now()
		mu.Lock()
		early := at.Sub(told) < time.Second
		if !early {
			told = at
		}
		mu.Unlock()
		if early || a.ctx.Err() != nil {
			return
		}
		a.run.tell(runner.AttemptProgress{Key: a.record.Key(), Done: done, Total: total, Unit: unit, At: at.UTC()})
	}
}

// now is the present as the ledger keeps it.
func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }
