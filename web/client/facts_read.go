package client

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

// Series returns the series whose names begin with prefix, by name.
func (c *Client) Series(ctx context.Context, prefix string) ([]runner.Series, error) {
	var answer api.SeriesList
	if err := c.do(ctx, call{method: http.MethodGet, path: "/series", query: query{}.set("prefix", prefix)}, &answer); err != nil {
		return nil, err
	}
	list := make([]runner.Series, len(answer.Series))
	for i, s := range answer.Series {
		list[i] = runner.Series(s)
	}
	return list, nil
}

// mostSamples is the most stretches that one request answers.
const mostSamples = 10_000

// Stretches returns what f selects of a series, in the order of time.
func (c *Client) Stretches(ctx context.Context, f runner.SampleFilter) ([]runner.Stretch, error) {
	answer, err := c.Samples(ctx, f.Series, f.Since, f.Until, min(f.Limit, mostSamples))
	if err != nil {
		return nil, err
	}
	list := make([]runner.Stretch, len(answer.Samples))
	for i, s := range answer.Samples {
		list[i] = runner.Stretch{
			At: s.At, Length: time.Duration(s.LengthSeconds * float64(time.Second)), Count: s.Count, Sum: s.Mean * float64(s.Count), Low: s.Low, High: s.High,
		}
	}
	return list, nil
}

// Happenings returns what happened to the system, the latest first.
func (c *Client) Happenings(ctx context.Context, f runner.HappeningFilter) ([]runner.Happening, error) {
	left := f.Limit
	if left <= 0 {
		left = usualLimit
	}
	var list []runner.Happening
	for before := f.Before; left > 0; {
		q := query{}.set("kind", words(f.Kinds)).set("since", stamp(f.Since)).set("until", stamp(f.Until)).set("before", before).
			set("limit", strconv.Itoa(min(left, longestPage)))
		var page api.Happenings
		if err := c.do(ctx, call{method: http.MethodGet, path: "/events", query: q}, &page); err != nil {
			return nil, err
		}
		for _, h := range page.Events {
			list = append(list, runner.Happening(h))
		}
		left -= len(page.Events)
		if before = page.Next; before == "" {
			break
		}
	}
	return list, nil
}

// Timeline returns the entries of an incident, the earliest first.
func (c *Client) Timeline(ctx context.Context, incident string) ([]runner.Entry, error) {
	detail, err := c.IncidentDetail(ctx, incident)
	if err != nil {
		return nil, err
	}
	list := make([]runner.Entry, len(detail.Timeline))
	for i, e := range detail.Timeline {
		list[i] = e.Runner()
	}
	return list, nil
}
