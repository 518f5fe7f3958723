package web

import (
	"context"
	"net/http"
	"time"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

// registerDesk adds what people do about incidents.
func (s *Server) registerDesk() {
	const tag = "alerts"
	add(s, operation{
		id: "ack-incident", touches: []api.Topic{api.TopicIncidents, api.TopicNotices}, method: http.MethodPost, path: "/incidents/{id}/ack", tag: tag, summary: "Say that you work on an incident",
		doc: "Repetitions and escalations stop until then, or until it gets worse. The channels that were told of it are told that.",
	}, s.ackIncident)
	add(s, operation{
		id: "note-incident", touches: []api.Topic{api.TopicIncidents, api.TopicNotices}, method: http.MethodPost, path: "/incidents/{id}/note", tag: tag, summary: "Add a line to the timeline of an incident",
	}, s.noteIncident)
	s.registerBegan(tag)
	add(s, operation{
		id: "resolve-incident", touches: []api.Topic{api.TopicIncidents, api.TopicNotices}, method: http.MethodPost, path: "/incidents/{id}/resolve", tag: tag, summary: "End an incident by hand",
		doc: "The channels that were told of it are told of its end. What is still wrong becomes a new incident when it shows again.",
	}, s.resolveIncident)
	add(s, operation{id: "list-silences", method: http.MethodGet, path: "/silences", tag: tag, summary: "List the silences, newest first"}, s.listSilences)
	add(s, operation{
		id: "add-silence", touches: []api.Topic{api.TopicSilences, api.TopicIncidents}, method: http.MethodPost, path: "/silences", tag: tag, status: http.StatusCreated,
		summary: "Keep incidents from being told for a while",
		doc:     "They stay on record; what lasts longer than the silence is told at its end, and the end of what was told before is told all the same.",
	}, s.addSilence)
	add(s, operation{id: "end-silence", touches: []api.Topic{api.TopicSilences, api.TopicIncidents}, method: http.MethodDelete, path: "/silences/{id}", tag: tag, summary: "End a silence"}, s.endSilence)
}

// mostOfIncident bounds the notices and changes that come with an incident.
const mostOfIncident = 200

func (s *Server) getIncident(ctx context.Context, in *ByAlertID) (*reply[api.IncidentDetail], error) {
	incident, err := s.o.Alerts.Incident(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	timeline, err := s.o.Timelines.Timeline(ctx, incident.ID)
	if err != nil {
		return nil, err
	}
	notices, err := s.o.Alerts.Notices(ctx, runner.NoticeFilter{Incident: incident.ID, Limit: mostOfIncident})
	if err != nil {
		return nil, err
	}
	changes := incident.Changes()
	changes.Limit = mostOfIncident
	happenings, err := s.o.Facts.Happenings(ctx, changes)
	if err != nil {
		return nil, err
	}
	return ok(api.NewIncidentDetail(incident, timeline, Earliest(notices), happenings))
}

// Earliest returns notices that are listed newest first the other way round.
func Earliest(notices []runner.Notice) []runner.Notice {
	out := make([]runner.Notice, len(notices))
	for i, n := range notices {
		out[len(notices)-1-i] = n
	}
	return out
}

type ackIncident struct {
	Via
	ByAlertID

	Body *api.AckRequest
}

func (s *Server) ackIncident(ctx context.Context, in *ackIncident) (*reply[api.Done], error) {
	var note string
	var until time.Time
	if in.Body != nil {
		note = in.Body.Note
		if in.Body.Until != nil {
			if until = in.Body.Until.UTC(); !until.After(time.Now()) {
				return nil, api.NewProblem(api.CodeInvalid, "name an instant in the future", "the time of the acknowledgement has passed")
			}
		}
	}
	return s.onIncident(ctx, in.ID, func(id string) error { return s.o.Desk.Ack(ctx, id, askedBy(ctx), note, until) })
}

// onIncident finds the whole ID of an incident and answers with it.
func (s *Server) onIncident(ctx context.Context, idOrPrefix string, do func(id string) error) (*reply[api.Done], error) {
	incident, err := s.o.Alerts.Incident(ctx, idOrPrefix)
	if err != nil {
		return nil, err
	}
	if err := do(incident.ID); err != nil {
		return nil, err
	}
	return ok(api.Done{ID: incident.ID})
}

type noteIncident struct {
	Via
	ByAlertID

	Body api.NoteRequest
}

func (s *Server) noteIncident(ctx context.Context, in *noteIncident) (*reply[api.Done], error) {
	return s.onIncident(ctx, in.ID, func(id string) error { return s.o.Desk.Note(ctx, id, askedBy(ctx), in.Body.Text) })
}

type resolveIncident struct {
	Via
	ByAlertID

	Body *api.ResolveRequest
}

func (s *Server) resolveIncident(ctx context.Context, in *resolveIncident) (*reply[api.Done], error) {
	note := ""
	if in.Body != nil {
		note = in.Body.Note
	}
	return s.onIncident(ctx, in.ID, func(id string) error { return s.o.Desk.Resolve(ctx, id, askedBy(ctx), note) })
}

type listSilences struct {
	All bool `query:"all" doc:"also those that have ended"`
}

func (s *Server) listSilences(ctx context.Context, in *listSilences) (*reply[api.Silences], error) {
	list, err := s.o.Timelines.Silences(ctx, time.Now(), in.All)
	if err != nil {
		return nil, err
	}
	out := api.Silences{Silences: make([]api.Silence, len(list))}
	for i, silence := range list {
		out.Silences[i] = api.NewSilence(silence)
	}
	return ok(out)
}

type addSilence struct {
	Via

	Body api.SilenceRequest
}

func (s *Server) addSilence(ctx context.Context, in *addSilence) (*reply[api.Silence], error) {
	silence, err := in.Body.Runner(askedBy(ctx), time.Now().UTC())
	if err != nil {
		return nil, err
	}
	if silence.ID, err = s.o.Desk.Silence(ctx, silence); err != nil {
		return nil, err
	}
	return ok(api.NewSilence(silence))
}

type endSilence struct {
	Via
	ByAlertID
}

func (s *Server) endSilence(ctx context.Context, in *endSilence) (*reply[api.Done], error) {
	if err := s.o.Desk.EndSilence(ctx, in.ID, askedBy(ctx)); err != nil {
		return nil, err
	}
	return ok(api.Done{ID: in.ID})
}
