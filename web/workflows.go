package web

import (
	"context"
	"net/http"
	"time"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

// registerWorkflows adds what is known of workflows, their slots and pauses.
func (s *Server) registerWorkflows() {
	const tag = "workflows"
	add(s, operation{
		id: "list-workflows", method: http.MethodGet, path: "/workflows", tag: tag,
		summary: "List the configured workflows with their next slot, last run, pause and freshness",
	}, s.listWorkflows)
	add(s, operation{id: "list-pauses", method: http.MethodGet, path: "/pauses", tag: tag, summary: "List the pauses in force"}, s.listPauses)
	add(s, operation{
		id: "pause-workflow", method: http.MethodPost, path: "/workflows/{workflow}/pause", tag: tag,
		summary: "Keep the slots of a workflow from running, or change its pause", touches: []api.Topic{api.TopicPauses},
	}, s.pauseWorkflow)
	add(s, operation{
		id: "unpause-workflow", method: http.MethodDelete, path: "/workflows/{workflow}/pause", tag: tag, summary: "End the pause of a workflow", touches: []api.Topic{api.TopicPauses},
	}, s.unpauseWorkflow)
	add(s, operation{id: "get-plan", method: http.MethodGet, path: "/plan", tag: tag, summary: "List the coming slots"}, s.getPlan)
	add(s, operation{
		id: "get-why", method: http.MethodGet, path: "/workflows/{workflow}/why", tag: tag,
		summary: "Explain why the slots of a day did or did not run",
	}, s.getWhy)
}

// standing is what the ledger knows of all workflows.
type standing struct {
	latest    map[string]runner.Run
	alive     map[string]bool
	running   map[string]int
	pauses    map[string]runner.Pause
	successes map[string]time.Time
	since     map[string]time.Time
	shares    []runner.Share
}

// mostRunning bounds how many runs under way are counted.
const mostRunning = 10_000

func (s *Server) standing(ctx context.Context, configured []Workflow) (standing, error) {
	names := namesOf(configured)
	st := standing{running: map[string]int{}, pauses: map[string]runner.Pause{}, since: map[string]time.Time{}}
	var err error
	if st.latest, err = s.o.Runs.Latest(ctx, names); err != nil {
		return st, err
	}
	if st.successes, err = s.o.Slots.Successes(ctx, names); err != nil {
		return st, err
	}
	if shared := Shared(configured); len(shared) > 0 {
		if st.shares, err = s.o.Slots.Shares(ctx, shared); err != nil {
			return st, err
		}
	}
	running, err := s.o.Runs.Runs(ctx, runner.Filter{States: []runner.State{runner.Running}, Limit: mostRunning})
	if err != nil {
		return st, err
	}
	for _, r := range running {
		st.running[r.Spec.Workflow]++
	}
	pauses, err := s.o.Slots.Pauses(ctx)
	if err != nil {
		return st, err
	}
	for _, p := range pauses {
		st.pauses[p.Workflow] = p
	}
	cursors, err := s.o.Slots.Cursors(ctx, "")
	if err != nil {
		return st, err
	}
	for _, c := range cursors {
		st.since[c.Workflow] = c.Since
	}
	var latest []runner.Run
	for _, r := range st.latest {
		latest = append(latest, r)
	}
	st.alive, err = s.alive(ctx, latest...)
	return st, err
}

type listWorkflows struct {
	Recent int `query:"recent" minimum:"0" maximum:"200" doc:"how many of the newest runs of each to list, newest first, and how long it usually takes; by default none, which is quicker"`
}

func (s *Server) listWorkflows(ctx context.Context, in *listWorkflows) (*reply[api.Workflows], error) {
	views, err := s.workflows(ctx, s.o.Catalog.Workflows(), in.Recent)
	if err != nil {
		return nil, err
	}
	return ok(api.Workflows{Workflows: views})
}

// workflows makes the answers for configured workflows with so many of the
// newest runs of each.
func (s *Server) workflows(ctx context.Context, configured []Workflow, recent int) ([]api.Workflow, error) {
	st, err := s.standing(ctx, configured)
	if err != nil {
		return nil, err
	}
	out := make([]api.Workflow, len(configured))
	now := time.Now()
	for i, w := range configured {
		out[i] = st.view(w, now)
	}
	if recent == 0 {
		return out, nil
	}
	strips, err := s.o.Strips.Recent(ctx, namesOf(configured), recent)
	if err != nil {
		return nil, err
	}
	usual, err := s.o.Slots.Usual(ctx, namesOf(configured))
	if err != nil {
		return nil, err
	}
	for i := range out {
		for _, r := range strips[out[i].Name] {
			out[i].Recent = append(out[i].Recent, api.NewRecentRun(r))
		}
		out[i].Usual = api.NewUsualDuration(usual[out[i].Name])
	}
	return out, nil
}

// view makes the answer for a workflow.
func (st standing) view(w Workflow, now time.Time) api.Workflow {
	v := api.Workflow{
		Name: w.Name, Description: w.Description, Schedule: w.Schedule, Zone: w.Zone, Next: api.Instant(w.Next),
		Jobs: append([]string{}, w.Jobs...), Running: st.running[w.Name],
		LastSuccess: api.Instant(st.successes[w.Name]), FreshWithinSeconds: w.FreshWithin.Seconds(),
		Fresh: Fresh(w, st.successes[w.Name], st.since[w.Name], st.shares, now), RunsOn: w.RunsOn,
	}
	if last, ok := st.latest[w.Name]; ok {
		v.Last = api.NewLast(last, interrupted(last, st.alive))
	}
	if p, ok := st.pauses[w.Name]; ok {
		pause := api.NewPause(p)
		v.Paused = &pause
	}
	return v
}

func (s *Server) listPauses(ctx context.Context, _ *struct{}) (*reply[api.Pauses], error) {
	pauses, err := s.o.Slots.Pauses(ctx)
	if err != nil {
		return nil, err
	}
	out := api.Pauses{Pauses: make([]api.Pause, len(pauses))}
	for i, p := range pauses {
		out.Pauses[i] = api.NewPause(p)
	}
	return ok(out)
}

// ByWorkflow names a workflow in an address.
type ByWorkflow struct {
	Workflow string `path:"workflow" maxLength:"255"`
}

type pauseWorkflow struct {
	Via
	ByWorkflow

	Body api.PauseRequest
}

func (s *Server) pauseWorkflow(ctx context.Context, in *pauseWorkflow) (*reply[api.Pause], error) {
	now := time.Now().UTC()
	pause := runner.Pause{Workflow: in.Workflow, By: askedBy(ctx), Why: in.Body.Reason, Since: now}
	if in.Body.Until != nil {
		pause.Until = in.Body.Until.UTC()
		if !pause.Until.After(now) {
			return nil, api.NewProblem(api.CodeInvalid, "name an instant in the future", "the pause would end before it begins")
		}
	}
	if err := s.o.Commands.Pause(ctx, pause); err != nil {
		return nil, err
	}
	return ok(api.NewPause(pause))
}

type unpauseWorkflow struct {
	Via
	ByWorkflow
}

func (s *Server) unpauseWorkflow(ctx context.Context, in *unpauseWorkflow) (*reply[api.Unpaused], error) {
	was, err := s.o.Commands.Unpause(ctx, askedBy(ctx), in.Workflow)
	if err != nil {
		return nil, err
	}
	return ok(api.Unpaused{Was: was})
}

type getPlan struct {
	Workflow string    `query:"workflow" maxLength:"255" doc:"only slots of this workflow"`
	From     time.Time `query:"from" doc:"the default is now"`
	Until    time.Time `query:"until" doc:"the default is 7 days after from; at most 400"`
	Limit    int       `query:"limit" minimum:"1" maximum:"10000" default:"1000"`
}

const (
	usualPlan   = 7 * 24 * time.Hour
	longestPlan = 400 * 24 * time.Hour
)

func (s *Server) getPlan(ctx context.Context, in *getPlan) (*reply[api.Plan], error) {
	from, until := in.From.UTC(), in.Until.UTC()
	if in.From.IsZero() {
		from = time.Now().UTC()
	}
	if in.Until.IsZero() {
		until = from.Add(usualPlan)
	}
	if !until.After(from) || until.Sub(from) > longestPlan {
		return nil, api.NewProblem(api.CodeInvalid, "choose an until after from, at most 400 days later", "the plan would span no time or too much")
	}
	plan, err := s.o.Catalog.Plan(ctx, in.Workflow, from, until, in.Limit)
	if err != nil {
		return nil, err
	}
	return ok(plan.Filled())
}

type getWhy struct {
	ByWorkflow

	Date string `query:"date" maxLength:"64" doc:"a date, such as 2026-11-23, or an instant; without it, the last slot"`
	Node string `query:"node" maxLength:"255" doc:"only the share of this node, for workflows that every node runs"`
}

func (s *Server) getWhy(ctx context.Context, in *getWhy) (*reply[api.Why], error) {
	why, err := s.o.Catalog.Why(ctx, in.Workflow, in.Date, in.Node)
	if err != nil {
		return nil, err
	}
	return ok(why.Filled())
}
