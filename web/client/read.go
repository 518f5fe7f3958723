package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

const (
	// longestPage is the most that one list answers, and most what one request
	// names.
	longestPage = 1000
	mostNamed   = 100
	// usualLimit is what a limit of 0 means in filters of runner.
	usualLimit = 50
)

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

func words[S ~string](list []S) string {
	parts := make([]string, len(list))
	for i, w := range list {
		parts[i] = string(w)
	}
	return strings.Join(parts, ",")
}

// Records returns the runs that f selects, newest first, as the API answers
// them: with their jobs, and whether somebody works on them.
func (c *Client) Records(ctx context.Context, f runner.Filter) ([]api.RunRecord, error) {
	return c.records(ctx, f, query{})
}

// records reads pages until it has what f asks for.
func (c *Client) records(ctx context.Context, f runner.Filter, more query) ([]api.RunRecord, error) {
	left := f.Limit
	if left <= 0 {
		left = usualLimit
	}
	var out []api.RunRecord
	for before := string(f.Before); left > 0; {
		q := more.set("workflow", f.Workflow).set("state", words(f.States)).set("trigger", words(f.Triggers)).
			set("slot", stamp(f.Slot)).set("since", stamp(f.Since)).set("until", stamp(f.Until)).set("before", before).
			set("limit", strconv.Itoa(min(left, longestPage)))
		var page api.Runs
		if err := c.do(ctx, call{method: http.MethodGet, path: "/runs", query: q}, &page); err != nil {
			return nil, err
		}
		out = append(out, page.Runs...)
		left -= len(page.Runs)
		if before = page.Next; before == "" {
			break
		}
	}
	return out, nil
}

// Runs is that of runner.Reader.
func (c *Client) Runs(ctx context.Context, f runner.Filter) ([]runner.Run, error) {
	records, err := c.records(ctx, f, query{"jobs": {"false"}, "spec": {"true"}})
	if err != nil {
		return nil, err
	}
	runs := make([]runner.Run, len(records))
	for i, r := range records {
		runs[i] = r.Runner()
	}
	return runs, nil
}

// Record returns one run as the API answers it, by its ID or an unambiguous
// beginning of it.
func (c *Client) Record(ctx context.Context, idOrPrefix string) (api.RunRecord, error) {
	var record api.RunRecord
	if idOrPrefix == "" {
		return record, fmt.Errorf("a run without an ID: %w", runner.ErrNotFound)
	}
	err := c.do(ctx, call{method: http.MethodGet, path: path("runs", idOrPrefix), query: query{"spec": {"true"}}}, &record)
	return record, err
}

// Run is that of runner.Reader.
func (c *Client) Run(ctx context.Context, idOrPrefix string) (runner.Run, error) {
	record, err := c.Record(ctx, idOrPrefix)
	if err != nil {
		return runner.Run{}, err
	}
	return record.Runner(), nil
}

// Attempts is that of runner.Reader.
func (c *Client) Attempts(ctx context.Context, runs ...runner.RunID) ([]runner.Attempt, error) {
	// In order of runs, so that the answers to the parts are in order together.
	runs = slices.Sorted(slices.Values(runs))
	var out []runner.Attempt
	for some := range slices.Chunk(slices.Compact(runs), mostNamed) {
		attempts, err := c.attempts(ctx, call{method: http.MethodGet, path: "/attempts", query: query{"run": {words(some)}}})
		if err != nil {
			return nil, err
		}
		out = append(out, attempts...)
	}
	return out, nil
}

func (c *Client) attempts(ctx context.Context, k call) ([]runner.Attempt, error) {
	var answer api.Attempts
	if err := c.do(ctx, k, &answer); err != nil {
		return nil, err
	}
	out := make([]runner.Attempt, len(answer.Attempts))
	for i, a := range answer.Attempts {
		out[i] = a.Runner()
	}
	return out, nil
}

func outputPath(key runner.AttemptKey) string {
	return path("runs", string(key.Run), "attempts", key.Job, strconv.Itoa(key.Number), "output")
}

// Output is that of runner.Reader.
func (c *Client) Output(ctx context.Context, key runner.AttemptKey) (runner.Output, error) {
	body, header, err := c.output(ctx, call{method: http.MethodGet, path: outputPath(key)})
	if err != nil {
		return runner.Output{}, err
	}
	head, err := strconv.ParseInt(header.Get(api.HeadHeader), 10, 64)
	cut, otherErr := strconv.ParseInt(header.Get(api.CutHeader), 10, 64)
	if err := errors.Join(err, otherErr); err != nil || head < 0 || head > int64(len(body)) {
		return runner.Output{}, fmt.Errorf("ask the daemon at %s: its answer does not say where the output was cut", c.place())
	}
	return runner.Output{Head: body[:head:head], Tail: body[head:], Cut: cut}, nil
}

// OutputFrom returns bytes that an attempt wrote from the place first on, and
// the place at which they begin: later than first when bytes in between were
// not kept. They end where bytes were cut, or with what was written so far; no
// bytes tell that there is nothing from there on yet.
func (c *Client) OutputFrom(ctx context.Context, key runner.AttemptKey, first int64) (from int64, written []byte, err error) {
	header := http.Header{"Range": {fmt.Sprintf("bytes=%d-", first)}}
	written, answered, err := c.output(ctx, call{method: http.MethodGet, path: outputPath(key), header: header})
	if p, ok := errors.AsType[*api.Problem](err); ok && p.Code == api.CodeRange {
		return first, nil, nil
	}
	if err != nil {
		return first, nil, err
	}
	if _, err := fmt.Sscanf(answered.Get("Content-Range"), "bytes %d-", &from); err != nil {
		return first, nil, fmt.Errorf("ask the daemon at %s: its answer does not say where the output begins: %w", c.place(), err)
	}
	return from, written, nil
}

func (c *Client) output(ctx context.Context, k call) ([]byte, http.Header, error) {
	if k.within <= 0 {
		k.within = c.o.Within
	}
	ctx, cancel := context.WithTimeoutCause(ctx, k.within, ErrSilent)
	defer cancel()
	response, err := c.send(ctx, k)
	if err != nil {
		return nil, nil, err
	}
	defer response.Body.Close() //nolint:errcheck // only read
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, nil, c.lost(ctx, err)
	}
	return body, response.Header, nil
}

// Past is that of runner.Reader, for a limit of at most 1000.
func (c *Client) Past(ctx context.Context, workflow, job string, except runner.RunID, limit int) ([]runner.Attempt, error) {
	if limit <= 0 {
		return nil, nil
	}
	q := query{}.set("except", string(except)).set("limit", strconv.Itoa(min(limit, longestPage)))
	return c.attempts(ctx, call{method: http.MethodGet, path: path("workflows", workflow, "jobs", job, "past"), query: q})
}

// Latest is that of runner.Reader.
func (c *Client) Latest(ctx context.Context, workflows []string) (map[string]runner.Run, error) {
	out := map[string]runner.Run{}
	for some := range slices.Chunk(workflows, mostNamed) {
		var answer api.LatestRuns
		q := query{"workflow": {words(some)}, "spec": {"true"}}
		if err := c.do(ctx, call{method: http.MethodGet, path: "/latest", query: q}, &answer); err != nil {
			return nil, err
		}
		for name, record := range answer.Runs {
			out[name] = record.Runner()
		}
	}
	return out, nil
}
