package redisping

import (
	"encoding/json"
	"sync"
	"time"

	"github.com/ghosteam/upkeep/jobs"
)

// outputCounters is the output that holds the counters for the run after.
const outputCounters = "counters"

// counters are the numbers of a server that only grow while it runs.
type counters struct {
	At time.Time `json:"at"`
	// Where and Server are which server it was: its address, and the name that
	// it gives itself at each start.
	Where  string `json:"where"`
	Server string `json:"server"`

	Hits     int64 `json:"hits"`
	Misses   int64 `json:"misses"`
	Evicted  int64 `json:"evicted"`
	Rejected int64 `json:"rejected"`
	Expired  int64 `json:"expired"`
}

// since returns what was counted between before and c. ok is false when before
// is of another server, from before a restart or from before a reset of the
// counters.
func (c counters) since(before counters) (delta counters, ok bool) {
	delta = counters{
		At: before.At, Hits: c.Hits - before.Hits, Misses: c.Misses - before.Misses, Evicted: c.Evicted - before.Evicted,
		Rejected: c.Rejected - before.Rejected, Expired: c.Expired - before.Expired,
	}
	ok = c.Server == before.Server && c.Where == before.Where && c.At.After(before.At) &&
		min(delta.Hits, delta.Misses, delta.Evicted, delta.Rejected, delta.Expired) >= 0
	return delta, ok
}

// restarted tells whether the server at one address was started between before
// and c.
func (c counters) restarted(before counters) bool {
	return before.Where == c.Where && before.Server != "" && before.Server != c.Server
}

// mostKnown bounds how many servers the memory holds.
const mostKnown = 1000

// memory keeps the last counters of each server across the probes of a process,
// for checks, which have no history.
type memory struct {
	mu   sync.Mutex
	last map[string]counters
}

func newMemory() *memory { return &memory{last: map[string]counters{}} }

// swap keeps now and returns what was kept before.
func (m *memory) swap(key string, now counters) (before counters, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	before, ok = m.last[key]
	if !ok && len(m.last) >= mostKnown {
		clear(m.last)
	}
	m.last[key] = now
	return before, ok
}

// fromPast returns the newest counters that earlier runs left.
func fromPast(past []jobs.Past) (counters, bool) {
	for _, p := range past {
		var c counters
		if text := p.Result.Outputs[outputCounters]; text != "" && json.Unmarshal([]byte(text), &c) == nil && !c.At.IsZero() {
			return c, true
		}
	}
	return counters{}, false
}
