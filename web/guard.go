package web

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path"
	"regexp"
	"runtime/debug"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/runner/logbook"
	"github.com/ghosteam/upkeep/web/access"
	"github.com/ghosteam/upkeep/web/api"
)

const (
	// mostBody bounds what is read of a request.
	mostBody = 1 << 20
	// readBodyWithin is how long a client may take to send it.
	readBodyWithin = 10 * time.Second
	// writeWithin is how long a client may take to receive one write.
	writeWithin = 30 * time.Second
	// longestVia bounds ByHeader.
	longestVia = 100
)

// ByHeader is the header in which a client says what it is, such as "cli". It
// goes into the record behind the name of who asks, which no header can
// change.
const ByHeader = "Upkeep-By"

// RequestIDHeader names a request in the answer and in the log. A client may
// choose it.
const RequestIDHeader = "X-Request-Id"

type (
	requestIDKey struct{}
	byKey        struct{}
)

func requestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

// askedBy names who asks, for the record.
func askedBy(ctx context.Context) string {
	by, _ := ctx.Value(byKey{}).(string)
	return by
}

// ownID matches request IDs that a client may choose.
var ownID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// guard is around every request: it names and logs it, catches panics, reads
// the body within bounds, and finds out who asks.
func (s *Server) guard(next *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.ready()
		id := r.Header.Get(RequestIDHeader)
		if !ownID.MatchString(id) {
			id = uuid.NewString()
		}
		began := time.Now()
		s.o.Meter.RequestBegan()
		ctx := logbook.With(context.WithValue(r.Context(), requestIDKey{}, id), slog.String("request_id", id))
		rec := &recorder{ResponseWriter: w, control: http.NewResponseController(w)}
		header := rec.Header()
		header.Set(RequestIDHeader, id)
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Cache-Control", "no-store")
		if door := access.DoorOf(ctx); door != nil {
			door.Harden(header, r)
		}
		defer func() { s.measured(rec, r, began) }()
		defer func() {
			s.access.LogAttrs(ctx, slog.LevelInfo, "request", slog.String("request_id", id), slog.String("method", r.Method),
				slog.String("path", loggedPath(r)), slog.Int("status", rec.status), slog.Int64("bytes", rec.bytes),
				slog.Duration("took", time.Since(began)), slog.String("by", askedBy(ctx)))
		}()
		defer func() { s.caught(ctx, rec, r, recover()) }()
		var admitted bool
		if ctx, admitted = s.admit(ctx, rec, r); !admitted {
			return
		}
		s.route(next, rec, r.WithContext(ctx))
	})
}

// loggedPath is the address of a request as the log says it: without the slug
// of a heartbeat, which may be a secret.
func loggedPath(r *http.Request) string {
	clean := path.Clean(r.URL.Path)
	for _, prefix := range []string{"/ping/", Prefix + "/ping/"} {
		if strings.HasPrefix(clean, prefix) {
			return prefix + secret.Redacted
		}
	}
	return r.URL.Path
}

// caught ends a request whose handler panicked.
func (s *Server) caught(ctx context.Context, rec *recorder, r *http.Request, thrown any) {
	if thrown == nil {
		return
	}
	if err, ok := thrown.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		rec.broken = true
		panic(thrown)
	}
	rec.broken = true
	s.log.LogAttrs(ctx, slog.LevelError, "a request panicked", slog.String("request_id", requestID(ctx)),
		slog.String("method", r.Method), slog.String("path", loggedPath(r)),
		slog.String("panic", fmt.Sprint(thrown)), slog.String("stack", string(debug.Stack())))
	if rec.status != 0 {
		// Half an answer must not look like a whole one.
		panic(http.ErrAbortHandler)
	}
	writeProblem(ctx, rec, api.NewProblem(api.CodeInternal, "", "upkeep met an error that it did not expect; its log says more under the request's ID"))
}

// admit finds out who asks; it answers itself and returns false when nobody
// may ask so.
func (s *Server) admit(ctx context.Context, w *recorder, r *http.Request) (context.Context, bool) {
	who, known := access.Of(ctx)
	if door := access.DoorOf(ctx); door != nil && !known {
		pass, problem := door.Admit(w, r)
		who, known = pass.Identity, true
		ctx = Identify(ctx, who)
		if problem != nil {
			writeProblem(ctx, w, problem)
			s.refused(ctx, s.action(r.WithContext(ctx), w, "sign-in"))
			return ctx, false
		}
		if !pass.Lasting() {
			ctx = supervise(ctx, pass)
		}
	}
	if !known {
		return ctx, true
	}
	via := r.Header.Get(ByHeader)
	if via == "" {
		via = "api"
	}
	if !soundVia(via) {
		writeProblem(ctx, w, api.NewProblem(api.CodeInvalid, fmt.Sprintf("at most %d printable bytes", longestVia), "the header "+ByHeader+" makes no sense"))
		return ctx, false
	}
	by := fmt.Sprintf("%s@%s (%s)", who.Name, cmp.Or(who.From, s.host), via)
	return logbook.With(context.WithValue(ctx, byKey{}, by), slog.String("by", by)), true
}

// soundVia tells whether a text may be what a client calls itself.
func soundVia(via string) bool {
	return len(via) <= longestVia && !strings.ContainsFunc(via, func(c rune) bool { return !unicode.IsPrint(c) })
}

// sane refuses addresses that no database would look up. It answers itself and
// returns false then.
func sane(w http.ResponseWriter, r *http.Request) bool {
	query, err := url.QueryUnescape(r.URL.RawQuery)
	for _, text := range []string{r.URL.Path, query} {
		if err != nil || !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
			writeProblem(r.Context(), w, api.NewProblem(api.CodeInvalid, "", "the address is not UTF-8, or holds NUL"))
			return false
		}
	}
	return true
}

// readBody reads the request's body within bounds of length and time, so that
// no handler waits for a client. It answers itself and returns false when that
// fails.
func (s *Server) readBody(rec *recorder, r *http.Request) bool {
	if r.Body == nil || r.Body == http.NoBody {
		return true
	}
	rec.deadline(rec.control.SetReadDeadline, readBodyWithin)
	body, err := io.ReadAll(http.MaxBytesReader(rec, r.Body, mostBody-1))
	rec.deadline(rec.control.SetReadDeadline, 0)
	switch {
	case err == nil:
		rec.body, r.Body = body, io.NopCloser(bytes.NewReader(body))
		return true
	case is[*http.MaxBytesError](err):
		writeProblem(r.Context(), rec, api.NewProblem(api.CodeTooLarge, "", fmt.Sprintf("the body is %d bytes long or more", mostBody)))
	case errors.Is(err, os.ErrDeadlineExceeded):
		writeProblem(r.Context(), rec, api.NewProblem(api.CodeUnavailable, "", fmt.Sprintf("the body did not arrive within %s", readBodyWithin)))
	default:
		writeProblem(r.Context(), rec, api.NewProblem(api.CodeInvalid, "", "the body could not be read"))
	}
	return false
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// route hands a request over to its handler if who asks may, and answers in our
// form when there is none.
func (s *Server) route(mux *http.ServeMux, w *recorder, r *http.Request) {
	handler, pattern := mux.Handler(r)
	if !s.authorize(r.Context(), w, r, s.needed(pattern, r.Method)) {
		if what := s.names[pattern]; what != "" {
			s.refused(r.Context(), s.action(r, w, what))
		}
		return
	}
	if !sane(w, r) || !s.readBody(w, r) {
		return
	}
	if pattern != "" {
		_, w.route, _ = strings.Cut(pattern, " ")
		defer func() { s.audit(r, w, pattern, s.audited(pattern, r.Method)) }()
		mux.ServeHTTP(w, r)
		return
	}
	probe := &probe{header: http.Header{}}
	handler.ServeHTTP(probe, r)
	if probe.status == http.StatusMethodNotAllowed {
		allow := probe.header.Get("Allow")
		w.Header().Set("Allow", allow)
		writeProblem(r.Context(), w, api.NewProblem(api.CodeNoMethod, "use "+allow, "this address does not answer "+r.Method))
		return
	}
	if s.pages != nil && browses(r) {
		s.pages.Missing(w, r)
		return
	}
	writeProblem(r.Context(), w, api.NewProblem(api.CodeNotFound, "", "there is nothing at this address"))
}

// writeProblem answers with a problem outside of huma.
func writeProblem(ctx context.Context, w http.ResponseWriter, p *api.Problem) {
	p.RequestID = requestID(ctx)
	body, err := json.Marshal(p)
	if err != nil {
		body = []byte("{}")
	}
	w.Header().Set("Content-Type", p.ContentType(""))
	w.WriteHeader(p.Status)
	_, _ = w.Write(body) // a client that has gone needs no answer
}
