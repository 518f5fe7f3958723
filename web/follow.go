package web

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

// slowPolls is how many polls pass before a run that this process executes is
// looked at anyway, in case it went on elsewhere without a word.
const slowPolls = 8

// registerFollowing adds the stream of a run's events.
func (s *Server) registerFollowing() {
	event := schemaOf[api.Event](s.api)
	add(s, operation{
		id: "follow-run", method: http.MethodGet, path: "/runs/{id}/events", tag: "runs", summary: "Follow a run to its end",
		doc: "A stream of server-sent events. The name of each is its kind, its data an Event. The first is a snapshot of the run with its attempts, " +
			"so that whoever comes late misses nothing; another takes its place when the reader was too slow or the run is executed by another process. " +
			"The stream ends after run_ended, or after shutdown when the daemon stops.",
		content: map[string]*huma.MediaType{"text/event-stream": {Schema: event}},
	}, s.followRun)
}

func (s *Server) followRun(ctx context.Context, in *ByID) (*huma.StreamResponse, error) {
	id, err := s.resolve(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		_, w := humago.Unwrap(hc)
		streamHeader(w)
		f := &follower{s: s, run: id, w: w, sub: s.o.Hub.subscribe(id)}
		defer f.sub.close()
		f.follow(ctx)
	}}, nil
}

// follower writes one stream.
type follower struct {
	s    *Server
	run  runner.RunID
	w    http.ResponseWriter
	sub  *subscription
	seen []byte // the last snapshot; nil when one has to come first
	// jobs are those of a run of which this process has heard nothing.
	jobs []api.JobName
}

// follow writes until the run has ended, the reader has gone or the server
// stops.
func (f *follower) follow(ctx context.Context) {
	poll, heartbeat := time.NewTicker(f.s.o.Poll), time.NewTicker(f.s.o.Heartbeat)
	defer poll.Stop()
	defer heartbeat.Stop()
	over := f.snapshot(ctx, true)
	for polls := 1; !over; {
		select {
		case <-ctx.Done():
			return
		case <-f.s.ending:
			f.send(message{kind: api.EventShutdown, data: []byte(`{"kind":"` + api.EventShutdown + `"}`)})
			return
		case <-f.sub.wake:
			over = f.pass(ctx)
		case <-poll.C:
			if _, _, here := f.s.o.Hub.known(f.run); !here || f.seen == nil || polls%slowPolls == 0 {
				over = f.snapshot(ctx, false)
			}
			polls++
		case <-heartbeat.C:
			over = !f.write([]byte(": alive\n\n"))
		}
	}
}

// pass writes what the hub has; it returns true when the stream is over.
func (f *follower) pass(ctx context.Context) bool {
	if f.seen == nil {
		return f.snapshot(ctx, true)
	}
	pending, lost := f.sub.take()
	if lost {
		f.seen = nil
		return f.snapshot(ctx, true)
	}
	return f.sendAll(pending)
}

// sendAll writes messages; it returns true when the stream is over.
func (f *follower) sendAll(messages []message) bool {
	for _, m := range messages {
		if !f.send(m) || m.kind == api.EventRunEnded {
			return true
		}
	}
	return false
}

// snapshot writes all that is known of the run; unless always, only when it
// has changed. It returns true when the stream is over.
func (f *follower) snapshot(ctx context.Context, always bool) bool {
	names, said, here := f.s.o.Hub.known(f.run)
	record, data, err := f.look(ctx, names)
	if err != nil {
		if ctx.Err() == nil {
			// The next poll tries again.
			f.s.log.LogAttrs(ctx, slog.LevelWarn, "a run that is followed could not be read", slog.String("run", string(f.run)), slog.Any("error", err))
		}
		return false
	}
	if f.seen != nil {
		// What was told before the look comes before it.
		pending, lost := f.sub.take()
		if f.sendAll(pending) {
			return true
		}
		always = always || lost
	}
	if always || !bytes.Equal(data, f.seen) {
		f.seen = data
		if !f.send(message{kind: api.EventSnapshot, data: data}) {
			return true
		}
		for _, m := range said {
			if here && !f.send(m) {
				return true
			}
		}
	}
	if !record.State.Final() {
		return false
	}
	record.Jobs = map[string]api.Job{}
	end, err := json.Marshal(api.Event{Kind: api.EventRunEnded, Run: &record})
	if err != nil {
		f.s.log.LogAttrs(ctx, slog.LevelError, "the end of a run that is followed could not be told", slog.String("run", string(f.run)), slog.Any("error", err))
		return true
	}
	f.send(message{kind: api.EventRunEnded, data: end})
	return true
}

// look reads the run and makes its snapshot.
func (f *follower) look(ctx context.Context, names []api.JobName) (api.RunRecord, []byte, error) {
	run, attempts, err := f.s.read(ctx, string(f.run))
	if err != nil {
		return api.RunRecord{}, nil, err
	}
	alive, err := f.s.alive(ctx, run)
	if err != nil {
		return api.RunRecord{}, nil, err
	}
	record := f.s.record(run, attempts, alive, false)
	if names == nil && run.Epoch > 0 {
		names = f.plan(ctx, run)
	}
	event := api.Event{Kind: api.EventSnapshot, Run: &record, Jobs: names}
	for _, a := range attempts {
		event.Attempts = append(event.Attempts, api.NewAttemptRecord(a))
	}
	data, err := json.Marshal(event)
	return record, data, err
}

// plan is what the jobs of a run are of which this process has heard nothing.
func (f *follower) plan(ctx context.Context, run runner.Run) []api.JobName {
	if f.jobs == nil {
		for _, j := range f.s.o.Definitions.Graph(ctx, run.Spec, run.Params) {
			if len(run.Jobs) == 0 || slices.Contains(run.Jobs, j.Name) {
				f.jobs = append(f.jobs, api.JobName{Name: j.Name, Kind: j.Kind})
			}
		}
	}
	return f.jobs
}

// send writes one event and tells whether the reader is still there.
func (f *follower) send(m message) bool {
	// JSON has no line breaks outside of strings, and none inside.
	return f.write(fmt.Appendf(nil, "event: %s\ndata: %s\n\n", m.kind, m.data))
}

func (f *follower) write(text []byte) bool { return writeStream(f.w, text) }
