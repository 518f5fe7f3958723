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
		id: "add-event", touches: []api.Topic{api.TopicEvents}, method: http.MethodPost, path: "/events", tag: tag, status: http.StatusCreated,
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
	Points int       `query:"points" minimum:"0" maximum:"5000" doc:"for a chart: fold what is between since and until into at most so many stretches of the same length; limit does not count then"`
}

// mostFolded bounds how many stretches on record are folded for one chart; of
// more, the latest ones are.
const mostFolded = 50_000

func (s *Server) listSamples(ctx context.Context, in *listSamples) (*reply[api.Samples], error) {
	if in.Points > 0 {
		in.Limit = mostFolded
	}
	list, err := s.o.Facts.Samples(ctx, runner.SampleFilter{Series: in.Series, Since: in.Since, Until: in.Until, Limit: in.Limit})
	if err != nil {
		return nil, err
	}
	if in.Points > 0 && len(list) > in.Points {
		list = fold(list, in.Since, in.Until, in.Points)
	}
	return ok(api.NewSamples(in.Series, list))
}

// fold makes at most points stretches of equal length of a list in the order of
// time. Each holds what begins in it; those in which nothing begins are left
// out.
func fold(list []runner.Stretch, since, until time.Time, points int) []runner.Stretch {
	first, last := list[0].At, list[len(list)-1].At
	if !since.IsZero() && since.Before(first) {
		first = since
	}
	if !until.IsZero() && until.After(last) {
		last = until
	}
	length := max(last.Sub(first)/time.Duration(points)+1, 1)
	var out []runner.Stretch
	for _, s := range list {
		at := first.Add(s.At.Sub(first) / length * length)
		if n := len(out); n > 0 && out[n-1].At.Equal(at) {
			f := &out[n-1]
			f.Count, f.Sum, f.Low, f.High = f.Count+s.Count, f.Sum+s.Sum, min(f.Low, s.Low), max(f.High, s.High)
			continue
		}
		out = append(out, runner.Stretch{At: at, Length: length, Count: s.Count, Sum: s.Sum, Low: s.Low, High: s.High})
	}
	return out
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
