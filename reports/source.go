package reports

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// Runs reads runs and what their jobs found. Its methods are those of
// runner.Reader.
type Runs interface {
	// Runs returns the runs that f selects, newest first.
	Runs(ctx context.Context, f runner.Filter) ([]runner.Run, error)
	// Attempts returns all attempts of the given runs, ordered by run, start,
	// job and number.
	Attempts(ctx context.Context, runs ...runner.RunID) ([]runner.Attempt, error)
}

// Incidents reads incidents and notices. Its methods are those of
// runner.AlertReader.
type Incidents interface {
	// Incidents returns the incidents that f selects, newest first.
	Incidents(ctx context.Context, f runner.IncidentFilter) ([]runner.Incident, error)
	// Incident returns one incident by its ID or an unambiguous beginning of it.
	Incident(ctx context.Context, idOrPrefix string) (runner.Incident, error)
	// Notices returns the notices that f selects, newest first.
	Notices(ctx context.Context, f runner.NoticeFilter) ([]runner.Notice, error)
}

// Events reads what happened to the system. Its method is that of
// runner.Chronicle.
type Events interface {
	// Happenings returns the events that f selects, the latest first.
	Happenings(ctx context.Context, f runner.HappeningFilter) ([]runner.Happening, error)
}

// Source is where figures and documents come from: the ledger, or what stands
// in for it. All of it is required.
type Source struct {
	Runs      Runs
	Samples   runner.SampleReader
	Incidents Incidents
	Events    Events
}

const (
	// page is how much is read of a list at once.
	page = 500
	// samplePage is how many stretches are read at once.
	samplePage = 50_000
	// mostRuns bounds the runs of one workflow that a figure looks at.
	mostRuns = 20_000
	// mostAttempts is of how many runs the attempts are read at once.
	mostAttempts = 200
)

// longestStretch is how long the stretches are at most into which old samples
// are folded.
const longestStretch = time.Hour

// series reads all stretches of a series in [from, until), in the order of time.
// Of one that began before, the part that lies within counts.
func (s Source) series(ctx context.Context, name string, from, until time.Time) ([]runner.Stretch, error) {
	var list []runner.Stretch
	for {
		part, err := s.Samples.Samples(ctx, runner.SampleFilter{Series: name, Since: from.Add(-longestStretch), Until: until, Limit: samplePage})
		if err != nil {
			return nil, err
		}
		list = append(part, list...)
		if len(part) < samplePage {
			return cutBefore(list, from), nil
		}
		until = part[0].At // the latest come first, and a series has one sample at an instant
	}
}

// cutBefore leaves out what lies before an instant.
func cutBefore(list []runner.Stretch, from time.Time) []runner.Stretch {
	var out []runner.Stretch
	for _, s := range list {
		switch end := s.At.Add(s.Length); {
		case !s.At.Before(from):
			out = append(out, s)
		case end.After(from):
			share := float64(end.Sub(from)) / float64(s.Length)
			count := math.Round(float64(s.Count) * share)
			s.At, s.Length = from, end.Sub(from)
			s.Count, s.Sum = int64(count), s.Mean()*count
			if s.Count > 0 {
				out = append(out, s)
			}
		}
	}
	return out
}

// incidents reads the incidents that were opened in the window, and those that
// were opened before it and are still open or were resolved in it, the earliest
// first.
func (s Source) incidents(ctx context.Context, w window) ([]runner.Incident, error) {
	var list []runner.Incident
	keep := func(i runner.Incident) {
		over := i.State == runner.IncidentResolved && i.ResolvedAt.Before(w.from)
		if i.OpenedAt.Before(w.until) && !over {
			list = append(list, i)
		}
	}
	f := runner.IncidentFilter{EndedSince: w.from, Limit: page}
	for {
		part, err := s.Incidents.Incidents(ctx, f)
		if err != nil {
			return nil, err
		}
		for _, i := range part {
			keep(i)
		}
		if len(part) < page {
			break
		}
		f.Before = part[len(part)-1].ID
	}
	slices.SortStableFunc(list, func(a, b runner.Incident) int { return a.OpenedAt.Compare(b.OpenedAt) })
	return list, nil
}

// notices reads the notices of an incident, the earliest first.
func (s Source) notices(ctx context.Context, incident string) ([]runner.Notice, error) {
	var list []runner.Notice
	f := runner.NoticeFilter{Incident: incident, Limit: page}
	for {
		part, err := s.Incidents.Notices(ctx, f)
		if err != nil {
			return nil, err
		}
		list = append(list, part...)
		if len(part) < page {
			slices.Reverse(list)
			return list, nil
		}
		f.Before = part[len(part)-1].ID
	}
}

// happenings reads events in the order of time; no kinds are all.
func (s Source) happenings(ctx context.Context, w window, kinds ...string) ([]runner.Happening, error) {
	var list []runner.Happening
	f := runner.HappeningFilter{Kinds: kinds, Since: w.from, Until: w.until, Limit: page}
	for {
		part, err := s.Events.Happenings(ctx, f)
		if err != nil {
			return nil, err
		}
		list = append(list, part...)
		if len(part) < page {
			slices.Reverse(list)
			return list, nil
		}
		f.Before = part[len(part)-1].ID
	}
}

// runs reads the runs of a workflow, or of all when the name is empty, that were
// recorded in the window, the earliest first.
func (s Source) runs(ctx context.Context, workflow string, w window) ([]runner.Run, error) {
	var list []runner.Run
	f := runner.Filter{Workflow: workflow, Since: w.from, Until: w.until, Limit: page}
	for {
		part, err := s.Runs.Runs(ctx, f)
		if err != nil {
			return nil, err
		}
		list = append(list, part...)
		if len(part) < page || len(list) >= mostRuns {
			slices.Reverse(list)
			return list, nil
		}
		f.Before = part[len(part)-1].ID
	}
}

// attempts reads the attempts of runs, in the order of these.
func (s Source) attempts(ctx context.Context, runs []runner.Run) (map[runner.RunID][]runner.Attempt, error) {
	by := map[runner.RunID][]runner.Attempt{}
	for some := range slices.Chunk(runs, mostAttempts) {
		ids := make([]runner.RunID, len(some))
		for i, r := range some {
			ids[i] = r.ID
		}
		part, err := s.Runs.Attempts(ctx, ids...)
		if err != nil {
			return nil, err
		}
		for _, a := range part {
			by[a.Run] = append(by[a.Run], a)
		}
	}
	return by, nil
}

// answer is one time that a job did its work.
type answer struct {
	run     runner.Run
	attempt runner.Attempt
	// slot is when it was due, for runs of a schedule, else when it began.
	slot time.Time
}

// answers reads what a job found in runs of the window that were not dry, the
// earliest first. A job that failed for what it found did its work.
func (s Source) answers(ctx context.Context, of JobName, w window) ([]answer, error) {
	runs, err := s.runs(ctx, of.Workflow, w)
	if err != nil {
		return nil, err
	}
	runs = slices.DeleteFunc(runs, func(r runner.Run) bool { return r.DryRun })
	by, err := s.attempts(ctx, runs)
	if err != nil {
		return nil, err
	}
	var list []answer
	for _, r := range runs {
		last := -1
		for i, a := range by[r.ID] {
			if a.Job == of.Job && worked(a) {
				last = i
			}
		}
		if last < 0 {
			continue
		}
		one := answer{run: r, attempt: by[r.ID][last], slot: by[r.ID][last].StartedAt}
		if r.Trigger == runner.BySchedule && !r.Slot.IsZero() {
			one.slot = r.Slot
		}
		list = append(list, one)
	}
	return list, nil
}

// worked tells whether an attempt found something out, whatever that was.
func worked(a runner.Attempt) bool {
	return a.State.Done() || a.State == runner.Failed && a.Reason == runner.ReasonFindings
}

// window is a span of time: from <= t < until.
type window struct{ from, until time.Time }

func (w window) length() time.Duration { return w.until.Sub(w.from) }

func (w window) holds(t time.Time) bool { return !t.Before(w.from) && t.Before(w.until) }

// back is the window with more of the past.
func (w window) back(by time.Duration) window { return window{w.from.Add(-by), w.until} }

// parts are n equal parts in the order of time.
func (w window) parts(n int) []window {
	list := make([]window, n)
	for i := range list {
		list[i] = window{w.from.Add(w.length() * time.Duration(i) / time.Duration(n)), w.from.Add(w.length() * time.Duration(i+1) / time.Duration(n))}
	}
	return list
}
