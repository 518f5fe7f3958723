package web

import (
	"context"

	"github.com/ghosteam/upkeep/runner"
)

// For tests.
const MostPending = mostPending

// ParseRange is parseRange.
func ParseRange(text string) (first, last int64, err error) { return parseRange(text) }

// Piece is piece.
func Piece(o runner.Output, first, last int64) (int64, []byte) { return piece(o, first, last) }

// Listening tells how many listen to a run.
func (h *Hub) Listening(id runner.RunID) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.subs[id])
}

// Underway tells of how many runs under way the hub knows.
func (h *Hub) Underway() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.underway)
}

// Listener is a subscription.
type Listener struct{ s *subscription }

// Listen subscribes to a run.
func (h *Hub) Listen(id runner.RunID) Listener { return Listener{h.subscribe(id)} }

// Take returns the kinds and the JSON of what is pending.
func (l Listener) Take() (kinds, texts []string, lost bool) {
	pending, lost := l.s.take()
	for _, m := range pending {
		kinds, texts = append(kinds, m.kind), append(texts, string(m.data))
	}
	return kinds, texts, lost
}

// Close ends the subscription.
func (l Listener) Close() { l.s.close() }

// OutputFollower follows one output without HTTP.
type OutputFollower struct {
	feed *feed
	at   int64
}

// FollowOutput begins to follow an output, of which read tells what the ledger
// keeps.
func (h *Hub) FollowOutput(key runner.AttemptKey, read func(context.Context) (runner.Output, runner.State, error)) (*OutputFollower, func()) {
	f, leave := h.feeds.follow(key, func(ctx context.Context) (past, error) {
		output, state, err := read(ctx)
		return past{output: output, state: state}, err
	})
	return &OutputFollower{feed: f}, leave
}

// Next returns what comes next: text, how many bytes are gone, or the state of
// the end; more tells that there is more at once.
func (o *OutputFollower) Next() (text string, cut int64, over runner.State, more bool) {
	p := o.feed.after(o.at, false)
	if p.unknown {
		if err := o.feed.look(context.Background(), p.since); err != nil {
			return "", 0, "", false
		}
		p = o.feed.after(o.at, true)
	}
	if p.wait != nil || p.over != "" {
		return "", 0, p.over, false
	}
	o.at = p.next
	if len(p.text) == 0 {
		return "", p.next - p.from, "", true
	}
	return string(p.text), 0, "", true
}

// FeedBytes is how much of an output is in memory.
func (h *Hub) FeedBytes(key runner.AttemptKey) int {
	h.feeds.mu.Lock()
	f := h.feeds.feed[key]
	h.feeds.mu.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.kept
}
