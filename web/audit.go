package web

import (
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/access"
)

// Audit is the record of who did what.
type Audit interface {
	runner.Auditor
	runner.AuditReader
}

const (
	// auditWithin bounds how long an answer waits for its line in the audit.
	auditWithin = 5 * time.Second
	// refusalsTogether is for how long refusals of the same kind are counted
	// before they become one line, and mostRefusals how many lines there are in
	// that time: the audit must not be what fills the disk.
	refusalsTogether = time.Minute
	mostRefusals     = 30
)

// audited tells what an operation is called in the audit; empty for what only
// reads, and for what is a record itself.
func (s *Server) audited(pattern, method string) string {
	if method == http.MethodGet || method == http.MethodHead {
		return ""
	}
	switch id := s.names[pattern]; id {
	case "add-samples":
		return ""
	case "":
		if _, path, _ := strings.Cut(pattern, " "); path == access.LoginPath {
			return "log-in"
		}
		return ""
	default:
		return id
	}
}

// action is the line of a request.
func (s *Server) action(r *http.Request, w *recorder, what string) runner.Action {
	who, _ := access.Of(r.Context())
	a := runner.Action{
		At: time.Now().UTC(), Who: who.Name, Role: who.Role, Means: string(who.Means), From: cmp.Or(who.From, string(access.BySocket)), Via: viaOf(r),
		What: what, Status: w.status, RequestID: requestID(r.Context()), Count: 1, End: runner.ActionDone,
	}
	if who.Anonymous() {
		a.Who = ""
	}
	switch {
	case w.status == http.StatusUnauthorized, w.status == http.StatusForbidden, w.status == http.StatusTooManyRequests:
		a.End = runner.ActionRefused
	case w.status >= http.StatusBadRequest, w.status == 0, w.failed:
		a.End = runner.ActionFailed
	}
	return a
}

// viaOf is what a client calls itself.
func viaOf(r *http.Request) string {
	if via := r.Header.Get(ByHeader); via != "" && soundVia(via) {
		return via
	}
	return "api"
}

// placeholder matches the names in a pattern.
var placeholder = regexp.MustCompile(`\{([a-z]+)\}`)

// subjectOf says what an action was about: what its address names, and what
// its body does by the keys that hold names.
func subjectOf(r *http.Request, w *recorder, pattern string) string {
	var words []string
	for _, m := range placeholder.FindAllStringSubmatch(pattern, -1) {
		words = append(words, r.PathValue(m[1]))
	}
	words = append(words, named(w.body, strings.HasSuffix(pattern, "/prune"))...)
	if at := w.Header().Get("Location"); strings.HasPrefix(at, Prefix+"/") {
		words = append(words, at[strings.LastIndexByte(at, '/')+1:])
	}
	return strings.Join(words, " ")
}

// named is what a body does by the keys that hold names, and whether it changes
// nothing; dry tells that it changes nothing unless it says apply.
func named(text []byte, dry bool) []string {
	var body struct {
		Workflow, Name, Check, Kind, Subject, Type, Logger string
		Job, Artifact, To                                  string
		DryRun                                             bool `json:"dry_run"`
		Apply                                              bool
	}
	if len(text) == 0 || json.Unmarshal(text, &body) != nil {
		return nil
	}
	var words []string
	for _, word := range []string{body.Workflow, body.Job, body.Name, body.Check, body.Kind, body.Type, body.Subject, body.Logger, body.Artifact, body.To} {
		if word != "" {
			words = append(words, word)
		}
	}
	if body.DryRun || dry && !body.Apply {
		words = append(words, "(dry run)")
	}
	return words
}

// audit records an action that was let through to its handler.
func (s *Server) audit(r *http.Request, w *recorder, pattern, what string) {
	if s.o.Audit == nil || what == "" {
		return
	}
	a := s.action(r, w, what)
	if what == "log-in" {
		a.Who, a.Role = s.loggedIn(r, w)
		if a.End == runner.ActionFailed || a.Who == "" {
			a.End = runner.ActionRefused
		}
	} else {
		a.Subject = subjectOf(r, w, pattern)
	}
	if a.End == runner.ActionRefused {
		s.refused(r.Context(), a)
		return
	}
	s.keep(r.Context(), a)
}

// loggedIn is whose token a login form showed.
func (s *Server) loggedIn(r *http.Request, w *recorder) (string, Role) {
	form, err := url.ParseQuery(string(w.body))
	door := access.DoorOf(r.Context())
	if err != nil || door == nil || w.status >= http.StatusBadRequest {
		return "", None
	}
	return door.Holder(r.Context(), strings.TrimSpace(form.Get("token")))
}

// keep writes lines; that it could not is an error of the log.
func (s *Server) keep(ctx context.Context, actions ...runner.Action) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), auditWithin)
	defer cancel()
	if err := s.o.Audit.Audit(ctx, actions...); err != nil {
		for _, a := range actions {
			s.log.LogAttrs(ctx, slog.LevelError, "an action is missing in the audit", slog.String("who", a.Who), slog.String("what", a.What),
				slog.String("subject", a.Subject), slog.String("end", string(a.End)), slog.String("request_id", a.RequestID), slog.Any("error", err))
		}
	}
}

// refused records a refusal, or counts it to those alike.
func (s *Server) refused(ctx context.Context, a runner.Action) {
	if s.o.Audit == nil {
		return
	}
	if due := s.refusals.add(a, time.Now(), func() { s.keep(ctx, s.refusals.take(time.Now())...) }); len(due) > 0 {
		s.keep(ctx, due...)
	}
}

// refusal is what refusals have in common that are counted together.
type refusal struct {
	who, means, from, what string
	status                 int
}

// refusals counts refusals that are alike.
type refusals struct {
	mu sync.Mutex
	// began is when the counting did; written how many lines were since.
	began   time.Time
	written int
	seen    map[refusal]*runner.Action
	flush   *time.Timer
}

// add returns the lines to write now: those of a time that is over, and the
// first of a kind. The others are counted; later is called when their time is
// over.
func (c *refusals) add(a runner.Action, now time.Time, later func()) []runner.Action {
	c.mu.Lock()
	defer c.mu.Unlock()
	due := c.over(now)
	key := refusal{a.Who, a.Means, a.From, a.What, a.Status}
	if c.seen[key] == nil && c.written >= mostRefusals {
		key, a.Who, a.From, a.Subject, a.What = refusal{}, "", "several addresses", "", "several"
	}
	if known := c.seen[key]; known != nil {
		known.Count++
		return due
	}
	if c.flush == nil {
		c.flush = time.AfterFunc(refusalsTogether, later)
	}
	counted := a
	if key == (refusal{}) {
		c.seen[key] = &counted
		return due
	}
	counted.Count = 0 // this one is written now
	c.seen[key] = &counted
	c.written++
	return append(due, a)
}

// take returns the lines of a time that is over.
func (c *refusals) take(now time.Time) []runner.Action {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.over(now)
}

// rest returns all that was counted.
func (c *refusals) rest() []runner.Action {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.drain()
}

// over is take with c.mu held; it begins a new time.
func (c *refusals) over(now time.Time) []runner.Action {
	if c.seen != nil && now.Sub(c.began) < refusalsTogether {
		return nil
	}
	due := c.drain()
	c.began, c.written, c.seen = now, 0, map[refusal]*runner.Action{}
	return due
}

func (c *refusals) drain() []runner.Action {
	var due []runner.Action
	for _, a := range c.seen {
		if a.Count > 0 {
			due = append(due, *a)
		}
	}
	if c.flush != nil {
		c.flush.Stop()
		c.flush = nil
	}
	c.seen = nil
	return due
}
