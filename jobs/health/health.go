// Package health is the job that takes a snapshot of the system's health: it
// asks the configured checks once, all at the same time, and judges the
// whole. The checks themselves are probes of other kinds.
package health

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
)

const doc = `Asks the checks once and reports the health of the whole system.

Each check runs with a deadline of its own, all at the same time. What a check
finds becomes a finding of this job; a check that fails or does not answer in
time is critical. A check whose impact is "none" gives warnings at most. Set
` + "`fail_on: critical`" + ` on the job to make it fail then.

Without ` + "`checks`" + ` all configured checks are asked; a configuration without any has
one called system, which measures this host.

Values: checks, healthy, warning, critical, and every value of every check as
CHECK.VALUE, with CHECK.seconds for the time it took.`

// Options choose what is asked.
type Options struct {
	Checks  []string      `yaml:"checks" doc:"Names of the checks to ask; empty means all." example:"[system, database]"`
	Timeout unit.Duration `yaml:"timeout" doc:"The most time for one check that has no timeout of its own." example:"10s"`
}

// Kind returns the kind.
func Kind() jobs.Kind {
	return jobs.Define("health", doc, Options{Timeout: unit.Duration(30 * time.Second)}, build)
}

// Validate wants a deadline.
func (o *Options) Validate() error {
	if o.Timeout <= 0 {
		return jobs.Fieldf("timeout", "it must be above 0")
	}
	return nil
}

func build(o Options, deps jobs.Deps) (jobs.Job, error) {
	names, fields := o.Checks, true
	if len(names) == 0 {
		names, fields = deps.Checks(), false
	}
	if len(names) == 0 {
		return nil, jobs.Fieldf("checks", "there is no check to ask")
	}
	s := &snapshot{timeout: o.Timeout.Std()}
	var errs []error
	for i, name := range names {
		c, err := deps.Check(name)
		switch {
		case err != nil && fields:
			errs = append(errs, jobs.Fieldf(fmt.Sprintf("checks[%d]", i), "%s", err))
		case err != nil:
			errs = append(errs, err)
		case slices.Contains(names[:i], name):
			errs = append(errs, jobs.Fieldf(fmt.Sprintf("checks[%d]", i), "check %q is named twice", name))
		default:
			s.checks = append(s.checks, c)
		}
	}
	return s, errors.Join(errs...)
}

// snapshot is the job.
type snapshot struct {
	checks  []jobs.Check
	timeout time.Duration
}

// Run asks all checks and waits for the last answer or deadline.
func (s *snapshot) Run(ctx context.Context, env *jobs.Env) (jobs.Result, error) {
	if err := context.Cause(ctx); err != nil {
		return jobs.Result{}, fmt.Errorf("ask the checks: %w", err)
	}
	answers := make([]jobs.Answer, len(s.checks))
	var wg sync.WaitGroup
	var finished progress
	for i, c := range s.checks {
		wg.Go(func() {
			answers[i] = s.ask(ctx, env, c)
			env.Progress(finished.add(), int64(len(s.checks)), "checks")
		})
	}
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return jobs.Result{}, fmt.Errorf("ask the checks: %w", err)
	}
	return s.judge(env, answers), nil
}

// progress counts finished checks.
type progress struct {
	mu   sync.Mutex
	done int64
}

func (p *progress) add() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done++
	return p.done
}

// ask asks one check, whose output says who wrote it.
func (s *snapshot) ask(ctx context.Context, env *jobs.Env, c jobs.Check) jobs.Answer {
	limit := c.Timeout
	if limit <= 0 {
		limit = s.timeout
	}
	own := *env
	own.Out = prefixed{c.Name + ": ", env.Out}
	return jobs.Ask(ctx, &own, c.Probe, limit)
}

// prefixed says of each line who wrote it: several checks write at once.
type prefixed struct {
	prefix string
	to     io.Writer
}

// Write hands on whole lines, which is what checks write.
func (w prefixed) Write(p []byte) (int, error) {
	var out []byte
	for line := range bytes.Lines(p) {
		out = append(append(out, w.prefix...), line...)
	}
	if _, err := w.to.Write(out); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (s *snapshot) judge(env *jobs.Env, answers []jobs.Answer) jobs.Result {
	r := jobs.Result{Values: map[string]float64{"checks": float64(len(answers)), "healthy": 0, "warning": 0, "critical": 0}}
	var sick []jobs.Finding
	for i, a := range answers {
		c := s.checks[i]
		status, reason := "healthy", env.OneLine(reason(a))
		if level := s.merge(env, &r, c, a); level.Rank() >= jobs.Warning.Rank() {
			status = string(level)
			sick = append(sick, jobs.Finding{Severity: level, Text: fmt.Sprintf("%s %s: %s", c.Name, status, reason)})
		}
		r.Values[status]++
		r.Values[c.Name+".seconds"] = a.Took.Seconds()
		env.Printf("%-8s  %s (%s)  %s", status, c.Name, c.Kind, reason)
	}
	switch {
	case len(sick) > 0:
		r.Summary = jobs.Headline(sick)
	case len(answers) == 1:
		r.Summary = fmt.Sprintf("%s healthy: %s", s.checks[0].Name, answers[0].Result.Summary)
	default:
		r.Summary = fmt.Sprintf("%d checks healthy", len(answers))
	}
	return r
}

// merge adds what one check found to the whole and returns its severity.
func (s *snapshot) merge(env *jobs.Env, r *jobs.Result, c jobs.Check, a jobs.Answer) jobs.Severity {
	for name, value := range a.Result.Values {
		r.Values[c.Name+"."+name] = value
	}
	found := slices.Clone(a.Result.Findings)
	if a.Err != nil {
		text := env.OneLine(a.Err.Error())
		if hint := jobs.HintOf(a.Err); hint != "" {
			text += " (" + env.OneLine(hint) + ")"
		}
		found = append(found, jobs.Finding{ID: "failed", Severity: jobs.Critical, Text: text})
	}
	for i := range found {
		if c.Impact == noImpact && found[i].Severity == jobs.Critical {
			found[i].Severity = jobs.Warning
		}
		found[i].ID, found[i].Text = c.Name+":"+found[i].ID, c.Name+": "+found[i].Text
	}
	r.Findings = append(r.Findings, found...)
	return jobs.Result{Findings: found}.Worst()
}

// noImpact is the impact of a check that nobody depends on.
const noImpact = "none"

func reason(a jobs.Answer) string {
	if a.Err != nil {
		return a.Err.Error()
	}
	return a.Result.Summary
}
