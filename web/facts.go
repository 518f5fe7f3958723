package web

import (
	"context"
	"net/http"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

// Facts is what the ledger knows of the system itself, and takes from outside:
// what was measured, and what happened.
type Facts interface {
	runner.Sampler
	runner.SampleReader
	runner.Chronicle
}

// registerFacts adds samples and events.
func (s *Server) registerFacts() {
	const tag = "facts"
	add(s, operation{
		id: "add-samples", method: http.MethodPost, path: "/samples", tag: tag, status: http.StatusCreated,
		summary: "Record values that were measured elsewhere",
		doc:     "All are recorded, or none. A sample of a series at an instant that has one takes its place, so a request may be repeated.",
	}, s.addSamples)
	add(s, operation{id: "list-samples", method: http.MethodGet, path: "/samples", tag: tag, summary: "List the samples of a series in the order of time"}, s.listSamples)
	add(s, operation{id: "list-series", method: http.MethodGet, path: "/series", tag: tag, summary: "List the series on record with their latest values"}, s.listSeries)
	add(s, operation{
		id: "add-event", method: http.MethodPost, path: "/events", tag: tag, status: http.StatusCreated,
		summary: "Record something that happened to the system, such as a deploy",
	}, s.addEvent)
	add(s, operation{id: "list-events", method: http.MethodGet, path: "/events", tag: tag, summary: "List what happened to the system, the latest first"}, s.listEvents)
}

type addSamples struct {
	Via

	Body api.SamplesRequest
}

func (s *Server) addSamples(ctx context.Context, in *addSamples) (*reply[api.Recorded], error) {
	if err := s.o.Facts.Observe(ctx, in.Body.Runner()...); err != nil {
		return nil, err
	}
	return ok(api.Recorded{Count: len(in.Body.Samples)})
}

type listSamples struct {
	Series string    `query:"series" required:"true" minLength:"1" maxLength:"250"`
	Since  time.Time `query:"since" doc:"only samples from then on"`
	Until  time.Time `query:"until" doc:"only samples before then"`
	Limit  int       `query:"limit" minimum:"1" maximum:"10000" default:"1000" doc:"the most to list; the latest ones"`
}

func (s *Server) listSamples(ctx context.Context, in *listSamples) (*reply[api.Samples], error) {
	list, err := s.o.Facts.Samples(ctx, runner.SampleFilter{Series: in.Series, Since: in.Since, Until: in.Until, Limit: in.Limit})
	if err != nil {
		return nil, err
	}
	return ok(api.NewSamples(in.Series, list))
}

type listSeries struct {
	Prefix string `query:"prefix" maxLength:"250" doc:"only series whose names begin with it"`
}

func (s *Server) listSeries(ctx context.Context, in *listSeries) (*reply[api.SeriesList], error) {
	list, err := s.o.Facts.Series(ctx, in.Prefix)
	if err != nil {
		return nil, err
	}
	return ok(api.NewSeriesList(list))
}

type addEvent struct {
	Via

	Body api.HappeningRequest
}

func (s *Server) addEvent(ctx context.Context, in *addEvent) (*reply[api.Recorded], error) {
	if !jobs.ValidName(in.Body.Kind) {
		return nil, api.NewProblem(api.CodeInvalid, "use one word of a-z, 0-9, _, . and -", "the kind of the event is no word")
	}
	if err := s.o.Facts.Record(ctx, in.Body.Runner(askedBy(ctx))); err != nil {
		return nil, err
	}
	return ok(api.Recorded{Count: 1})
}

type listEvents struct {
	Kind   []string  `query:"kind" maxItems:"50" doc:"only events of these kinds, with commas between"`
	Since  time.Time `query:"since" doc:"only events from then on"`
	Until  time.Time `query:"until" doc:"only events before then"`
	Before string    `query:"before" maxLength:"64" doc:"continue a list: only events before the one with this ID"`
	Limit  int       `query:"limit" minimum:"1" maximum:"1000" default:"50"`
}

func (s *Server) listEvents(ctx context.Context, in *listEvents) (*reply[api.Happenings], error) {
	list, err := s.o.Facts.Happenings(ctx, runner.HappeningFilter{Kinds: in.Kind, Since: in.Since, Until: in.Until, Before: in.Before, Limit: in.Limit})
	if err != nil {
		return nil, err
	}
	page := api.Happenings{Events: make([]api.Happening, len(list))}
	for i, h := range list {
		page.Events[i] = api.NewHappening(h)
	}
	if len(list) == in.Limit {
		page.Next = list[len(list)-1].ID
	}
	return ok(page)
}
