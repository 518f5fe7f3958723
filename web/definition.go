package web

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

// Definitions shows what the configuration in force says. Nothing of it holds a
// secret. Its methods may be called from several goroutines.
type Definitions interface {
	// Definition returns what the configuration says of a workflow; the fields
	// of api.Workflow in it stay empty. CodeNotFound for an unknown one.
	Definition(workflow string) (api.WorkflowDetail, error)
	// Graph returns the jobs of a frozen workflow in its order; nothing when
	// the text no longer loads.
	Graph(ctx context.Context, spec runner.Spec, params map[string]string) []api.JobNode
	// Text returns the whole configuration.
	Text(ctx context.Context) api.ConfigText
}

// Strips reads the newest runs of many workflows at once.
type Strips interface {
	// Recent returns the newest runs of each named workflow, newest first, at
	// most each of them, without the text of their specs.
	Recent(ctx context.Context, workflows []string, each int) (map[string][]runner.Run, error)
}

// registerDefinitions adds what the configuration says.
func (s *Server) registerDefinitions() {
	add(s, operation{
		id: "get-workflow", method: http.MethodGet, path: "/workflows/{workflow}", tag: "workflows",
		summary: "Get one workflow: its definition, the graph of its jobs, its parameters, its newest runs",
	}, s.getWorkflow)
	add(s, operation{
		id: "list-slots", method: http.MethodGet, path: "/workflows/{workflow}/slots", tag: "workflows",
		summary: "List the slots of a stretch of time, with what became of them or is to be expected",
	}, s.listSlots)
	add(s, operation{
		id: "get-config", method: http.MethodGet, path: "/config", tag: "daemon", summary: "Get the configuration in force, with secrets redacted",
	}, s.getConfig)
}

type getWorkflow struct {
	ByWorkflow

	Recent int `query:"recent" minimum:"0" maximum:"200" default:"30" doc:"how many of its newest runs to list"`
}

func (s *Server) getWorkflow(ctx context.Context, in *getWorkflow) (*reply[api.WorkflowDetail], error) {
	detail, err := s.o.Definitions.Definition(in.Workflow)
	if err != nil {
		return nil, err
	}
	configured := slices.DeleteFunc(slices.Clone(s.o.Catalog.Workflows()), func(w Workflow) bool { return w.Name != in.Workflow })
	views, err := s.workflows(ctx, configured, in.Recent)
	if err != nil {
		return nil, err
	}
	if len(views) == 0 { // it was removed just now
		return nil, api.NewProblem(api.CodeNotFound, "`upkeep list` shows the workflows", "there is no such workflow any more")
	}
	detail.Workflow = views[0]
	return ok(detail.Filled())
}

func (s *Server) getConfig(ctx context.Context, _ *struct{}) (*reply[api.ConfigText], error) {
	return ok(s.o.Definitions.Text(ctx).Filled())
}

type listSlots struct {
	ByWorkflow

	From  time.Time `query:"from" doc:"the default is 30 days before until"`
	Until time.Time `query:"until" doc:"the default is 7 days from now; at most 400 days after from"`
	Limit int       `query:"limit" minimum:"1" maximum:"10000" default:"1000"`
}

// usualPast is how far back the calendar of a workflow goes by default.
const usualPast = 30 * 24 * time.Hour

func (s *Server) listSlots(ctx context.Context, in *listSlots) (*reply[api.Calendar], error) {
	now := time.Now().UTC()
	from, until := in.From.UTC(), in.Until.UTC()
	if in.Until.IsZero() {
		until = now.Add(usualPlan)
	}
	if in.From.IsZero() {
		from = until.Add(-usualPlan - usualPast)
	}
	if !until.After(from) || until.Sub(from) > longestPlan {
		return nil, api.NewProblem(api.CodeInvalid, "choose an until after from, at most 400 days later", "the calendar would span no time or too much")
	}
	workflows := s.o.Catalog.Workflows()
	at := slices.IndexFunc(workflows, func(w Workflow) bool { return w.Name == in.Workflow })
	if at < 0 {
		return nil, api.NewProblem(api.CodeNotFound, "`upkeep list` shows the workflows", "there is no such workflow")
	}
	calendar := api.Calendar{Workflow: in.Workflow, Zone: workflows[at].Zone, From: from, Until: until, Slots: []api.CalendarSlot{}}
	if from.Before(now) {
		if err := s.pastSlots(ctx, &calendar, now, in.Limit); err != nil {
			return nil, err
		}
	}
	if until.After(now) && !calendar.More {
		if err := s.comingSlots(ctx, &calendar, now, in.Limit); err != nil {
			return nil, err
		}
	}
	return ok(calendar)
}

// pastSlots adds the slots on record, of which the earliest are listed when
// there are too many.
func (s *Server) pastSlots(ctx context.Context, c *api.Calendar, now time.Time, limit int) error {
	until := c.Until
	if now.Before(until) {
		until = now
	}
	runs, err := s.o.Slots.Slots(ctx, c.Workflow, c.From, until, limit+1)
	if err != nil {
		return err
	}
	zone, err := time.LoadLocation(c.Zone)
	if err != nil {
		zone = time.UTC
	}
	if c.More = len(runs) > limit; c.More {
		runs = runs[:limit]
	}
	for _, r := range runs {
		c.Slots = append(c.Slots, api.CalendarSlot{
			Slot: r.Slot.UTC(), Local: r.Slot.In(zone).Format("2006-01-02 15:04:05"), LastSlot: api.Instant(r.LastSlot), Slots: max(r.Slots, 1),
			Run: r.ID, State: r.State, Reason: r.Reason, Message: r.Message, Trigger: string(r.Trigger), DurationSeconds: api.Seconds(r.StartedAt, r.FinishedAt),
		})
	}
	return nil
}

// comingSlots adds the slots to come.
func (s *Server) comingSlots(ctx context.Context, c *api.Calendar, now time.Time, limit int) error {
	from := c.From
	if from.Before(now) {
		from = now
	}
	left := limit - len(c.Slots)
	if left <= 0 {
		c.More = true
		return nil
	}
	plan, err := s.o.Catalog.Plan(ctx, c.Workflow, from, c.Until, left)
	if err != nil {
		return err
	}
	for _, p := range plan.Slots {
		c.Slots = append(c.Slots, api.CalendarSlot{
			Slot: p.Slot.UTC(), Local: p.Local, Slots: 1, Reason: p.Reason, Message: p.Note, DurationSeconds: p.UsualSeconds,
		})
	}
	c.More = plan.More
	return nil
}
