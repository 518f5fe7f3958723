package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

// gatherFor is how long what an attempt writes is gathered before it is sent.
const gatherFor = 100 * time.Millisecond

// registerTail adds the stream of an attempt's output.
func (s *Server) registerTail() {
	add(s, operation{
		id: "follow-output", method: http.MethodGet, path: "/runs/{id}/attempts/{job}/{number}/output/events", tag: "runs",
		summary: "Follow what an attempt writes to its end",
		doc: "A stream of server-sent events; the name of each is its kind, its data an OutputEvent, its id the place at which the next one goes on, so that a reader who " +
			"comes back with Last-Event-ID misses nothing. output carries text; cut says that the bytes between from and next were not kept; end says how the attempt ended; " +
			"shutdown that the daemon stops. Text is never split inside a character. A reader who is slow is told what is kept, and never holds the attempt up.",
		content: map[string]*huma.MediaType{"text/event-stream": {Schema: schemaOf[api.OutputEvent](s.api)}},
	}, s.followOutput)
}

type followOutput struct {
	ByID

	Job         string `path:"job" maxLength:"255"`
	Number      int    `path:"number" minimum:"1" doc:"of the attempt"`
	From        int64  `query:"from" minimum:"0" doc:"the place of the first byte to send"`
	LastEventID string `header:"Last-Event-ID" maxLength:"64" doc:"the id of the last event that was heard; it comes before from"`
}

func (s *Server) followOutput(ctx context.Context, in *followOutput) (*huma.StreamResponse, error) {
	from := in.From
	if place, err := strconv.ParseInt(in.LastEventID, 10, 64); err == nil && place >= 0 {
		from = place
	}
	run, err := s.o.Runs.Run(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	key := runner.AttemptKey{Run: run.ID, Job: in.Job, Number: in.Number}
	if _, err := s.attempt(ctx, key); err != nil {
		return nil, err
	}
	leave, err := s.followers.enter()
	if err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		defer leave()
		_, w := humago.Unwrap(hc)
		streamHeader(w)
		feed, left := s.o.Hub.feeds.follow(key, func(ctx context.Context) (past, error) { return s.past(ctx, key) })
		defer left()
		t := &tail{s: s, w: w, feed: feed, at: from}
		t.follow(ctx)
	}}, nil
}

// attempt finds an attempt.
func (s *Server) attempt(ctx context.Context, key runner.AttemptKey) (runner.Attempt, error) {
	list, err := s.o.Runs.Attempts(ctx, key.Run)
	if err != nil {
		return runner.Attempt{}, err
	}
	at := slices.IndexFunc(list, func(a runner.Attempt) bool { return a.Key() == key })
	if at < 0 {
		return runner.Attempt{}, fmt.Errorf("attempt %d of job %s: %w", key.Number, key.Job, runner.ErrNotFound)
	}
	return list[at], nil
}

// past reads what is known of an attempt. The state comes first: what was
// written until the end is there then.
func (s *Server) past(ctx context.Context, key runner.AttemptKey) (past, error) {
	a, err := s.attempt(ctx, key)
	if err != nil {
		return past{}, err
	}
	out, err := s.o.Runs.Output(ctx, key)
	if errors.Is(err, runner.ErrNotFound) {
		err = nil // it runs where this process cannot see it, or wrote nothing yet
	}
	return past{output: out, state: a.State}, err
}

// tail writes one stream.
type tail struct {
	s    *Server
	w    http.ResponseWriter
	feed *feed
	// at is the place of the next byte.
	at int64
}

// follow writes until the attempt has ended, the reader has gone or the server
// stops.
func (t *tail) follow(ctx context.Context) {
	heartbeat, poll := time.NewTicker(t.s.o.Heartbeat), time.NewTicker(t.s.o.Poll)
	defer heartbeat.Stop()
	defer poll.Stop()
	if !writeStream(t.w, []byte("retry: 1000\n\n")) {
		return
	}
	for polls := 1; ; {
		wait, over := t.pass(ctx)
		if over {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-t.s.ending:
			t.send(api.OutputEvent{Kind: api.EventShutdown, From: t.at, Next: t.at})
			return
		case <-wait:
			t.gather(ctx)
		case <-poll.C:
			if t.feed.idle() || polls%slowPolls == 0 {
				_ = t.look(ctx, time.Now().Add(-lately))
			}
			polls++
		case <-heartbeat.C:
			if !writeStream(t.w, []byte(": alive\n\n")) {
				return
			}
		}
	}
}

// gather lets more come together.
func (t *tail) gather(ctx context.Context) {
	timer := time.NewTimer(gatherFor)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	case <-t.s.ending:
	}
}

// pass writes all that there is; over tells that the stream is at its end.
func (t *tail) pass(ctx context.Context) (wait chan struct{}, over bool) {
	known := false
	for ctx.Err() == nil {
		p := t.feed.after(t.at, known)
		switch {
		case p.unknown:
			if known = t.look(ctx, p.since); !known {
				return t.feed.waits(), false
			}
			continue
		case p.wait != nil:
			return p.wait, false
		case p.over != "":
			t.send(api.OutputEvent{Kind: api.OutputEnd, From: t.at, Next: t.at, State: string(p.over)})
			return nil, true
		}
		known = false
		if !t.write(p) {
			return nil, true
		}
		t.at = p.next
		select {
		case <-t.s.ending:
			return nil, false
		default:
		}
	}
	return nil, true
}

// look has the ledger read, and tells whether that was possible; when it was
// not, the next poll tries again.
func (t *tail) look(ctx context.Context, after time.Time) bool {
	err := t.feed.look(ctx, after)
	if err != nil && ctx.Err() == nil {
		t.s.log.LogAttrs(ctx, slog.LevelWarn, "an output that is followed could not be read", slog.Any("error", err))
	}
	return err == nil
}

// write sends a portion and tells whether the reader is still there.
func (t *tail) write(p portion) bool {
	if len(p.text) == 0 {
		return t.send(api.OutputEvent{Kind: api.OutputCut, From: p.from, Next: p.next})
	}
	if p.chunk == nil {
		return t.send(api.OutputEvent{Kind: api.OutputText, From: p.from, Next: p.next, Text: string(p.text)})
	}
	t.feed.mu.Lock()
	event := p.chunk.event
	t.feed.mu.Unlock()
	if event == nil {
		event = encodeOutput(api.OutputEvent{Kind: api.OutputText, From: p.from, Next: p.next, Text: string(p.text)})
		t.feed.mu.Lock()
		p.chunk.event = event
		t.feed.mu.Unlock()
	}
	return writeStream(t.w, event)
}

func (t *tail) send(e api.OutputEvent) bool { return writeStream(t.w, encodeOutput(e)) }

// encodeOutput is an event as it goes over the wire. What is no UTF-8 is
// replaced.
func encodeOutput(e api.OutputEvent) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "id: %d\nevent: %s\ndata: ", e.Next, e.Kind)
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(e) // numbers and strings always have a JSON; it ends with a line break
	b.WriteByte('\n')
	return b.Bytes()
}
