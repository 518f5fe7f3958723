// Package redis keeps named locks in a Redis server, where tools other than
// upkeep take part. It knows keys, tokens, expiry and fencing numbers; it knows
// nothing of the ledger, of what a job does with a lock, and of configuration.
//
// # Keys
//
// A lock NAME is the string key
//
//	upkeep:lock:NAME
//
// whose value is the token of who holds it, and which expires. A lock that n may
// hold at once has n such keys, of which the others are called
//
//	upkeep:lock:NAME#2 … upkeep:lock:NAME#n
//
// The token of a job of upkeep is RUN/JOB/NUMBER:RANDOM. Another tool takes part
// with a token of its own that nobody else uses:
//
//	SET upkeep:lock:NAME TOKEN NX PX 30000     OK: it holds the lock for 30 s
//	EVAL "if redis.call('GET',KEYS[1])==ARGV[1] then return redis.call('PEXPIRE',KEYS[1],ARGV[2]) end return 0" 1 upkeep:lock:NAME TOKEN 30000
//	EVAL "if redis.call('GET',KEYS[1])==ARGV[1] then return redis.call('DEL',KEYS[1]) end return 0" 1 upkeep:lock:NAME TOKEN
//
// to take, to renew and to give back. It never deletes the key without the
// comparison: the lock may be somebody else's by then. What stands before the
// last colon of a token is the name of its holder, which is shown; the rest, of
// eight characters or more, is not, because who knows the token can give the lock
// back.
//
// upkeep:fence:NAME holds the last fencing number that was given out, which never
// expires. The next one is the last one and one more, or the server's clock in
// microseconds when that is larger: so it grows also when the server lost its
// data. Another tool takes its number by that rule too, in one step of the server
// as the script in docs/locks.md does; INCR would begin at 1 again.
//
// # What is promised
//
// While the server keeps its data, at most as many as may hold a lock, and who
// holds one loses it at the earliest when it was not renewed for its TTL. A holder
// hears of the loss before that: it gives up when five sixths of the TTL have
// passed since it sent the last renewal that succeeded, by its own clock that
// nobody sets. A server that hangs, or cannot be reached for so long, ends every
// holder. A job of upkeep is then asked to end and killed after its grace, so it
// may act for that long after the loss.
//
// A server that loses its data (a restart without persistence, FLUSHALL, eviction,
// a failover to a replica that was behind) loses its locks: who asks first has one
// while the old holder still works, until that one's next renewal, at most a third
// of the TTL later, tells it. The fencing number is for that: what a job writes to
// should refuse a number smaller than the largest that it has seen. Nothing is
// promised when the server's clock jumps forward by more than a TTL. Several keys
// are taken by one script, which Redis Cluster refuses unless they lie together.
package redis

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/ghosteam/upkeep/configs/redisurl"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

const (
	// DefaultTTL is how long a lock lives without a renewal.
	DefaultTTL = 30 * time.Second
	// DefaultPatience is how long a server may be away before the wait for a
	// lock is given up.
	DefaultPatience = 5 * time.Minute

	// firstWait and lastWait bound the waits between two looks at a lock that is
	// somebody else's: nobody tells when another tool gives it back.
	firstWait = 100 * time.Millisecond
	lastWait  = 2 * time.Second
)

// quiet keeps the client from writing to the standard error output of whoever
// uses it: what it would say there is in the errors that it returns.
var quiet = sync.OnceFunc(logging.Disable) //nolint:gochecknoglobals // the client's logger is one for the process

// Options configure a Locks.
type Options struct {
	// TTL is how long a lock lives without a renewal; 0 means DefaultTTL.
	TTL time.Duration
	// Patience is how long the server may be away, one failure after the other,
	// before Hold gives up; 0 means DefaultPatience.
	Patience time.Duration
	// Log is told when a renewal fails that will be tried again; nil for nobody.
	Log *slog.Logger
}

// Locks are the locks of one server. It may be used by several goroutines.
type Locks struct {
	address redisurl.Address
	o       Options
}

// New returns the locks of the server at a. It does not connect.
func New(a redisurl.Address, o Options) *Locks {
	o.TTL, o.Patience = cmp.Or(o.TTL, DefaultTTL), cmp.Or(o.Patience, DefaultPatience)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Locks{address: a, o: o}
}

// Want is a lock that somebody wants, and how many may hold it at once.
type Want struct {
	Name   string
	Places int
}

// Hold waits until it has all of these locks, all or none, and keeps them until
// they are released. Of several locks none is held while another is waited for.
// tell is called with what it waits for, once for each holder, lost once, from
// another goroutine, when a lock that was held is so no longer; nothing is kept
// after that. The error is the cause of ctx's end, or says why the locks cannot be
// had: the server refuses, or was away for as long as Options.Patience.
func (l *Locks) Hold(ctx context.Context, who runner.AttemptKey, wants []Want, tell func(string), lost func(*runner.LockLostError)) (runner.HeldLocks, error) {
	client, err := l.connect()
	if err != nil {
		return nil, fmt.Errorf("locks in Redis at %s: %w", l.address.Where(), err)
	}
	h := &held{locks: l, client: client, token: newToken(who), wants: slices.Clone(wants), lost: lost, over: make(chan struct{})}
	slices.SortFunc(h.wants, func(a, b Want) int { return cmp.Compare(a.Name, b.Name) })
	if err := h.wait(ctx, tell); err != nil {
		// An answer may have been lost, and with it a lock.
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.o.TTL/3)
		defer cancel()
		_ = h.drop(end) // what remains expires
		return nil, errors.Join(err, client.Close())
	}
	ctx, h.stop = context.WithCancel(context.WithoutCancel(ctx))
	go h.renew(ctx)
	return h, nil
}

func (l *Locks) connect() (*redis.Client, error) {
	config, err := l.address.TLS()
	if err != nil {
		return nil, err
	}
	quiet()
	// No answer is waited for longer than the locks can bear.
	bound := l.o.TTL / 3
	return redis.NewClient(&redis.Options{
		Network: l.address.Network, Addr: l.address.Server, Username: l.address.Username, Password: l.address.Password,
		DB: l.address.Database(), TLSConfig: config, Protocol: 2, PoolSize: 2, MaxRetries: -1, DialerRetries: 1,
		DialTimeout: bound, ReadTimeout: bound, WriteTimeout: bound, ContextTimeoutEnabled: true, DisableIdentity: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}), nil
}

// newToken is the token of an attempt: no two are the same.
func newToken(who runner.AttemptKey) string {
	var random [12]byte
	_, _ = rand.Read(random[:]) // it never fails
	return Name(who) + ":" + hex.EncodeToString(random[:])
}

// Key is the key of one of the places of a lock, counted from 1.
func Key(name string, place int) string {
	if place == 1 {
		return "upkeep:lock:" + name
	}
	return "upkeep:lock:" + name + "#" + strconv.Itoa(place)
}

// FenceKey is the key of the last fencing number of a lock.
func FenceKey(name string) string { return "upkeep:fence:" + name }

// transient tells whether an error may pass by itself.
func transient(err error) bool {
	refusal, ok := errors.AsType[redis.Error](err)
	if !ok {
		return true
	}
	for _, state := range []string{"LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY", "NOREPLICAS", "MISCONF", "OOM", "ERR max number of clients"} {
		if strings.HasPrefix(refusal.Error(), state) {
			return true
		}
	}
	return false
}

// advice is what a person can do about a refusal.
func advice(err error) string {
	switch text := err.Error(); {
	case strings.HasPrefix(text, "WRONGPASS"), strings.HasPrefix(text, "NOAUTH"):
		return "correct the user and the password in the database's url"
	case strings.HasPrefix(text, "NOPERM"):
		return "the user needs EVAL, GET, SET, DEL, PEXPIRE, PTTL and TIME on the keys upkeep:lock:* and upkeep:fence:*"
	case strings.Contains(text, "WRONGTYPE"):
		return "a key of the lock is not a string: somebody else uses it for something else"
	}
	return "is the server running, and is its address right?"
}

func (l *Locks) explain(doing string, err error) error {
	return jobs.WithHint(fmt.Errorf("%s in Redis at %s: %w", doing, l.address.Where(), err), advice(err))
}
