package executor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

// run is one claimed run under way. Everything in it belongs to the goroutine
// of execute, except for halt and what attempts do on their own.
type run struct {
	*Options

	spares *spares
	watch  *watch
	claim  runner.Claim
	record runner.Run
	plan   runner.Plan
	graph  *graph
	halt   *halt
	log    *slog.Logger

	// completions brings attempts that ended; it never blocks the sender.
	completions chan *attempt
	// underway counts attempts that were started and have not been received
	// from completions; done are those that were, and are not on record yet.
	underway int
	done     []*attempt
	// relics are attempts of a dead process with the output that it left.
	relics []runner.End
	// litter tells that the run may have live output of a dead process, which
	// is removed once the relics are on record.
	litter bool
	// judged are jobs whose attempts planned a restart that has happened.
	judged []*place
	// handed tells that an attempt was handed over to the next process, so that
	// nothing new begins in this one.
	handed bool
	// notes are what people should know about the run in the end.
	notes notes
	// shortened tells that a cancel or the run's timeout kept a job from
	// starting or cut one short: without that they came too late to matter.
	shortened bool
	// locking tells that a job of the run asked for named locks; stands that one
	// waits for some, and freed that they may be free.
	locking       bool
	stands, freed atomic.Bool
	// stuck names a job that ignored a shutdown.
	stuck string
}

// execute works on the run until it has ended or is somebody else's.
func (r *run) execute() {
	r.watch.add(r)
	defer r.watch.remove(r)
	earlier, err := r.earlier()
	if err != nil {
		r.leave(err)
		return
	}
	if err := r.compile(); err != nil {
		r.refuse(err, earlier)
		return
	}
	if text := r.outsideWindow(earlier); text != "" {
		r.end(&runner.Finish{State: runner.Skipped, Reason: runner.ReasonWindow, Message: text})
		return
	}
	r.completions = make(chan *attempt, len(r.graph.places))
	if len(earlier) > 0 {
		r.resume(earlier)
	}
	if r.record.CanceledBy != "" {
		r.halt.end(&runner.CanceledError{By: r.record.CanceledBy})
	}
	if r.plan.Timeout > 0 {
		end := time.AfterFunc(time.Until(r.began(earlier).Add(r.plan.Timeout)), func() {
			r.halt.end(&runner.TimeoutError{What: "workflow " + r.record.Spec.Workflow, After: r.plan.Timeout})
		})
		defer end.Stop()
	}
	unbind := r.bindToWindow()
	defer unbind()
	started := runner.RunStarted{Run: r.record, Jobs: r.graph.names()}
	for _, p := range r.graph.places {
		if p.phase == ended {
			started.Done = append(started.Done, p.last)
		}
	}
	r.tell(started)
	for _, p := range r.judged {
		r.judge(p)
	}
	r.loop()
}

// earlier reads what earlier claims put on record; the first claim has none.
func (r *run) earlier() (attempts []runner.Attempt, err error) {
	if r.claim.Epoch == 1 {
		return nil, nil
	}
	err = r.persist("read the attempts", func(ctx context.Context) (err error) {
		attempts, err = r.Ledger.Attempts(ctx, r.record.ID)
		return err //nolint:wrapcheck // persist says what was being done
	})
	return attempts, err
}

// began is when the run's timeout began to count: with the first claim, or
// with the first claim after the last retry. A retry marks what it reopened as
// superseded, so what belongs to it has a later epoch.
func (r *run) began(earlier []runner.Attempt) time.Time {
	if r.record.ReopenedBy == "" {
		return r.record.StartedAt
	}
	var reopened int64
	for _, a := range earlier {
		if a.Superseded {
			reopened = max(reopened, a.Epoch)
		}
	}
	began := now()
	for _, a := range earlier {
		if a.Epoch > reopened && a.StartedAt.Before(began) {
			began = a.StartedAt
		}
	}
	return began
}

// compile makes the plan of the frozen workflow.
func (r *run) compile() error {
	return guard(func() (err error) {
		r.plan, err = r.Compiler.Compile(r.halt.shutdown, r.record.Spec, r.record.Arguments())
		if err != nil {
			return fmt.Errorf("load the workflow as it was when the run was recorded: %w", err)
		}
		r.plan.Parallel = max(r.plan.Parallel, 1)
		r.graph, err = newGraph(r.plan, r.record.Jobs)
		return err
	}, func(error) {})
}

// refuse ends a run whose frozen workflow no longer loads, and with it attempts
// that planned a restart, because nobody can judge them.
func (r *run) refuse(err error, earlier []runner.Attempt) {
	if level, _ := r.halt.state(); level >= stopping {
		r.giveBack()
		return
	}
	if panicked, ok := errors.AsType[*panicError](err); ok {
		r.log.Error("the loader panicked", "value", panicked.value, "stack", panicked.stack)
	}
	message := err.Error()
	if hint := jobs.HintOf(err); hint != "" {
		message += " (" + hint + ")"
	}
	r.endUnjudged(earlier, message)
	r.end(&runner.Finish{State: runner.Failed, Reason: runner.ReasonSpec, Message: message})
}

// end puts the end of a run on record that has no graph, or no need of it.
func (r *run) end(finish *runner.Finish) {
	if _, err := r.advance(runner.Step{Ended: r.relics, Finish: finish}); err != nil {
		r.leave(err)
		return
	}
	r.finished(finish)
}

// loop is the run's single thread: it records one step after the other and
// waits for completions, requests and times in between.
func (r *run) loop() {
	for {
		level, cause := r.halt.state()
		if level == superseded {
			r.leave(cause)
			return
		}
		r.handOver()
		m := r.nextMove(level, cause)
		if m.empty() {
			if (level == stopping || r.handed) && r.underway == 0 {
				r.giveBack()
				return
			}
			r.wait()
			continue
		}
		blocked, err := r.advance(m.step)
		if err != nil {
			r.done = append(r.done, m.ended...)
			r.leave(err)
			return
		}
		r.moved(m, blocked)
		if m.step.Finish != nil {
			r.finished(m.step.Finish)
			return
		}
	}
}

// wait returns when there is something new to decide. It takes along every
// completion that is already there.
func (r *run) wait() {
	var alarm <-chan time.Time
	if at := r.nextDue(); !at.IsZero() {
		timer := time.NewTimer(time.Until(at))
		defer timer.Stop()
		alarm = timer.C
	}
	select {
	case a := <-r.completions:
		r.receive(a)
	case <-r.halt.bell:
	case <-alarm:
	}
	for {
		select {
		case a := <-r.completions:
			r.receive(a)
		default:
			return
		}
	}
}

func (r *run) receive(a *attempt) {
	if a.handedOver.Load() {
		return // it does not count any more
	}
	r.underway--
	r.done = append(r.done, a)
}

// nextDue returns the earliest time at which a job that only waits for a time
// may begin; zero for none.
func (r *run) nextDue() time.Time {
	var earliest time.Time
	level, _ := r.halt.state()
	if r.handed || level >= stopping || r.graph.count(running) >= r.plan.Parallel {
		return earliest
	}
	for _, p := range r.graph.places {
		if p.phase == waiting && p.admitted && (earliest.IsZero() || p.notBefore.Before(earliest)) {
			earliest = p.notBefore
		}
	}
	return earliest
}

// finished tells of the run's end and cleans up after it.
func (r *run) finished(f *runner.Finish) {
	r.record.State, r.record.Reason, r.record.Message = f.State, f.Reason, f.Message
	r.record.FinishedAt = now()
	r.tell(runner.RunEnded{Run: r.record})
}

// giveBack releases the run after a shutdown, so that it goes on elsewhere or
// after the next start.
func (r *run) giveBack() {
	if r.stuck != "" {
		// Somebody who took the run now would work beside the job that is
		// still at it. When this process is gone, the attempt is found lost.
		r.log.Error("the run is not given back, because a job ignored the shutdown", "job", r.stuck)
		return
	}
	err := r.persist("release the run", func(ctx context.Context) error {
		return r.Ledger.Release(ctx, r.claim) //nolint:wrapcheck // persist says what was being done
	})
	if err != nil {
		r.leave(err)
	}
	r.watch.wake(r)
}

// leave ends the work on a run that can no longer be written: because somebody
// else owns it, because the process stops while the ledger is away, or because
// the ledger refuses what it is given.
func (r *run) leave(err error) {
	level, _ := r.halt.state()
	lost := urgencyOf(err) == superseded
	if lost {
		r.halt.end(runner.ErrSuperseded)
	} else {
		r.halt.end(errUnrecordable)
	}
	r.handOver()
	for r.underway > 0 {
		r.receive(<-r.completions)
	}
	switch {
	case lost:
		r.log.Info("another owner took the run over")
		for _, a := range r.done {
			a.discardLive()
		}
	case level >= stopping:
		r.log.Error("the run is left as it is and will be found lost", "error", err)
	default:
		r.log.Error("what the run did cannot be recorded", "error", err)
		finish := &runner.Finish{State: runner.Failed, Reason: runner.ReasonError, Message: "what the run did could not be recorded: " + err.Error()}
		if _, err := r.advance(runner.Step{Finish: finish}); err != nil {
			r.log.Error("the run is left as it is and will be found lost", "error", err)
			r.Drop(r.claim)
			return
		}
		r.finished(finish)
	}
}

// tell passes an event on.
func (r *run) tell(e runner.Event) { r.Observer.Observe(context.WithoutCancel(r.halt.writes), e) }
