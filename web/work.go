package web

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

// Custody works on the artifacts in the stores of the service, one work at a
// time. Its methods may be called from several goroutines. Each of them takes
// the place of that work and returns it, to be called once; when ctx ends
// before, the place is free again. CodeSkipped while another is under way,
// CodeUnavailable while nothing new may start.
type Custody interface {
	Verify(ctx context.Context, by string, r api.VerifyRequest) (Work, error)
	Drill(ctx context.Context, by string, r api.DrillRequest) (Work, error)
	Restore(ctx context.Context, by string, r api.RestoreRequest) (Work, error)
	Prune(ctx context.Context, by string, r api.PruneRequest) (Work, error)
}

// Work does what was asked for and calls tell with how it goes, from several
// goroutines. The error may come beside what came of it; its text has no
// secret, and goes to who asks. It returns soon after ctx has ended.
type Work func(ctx context.Context, tell func(api.WorkEvent)) (api.Worked, error)

// registerWork adds what is done with artifacts.
func (s *Server) registerWork() {
	const follow = " A stream of server-sent events; the name of each is its kind, its data a WorkEvent. The last one is done. Who goes away stops the work. One work is under way at a time."
	content := map[string]*huma.MediaType{"text/event-stream": {Schema: schemaOf[api.WorkEvent](s.api)}}
	of := func(id, verb, summary, doc string) operation {
		return operation{id: id, method: http.MethodPost, path: "/artifacts/" + verb, tag: "artifacts", summary: summary, doc: doc + follow, content: content}
	}
	add(s, of("verify-artifacts", "verify", "Prove artifacts anew: read them back and compare",
		"Reads artifacts through their stores and keeps the outcome beside their manifests; what is damaged no longer counts as a backup."),
		func(ctx context.Context, in *verifyArtifacts) (*huma.StreamResponse, error) {
			return working(ctx, s, s.custody().Verify, in.Body)
		})
	add(s, of("drill-artifacts", "drill", "Prove that artifacts can be restored, and how long that takes",
		"Restores artifacts in full into a place of their own, compares, asks assertions, measures, and removes everything again."),
		func(ctx context.Context, in *drillArtifacts) (*huma.StreamResponse, error) {
			return working(ctx, s, s.custody().Drill, in.Body)
		})
	add(s, of("restore-artifact", "restore", "Put back what an artifact holds",
		"On the machine and with the rights of the service. A target that exists or holds anything is refused, unless replace is given; what was there is then kept beside it."),
		func(ctx context.Context, in *restoreArtifact) (*huma.StreamResponse, error) {
			return working(ctx, s, s.custody().Restore, in.Body)
		})
	add(s, of("prune-artifacts", "prune", "Tell what retention would remove, or have it removed",
		"By the rules, the cap and what holds them back that the jobs themselves apply after a success."),
		func(ctx context.Context, in *pruneArtifacts) (*huma.StreamResponse, error) {
			return working(ctx, s, s.custody().Prune, in.Body)
		})
}

type verifyArtifacts struct {
	Via

	Body api.VerifyRequest
}

type drillArtifacts struct {
	Via

	Body api.DrillRequest
}

type restoreArtifact struct {
	Via

	Body api.RestoreRequest
}

type pruneArtifacts struct {
	Via

	Body api.PruneRequest
}

// custody is who works on artifacts.
func (s *Server) custody() Custody {
	if s.o.Custody == nil {
		return noCustody{}
	}
	return s.o.Custody
}

// noCustody answers for a process that works on no artifacts.
type noCustody struct{}

func (noCustody) Verify(context.Context, string, api.VerifyRequest) (Work, error) {
	return nil, errNoArtifacts()
}

func (noCustody) Drill(context.Context, string, api.DrillRequest) (Work, error) {
	return nil, errNoArtifacts()
}

func (noCustody) Restore(context.Context, string, api.RestoreRequest) (Work, error) {
	return nil, errNoArtifacts()
}

func (noCustody) Prune(context.Context, string, api.PruneRequest) (Work, error) {
	return nil, errNoArtifacts()
}

// working begins a work and answers with the stream that tells of it.
func working[R any](ctx context.Context, s *Server, begin func(context.Context, string, R) (Work, error), r R) (*huma.StreamResponse, error) {
	work, err := begin(ctx, askedBy(ctx), r)
	if err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		_, w := humago.Unwrap(hc)
		streamHeader(w)
		s.work(ctx, w, work)
	}}, nil
}

// work does a work and writes the stream that tells of it.
func (s *Server) work(ctx context.Context, w http.ResponseWriter, do Work) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	out := &workStream{w: w, cancel: cancel}
	over := make(chan struct{})
	var beating sync.WaitGroup
	beating.Go(func() {
		alive := time.NewTicker(s.o.Heartbeat)
		defer alive.Stop()
		ending := s.ending
		for {
			select {
			case <-over:
				return
			case <-ending:
				cancel(runner.ErrShutdown)
				ending = nil
			case <-alive.C:
				out.write([]byte(": alive\n\n"))
			}
		}
	})
	out.write([]byte(": begun\n\n")) // the headers are an answer to who waits
	result, err := do(ctx, out.tell)
	close(over)
	beating.Wait()
	done := api.WorkEvent{Kind: api.WorkDone, Result: &result}
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		done.Problem = api.FailureOf(err)
		s.log.LogAttrs(ctx, slog.LevelInfo, "work on artifacts failed", slog.String("request_id", requestID(ctx)), slog.Any("error", err))
		failedWithin(w)
	}
	out.tell(done)
	s.Changed(api.TopicArtifacts)
}

// workStream writes the events of one work. Whoever does not take them any more
// has gone, and that ends the work.
type workStream struct {
	mu     sync.Mutex
	w      http.ResponseWriter
	cancel context.CancelCauseFunc
}

// errGone ends a work that nobody waits for any more.
var errGone = fmt.Errorf("who asked has gone: %w", context.Canceled)

func (o *workStream) write(text []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !writeStream(o.w, text) {
		o.cancel(errGone)
	}
}

// tell writes one event.
func (o *workStream) tell(e api.WorkEvent) {
	data, err := json.Marshal(e)
	if err != nil {
		o.cancel(fmt.Errorf("tell how it goes: %w", err))
		return
	}
	// JSON has no line breaks outside of strings, and none inside.
	o.write(fmt.Appendf(nil, "event: %s\ndata: %s\n\n", e.Kind, data))
}

// failedWithin tells the audit that a request failed whose answer had begun.
func failedWithin(w http.ResponseWriter) {
	for w != nil {
		if rec, ok := w.(*recorder); ok {
			rec.failed = true
			return
		}
		inner, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return
		}
		w = inner.Unwrap()
	}
}
