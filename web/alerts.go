package web

import (
	"context"
	"net/http"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

// registerAlerts adds incidents, notices and channels.
func (s *Server) registerAlerts() {
	const tag = "alerts"
	add(s, operation{id: "list-incidents", method: http.MethodGet, path: "/incidents", tag: tag, summary: "List incidents, newest first"}, s.listIncidents)
	add(s, operation{id: "get-incident", method: http.MethodGet, path: "/incidents/{id}", tag: tag, summary: "Get one incident with its timeline, who was told, and what had changed before"}, s.getIncident)
	s.registerDesk()
	add(s, operation{id: "list-notices", method: http.MethodGet, path: "/notices", tag: tag, summary: "List notices, newest first"}, s.listNotices)
	add(s, operation{
		id: "retry-notice", touches: []api.Topic{api.TopicNotices}, method: http.MethodPost, path: "/notices/{id}/retry", tag: tag, summary: "Send a notice now that is dead or waits",
	}, s.retryNotice)
	add(s, operation{id: "drop-notice", touches: []api.Topic{api.TopicNotices}, method: http.MethodPost, path: "/notices/{id}/drop", tag: tag, summary: "Give a notice up"}, s.dropNotice)
	add(s, operation{
		id: "test-channel", touches: []api.Topic{api.TopicNotices}, method: http.MethodPost, path: "/channels/{name}/test", tag: tag, summary: "Send a test message to a channel now",
	}, s.testChannel)
}

type listIncidents struct {
	Fingerprint string   `query:"fingerprint" maxLength:"512" doc:"only incidents of this fault"`
	State       []string `query:"state" enum:"open,resolved" doc:"only incidents in these states, with commas between"`
	Before      string   `query:"before" maxLength:"64" doc:"continue a list: only incidents opened before the one with this ID"`
	Limit       int      `query:"limit" minimum:"1" maximum:"1000" default:"50"`
}

func (s *Server) listIncidents(ctx context.Context, in *listIncidents) (*reply[api.Incidents], error) {
	filter := runner.IncidentFilter{Fingerprint: in.Fingerprint, Before: in.Before, Limit: in.Limit}
	for _, state := range in.State {
		filter.States = append(filter.States, runner.IncidentState(state))
	}
	incidents, err := s.o.Alerts.Incidents(ctx, filter)
	if err != nil {
		return nil, err
	}
	page := api.Incidents{Incidents: make([]api.Incident, len(incidents))}
	for i, incident := range incidents {
		page.Incidents[i] = api.NewIncident(incident)
	}
	if len(incidents) == filter.Limit {
		page.Next = incidents[len(incidents)-1].ID
	}
	return ok(page)
}

// ByAlertID names an incident or a notice in an address.
type ByAlertID struct {
	ID string `path:"id" maxLength:"64"`
}

type listNotices struct {
	Incident string   `query:"incident" maxLength:"64" doc:"only notices of this incident"`
	Channel  string   `query:"channel" maxLength:"255" doc:"only notices for this channel"`
	State    []string `query:"state" enum:"pending,sending,sent,dead,superseded" doc:"only notices in these states, with commas between"`
	Before   string   `query:"before" maxLength:"64" doc:"continue a list: only notices created before the one with this ID"`
	Limit    int      `query:"limit" minimum:"1" maximum:"1000" default:"50"`
}

func (s *Server) listNotices(ctx context.Context, in *listNotices) (*reply[api.Notices], error) {
	filter := runner.NoticeFilter{Incident: in.Incident, Channel: in.Channel, Before: in.Before, Limit: in.Limit}
	for _, state := range in.State {
		filter.States = append(filter.States, runner.NoticeState(state))
	}
	notices, err := s.o.Alerts.Notices(ctx, filter)
	if err != nil {
		return nil, err
	}
	page := api.Notices{Notices: make([]api.Notice, len(notices))}
	for i, notice := range notices {
		page.Notices[i] = api.NewNotice(notice)
	}
	if len(notices) == filter.Limit {
		page.Next = notices[len(notices)-1].ID
	}
	return ok(page)
}

type actOnNotice struct {
	Via
	ByAlertID
}

func (s *Server) retryNotice(ctx context.Context, in *actOnNotice) (*reply[api.Done], error) {
	if err := s.o.Notices.Retry(ctx, askedBy(ctx), in.ID); err != nil {
		return nil, err
	}
	return ok(api.Done{ID: in.ID})
}

type dropNotice struct {
	Via
	ByAlertID

	Body *api.DropRequest
}

func (s *Server) dropNotice(ctx context.Context, in *dropNotice) (*reply[api.Done], error) {
	reason := ""
	if in.Body != nil {
		reason = in.Body.Reason
	}
	if err := s.o.Notices.Drop(ctx, askedBy(ctx), in.ID, reason); err != nil {
		return nil, err
	}
	return ok(api.Done{ID: in.ID})
}

type testChannel struct {
	Via

	Name string `path:"name" maxLength:"255"`
}

func (s *Server) testChannel(ctx context.Context, in *testChannel) (*reply[api.Tested], error) {
	receipt, err := s.o.Notices.Test(ctx, askedBy(ctx), in.Name)
	if err != nil {
		return nil, err
	}
	return ok(api.Tested{Channel: in.Name, Receipt: receipt})
}
