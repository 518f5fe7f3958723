package web

import (
	"context"
	"net/http"

	"github.com/ghosteam/upkeep/web/api"
)

// Runbooks tells of the workflows that checks start. Its methods may be called
// from several goroutines. CodeNotFound for what is no runbook.
type Runbooks interface {
	// Runbooks returns all, in the order of the configuration.
	Runbooks(ctx context.Context) ([]api.Runbook, error)
	// Runbook returns one with its latest runs.
	Runbook(ctx context.Context, name string) (api.RunbookStory, error)
	// Plan tells what one would run now, and what would refuse it; nothing is
	// run.
	Plan(ctx context.Context, name string) (api.RunbookPlan, error)
}

// registerRunbooks adds the workflows that checks start.
func (s *Server) registerRunbooks() {
	const tag = "runbooks"
	add(s, operation{
		id: "list-runbooks", method: http.MethodGet, path: "/runbooks", tag: tag, summary: "List the runbooks and how well they do",
	}, func(ctx context.Context, _ *struct{}) (*reply[api.Runbooks], error) {
		list, err := s.o.Runbooks.Runbooks(ctx)
		if err != nil {
			return nil, err
		}
		return ok(api.Runbooks{Runbooks: list})
	})
	add(s, operation{
		id: "get-runbook", method: http.MethodGet, path: "/runbooks/{workflow}", tag: tag, summary: "Get one runbook, its score and its latest runs",
	}, func(ctx context.Context, in *byRunbook) (*reply[api.RunbookStory], error) {
		story, err := s.o.Runbooks.Runbook(ctx, in.Workflow)
		if err != nil {
			return nil, err
		}
		return ok(story)
	})
	add(s, operation{
		id: "plan-runbook", method: http.MethodGet, path: "/runbooks/{workflow}/plan", tag: tag, summary: "Tell what a runbook would run now, and what would refuse it",
		doc: "Nothing is run.",
	}, func(ctx context.Context, in *byRunbook) (*reply[api.RunbookPlan], error) {
		plan, err := s.o.Runbooks.Plan(ctx, in.Workflow)
		if err != nil {
			return nil, err
		}
		return ok(plan)
	})
}

// byRunbook names a runbook in an address.
type byRunbook struct {
	Workflow string `path:"workflow" maxLength:"255" doc:"the workflow that a check starts"`
}
