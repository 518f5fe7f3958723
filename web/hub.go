package web

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

// mostUnderway bounds of how many runs under way the hub remembers more than
// the ledger holds. Runs beyond that are shown without the jobs that did not
// begin yet.
const mostUnderway = 10_000

// Hub passes the events of runs on to those who follow them. It is an observer
// of the engine: it never blocks, and keeps no pointers into events. All its
// methods may be called from several goroutines.
type Hub struct {
	mu       sync.Mutex
	subs     map[runner.RunID]map[*subscription]struct{}
	underway map[runner.RunID]*underway
	// board has what changed, for those who follow that.
	board *board
	// feeds have the outputs of the attempts that somebody follows.
	feeds *feeds
}

// underway is what only the process that executes a run knows of it.
type underway struct {
	jobs []api.JobName
	// said are the latest progress and the latest waiting of attempts that have
	// not ended.
	progress, waiting map[runner.AttemptKey]message
}

// message is an event as it goes over the wire.
type message struct {
	kind    string
	attempt runner.AttemptKey
	data    []byte
}

// NewHub makes a hub that nobody listens to yet.
func NewHub() *Hub {
	return &Hub{subs: map[runner.RunID]map[*subscription]struct{}{}, underway: map[runner.RunID]*underway{}, board: newBoard(), feeds: newFeeds()}
}

// Observe passes an event on to those who follow its run. An event that has no
// JSON is lost to them; they find out from the ledger what became of it.
func (h *Hub) Observe(_ context.Context, e runner.Event) {
	h.mu.Lock()
	key := keyOf(e)
	listening := slices.Collect(maps.Keys(h.subs[key.Run]))
	h.mu.Unlock()
	h.board.ring(api.TopicRuns)
	if ended, ok := e.(runner.AttemptEnded); ok {
		h.feeds.end(ended.Attempt.Key(), ended.Attempt.State)
	}
	m := message{attempt: key}
	var err error
	if len(listening) > 0 || kept(e) {
		m, err = encode(key, e)
	}
	h.mu.Lock()
	if err == nil {
		h.remember(e, m)
	}
	// Somebody may have begun to listen since, and have read the ledger before
	// what is remembered was.
	listening = slices.Collect(maps.Keys(h.subs[key.Run]))
	h.mu.Unlock()
	for _, s := range listening {
		if err != nil || m.kind == "" {
			s.lose()
		} else {
			s.add(m)
		}
	}
}

// kept tells whether the hub remembers what the event says.
func kept(e runner.Event) bool {
	switch e.(type) {
	case runner.AttemptProgress, runner.AttemptWaiting:
		return true
	}
	return false
}

func encode(key runner.AttemptKey, e runner.Event) (message, error) {
	event, ok := api.NewEvent(e)
	if !ok {
		return message{}, fmt.Errorf("no JSON for event %T", e)
	}
	data, err := json.Marshal(event)
	return message{kind: event.Kind, attempt: key, data: data}, err
}

// remember keeps what is not in the ledger. The caller holds the lock.
func (h *Hub) remember(e runner.Event, m message) {
	run := h.underway[m.attempt.Run]
	switch e := e.(type) {
	case runner.RunStarted:
		if run == nil && len(h.underway) >= mostUnderway {
			return
		}
		h.underway[m.attempt.Run] = &underway{
			jobs: api.NewJobNames(e.Jobs), progress: map[runner.AttemptKey]message{}, waiting: map[runner.AttemptKey]message{},
		}
	case runner.RunEnded:
		delete(h.underway, m.attempt.Run)
	}
	if run == nil {
		return
	}
	switch e.(type) {
	case runner.AttemptProgress:
		run.progress[m.attempt] = m
	case runner.AttemptWaiting:
		run.waiting[m.attempt] = m
	case runner.AttemptStarted:
		// A job that begins its next attempt, or has its lock, waits no longer.
		maps.DeleteFunc(run.waiting, func(k runner.AttemptKey, _ message) bool { return k.Job == m.attempt.Job })
	case runner.AttemptEnded:
		delete(run.progress, m.attempt)
		delete(run.waiting, m.attempt)
	}
}

// known returns the jobs of a run that this process executes, and the latest
// messages about them that no ledger holds; false when it executes no such
// run, as far as it was told.
func (h *Hub) known(id runner.RunID) (names []api.JobName, said []message, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	run, ok := h.underway[id]
	if !ok {
		return nil, nil, false
	}
	said = slices.AppendSeq(slices.Collect(maps.Values(run.progress)), maps.Values(run.waiting))
	slices.SortFunc(said, func(a, b message) int { return compareKeys(a.attempt, b.attempt) })
	return run.jobs, said, true
}

// subscribe begins to listen to a run. The caller closes the subscription.
func (h *Hub) subscribe(id runner.RunID) *subscription {
	s := &subscription{hub: h, run: id, wake: make(chan struct{}, 1)}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.subs[id] == nil {
		h.subs[id] = map[*subscription]struct{}{}
	}
	h.subs[id][s] = struct{}{}
	return s
}

// keyOf returns the attempt that an event is about, or its run alone.
func keyOf(e runner.Event) runner.AttemptKey {
	switch e := e.(type) {
	case runner.RunStarted:
		return runner.AttemptKey{Run: e.Run.ID}
	case runner.AttemptStarted:
		return e.Attempt.Key()
	case runner.AttemptProgress:
		return e.Key
	case runner.AttemptWaiting:
		return e.Key
	case runner.AttemptEnded:
		return e.Attempt.Key()
	case runner.RunNoted:
		return runner.AttemptKey{Run: e.Run}
	case runner.RunEnded:
		return runner.AttemptKey{Run: e.Run.ID}
	}
	return runner.AttemptKey{}
}
