package web

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

const (
	// changesEvery is the least time between two events of the stream of changes.
	changesEvery = time.Second
	// mostFollowers bounds the streams of changes and outputs that are open at
	// once.
	mostFollowers = 2000
)

// board remembers when each topic last changed, as a number that grows, and
// wakes those who wait. Its methods may be called from several goroutines.
type board struct {
	// boot tells the numbers of this process from those of another.
	boot string

	mu      sync.Mutex
	number  uint64
	last    map[api.Topic]uint64
	waiting map[chan struct{}]struct{}
}

func newBoard() *board {
	return &board{boot: strings.ToLower(rand.Text()[:10]), last: map[api.Topic]uint64{}, waiting: map[chan struct{}]struct{}{}}
}

// ring notes that topics changed. It does not block.
func (b *board) ring(topics ...api.Topic) {
	if len(topics) == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.number++
	for _, t := range topics {
		b.last[t] = b.number
	}
	for wake := range b.waiting {
		select {
		case wake <- struct{}{}:
		default:
		}
	}
}

// wait begins to listen; the caller calls leave. first tells that nobody else
// listens.
func (b *board) wait() (wake chan struct{}, leave func(), first bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	wake = make(chan struct{}, 1)
	b.waiting[wake] = struct{}{}
	return wake, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.waiting, wake)
	}, len(b.waiting) == 1
}

// watched tells whether anybody listens.
func (b *board) watched() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.waiting) > 0
}

// since returns the topics that changed after a number, and the present one.
func (b *board) since(number uint64) ([]api.Topic, uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []api.Topic
	for _, t := range api.Topics() {
		if b.last[t] > number {
			out = append(out, t)
		}
	}
	return out, b.number
}

// name is a number as the id of an event.
func (b *board) name(number uint64) string { return fmt.Sprintf("%s-%d", b.boot, number) }

// parse is the inverse of name; false for an id of another process.
func (b *board) parse(id string) (uint64, bool) {
	digits, ok := strings.CutPrefix(id, b.boot+"-")
	number, err := strconv.ParseUint(digits, 10, 64)
	return number, ok && err == nil
}

// Changed tells those who follow the changes that something changed of which
// the server cannot know by itself. It does not block.
func (s *Server) Changed(topics ...api.Topic) { s.o.Hub.board.ring(topics...) }

// Changed is that of Server.
func (h *Hub) Changed(topics ...api.Topic) { h.board.ring(topics...) }

// registerChanges adds the stream of changes.
func (s *Server) registerChanges() {
	add(s, operation{
		id: "follow-changes", method: http.MethodGet, path: "/changes", tag: "daemon", summary: "Follow what changes, to ask anew only then",
		doc: "A stream of server-sent events named changes, at most one a second. The data of each is a Changes: the topics of which something changed since the event before. " +
			"The first says what changed since the event that Last-Event-ID or since names, or nothing without one; after a restart of the daemon it names all topics. A comment comes every 15 seconds when nothing else does.",
		content: map[string]*huma.MediaType{"text/event-stream": {Schema: schemaOf[api.Changes](s.api)}},
	}, s.followChanges)
}

type followChanges struct {
	LastEventID string `header:"Last-Event-ID" maxLength:"64" doc:"the id of the last event that was heard"`
	Since       string `query:"since" maxLength:"64" doc:"the same, for the first connection"`
}

func (s *Server) followChanges(ctx context.Context, in *followChanges) (*huma.StreamResponse, error) {
	leave, err := s.followers.enter()
	if err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		defer leave()
		_, w := humago.Unwrap(hc)
		streamHeader(w)
		known := in.LastEventID
		if known == "" {
			known = in.Since
		}
		s.tellChanges(ctx, w, known)
	}}, nil
}

// streamHeader makes an answer a stream of server-sent events.
func streamHeader(w http.ResponseWriter) {
	header := w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("X-Accel-Buffering", "no") // of a proxy in between
}

// tellChanges writes the stream until the reader has gone or the server stops.
func (s *Server) tellChanges(ctx context.Context, w http.ResponseWriter, known string) {
	b := s.o.Hub.board
	wake, leave, first := b.wait()
	defer leave()
	if first {
		s.watchLedger() //nolint:contextcheck // it outlives the reader who was first
	}
	number, ours := b.parse(known)
	topics, now := b.since(number)
	switch {
	case known == "":
		topics = nil
	case !ours:
		topics = api.Topics()
	}
	if !sendChanges(w, b.name(now), topics) {
		return
	}
	heartbeat := time.NewTicker(s.o.Heartbeat)
	defer heartbeat.Stop()
	for number = now; ; {
		select {
		case <-ctx.Done():
			return
		case <-s.ending:
			return
		case <-heartbeat.C:
			if !writeStream(w, []byte(": alive\n\n")) {
				return
			}
			continue
		case <-wake:
		}
		if topics, now = b.since(number); len(topics) == 0 {
			continue
		}
		if !sendChanges(w, b.name(now), topics) {
			return
		}
		number = now
		select { // what comes in the meantime goes into the next event
		case <-time.After(s.o.ChangesEvery):
		case <-ctx.Done():
			return
		case <-s.ending:
			return
		}
	}
}

func sendChanges(w http.ResponseWriter, id string, topics []api.Topic) bool {
	data, err := json.Marshal(api.Changes{Topics: append([]api.Topic{}, topics...)})
	if err != nil {
		return false
	}
	return writeStream(w, fmt.Appendf(nil, "id: %s\nevent: changes\ndata: %s\n\n", id, data))
}

// writeStream sends a piece of a stream at once and tells whether the reader is
// still there.
func writeStream(w http.ResponseWriter, text []byte) bool {
	if _, err := w.Write(text); err != nil {
		return false
	}
	return http.NewResponseController(w).Flush() == nil
}

// watchLedger looks at what others may have put on record, as long as anybody
// follows the changes.
func (s *Server) watchLedger() {
	b := s.o.Hub.board
	s.watching.Lock()
	defer s.watching.Unlock()
	if s.watches {
		return
	}
	s.watches = true
	go func() {
		var seen newest
		poll := time.NewTicker(s.o.Poll)
		defer poll.Stop()
		for {
			now := s.newest()
			b.ring(now.since(seen)...)
			seen = now
			select {
			case <-s.ending:
				return
			case <-poll.C:
			}
			s.watching.Lock()
			if !b.watched() {
				s.watches = false
				s.watching.Unlock()
				return
			}
			s.watching.Unlock()
		}
	}()
}

// newest are the newest rows of the ledger.
type newest struct {
	run                      runner.RunID
	state                    runner.State
	incident, notice, change string
}

// newest looks. What cannot be read counts as unchanged.
func (s *Server) newest() newest {
	ctx, cancel := context.WithTimeoutCause(context.Background(), s.o.Poll, errSlowLedger)
	defer cancel()
	var n newest
	if list, err := s.o.Runs.Runs(ctx, runner.Filter{Limit: 1}); err == nil && len(list) > 0 {
		n.run, n.state = list[0].ID, list[0].State
	}
	if list, err := s.o.Alerts.Incidents(ctx, runner.IncidentFilter{Limit: 1}); err == nil && len(list) > 0 {
		n.incident = list[0].ID + string(list[0].State)
	}
	if list, err := s.o.Alerts.Notices(ctx, runner.NoticeFilter{Limit: 1}); err == nil && len(list) > 0 {
		n.notice = list[0].ID + string(list[0].State)
	}
	if list, err := s.o.Facts.Happenings(ctx, runner.HappeningFilter{Limit: 1}); err == nil && len(list) > 0 {
		n.change = list[0].ID
	}
	return n
}

// since are the topics in which n is newer than a look before; none at the
// first look.
func (n newest) since(before newest) []api.Topic {
	var out []api.Topic
	if before == (newest{}) {
		return nil
	}
	if n.run != before.run || n.state != before.state {
		out = append(out, api.TopicRuns)
	}
	if n.incident != before.incident {
		out = append(out, api.TopicIncidents)
	}
	if n.notice != before.notice {
		out = append(out, api.TopicNotices)
	}
	if n.change != before.change {
		out = append(out, api.TopicEvents)
	}
	return out
}

// errSlowLedger ends a look that took too long.
var errSlowLedger = fmt.Errorf("%w: it is slow to answer", runner.ErrUnavailable)

// followers bounds how many streams are open.
type followers struct {
	mu   sync.Mutex
	open int
}

// enter begins a stream; the caller calls leave.
func (f *followers) enter() (leave func(), err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.open >= mostFollowers {
		return nil, api.NewProblem(api.CodeUnavailable, "try again soon", fmt.Sprintf("%d streams are open already", mostFollowers))
	}
	f.open++
	return sync.OnceFunc(func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.open--
	}), nil
}
