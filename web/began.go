package web

import (
	"context"
	"errors"
	"net/http"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/web/api"
)

// registerBegan adds how people say when a fault really began.
func (s *Server) registerBegan(tag string) {
	add(s, operation{
		id: "began-incident", touches: []api.Topic{api.TopicIncidents}, method: http.MethodPost, path: "/incidents/{id}/began", tag: tag,
		summary: "Say when the fault of an incident really began",
		doc:     "Reports count the time to detection from then on.",
	}, s.beganIncident)
}

type beganIncident struct {
	Via
	ByAlertID

	Body api.BeganRequest
}

func (s *Server) beganIncident(ctx context.Context, in *beganIncident) (*reply[api.Done], error) {
	return s.onIncident(ctx, in.ID, func(id string) error {
		err := s.o.Desk.Began(ctx, id, askedBy(ctx), in.Body.At.UTC())
		if wrong, ok := errors.AsType[*jobs.FieldError](err); ok {
			return api.NewProblem(api.CodeInvalid, "", wrong.Why)
		}
		return err
	})
}
