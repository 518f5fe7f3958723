package web

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

// ByID names a run in an address.
type ByID struct {
	ID string `path:"id" maxLength:"64" doc:"a run's ID, or an unambiguous beginning of it"`
}

// listRuns selects runs.
type listRuns struct {
	Workflow string    `query:"workflow" maxLength:"255" doc:"only runs of this workflow"`
	State    []string  `query:"state" enum:"queued,running,succeeded,warned,failed,canceled,skipped,lost" doc:"only runs in these states, with commas between"`
	Trigger  []string  `query:"trigger" enum:"schedule,catch_up,manual,api,check" doc:"only runs with these triggers, with commas between"`
	Slot     time.Time `query:"slot" doc:"only runs whose slot lies in the second that begins with this instant: those of all nodes; goes with workflow"`
	Since    time.Time `query:"since" doc:"only runs recorded at this instant or later"`
	Until    time.Time `query:"until" doc:"only runs recorded before this instant"`
	Before   string    `query:"before" maxLength:"64" doc:"continue a list: only runs recorded before the one with this ID"`
	Q        string    `query:"q" maxLength:"200" doc:"only runs whose ID begins with it, or in whose workflow, reason, message, host or asker it stands, in any case of letters. So many runs are looked through for one answer that a page may be short, or empty, while there is a next"`
	Limit    int       `query:"limit" minimum:"1" maximum:"1000" default:"50"`
	Jobs     bool      `query:"jobs" default:"true" doc:"false leaves the jobs out, which is quicker"`
	Spec     bool      `query:"spec" doc:"true adds the text of the frozen workflows"`
}

func (l *listRuns) filter() runner.Filter {
	f := runner.Filter{
		Workflow: l.Workflow, Slot: l.Slot, Since: l.Since, Until: l.Until, Before: runner.RunID(l.Before), Limit: l.Limit,
	}
	for _, s := range l.State {
		f.States = append(f.States, runner.State(s))
	}
	for _, t := range l.Trigger {
		f.Triggers = append(f.Triggers, runner.Trigger(t))
	}
	return f
}

// registerRuns adds what reads runs and attempts.
func (s *Server) registerRuns() {
	const tag = "runs"
	add(s, operation{id: "list-runs", method: http.MethodGet, path: "/runs", tag: tag, summary: "List runs, newest first"}, s.listRuns)
	add(s, operation{id: "get-run", method: http.MethodGet, path: "/runs/{id}", tag: tag, summary: "Get one run"}, s.getRun)
	add(s, operation{
		id: "list-run-attempts", method: http.MethodGet, path: "/runs/{id}/attempts", tag: tag, summary: "List the attempts of a run",
	}, s.listRunAttempts)
	add(s, operation{
		id: "list-attempts", method: http.MethodGet, path: "/attempts", tag: tag, summary: "List the attempts of several runs",
	}, s.listAttempts)
	add(s, operation{
		id: "list-latest", method: http.MethodGet, path: "/latest", tag: tag, summary: "List the newest run of each of several workflows",
	}, s.listLatest)
	add(s, operation{
		id: "list-past", method: http.MethodGet, path: "/workflows/{workflow}/jobs/{job}/past", tag: tag,
		summary: "List attempts of a job that did its work, newest first",
	}, s.listPast)
	s.registerOutput()
}

func (s *Server) listRuns(ctx context.Context, in *listRuns) (*reply[api.Runs], error) {
	if !in.Slot.IsZero() && in.Workflow == "" {
		return nil, api.NewProblem(api.CodeInvalid, "name the workflow too", "a slot is that of a workflow")
	}
	runs, next, err := s.selectRuns(ctx, in.filter(), in.Q)
	if err != nil {
		return nil, err
	}
	attempts := map[runner.RunID][]runner.Attempt{}
	if in.Jobs && len(runs) > 0 {
		ids := make([]runner.RunID, len(runs))
		for i, r := range runs {
			ids[i] = r.ID
		}
		all, err := s.o.Runs.Attempts(ctx, ids...)
		if err != nil {
			return nil, err
		}
		attempts = api.ByRun(all)
	}
	alive, err := s.alive(ctx, runs...)
	if err != nil {
		return nil, err
	}
	page := api.Runs{Runs: make([]api.RunRecord, len(runs)), Next: string(next)}
	for i, r := range runs {
		page.Runs[i] = s.record(r, attempts[r.ID], alive, in.Spec)
	}
	return ok(page)
}

const (
	// searchPage is how many runs are read at once to look through them, and
	// mostSearched how many for one answer.
	searchPage   = 500
	mostSearched = 4000
)

// selectRuns returns a page of runs, and the run after which the next one
// continues; empty on the last one. With words it looks through a bounded
// number of runs, so that the work does not grow with the history.
func (s *Server) selectRuns(ctx context.Context, f runner.Filter, words string) (page []runner.Run, next runner.RunID, err error) {
	if words == "" {
		page, err = s.o.Runs.Runs(ctx, f)
		if err == nil && len(page) == f.Limit {
			next = page[len(page)-1].ID
		}
		return page, next, err
	}
	words = strings.ToLower(words)
	limit := f.Limit
	f.Limit = searchPage
	for looked := 0; looked < mostSearched; looked += searchPage {
		some, err := s.o.Runs.Runs(ctx, f)
		if err != nil {
			return nil, "", err
		}
		for _, r := range some {
			if f.Before = r.ID; !speaksOf(r, words) {
				continue
			}
			if page = append(page, r); len(page) == limit {
				return page, r.ID, nil
			}
		}
		if len(some) < searchPage {
			return page, "", nil
		}
	}
	return page, f.Before, nil
}

// speaksOf tells whether words in lower case stand in what a list shows of a
// run.
func speaksOf(r runner.Run, words string) bool {
	if strings.HasPrefix(string(r.ID), words) {
		return true
	}
	return slices.ContainsFunc([]string{r.Spec.Workflow, string(r.Reason), r.Message, r.Host, r.Node, r.By}, func(text string) bool {
		return strings.Contains(strings.ToLower(text), words)
	})
}

// alive returns the instances that work on runs, when one of the runs is open
// so that it matters.
func (s *Server) alive(ctx context.Context, runs ...runner.Run) (map[string]bool, error) {
	if !slices.ContainsFunc(runs, func(r runner.Run) bool { return !r.State.Final() }) {
		return nil, nil
	}
	nodes, err := s.o.Catalog.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	alive := map[string]bool{}
	for _, n := range nodes {
		if n.Alive {
			alive[n.Instance] = true
		}
	}
	return alive, nil
}

// interrupted tells whether nobody works on a run that has begun and has not
// ended.
func interrupted(r runner.Run, alive map[string]bool) bool {
	return r.State == runner.Running && !alive[r.Owner]
}

// record makes the answer for a run.
func (s *Server) record(r runner.Run, attempts []runner.Attempt, alive map[string]bool, spec bool) api.RunRecord {
	v := api.NewRunRecord(r, attempts, interrupted(r, alive))
	if spec {
		v.Spec.Text = r.Spec.Text
	}
	return v
}

type getRun struct {
	ByID

	Spec bool `query:"spec" doc:"true adds the text of the frozen workflow"`
}

func (s *Server) getRun(ctx context.Context, in *getRun) (*reply[api.RunRecord], error) {
	run, attempts, err := s.read(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	alive, err := s.alive(ctx, run)
	if err != nil {
		return nil, err
	}
	return ok(s.record(run, attempts, alive, in.Spec))
}

// read finds a run with its attempts.
func (s *Server) read(ctx context.Context, idOrPrefix string) (runner.Run, []runner.Attempt, error) {
	run, err := s.o.Runs.Run(ctx, idOrPrefix)
	if err != nil {
		return run, nil, err
	}
	attempts, err := s.o.Runs.Attempts(ctx, run.ID)
	return run, attempts, err
}

func (s *Server) listRunAttempts(ctx context.Context, in *ByID) (*reply[api.Attempts], error) {
	_, attempts, err := s.read(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return answerAttempts(attempts)
}

func answerAttempts(attempts []runner.Attempt) (*reply[api.Attempts], error) {
	out := api.Attempts{Attempts: make([]api.AttemptRecord, len(attempts))}
	for i, a := range attempts {
		out.Attempts[i] = api.NewAttemptRecord(a)
	}
	return ok(out)
}

type listAttempts struct {
	Run []string `query:"run" required:"true" minItems:"1" maxItems:"100" doc:"whole IDs with commas between"`
}

func (s *Server) listAttempts(ctx context.Context, in *listAttempts) (*reply[api.Attempts], error) {
	ids := make([]runner.RunID, len(in.Run))
	for i, id := range in.Run {
		ids[i] = runner.RunID(id)
	}
	attempts, err := s.o.Runs.Attempts(ctx, ids...)
	if err != nil {
		return nil, err
	}
	return answerAttempts(attempts)
}

type listLatest struct {
	Workflow []string `query:"workflow" required:"true" minItems:"1" maxItems:"100" doc:"names with commas between"`
	Spec     bool     `query:"spec" doc:"true adds the text of the frozen workflows"`
}

func (s *Server) listLatest(ctx context.Context, in *listLatest) (*reply[api.LatestRuns], error) {
	latest, err := s.o.Runs.Latest(ctx, in.Workflow)
	if err != nil {
		return nil, err
	}
	var runs []runner.Run
	for _, r := range latest {
		runs = append(runs, r)
	}
	alive, err := s.alive(ctx, runs...)
	if err != nil {
		return nil, err
	}
	out := api.LatestRuns{Runs: map[string]api.RunRecord{}}
	for name, r := range latest {
		out.Runs[name] = s.record(r, nil, alive, in.Spec)
	}
	return ok(out)
}

type listPast struct {
	Workflow string `path:"workflow" maxLength:"255"`
	Job      string `path:"job" maxLength:"255"`
	Except   string `query:"except" maxLength:"64" doc:"leave out the run with this ID"`
	Limit    int    `query:"limit" minimum:"1" maximum:"1000" default:"50"`
}

func (s *Server) listPast(ctx context.Context, in *listPast) (*reply[api.Attempts], error) {
	attempts, err := s.o.Runs.Past(ctx, in.Workflow, in.Job, runner.RunID(in.Except), in.Limit)
	if err != nil {
		return nil, err
	}
	return answerAttempts(attempts)
}
