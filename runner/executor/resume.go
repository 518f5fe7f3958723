package executor

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/retry"
)

// crashRestarts is how often a job is begun again after the process that ran
// it died. A job that takes its process down with it must not walk through all
// nodes.
const crashRestarts = 3

// resume takes over what earlier claims of the run put on record, and cleans
// up what they left on this host.
func (r *run) resume(earlier []runner.Attempt) {
	for _, p := range r.graph.places {
		for _, a := range earlier {
			if a.Job == p.Name {
				p.recall(a)
			}
		}
		p.resume()
		if p.phase == running {
			r.judged = append(r.judged, p)
		}
		r.shortened = r.shortened || p.last.State == runner.Canceled || p.last.State == runner.Skipped && p.last.Reason != runner.ReasonCondition
	}
	// The dead may have left children that still write where the next attempt
	// will write.
	var names []string
	for _, p := range r.judged {
		names = append(names, p.Name)
	}
	killed, err := jobs.KillLeftovers(r.halt.shutdown, string(r.record.ID), r.record.StartedAt, r.plan.KillGrace, names...)
	if err != nil {
		r.log.Warn("end the child processes of a dead attempt", "error", err)
	}
	if killed > 0 {
		r.log.Warn("child processes of a dead attempt were still running and have been ended", "count", killed)
	}
	if err := sweepWorkDirs(r.WorkDir, r.record.ID, keysOf(r.judged)); err != nil {
		r.log.Warn("clean up after a dead attempt", "error", err)
	}
	r.collectRelics(earlier)
}

// recall counts one attempt that is on record; they come in order.
func (p *place) recall(a runner.Attempt) {
	p.number = max(p.number, a.Number)
	if a.Superseded {
		return
	}
	p.last = a
	switch a.State {
	case runner.Failed:
		p.failures++
	case runner.Lost:
		p.crashes++
	default:
	}
}

// resume decides from the attempts on record whether the job has ended.
func (p *place) resume() {
	goesOn := false
	switch p.last.State {
	case "":
		return
	case runner.Running:
		// Only a planned restart leaves an attempt so for the next owner.
		p.phase, p.admitted = running, true
		return
	case runner.Failed:
		goesOn = p.retriesRecord()
		p.notBefore = p.last.FinishedAt.Add(p.Retry.Delay(p.failures, nil))
	case runner.Lost:
		goesOn = p.OnCrash != runner.Never && p.crashes <= crashRestarts
	case runner.Canceled:
		goesOn = p.last.Reason == runner.ReasonShutdown && p.OnCrash != runner.Never
	default:
	}
	// Its conditions let the job start then; they are not asked again.
	p.admitted = goesOn
	if !goesOn {
		p.phase = ended
	}
}

// retriesRecord tells from the record of a failed attempt whether another one
// was going to follow it.
func (p *place) retriesRecord() bool {
	switch p.last.Reason {
	case runner.ReasonError, runner.ReasonPanic, runner.ReasonTimeout, runner.ReasonSpace:
		return p.failures <= p.Retry.Max && p.retriesExit(p.last.ExitCode)
	default:
		return false
	}
}

// retriesExit tells whether the retry policy wants this exit code.
func (p *place) retriesExit(code int) bool {
	return len(p.RetryExitCodes) == 0 || slices.Contains(p.RetryExitCodes, code)
}

// isPermanentIn tells whether err, being permanent, kept a configured retry
// from happening. The record must say so, or a resume would retry after all.
func isPermanentIn(p *place, err error) bool {
	return p.failures <= p.Retry.Max && retry.IsPermanent(err)
}

// collectRelics finds the output of attempts that died on this host, to be
// recorded with the next step.
func (r *run) collectRelics(earlier []runner.Attempt) {
	if r.LiveDir == "" {
		return
	}
	r.litter = true
	for _, a := range earlier {
		if a.State != runner.Lost || a.OutputBytes > 0 {
			continue
		}
		output, found, err := ReadLive(r.LiveDir, a.Key())
		if err != nil {
			r.log.Warn("recover the output of a lost attempt", "job", a.Job, "attempt", a.Number, "error", err)
		}
		if !found {
			continue
		}
		r.relics = append(r.relics, r.relic(a, output))
	}
}

// relic completes an attempt with the live output that was found of it.
func (r *run) relic(a runner.Attempt, output runner.Output) runner.End {
	if extra := len(output.Tail) - r.TailBytes; extra > 0 {
		output.Tail = output.Tail[extra:]
		output.Cut += int64(extra)
	}
	a.OutputBytes = int64(len(output.Head)) + output.Cut + int64(len(output.Tail))
	a.OutputCut = output.Cut
	return runner.End{Attempt: a, Output: output}
}

// history reads what jobs did before, for the job that asks.
func (r *run) history(asking string) runner.HistoryReader {
	return func(workflow, job string) jobs.History {
		if workflow == "" && job == "" {
			workflow, job = r.record.Spec.Workflow, asking
		}
		return past{ledger: r.Ledger, workflow: workflow, job: job, run: r.record.ID}
	}
}

// past is the history of one job.
type past struct {
	ledger        Ledger
	workflow, job string
	run           runner.RunID
}

// Past implements jobs.History.
func (h past) Past(ctx context.Context, limit int) ([]jobs.Past, error) {
	attempts, err := h.ledger.Past(ctx, h.workflow, h.job, h.run, limit)
	if err != nil {
		return nil, fmt.Errorf("read the history of %s.%s: %w", h.workflow, h.job, err)
	}
	out := make([]jobs.Past, len(attempts))
	for i, a := range attempts {
		out[i] = jobs.Past{
			RunID: string(a.Run), Finished: a.FinishedAt,
			Duration: max(0, a.FinishedAt.Sub(a.StartedAt)).Round(time.Microsecond), Result: a.Result,
		}
	}
	return out, nil
}
