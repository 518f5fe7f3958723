package metrics

import (
	"context"
	"slices"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

var _ runner.Observer = (*Set)(nil)

// runMetrics are the metrics of runs and attempts. A dry run counts nowhere but
// among the running ones.
type runMetrics struct {
	runs, timeouts, skipped, attempts *counters
	running                           *gauges
	lastSuccess, lastEnd, lastTook    *gauges
	next                              *gauges
	delay, took                       *histograms
	size, verified, restored          *gauges
}

func newRunMetrics(m maker) runMetrics {
	return runMetrics{
		runs:        m.counters("upkeep_runs_total", "Runs that ended in this process, by the state in which they did.", "workflow", "state"),
		timeouts:    m.counters("upkeep_run_timeouts_total", "Runs that took longer than they may.", "workflow"),
		skipped:     m.counters("upkeep_slots_skipped_total", "Slots at which nothing ran, by reason; missed ones among them.", "workflow", "reason"),
		attempts:    m.counters("upkeep_attempts_total", "Attempts of jobs that ended in this process, by the state in which they did; workflow_job is WORKFLOW.JOB.", "workflow", "workflow_job", "state"),
		running:     m.gauges("upkeep_runs_running", "Runs under way in this process.", "workflow"),
		lastSuccess: m.gauges("upkeep_run_last_success_timestamp_seconds", "When the workflow last did all of its work; 0 for never.", "workflow"),
		lastEnd:     m.gauges("upkeep_run_last_completion_timestamp_seconds", "When its last run ended, however; 0 for never.", "workflow"),
		lastTook:    m.gauges("upkeep_run_last_duration_seconds", "How long its last run took.", "workflow"),
		next:        m.gauges("upkeep_run_next_timestamp_seconds", "When it is due next; absent when it runs on request only.", "workflow"),
		delay:       m.histograms("upkeep_run_start_delay_seconds", "How long after their slots scheduled runs began.", outages()),
		took:        m.histograms("upkeep_attempt_duration_seconds", "How long attempts of jobs took, by kind.", lengths(), "kind"),
		size:        m.gauges("upkeep_backup_size_bytes", "The stored size of the newest artifact of a job, in the store where it is largest.", "workflow", "workflow_job"),
		verified:    m.gauges("upkeep_backup_last_verified_timestamp_seconds", "When an artifact of the job was last read back and found whole.", "workflow", "workflow_job"),
		restored:    m.gauges("upkeep_backup_last_restored_timestamp_seconds", "When an artifact of the job was last restored as a trial.", "workflow", "workflow_job"),
	}
}

// ended are the states in which runs and attempts end.
func ended() []runner.State {
	return slices.DeleteFunc(runner.States(), func(s runner.State) bool { return !s.Final() })
}

// skips are the reasons for which a slot has no run.
func skips() []runner.Reason {
	return []runner.Reason{runner.ReasonMissed, runner.ReasonOverlap, runner.ReasonPaused, runner.ReasonWindow}
}

func (m *runMetrics) configure(i Inventory) {
	var names, scheduled []string
	for _, w := range i.Workflows {
		names = append(names, w.Name)
		for _, state := range ended() {
			add(m.runs, 0, w.Name, string(state))
			for _, job := range w.Jobs {
				add(m.attempts, 0, w.Name, w.Name+"."+job, string(state))
			}
		}
		add(m.timeouts, 0, w.Name)
		for _, g := range []*gauges{m.running, m.lastSuccess, m.lastEnd} {
			_, _ = g.with(w.Name)
		}
		if w.Scheduled {
			scheduled = append(scheduled, w.Name)
			for _, reason := range skips() {
				add(m.skipped, 0, w.Name, string(reason))
			}
		}
	}
	_, _ = m.delay.with()
	gone := unless(names)
	goneJob := func(values []string) bool {
		return !slices.ContainsFunc(i.Workflows, func(w Workflow) bool {
			return w.Name == values[0] && slices.ContainsFunc(w.Jobs, func(job string) bool { return w.Name+"."+job == values[1] })
		})
	}
	for _, c := range []*counters{m.runs, m.timeouts} {
		c.forget(gone)
	}
	for _, g := range []*gauges{m.running, m.lastSuccess, m.lastEnd, m.lastTook} {
		g.forget(gone)
	}
	m.skipped.forget(unless(scheduled))
	m.next.forget(unless(scheduled))
	m.attempts.forget(goneJob)
	for _, g := range []*gauges{m.size, m.verified, m.restored} {
		g.forget(goneJob)
	}
}

// Observe implements runner.Observer.
func (s *Set) Observe(_ context.Context, event runner.Event) {
	switch e := event.(type) {
	case runner.RunStarted:
		s.started(e.Run)
		s.Due(e.Run.Spec.Workflow)
	case runner.AttemptEnded:
		s.mu.Lock()
		workflow := s.underway[e.Attempt.Run]
		s.mu.Unlock()
		s.attempted(workflow, e.Attempt)
	case runner.RunEnded:
		s.runEnded(e.Run)
	}
}

// started notes a run under way. A dry run is one too, and shows by being
// absent from the map of workflows.
func (s *Set) started(run runner.Run) {
	name := run.Spec.Workflow
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, again := s.underway[run.ID]; again || !s.inventory.workflow(name) || run.DryRun {
		return
	}
	s.underway[run.ID] = name
	s.running[name]++
	set(s.runs.running, float64(s.running[name]), name)
	if run.Trigger == runner.BySchedule && run.Epoch <= 1 && !run.StartedAt.IsZero() {
		observe(s.runs.delay, max(0, run.StartedAt.Sub(run.Slot).Seconds()))
	}
}

func (s *Set) runEnded(run runner.Run) {
	name := run.Spec.Workflow
	s.mu.Lock()
	if _, counted := s.underway[run.ID]; counted {
		delete(s.underway, run.ID)
		s.running[name]--
		if s.inventory.workflow(name) {
			set(s.runs.running, float64(s.running[name]), name)
		}
	}
	s.mu.Unlock()
	if run.DryRun || !s.known(name) {
		return
	}
	add(s.runs.runs, 1, name, string(run.State))
	if run.Reason == runner.ReasonTimeout {
		add(s.runs.timeouts, 1, name)
	}
	s.FillRun(run)
	if run.State.Done() && len(run.Jobs) == 0 {
		s.FillSuccess(name, run.FinishedAt)
	}
}

// FillRun takes the latest run of a workflow, which has ended.
func (s *Set) FillRun(run runner.Run) {
	name := run.Spec.Workflow
	if run.DryRun || run.FinishedAt.IsZero() || !s.known(name) {
		return
	}
	set(s.runs.lastEnd, seconds(run.FinishedAt), name)
	if !run.StartedAt.IsZero() {
		set(s.runs.lastTook, max(0, run.FinishedAt.Sub(run.StartedAt).Seconds()), name)
	}
}

// FillSuccess takes when a workflow last did all of its work.
func (s *Set) FillSuccess(workflow string, at time.Time) {
	if s.known(workflow) {
		set(s.runs.lastSuccess, seconds(at), workflow)
	}
}

// Due shows when a workflow is due next.
func (s *Set) Due(workflow string) {
	s.mu.Lock()
	i, known := s.inventory.places[workflow]
	var next func(time.Time) time.Time
	if known {
		next = s.inventory.Workflows[i].Next
	}
	s.mu.Unlock()
	if next == nil {
		return
	}
	if at := next(s.now()); at.IsZero() {
		s.runs.next.forget(func(values []string) bool { return values[0] == workflow })
	} else {
		set(s.runs.next, seconds(at), workflow)
	}
}

// Skipped counts slots of a workflow at which nothing ran.
func (s *Set) Skipped(workflow string, reason runner.Reason, slots int64) {
	if s.known(workflow) && slices.Contains(skips(), reason) {
		add(s.runs.skipped, float64(max(1, slots)), workflow, string(reason))
	}
}

// attempted counts the end of an attempt. An empty workflow is that of a dry
// run, or of one that is no longer configured.
func (s *Set) attempted(workflow string, a runner.Attempt) {
	s.mu.Lock()
	known := s.inventory.job(workflow, a.Job)
	s.mu.Unlock()
	if !known {
		return
	}
	add(s.runs.attempts, 1, workflow, workflow+"."+a.Job, string(a.State))
	if !a.StartedAt.IsZero() && !a.FinishedAt.IsZero() && a.State != runner.Skipped {
		observe(s.runs.took, max(0, a.FinishedAt.Sub(a.StartedAt).Seconds()), a.Kind)
	}
	for _, e := range a.Result.Events {
		s.Happened(runner.Happening{Kind: e.Kind, Text: e.Text})
	}
	s.FillAttempt(workflow, a)
}

// FillAttempt takes the latest attempt of a job that did its work: what it made
// and measured.
func (s *Set) FillAttempt(workflow string, a runner.Attempt) {
	s.mu.Lock()
	known := s.inventory.job(workflow, a.Job)
	s.mu.Unlock()
	if !known || !a.State.Done() {
		return
	}
	if a.Kind == "script" {
		s.valued(a.Result.Values, a.FinishedAt)
	}
	if size := largest(a.Result); size > 0 {
		place := []string{workflow, workflow + "." + a.Job}
		set(s.runs.size, size, place...)
		if a.Result.Values["verify_seconds"] > 0 {
			set(s.runs.verified, seconds(a.FinishedAt), place...)
		}
		if a.Result.Values["restore_seconds"] > 0 {
			set(s.runs.restored, seconds(a.FinishedAt), place...)
		}
	}
}

// largest is the size of what an attempt stored, in the store where that is
// most.
func largest(r jobs.Result) float64 {
	bytes, most := map[string]float64{}, 0.0
	for _, a := range r.Artifacts {
		bytes[a.Store] += float64(a.Bytes)
		most = max(most, bytes[a.Store])
	}
	return most
}
