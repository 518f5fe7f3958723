package reports_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/reports"
	"github.com/ghosteam/upkeep/runner"
)

// noon is the end of every window of these tests: a Wednesday.
var noon = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

// shelf is a ledger in memory.
type shelf struct {
	samples   map[string][]runner.Stretch
	runs      []runner.Run
	attempts  []runner.Attempt
	incidents []runner.Incident
	notices   []runner.Notice
	events    []runner.Happening
	fail      error
}

func newShelf() *shelf { return &shelf{samples: map[string][]runner.Stretch{}} }

func (s *shelf) source() reports.Source {
	return reports.Source{Runs: s, Samples: s, Incidents: s, Events: s}
}

// measure computes one figure over the window before noon.
func (s *shelf) measure(t *testing.T, p reports.Plan, name string) reports.Figure {
	t.Helper()
	list, err := reports.Measure(t.Context(), s.source(), p, noon, name)
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 1 || list[0].Name != name {
		t.Fatalf("asked for %s, got %d figures", name, len(list))
	}
	return list[0]
}

// observe records samples, the first at an instant and then one every step.
func (s *shelf) observe(series string, from time.Time, step time.Duration, values ...float64) {
	for i, v := range values {
		s.samples[series] = append(s.samples[series], runner.Stretch{At: from.Add(time.Duration(i) * step), Count: 1, Sum: v, Low: v, High: v})
	}
}

// job records a run of a workflow with one job that did its work.
func (s *shelf) job(workflow, job string, at time.Time, result jobs.Result) *runner.Attempt {
	id := runner.RunID(fmt.Sprintf("run-%04d", len(s.runs)))
	s.runs = append(s.runs, runner.Run{
		ID: id, State: runner.Succeeded, QueuedAt: at, StartedAt: at, FinishedAt: at.Add(time.Minute),
		Request: runner.Request{Spec: runner.Spec{Workflow: workflow}, Slot: at, Trigger: runner.BySchedule},
	})
	s.attempts = append(s.attempts, runner.Attempt{Run: id, Job: job, Kind: "script", Number: 1, State: runner.Succeeded, StartedAt: at, FinishedAt: at.Add(time.Minute), Result: result})
	return &s.attempts[len(s.attempts)-1]
}

// deploy records a deploy.
func (s *shelf) deploy(at time.Time, text string) {
	s.events = append(s.events, runner.Happening{ID: fmt.Sprintf("event-%04d", len(s.events)), Kind: "deploy", Subject: "api", Text: text, At: at})
}

// incident records an incident of a check; a zero resolved leaves it open.
func (s *shelf) incident(check string, lastGood, firstBad, opened, resolved time.Time) *runner.Incident {
	i := runner.Incident{
		ID:    fmt.Sprintf("incident-%04d", len(s.incidents)),
		Fault: runner.Fault{Fingerprint: "check/" + check, Check: check, Title: check + " fails", LastGood: lastGood, FirstBad: firstBad, At: opened, Severity: jobs.Critical},
		State: runner.IncidentOpen, OpenedAt: opened, Count: 1,
	}
	if !resolved.IsZero() {
		i.State, i.ResolvedAt = runner.IncidentResolved, resolved
	}
	s.incidents = append(s.incidents, i)
	return &s.incidents[len(s.incidents)-1]
}

// latest cuts a list, the newest first, to the part behind an ID.
func latest[T any](list []T, id func(T) string, before string, limit int) []T {
	list = slices.Clone(list)
	slices.Reverse(list)
	if before != "" {
		at := slices.IndexFunc(list, func(one T) bool { return id(one) == before })
		list = list[at+1:]
	}
	return list[:min(len(list), cmp.Or(limit, 50))]
}

func (s *shelf) Runs(_ context.Context, f runner.Filter) ([]runner.Run, error) {
	var list []runner.Run
	for _, r := range s.runs {
		if (f.Workflow == "" || r.Spec.Workflow == f.Workflow) && !r.QueuedAt.Before(f.Since) && (f.Until.IsZero() || r.QueuedAt.Before(f.Until)) {
			list = append(list, r)
		}
	}
	return latest(list, func(r runner.Run) string { return string(r.ID) }, string(f.Before), f.Limit), s.fail
}

func (s *shelf) Attempts(_ context.Context, runs ...runner.RunID) ([]runner.Attempt, error) {
	var list []runner.Attempt
	for _, a := range s.attempts {
		if slices.Contains(runs, a.Run) {
			list = append(list, a)
		}
	}
	return list, s.fail
}

func (s *shelf) Series(_ context.Context, prefix string) ([]runner.Series, error) {
	var list []runner.Series
	for name, samples := range s.samples {
		if strings.HasPrefix(name, prefix) && len(samples) > 0 {
			list = append(list, runner.Series{Name: name, First: samples[0].At, Last: samples[len(samples)-1].At})
		}
	}
	slices.SortFunc(list, func(a, b runner.Series) int { return strings.Compare(a.Name, b.Name) })
	return list, s.fail
}

func (s *shelf) Samples(_ context.Context, f runner.SampleFilter) ([]runner.Stretch, error) {
	var list []runner.Stretch
	for _, one := range s.samples[f.Series] {
		if !one.At.Before(f.Since) && (f.Until.IsZero() || one.At.Before(f.Until)) {
			list = append(list, one)
		}
	}
	return list[max(0, len(list)-f.Limit):], s.fail
}

func (s *shelf) Incidents(_ context.Context, f runner.IncidentFilter) ([]runner.Incident, error) {
	return latest(s.incidents, func(i runner.Incident) string { return i.ID }, f.Before, f.Limit), s.fail
}

func (s *shelf) Incident(_ context.Context, id string) (runner.Incident, error) {
	for _, i := range s.incidents {
		if strings.HasPrefix(i.ID, id) {
			return i, nil
		}
	}
	return runner.Incident{}, runner.ErrNotFound
}

func (s *shelf) Notices(_ context.Context, f runner.NoticeFilter) ([]runner.Notice, error) {
	var list []runner.Notice
	for _, n := range s.notices {
		if n.Incident == f.Incident {
			list = append(list, n)
		}
	}
	return latest(list, func(n runner.Notice) string { return n.ID }, f.Before, f.Limit), s.fail
}

func (s *shelf) Happenings(_ context.Context, f runner.HappeningFilter) ([]runner.Happening, error) {
	var list []runner.Happening
	for _, e := range s.events {
		if (len(f.Kinds) == 0 || slices.Contains(f.Kinds, e.Kind)) && !e.At.Before(f.Since) && (f.Until.IsZero() || e.At.Before(f.Until)) {
			list = append(list, e)
		}
	}
	return latest(list, func(e runner.Happening) string { return e.ID }, f.Before, f.Limit), s.fail
}

// resultOf is a result with one value.
func resultOf(name string, v float64) jobs.Result {
	return jobs.Result{Values: map[string]float64{name: v}}
}
