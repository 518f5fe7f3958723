package executor

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/retry"
)

// move is one turn of the loop: the step that gets on record, and what follows
// when it is.
type move struct {
	step runner.Step
	// ended are the attempts behind step.Ended that ran in this process.
	ended []*attempt
	// begun are the places behind step.Begun, in the same order.
	begun []*place
	// waits are the retries that were decided.
	waits []runner.AttemptWaiting
}

func (m *move) empty() bool {
	return len(m.step.Ended) == 0 && len(m.step.Begun) == 0 && m.step.Finish == nil
}

// nextMove decides what follows from where the jobs stand: what ended, what is
// skipped because of it, what begins, and whether that was all.
func (r *run) nextMove(level urgency, cause error) *move {
	m := &move{}
	if r.freed.Swap(false) {
		r.unblock()
	}
	m.step.Ended, r.relics = r.relics, nil
	for _, a := range r.done {
		r.settle(m, a, level, cause)
	}
	r.done = nil
	if level < stopping && !r.handed {
		for changed := true; changed; {
			changed = r.admitAll(m, level, cause) || r.beginAll(m)
		}
	}
	if r.graph.count(ended) == len(r.graph.places) {
		m.step.Finish = r.verdict(level, cause)
		m.step.Finish.Message = r.notes.addTo(m.step.Finish.Message)
	}
	return m
}

// settle takes over an attempt that ended and decides whether its job did.
func (r *run) settle(m *move, a *attempt, level urgency, cause error) {
	p := a.place
	if a.abandoned && level >= stopping {
		p.phase, r.stuck = interrupted, p.Name
		return
	}
	if level == ending && a.cause != nil && a.cause == cause { //nolint:errorlint // the very cause
		r.shortened = true
	}
	r.conclude(m, p, a.record, a.output, a.err, a.judgement.retryable && level != ending)
	m.ended = append(m.ended, a)
	r.unblock()
}

// conclude puts the end of an attempt into the move and decides what becomes
// of its job.
func (r *run) conclude(m *move, p *place, record runner.Attempt, output runner.Output, err error, retryable bool) {
	p.phase, p.number, p.next, p.blocked = ended, record.Number, nil, nil
	switch {
	case record.State == runner.Canceled && record.Reason == runner.ReasonShutdown && p.OnCrash == runner.Never:
		// Whoever went on with it would repeat what it may have done.
		record.State = runner.Lost
	case record.State == runner.Canceled && record.Reason == runner.ReasonShutdown:
		p.phase = interrupted
	case record.State == runner.Failed:
		p.failures++
		wait, again := p.Retry.Next(p.failures, err, nil)
		if again && retryable && p.retriesExit(record.ExitCode) {
			p.phase, p.notBefore = waiting, record.FinishedAt.Add(wait)
			next := runner.AttemptKey{Run: record.Run, Job: record.Job, Number: record.Number + 1}
			m.waits = append(m.waits, runner.AttemptWaiting{Key: next, Until: p.notBefore, Error: record.Error})
		} else if record.Reason == runner.ReasonError && isPermanentIn(p, err) {
			record.Reason = runner.ReasonPermanent
		}
	}
	p.last = record
	m.step.Ended = append(m.step.Ended, runner.End{Attempt: record, Output: output})
}

// admitAll lets jobs pass whose needs ended, and skips those that they, a
// cancel or the run's timeout rule out. Also then a job ends only after its
// needs, so that what cleans up does not begin beside what is still stopping. It
// tells whether a job ended by that, because others may wait for it.
func (r *run) admitAll(m *move, level urgency, cause error) (changed bool) {
	for _, p := range r.graph.places {
		if p.phase != waiting || slices.ContainsFunc(p.needs, func(need *place) bool { return need.phase != ended }) {
			continue
		}
		if level == ending && (p.When != runner.Always || p.last.State == runner.Failed) {
			r.drop(m, p, cause)
			changed = true
			continue
		}
		if p.admitted {
			continue
		}
		why, err := r.admit(p)
		switch {
		case err != nil:
			r.endUnbegun(m, p, runner.Failed, runner.ReasonCondition, err.Error())
			changed = true
		case why != "":
			r.endUnbegun(m, p, runner.Skipped, runner.ReasonCondition, why)
			changed = true
		default:
			p.admitted = true
		}
	}
	return changed
}

// drop ends a job that a cancel or the run's timeout keeps from starting or
// from being tried again.
func (r *run) drop(m *move, p *place, cause error) {
	r.shortened = true
	if p.last.State != "" {
		p.phase = ended
		return
	}
	r.endUnbegun(m, p, runner.Skipped, stopped(cause, "").reason, cause.Error())
}

// admit asks `when:` and `if:` of a job whose needs have ended. why is the
// reason to skip it, or empty.
func (r *run) admit(p *place) (why string, err error) {
	if !p.alone {
		switch p.When {
		case runner.Always:
		case runner.OnFailure:
			if !slices.ContainsFunc(p.needs, (*place).wrong) {
				return "nothing failed before it", nil
			}
		default:
			if i := slices.IndexFunc(p.needs, func(need *place) bool { return !need.satisfied() }); i >= 0 {
				return fmt.Sprintf("it needs %s, which is %s", p.needs[i].Name, p.needs[i].last.State), nil
			}
		}
	}
	if p.condition == nil {
		return "", nil
	}
	yes, err := p.condition.eval(r.views(), r.view())
	if err != nil || yes {
		return "", err
	}
	return "if: " + p.condition.text + " is false", nil
}

// views shows all jobs of the plan to conditions, in the order of the plan.
func (r *run) views() []jobView {
	views := make([]jobView, len(r.plan.Jobs))
	for i, job := range r.plan.Jobs {
		views[i].State = string(runner.Queued)
		at := slices.IndexFunc(r.graph.places, func(p *place) bool { return p.Name == job.Name })
		if at < 0 {
			continue
		}
		switch p := r.graph.places[at]; p.phase {
		case ended:
			views[i] = viewOf(p.last)
		case running:
			views[i].State = string(runner.Running)
		default:
		}
	}
	return views
}

func (r *run) view() runView {
	return runView{
		Workflow: r.record.Spec.Workflow, Trigger: string(r.record.Trigger), Slot: r.record.Slot,
		Host: r.record.Host, Params: r.record.Arguments(), DryRun: r.record.DryRun,
	}
}

// endUnbegun records the end of a job that never began.
func (r *run) endUnbegun(m *move, p *place, state runner.State, reason runner.Reason, why string) {
	record := r.newRecord(p)
	record.State, record.Reason, record.FinishedAt = state, reason, record.StartedAt
	if state == runner.Skipped {
		record.Result.Summary = why
	} else {
		record.Error = why
	}
	r.conclude(m, p, record, runner.Output{}, nil, false)
}

// newRecord begins the record of the next attempt of p.
func (r *run) newRecord(p *place) runner.Attempt {
	return runner.Attempt{
		Run: r.record.ID, Job: p.Name, Kind: p.Kind, Number: p.number + 1, Epoch: r.claim.Epoch,
		State: runner.Running, ExitCode: -1, StartedAt: now(),
	}
}

// beginAll begins the jobs that are due, in the order of the file, as long as
// there are free slots, and with them asks again for the locks that others wait
// for: who does not ask gives up its place in line. It tells whether a job could
// not even be built, because that is the end of an attempt.
func (r *run) beginAll(m *move) (changed bool) {
	free := r.plan.Parallel - r.graph.count(running)
	for _, p := range r.graph.places {
		if free > 0 && p.due(time.Now()) {
			begun := r.beginOne(m, p)
			changed = changed || !begun
			if begun {
				free--
			}
		}
	}
	for _, p := range r.graph.places {
		if free > 0 && len(m.begun) > 0 && p.phase == waiting && p.blocked != nil {
			r.beginOne(m, p) // it was built before
			free--
		}
	}
	return changed
}

// beginOne puts the beginning of a job into the move; false when the job could
// not be built.
func (r *run) beginOne(m *move, p *place) bool {
	if p.next == nil {
		work, err := r.build(p)
		if err != nil {
			r.unbuilt(m, p, work, err)
			return false
		}
		p.next = work
	}
	if len(p.next.locks) > 0 {
		// Before the locks are asked for, so that no release is missed.
		r.locking = true
		r.stands.Store(true)
	}
	p.phase = running
	m.begun = append(m.begun, p)
	m.step.Begun = append(m.step.Begun, runner.Start{Attempt: r.newRecord(p), Locks: p.next.locks, Limits: r.limits(p.next.locks)})
	return true
}

// build makes the job for the next attempt of p. It returns the secrets also
// with an error, as far as they are known.
func (r *run) build(p *place) (*workpiece, error) {
	work := &workpiece{}
	err := guard(func() (err error) {
		work.job, work.secrets, err = p.Build(r.history(p.Name))
		if err != nil {
			return fmt.Errorf("prepare job %s: %w", p.Name, err)
		}
		work.locks = slices.Clone(p.Locks)
		if exclusive, ok := work.job.(jobs.Exclusive); ok {
			work.locks = append(work.locks, exclusive.LockKeys()...)
		}
		if slices.Contains(work.locks, "") {
			return retry.Permanent(fmt.Errorf("prepare job %s: a lock has no name", p.Name))
		}
		return nil
	}, func(error) {})
	slices.Sort(work.locks)
	work.locks = slices.Compact(work.locks)
	if r.record.DryRun {
		// Nothing is changed, so nothing must be kept from changing it.
		work.locks = nil
	}
	return work, err
}

// unbuilt records an attempt whose job could not be made.
func (r *run) unbuilt(m *move, p *place, work *workpiece, err error) {
	a := r.newAttempt(p, r.newRecord(p), work)
	a.record.FinishedAt = a.record.StartedAt
	a.conclude(outcome{err: err}, nil)
	r.conclude(m, p, a.record, a.output, a.err, a.judgement.retryable)
}

// moved does what follows from a step that is on record.
func (r *run) moved(m *move, blocked []runner.Blocked) {
	for _, a := range m.ended {
		a.discardLive()
	}
	if r.litter {
		r.litter = false
		if err := discardLive(r.LiveDir, r.record.ID, keysOf(r.judged)); err != nil {
			r.log.Warn("clean up after a dead attempt", "error", err)
		}
	}
	for _, e := range m.step.Ended {
		r.tell(runner.AttemptEnded{Attempt: e.Attempt, Findings: e.Attempt.Result.Findings})
	}
	for _, w := range m.waits {
		r.tell(w)
	}
	for i, start := range m.step.Begun {
		p := m.begun[i]
		at := slices.IndexFunc(blocked, func(b runner.Blocked) bool { return b.Job == p.Name })
		if at >= 0 {
			r.blockedBy(p, start.Attempt.Key(), blocked[at])
			continue
		}
		a := r.newAttempt(p, start.Attempt, p.next)
		a.locks = start.Locks
		p.number, p.last, p.next, p.blocked = start.Attempt.Number, start.Attempt, nil, nil
		r.start(a)
	}
	r.stand()
	if r.locking && (len(m.step.Ended) > 0 || m.step.Finish != nil) {
		r.watch.wake(r)
	}
}

// start runs an attempt that is on record.
func (r *run) start(a *attempt) {
	r.halt.add(a)
	r.tell(runner.AttemptStarted{Attempt: a.record})
	r.underway++
	go func() {
		a.execute()
		r.halt.remove(a)
		r.completions <- a
	}()
}

// discardLive removes the attempt's live output.
func (a *attempt) discardLive() {
	if a.out.capture.live == nil {
		return
	}
	if err := a.out.capture.live.discard(); err != nil {
		a.log.Warn("remove live output", "error", strings.TrimSpace(err.Error()))
	}
}
