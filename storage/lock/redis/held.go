package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/ghosteam/upkeep/runner"
)

// held are locks that somebody waits for, and then holds.
type held struct {
	locks  *Locks
	client *redis.Client
	token  string
	wants  []Want
	lost   func(*runner.LockLostError)

	// keys are the places that it has, in the order of wants, and fences the
	// numbers that came with them.
	keys   []string
	fences map[string]int64
	// renewed is when the last renewal that succeeded was sent.
	renewed time.Time

	// stop ends the renewal, which closes over.
	stop context.CancelFunc
	over chan struct{}

	once     sync.Once
	released error
}

var _ runner.HeldLocks = (*held)(nil)

// wait takes all locks as soon as they can be had.
func (h *held) wait(ctx context.Context, tell func(string)) error {
	var told string
	var failing time.Time
	for try := 0; ; try++ {
		sent := time.Now()
		who, pause, err := h.take(ctx)
		switch {
		case context.Cause(ctx) != nil:
			return context.Cause(ctx)
		case err == nil && who == "":
			h.renewed = sent
			return nil
		case err == nil:
			failing = time.Time{}
		case !transient(err):
			return h.locks.explain("take a lock", err)
		default:
			if failing.IsZero() {
				failing = sent
			}
			if time.Since(failing) >= h.locks.o.Patience {
				return h.locks.explain(fmt.Sprintf("take a lock (tried for %s)", h.locks.o.Patience), err)
			}
			who = fmt.Sprintf("the server at %s does not answer: %v", h.locks.address.Where(), err)
		}
		if who != told {
			told = who
			tell(who)
		}
		timer := time.NewTimer(min(firstWait<<min(try, 8), lastWait, max(pause, firstWait)))
		select {
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		case <-timer.C:
		}
	}
}

// take tries once to take all locks. who says what holds one of them, and pause
// when that expires at the earliest; who is empty when it has them all.
func (h *held) take(ctx context.Context) (who string, pause time.Duration, err error) {
	var keys []string
	args := []any{h.token, h.locks.o.TTL.Milliseconds()}
	for _, w := range h.wants {
		for place := range max(w.Places, 1) {
			keys = append(keys, Key(w.Name, place+1))
		}
		keys = append(keys, FenceKey(w.Name))
		args = append(args, max(w.Places, 1))
	}
	answer, err := h.client.Eval(ctx, takeScript, keys, args...).Slice()
	if err != nil {
		return "", 0, err
	}
	if refused, ok := answer[0].(string); ok && refused == "held" && len(answer) == 4 {
		at, _ := answer[1].(int64)
		ttl, _ := answer[3].(int64)
		name := "?"
		if at >= 1 && int(at) <= len(h.wants) {
			name = h.wants[at-1].Name
		}
		token, _ := answer[2].(string)
		return fmt.Sprintf("%s is held by %s in Redis at %s", name, called(token), h.locks.address.Where()), time.Duration(max(ttl, 0)) * time.Millisecond, nil
	}
	if len(answer) != 1+2*len(h.wants) {
		return "", 0, fmt.Errorf("the server's answer has %d parts", len(answer))
	}
	h.keys, h.fences = nil, map[string]int64{}
	for i, w := range h.wants {
		key, _ := answer[1+2*i].(string)
		fence, _ := answer[2+2*i].(int64)
		h.keys, h.fences[w.Name] = append(h.keys, key), fence
	}
	return "", 0, nil
}

// bound is how long after a renewal was sent its holder counts on it.
func (h *held) bound() time.Duration { return h.locks.o.TTL / 6 * 5 }

// renew keeps the locks until ctx ends or one is lost.
func (h *held) renew(ctx context.Context) {
	defer close(h.over)
	every := h.locks.o.TTL / 3
	next := time.NewTimer(every)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-next.C:
		}
		wait, loss := h.renewOnce(ctx)
		if ctx.Err() != nil {
			return
		}
		if loss != nil {
			h.lost(loss)
			return
		}
		next.Reset(wait)
	}
}

// renewOnce renews all locks. It returns when to do it again, or which is lost.
func (h *held) renewOnce(ctx context.Context) (time.Duration, *runner.LockLostError) {
	sent, every := time.Now(), h.locks.o.TTL/3
	until := h.renewed.Add(h.bound())
	asking, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	args := []any{h.token, h.locks.o.TTL.Milliseconds()}
	gone, err := h.client.Eval(asking, renewScript, h.keys, args...).Slice()
	switch {
	case err == nil && len(gone) == 0:
		h.renewed = sent
		return every, nil
	case err == nil:
		return 0, h.loss(gone)
	case !time.Now().Before(until):
		return 0, &runner.LockLostError{Lock: h.wants[0].Name, Why: fmt.Sprintf("it could not be renewed for %s: %v", h.bound(), err)}
	}
	h.locks.o.Log.WarnContext(ctx, "a lock could not be renewed yet", "lock", h.wants[0].Name, "error", err)
	return min(every/4, time.Until(until)), nil
}

// loss says which lock the server no longer has as ours: its number, and who has
// it now.
func (h *held) loss(gone []any) *runner.LockLostError {
	e := &runner.LockLostError{Lock: "?", Why: "it is gone: it expired, was deleted, or the server lost its data"}
	if at, ok := gone[0].(int64); ok && at >= 1 && int(at) <= len(h.wants) {
		e.Lock = h.wants[at-1].Name
	}
	if len(gone) > 1 {
		if token, ok := gone[1].(string); ok && token != "" {
			e.Why = "it is held by " + called(token)
		}
	}
	return e
}

// Fences implements runner.HeldLocks.
func (h *held) Fences() map[string]int64 { return h.fences }

// Release implements runner.HeldLocks. It may be called again, and then does
// nothing.
func (h *held) Release(ctx context.Context) error {
	h.once.Do(func() {
		h.stop()
		<-h.over
		h.released = errors.Join(h.drop(ctx), h.client.Close())
	})
	return h.released
}

// drop deletes what is still ours.
func (h *held) drop(ctx context.Context) error {
	keys := h.keys
	if keys == nil {
		for _, w := range h.wants {
			for place := range max(w.Places, 1) {
				keys = append(keys, Key(w.Name, place+1))
			}
		}
	}
	if err := h.client.Eval(ctx, releaseScript, slices.Clone(keys), h.token).Err(); err != nil {
		return h.locks.explain("give back a lock", err)
	}
	return nil
}

// The scripts run as one step of the server. Each begins with the token.
const (
	// takeScript wants the keys of each lock's places and then that of its fence,
	// and the TTL in milliseconds and the number of places of each lock. It
	// returns ["ok", key, fence, key, fence, …], or ["held", number of the lock,
	// token, milliseconds left].
	takeScript = `
local chosen, at = {}, 0
for i = 3, #ARGV do
  local n, free, first = tonumber(ARGV[i]), nil, nil
  for p = 1, n do
    local key = KEYS[at + p]
    local holder = redis.call('GET', key)
    if holder == ARGV[1] then
      free = key
      break
    elseif not holder then
      free = free or key
    else
      local left = redis.call('PTTL', key)
      if not first or left >= 0 and left < first[2] then first = {holder, left} end
    end
  end
  if not free then return {'held', i - 2, first[1], first[2]} end
  chosen[#chosen + 1] = {free, KEYS[at + n + 1]}
  at = at + n + 1
end
local now = redis.call('TIME')
local clock = tonumber(now[1]) * 1000000 + tonumber(now[2])
local out = {'ok'}
for _, c in ipairs(chosen) do
  redis.call('SET', c[1], ARGV[1], 'PX', ARGV[2])
  local fence = math.max((tonumber(redis.call('GET', c[2]) or '0') or 0) + 1, clock)
  redis.call('SET', c[2], string.format('%.0f', fence))
  out[#out + 1] = c[1]
  out[#out + 1] = fence
end
return out`

	// renewScript wants the keys that are held, and the TTL in milliseconds. It
	// returns nothing, or the number of the first lock that is not held and who
	// holds it.
	renewScript = `
for i, key in ipairs(KEYS) do
  local holder = redis.call('GET', key)
  if holder ~= ARGV[1] then return {i, holder or ''} end
end
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, ARGV[2]) end
return {}`

	// releaseScript wants keys, and deletes those that are held.
	releaseScript = `
for _, key in ipairs(KEYS) do
  if redis.call('GET', key) == ARGV[1] then redis.call('DEL', key) end
end
return 1`
)
