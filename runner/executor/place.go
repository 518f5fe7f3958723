package executor

import (
	"slices"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

// phase is where a job of the run stands.
type phase int

const (
	// waiting: for its needs, a free slot, a lock or the time of a retry.
	waiting phase = iota
	// running: an attempt is on record and under way.
	running
	// interrupted: shutdown ended the attempt; the next claim goes on with it.
	interrupted
	// ended: the job's outcome is final for this run.
	ended
)

// place is one job of a run under way.
type place struct {
	runner.PlannedJob
	// needs are the jobs of the run that must have ended before this one
	// starts: its `needs:`, or what stands before it when it has none and
	// looks at failures.
	needs []*place
	// alone tells that the run leaves out all that the job needs, because a
	// person asked for this job without them.
	alone bool
	// condition is nil when the job has no `if:`, or when it asks about jobs
	// that the run leaves out.
	condition *condition

	phase phase
	// admitted tells that needs, `when:` and `if:` let the job start; they are
	// not asked again.
	admitted bool
	// last is the latest attempt that counts; its State is empty before there
	// is one. number is that of the latest attempt on record, counting or not.
	last   runner.Attempt
	number int
	// failures and crashes count the attempts that count: those that failed by
	// themselves and those whose process died.
	failures, crashes int
	// wrongIs is the answer of wrong once wrongKnown.
	wrongIs, wrongKnown bool
	// notBefore is when the next attempt may begin: a retry or another try to
	// take a lock.
	notBefore time.Time
	// next is the job built for the next attempt while a lock keeps it from
	// beginning, and blocked describes the lock.
	next    *workpiece
	blocked *blockage
}

// workpiece is a job made for one attempt, with what the attempt can see.
type workpiece struct {
	job     jobs.Job
	secrets []string
	locks   []string
}

// blockage is a lock that somebody else holds, and how often it was asked for.
type blockage struct {
	lock, owner string
	run         runner.RunID
	job         string
	asked       int
}

// satisfied tells whether a job that needs p may start by `when: success`.
func (p *place) satisfied() bool {
	return p.last.State.Done() || p.last.State == runner.Failed && p.ContinueOnError
}

// wrong tells whether something went wrong in p, which has ended, or before
// it: then jobs with `when: failure` that need p start. A job that was skipped
// because its own conditions ruled it out is nothing wrong.
func (p *place) wrong() bool {
	if p.wrongKnown {
		return p.wrongIs
	}
	switch p.last.State {
	case runner.Failed, runner.Lost, runner.Canceled:
		p.wrongIs = true
	case runner.Skipped:
		p.wrongIs = slices.ContainsFunc(p.needs, (*place).wrong)
	default:
	}
	p.wrongKnown = true
	return p.wrongIs
}

// due tells whether the job may begin at now, given a free slot.
func (p *place) due(now time.Time) bool {
	return p.phase == waiting && p.admitted && !p.notBefore.After(now)
}
