package web

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/ghosteam/upkeep/web/api"
)

const (
	// rememberKeys is how long an Idempotency-Key counts.
	rememberKeys = 24 * time.Hour
	// mostKeys bounds how many are remembered; the oldest go first.
	mostKeys = 10_000
)

// onceKeys remembers what requests with an Idempotency-Key were answered.
type onceKeys struct {
	mu    sync.Mutex
	keys  map[string]*keyed
	order []*keyed // oldest first
}

// keyed is one request.
type keyed struct {
	key    string
	digest [sha256.Size]byte
	at     time.Time
	done   chan struct{} // closed when answer and err are set
	answer api.RunAccepted
	err    error
}

func newOnceKeys() *onceKeys { return &onceKeys{keys: map[string]*keyed{}} }

// do calls act once per key and answers the others with what it returned. A
// request that failed is forgotten, so that it can be repeated. Without a key
// it just calls act.
func (o *onceKeys) do(ctx context.Context, key string, request any, act func() (api.RunAccepted, error)) (api.RunAccepted, error) {
	if key == "" {
		return act()
	}
	text, err := json.Marshal(request)
	if err != nil {
		return api.RunAccepted{}, fmt.Errorf("remember the request: %w", err)
	}
	k, first := o.claim(key, sha256.Sum256(text), time.Now())
	if first {
		return o.first(k, act)
	}
	if k.digest != sha256.Sum256(text) {
		return api.RunAccepted{}, api.NewProblem(api.CodeConflict, "use a new key for a new request", "this Idempotency-Key belongs to another request")
	}
	select {
	case <-k.done:
	case <-ctx.Done():
		return api.RunAccepted{}, context.Cause(ctx)
	}
	again := k.answer
	again.Duplicate = true
	return again, k.err
}

// first calls act for a key. A panic counts as a failure.
func (o *onceKeys) first(k *keyed, act func() (api.RunAccepted, error)) (api.RunAccepted, error) {
	k.err = api.NewProblem(api.CodeInternal, "", "the first request with this Idempotency-Key failed")
	defer func() {
		if k.err != nil {
			o.forget(k)
		}
		close(k.done)
	}()
	k.answer, k.err = act()
	return k.answer, k.err
}

// claim returns what is known of a key; first tells that nothing was.
func (o *onceKeys) claim(key string, digest [sha256.Size]byte, now time.Time) (k *keyed, first bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.order) > 0 && (len(o.order) >= mostKeys || now.Sub(o.order[0].at) >= rememberKeys) {
		o.remove(o.order[0])
		o.order = o.order[1:]
	}
	if k, ok := o.keys[key]; ok {
		return k, false
	}
	k = &keyed{key: key, digest: digest, at: now, done: make(chan struct{})}
	o.keys[key] = k
	o.order = append(o.order, k)
	return k, true
}

// forget takes a key back; its place in the order passes with time.
func (o *onceKeys) forget(k *keyed) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.remove(k)
}

// remove takes a key off, unless it was claimed anew.
func (o *onceKeys) remove(k *keyed) {
	if o.keys[k.key] == k {
		delete(o.keys, k.key)
	}
}
