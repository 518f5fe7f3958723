package web

import (
	"context"
	"net/http"

	"github.com/ghosteam/upkeep/web/api"
)

// Raiser takes what people and programs say is wrong. Its obligations are those
// of Commands.
type Raiser interface {
	// Raise opens an incident of its own for what r says, adds to the open one,
	// or ends it. CodeInvalid for what cannot be.
	Raise(ctx context.Context, by string, r api.AlertRequest) (api.Alerted, error)
}

// registerRaising adds the alerts of people and programs.
func (s *Server) registerRaising() {
	add(s, operation{
		id: "send-alert", touches: []api.Topic{api.TopicIncidents, api.TopicNotices}, method: http.MethodPost, path: "/alerts", tag: "alerts", summary: "Say that something is wrong, or no longer is",
		doc: "Opens an incident with the fingerprint alert/TYPE and tells whom the routes name, or adds an occurrence to the one that is open. With resolve it ends.",
	}, s.raise)
}

type raiseAlert struct {
	Via

	Body api.AlertRequest
}

func (s *Server) raise(ctx context.Context, in *raiseAlert) (*reply[api.Alerted], error) {
	if s.o.Raiser == nil {
		return nil, api.NewProblem(api.CodeUnavailable, "", "this process takes no alerts")
	}
	done, err := s.o.Raiser.Raise(ctx, askedBy(ctx), in.Body)
	if err != nil {
		return nil, err
	}
	return ok(done)
}
