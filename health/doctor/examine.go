package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/ghosteam/upkeep/jobs"
)

// Examination says who is examined, and how.
type Examination struct {
	// Version, Host, Node, Project and Config identify what is examined; what
	// is not known stays empty.
	Version, Host, Node, Project, Config string
	// Steps are taken all at once; the report keeps their order.
	Steps []Step
	// Secrets are taken out of the report. Steps may add to them.
	Secrets *Secrets
	// Progress is told of each step that ended, and of those under way, one
	// call at a time; nil for nobody.
	Progress func(ended string, waiting []string)
}

// Run takes all steps and judges. It returns when the last one has ended or
// was left behind, or when ctx ends, with what was found until then.
func (e Examination) Run(ctx context.Context) *Report {
	began := time.Now()
	found := make([]outcome, len(e.Steps))
	p := progress{tell: e.Progress}
	for _, s := range e.Steps {
		p.waiting = append(p.waiting, s.Name)
	}
	var all sync.WaitGroup
	for i, s := range e.Steps {
		all.Go(func() {
			found[i] = s.take(ctx)
			p.ended(s.Name)
		})
	}
	all.Wait()
	r := &Report{
		Schema: reportSchema, Version: e.Version, Host: e.Host, Node: e.Node, Project: e.Project, Config: e.Config,
		At: began.UTC().Truncate(time.Second), Verdict: Well, Findings: []Finding{}, Unseen: []Unseen{}, Sections: []Section{},
	}
	for i, s := range e.Steps {
		r.add(s, found[i])
	}
	r.TookSeconds = seconds(time.Since(began))
	r.settle(e.Steps)
	r.scrub(e.Secrets.redactor())
	return r
}

// progress tells how far an examination is.
type progress struct {
	mu      sync.Mutex
	tell    func(ended string, waiting []string)
	waiting []string
}

func (p *progress) ended(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting = slices.DeleteFunc(p.waiting, func(w string) bool { return w == name })
	if p.tell != nil {
		p.tell(name, slices.Clone(p.waiting))
	}
}

// outcome is how a step ended.
type outcome struct {
	found Found
	err   error
	took  time.Duration
}

// take takes a step, and leaves it behind when it does not end in time.
func (s Step) take(ctx context.Context) outcome {
	within := cmp.Or(s.Within, DefaultWithin)
	began := time.Now()
	found, err := bounded(ctx, within, s.Look)
	return outcome{found: found, err: err, took: time.Since(began)}
}

// bounded calls look with a deadline that is kept from outside: one that hangs
// is left behind, and one that panics only failed.
func bounded[T any](ctx context.Context, within time.Duration, look func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, within, fmt.Errorf("no answer within %s", within))
	type answer struct {
		found T
		err   error
	}
	done := make(chan answer, 1)
	defer cancel()
	go func() {
		defer func() {
			if p := recover(); p != nil {
				done <- answer{err: fmt.Errorf("the look itself failed: %v: %s", p, firstFrame(debug.Stack()))}
			}
		}()
		found, err := look(ctx)
		done <- answer{found, err}
	}()
	var a answer
	select {
	case a = <-done:
	case <-ctx.Done():
		select { // an answer of the last moment counts
		case a = <-done:
		default:
			a.err = context.Cause(ctx)
		}
	}
	if a.err != nil && ctx.Err() != nil && (errors.Is(a.err, context.DeadlineExceeded) || errors.Is(a.err, context.Canceled)) {
		a.err = context.Cause(ctx)
	}
	return a.found, a.err
}

// firstFrame is where a panic came from, in one line.
func firstFrame(stack []byte) string {
	const most = 300
	return line(string(stack[:min(len(stack), most)]))
}

// each looks at several things at once, each with a deadline of its own, and
// returns the answers in the order of the things. At most atOnce looks are under
// way at a time.
func each[T, A any](ctx context.Context, within time.Duration, things []T, look func(context.Context, T) (A, error)) ([]A, []error) {
	answers, errs := make([]A, len(things)), make([]error, len(things))
	var all sync.WaitGroup
	room := make(chan struct{}, atOnce)
	for i, thing := range things {
		all.Go(func() {
			select {
			case room <- struct{}{}:
			case <-ctx.Done():
				errs[i] = context.Cause(ctx)
				return
			}
			defer func() { <-room }()
			answers[i], errs[i] = bounded(ctx, within, func(ctx context.Context) (A, error) { return look(ctx, thing) })
		})
	}
	all.Wait()
	return answers, errs
}

const atOnce = 32

// add takes the outcome of a step into the report.
func (r *Report) add(s Step, o outcome) {
	section := Section{
		Name: s.Name, Title: s.Title, State: Healthy, Summary: o.found.Summary, TookSeconds: seconds(o.took),
		Facts: o.found.Facts, Lines: o.found.Lines, Files: o.found.Files,
	}
	if o.err != nil {
		section.State, section.Summary = Unknown, "not seen: "+line(o.err.Error())
		o.found.Unseen = append(o.found.Unseen, Unseen{What: s.Title, Why: line(o.err.Error()), Grave: true})
	}
	for _, f := range o.found.Findings {
		f.Section = s.Name
		r.Findings = append(r.Findings, f)
		switch {
		case f.Severity == jobs.Critical:
			section.State = Critical
		case f.Severity == jobs.Warning && section.State == Healthy:
			section.State = Warning
		}
	}
	for _, u := range o.found.Unseen {
		u.Section = s.Name
		r.Unseen = append(r.Unseen, u)
		if u.Grave && section.State == Healthy {
			section.State = Warning
		}
	}
	r.Sections = append(r.Sections, section)
}

// settle sorts the findings and comes to a verdict.
func (r *Report) settle(steps []Step) {
	place := map[string]int{}
	for i, s := range steps {
		place[s.Name] = i
	}
	slices.SortStableFunc(r.Findings, func(a, b Finding) int {
		return cmp.Or(b.Severity.Rank()-a.Severity.Rank(), place[a.Section]-place[b.Section], cmp.Compare(a.ID, b.ID))
	})
	switch {
	case r.Broken() > 0:
		r.Verdict = Broken
	case r.Warned() > 0:
		r.Verdict = Warnings
	}
}

// seconds is a duration to the millisecond.
func seconds(d time.Duration) float64 { return math.Round(d.Seconds()*1000) / 1000 }
