package web

import (
	"context"
	"net/http"
	"net/url"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

// Via documents ByHeader; the guard reads it.
type Via struct {
	By string `header:"Upkeep-By" maxLength:"100" doc:"what asks, such as cli; it is recorded behind the name of the user"`
}

// registerControl adds what people ask of runs.
func (s *Server) registerControl() {
	const tag = "control"
	add(s, operation{
		id: "start-run", touches: []api.Topic{api.TopicRuns}, method: http.MethodPost, path: "/runs", tag: tag, status: http.StatusCreated,
		summary: "Run a workflow, or some of its jobs, now",
		doc: "The answer comes when the run is on record, not when it has ended. With an Idempotency-Key the same request within 24 hours " +
			"is answered with the same run, as long as the daemon lives and not more than 10,000 keys came after it.",
	}, s.startRun)
	add(s, operation{
		id: "cancel-run", touches: []api.Topic{api.TopicRuns}, method: http.MethodPost, path: "/runs/{id}/cancel", tag: tag, summary: "Ask for the end of a run",
	}, s.cancelRun)
	add(s, operation{
		id: "retry-run", touches: []api.Topic{api.TopicRuns}, method: http.MethodPost, path: "/runs/{id}/retry", tag: tag,
		summary: "Continue a run that failed or was interrupted",
	}, s.retryRun)
	add(s, operation{
		id: "approve-run", touches: []api.Topic{api.TopicRuns}, method: http.MethodPost, path: "/runs/{id}/approve", tag: tag, summary: "Let a run go that waits for approval",
	}, s.approveRun)
}

type startRun struct {
	Via

	Key  string `header:"Idempotency-Key" maxLength:"255" doc:"the same key with the same request answers the same run"`
	Body api.RunRequest
}

type startedRun struct {
	Location string `header:"Location"`
	Body     api.RunAccepted
}

func (s *Server) startRun(ctx context.Context, in *startRun) (*startedRun, error) {
	by := askedBy(ctx)
	if in.Key != "" {
		// Whoever asks again wants what the first one began, also when that has
		// gone: a browser drops the first request of a double click.
		ctx = context.WithoutCancel(ctx)
	}
	accepted, err := s.once.do(ctx, in.Key, in.Body, func() (api.RunAccepted, error) {
		submitted, err := s.o.Commands.Run(ctx, by, in.Body)
		return api.NewRunAccepted(submitted), err
	})
	if err != nil {
		return nil, err
	}
	return &startedRun{Location: Prefix + "/runs/" + url.PathEscape(string(accepted.Run)), Body: accepted}, nil
}

type actOnRun struct {
	Via
	ByID
}

func (s *Server) cancelRun(ctx context.Context, in *actOnRun) (*reply[api.CancelAccepted], error) {
	id, err := s.resolve(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	before, err := s.o.Commands.Cancel(ctx, askedBy(ctx), id)
	if err != nil {
		return nil, err
	}
	return ok(api.CancelAccepted{Run: id, Before: before})
}

// resolve finds the whole ID of a run.
func (s *Server) resolve(ctx context.Context, idOrPrefix string) (runner.RunID, error) {
	run, err := s.o.Runs.Run(ctx, idOrPrefix)
	return run.ID, err
}

type retryRun struct {
	Via
	ByID

	Body *api.RetryRequest
}

func (s *Server) retryRun(ctx context.Context, in *retryRun) (*reply[api.Acted], error) {
	id, err := s.resolve(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	from := ""
	if in.Body != nil {
		from = in.Body.From
	}
	if err := s.o.Commands.Retry(ctx, askedBy(ctx), id, from); err != nil {
		return nil, err
	}
	return ok(api.Acted{Run: id})
}

func (s *Server) approveRun(ctx context.Context, in *actOnRun) (*reply[api.Acted], error) {
	id, err := s.resolve(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if err := s.o.Commands.Approve(ctx, askedBy(ctx), id); err != nil {
		return nil, err
	}
	return ok(api.Acted{Run: id})
}
