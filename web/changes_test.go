package web_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web"
	"github.com/ghosteam/upkeep/web/api"
)

// changes follows the changes of a server.
type changes struct{ lines *bufio.Scanner }

// next returns the id and the topics of the next event.
func (c changes) next(t *testing.T) (id string, topics []api.Topic) {
	t.Helper()
	for c.lines.Scan() {
		line := c.lines.Text()
		if text, ok := strings.CutPrefix(line, "id: "); ok {
			id = text
		}
		if text, ok := strings.CutPrefix(line, "data: "); ok {
			var said api.Changes
			if err := json.Unmarshal([]byte(text), &said); err != nil {
				t.Fatal(err)
			}
			return id, said.Topics
		}
	}
	t.Fatalf("the stream ended: %v", c.lines.Err())
	return "", nil
}

// until returns the first event that names a topic.
func (c changes) until(t *testing.T, topic api.Topic) (id string) {
	t.Helper()
	for {
		if id, topics := c.next(t); slices.Contains(topics, topic) {
			return id
		}
	}
}

// TestChanges follows what people and runs change, and comes back.
func TestChanges(t *testing.T) {
	t.Parallel()
	f := stocked()
	o := f.options()
	o.ChangesEvery = time.Millisecond
	server := web.New(o)
	handler := server.Handler()
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler.ServeHTTP(w, r.WithContext(web.Identify(r.Context(), web.Identity{Name: "anna", Role: web.Admin})))
	}))
	t.Cleanup(site.Close)
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	follow := func(last string) changes {
		t.Helper()
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, site.URL+"/api/v1/changes", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Last-Event-ID", last)
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = response.Body.Close() })
		if got := response.Header.Get("Content-Type"); got != "text/event-stream" {
			t.Fatalf("content type %q", got)
		}
		return changes{bufio.NewScanner(response.Body)}
	}
	first := follow("")
	began, topics := first.next(t)
	if len(topics) != 0 {
		t.Errorf("at first: %v", topics)
	}
	ask(t, handler, http.MethodPost, "/api/v1/workflows/daily/pause", `{"reason":"tests"}`)
	first.until(t, api.TopicPauses)
	o.Hub.Observe(ctx, runner.RunEnded{Run: runner.Run{ID: "r"}})
	first.until(t, api.TopicRuns)
	server.Changed(api.TopicConfig, api.TopicArtifacts)
	last := first.until(t, api.TopicArtifacts)
	if _, topics := follow(began).next(t); !slices.Contains(topics, api.TopicPauses) || !slices.Contains(topics, api.TopicConfig) {
		t.Errorf("who comes back hears %v", topics)
	}
	if _, topics := follow(last).next(t); slices.Contains(topics, api.TopicPauses) {
		t.Errorf("who has heard it hears again of %v", topics)
	}
	if _, topics := follow("another-7").next(t); len(topics) != len(api.Topics()) {
		t.Errorf("after a restart: %v", topics)
	}
	// What was recorded by somebody else.
	f.put(runner.Run{ID: "019abfff-0000-7000-8000-000000000000", State: runner.Succeeded})
	first.until(t, api.TopicRuns)
	// What was refused changed nothing.
	f.setFail(runner.ErrNotFound)
	ask(t, handler, http.MethodDelete, "/api/v1/workflows/daily/pause", "")
	f.setFail(nil)
	server.Changed(api.TopicDaemon)
	for {
		_, topics := first.next(t)
		if slices.Contains(topics, api.TopicPauses) {
			t.Errorf("a failure is told as a change: %v", topics)
		}
		if slices.Contains(topics, api.TopicDaemon) {
			break
		}
	}
}
