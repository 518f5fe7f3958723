package web

import "github.com/ghosteam/upkeep/runner"

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
