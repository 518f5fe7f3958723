package web

import (
	"context"
	"maps"
	"net/http"
	"path"
	"slices"
	"time"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/object"
	"github.com/ghosteam/upkeep/web/api"
)

// registerDetail adds a run with all that belongs to it.
func (s *Server) registerDetail() {
	add(s, operation{
		id: "get-run-detail", method: http.MethodGet, path: "/runs/{id}/detail", tag: "runs",
		summary: "Get one run with its attempts, its values beside those of the last good run, and its artifacts",
	}, s.getRunDetail)
}

// goodLooks is among how many runs the last good one is looked for.
const goodLooks = 20

// incidentLooks is among how many incidents of a workflow those of a run are
// looked for.
const incidentLooks = 20

func (s *Server) getRunDetail(ctx context.Context, in *ByID) (*reply[api.RunDetail], error) {
	run, attempts, err := s.read(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	alive, err := s.alive(ctx, run)
	if err != nil {
		return nil, err
	}
	d := api.RunDetail{
		Run: s.record(run, attempts, alive, true), Attempts: make([]api.AttemptRecord, len(attempts)),
		Plan: api.FilledGraph(s.o.Definitions.Graph(ctx, run.Spec, run.Params)), Values: []api.ComparedValue{}, Artifacts: artifactsOf(attempts),
		Retry: []string{}, Incidents: []api.IncidentOfRun{}, Live: !run.State.Final(),
	}
	for i, a := range attempts {
		d.Attempts[i] = api.NewAttemptRecord(a)
	}
	good, before, err := s.lastGood(ctx, run)
	if err != nil {
		return nil, err
	}
	if good.ID != "" {
		d.Good = api.NewLast(good, false)
	}
	d.Values = compared(api.NewRun(run, attempts, false).Jobs, api.NewRun(good, before, false).Jobs)
	usual, err := s.o.Slots.Usual(ctx, []string{run.Spec.Workflow})
	if err != nil {
		return nil, err
	}
	d.Usual = api.NewUsualDuration(usual[run.Spec.Workflow])
	if d.Live && d.Usual != nil && !run.StartedAt.IsZero() {
		left := max(0, d.Usual.MedianSeconds-time.Since(run.StartedAt).Seconds())
		d.Estimate = &left
	}
	if run.State.Final() && run.State != runner.Skipped || d.Run.Interrupted {
		for _, a := range d.Plan {
			if len(run.Jobs) == 0 || slices.Contains(run.Jobs, a.Name) {
				d.Retry = append(d.Retry, a.Name)
			}
		}
	}
	if d.Incidents, err = s.incidentsOf(ctx, run); err != nil {
		return nil, err
	}
	return ok(d)
}

// lastGood returns the newest run before one that did its work, with its
// attempts; no run when there is none.
func (s *Server) lastGood(ctx context.Context, run runner.Run) (runner.Run, []runner.Attempt, error) {
	list, err := s.o.Runs.Runs(ctx, runner.Filter{
		Workflow: run.Spec.Workflow, States: []runner.State{runner.Succeeded, runner.Warned}, Before: run.ID, Limit: goodLooks,
	})
	if err != nil {
		return runner.Run{}, nil, err
	}
	at := slices.IndexFunc(list, func(r runner.Run) bool { return !r.DryRun && len(r.Jobs) == 0 })
	if at < 0 {
		return runner.Run{}, nil, nil
	}
	attempts, err := s.o.Runs.Attempts(ctx, list[at].ID)
	return list[at], attempts, err
}

// compared sets the values of jobs beside those of the same jobs before.
func compared(now, before map[string]api.Job) []api.ComparedValue {
	out := []api.ComparedValue{}
	for _, job := range slices.Sorted(maps.Keys(now)) {
		values, past := now[job].Values, before[job].Values
		names := slices.AppendSeq(slices.Collect(maps.Keys(values)), maps.Keys(past))
		slices.Sort(names)
		for _, name := range slices.Compact(names) {
			v := api.ComparedValue{Job: job, Name: name}
			if value, ok := values[name]; ok {
				v.Value = &value
			}
			if value, ok := past[name]; ok {
				v.Before = &value
			}
			if v.Value != nil && v.Before != nil && *v.Before != 0 {
				change := (*v.Value - *v.Before) / *v.Before
				v.Change = &change
			}
			out = append(out, v)
		}
	}
	return out
}

// artifactsOf are the artifacts that attempts put into stores: one line for
// each manifest with the length of all its objects, and one for each object
// that belongs to none.
func artifactsOf(attempts []runner.Attempt) []api.RunArtifact {
	out := []api.RunArtifact{}
	for _, a := range attempts {
		at := map[string]int{}
		for _, info := range a.Result.Artifacts {
			id := path.Base(path.Dir(info.Key))
			if _, err := object.IDTime(id); err != nil {
				out = append(out, api.RunArtifact{Job: a.Job, Store: info.Store, Key: info.Key, Bytes: info.Bytes})
				continue
			}
			place, known := at[info.Store+"/"+id]
			if !known {
				place = len(out)
				at[info.Store+"/"+id] = place
				out = append(out, api.RunArtifact{Job: a.Job, Store: info.Store, ID: id, Key: path.Dir(info.Key)})
			}
			out[place].Bytes += info.Bytes
		}
	}
	return out
}

// incidentsOf are the faults that a run began.
func (s *Server) incidentsOf(ctx context.Context, run runner.Run) ([]api.IncidentOfRun, error) {
	list, err := s.o.Alerts.Incidents(ctx, runner.IncidentFilter{Fingerprint: "workflow/" + run.Spec.Workflow, Limit: incidentLooks})
	if err != nil {
		return nil, err
	}
	out := []api.IncidentOfRun{}
	for _, i := range list {
		if i.Run == run.ID {
			out = append(out, api.IncidentOfRun{ID: i.ID, Title: i.Title, State: i.State})
		}
	}
	return out, nil
}
