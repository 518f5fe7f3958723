package redis

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Key is a key with what was asked about it.
type Key struct {
	// Name is the key itself, which may be any bytes.
	Name string
	// Idle is how long nobody has read or written it; unknown below 0.
	Idle time.Duration
	// Forever tells that it has no time to live.
	Forever bool
}

// Size returns how many keys the database holds.
func (c *Conn) Size(ctx context.Context) (int64, error) {
	n, err := c.client.DBSize(ctx).Result()
	return n, c.wrap("count the keys of the database", err)
}

// Scan returns the next keys that match a pattern, about as many as count, and
// the cursor for the call after; 0 begins and ends. Keys of all types are
// returned when kind is empty. A key that is there all the time is returned
// at least once (SCAN in Redis's documentation).
func (c *Conn) Scan(ctx context.Context, cursor uint64, match, kind string, count int64) (keys []string, next uint64, err error) {
	if kind == "" {
		keys, next, err = c.client.Scan(ctx, cursor, match, count).Result()
	} else {
		keys, next, err = c.client.ScanType(ctx, cursor, match, count, kind).Result()
	}
	return keys, next, c.wrap("look for keys", err)
}

// Facts looks at keys, in one exchange. A key that is gone is left out. It touches none
// of them.
func (c *Conn) Facts(ctx context.Context, names []string, idle, ttl bool) ([]Key, error) {
	if !idle && !ttl {
		out := make([]Key, len(names))
		for i, name := range names {
			out[i] = Key{Name: name, Idle: -1}
		}
		return out, nil
	}
	pipe := c.client.Pipeline()
	idles, ttls := make([]*redis.DurationCmd, len(names)), make([]*redis.DurationCmd, len(names))
	for i, name := range names {
		if idle {
			idles[i] = pipe.ObjectIdleTime(ctx, name)
		}
		if ttl {
			ttls[i] = pipe.PTTL(ctx, name)
		}
	}
	// Exec returns the first error of any command; each is looked at below.
	if _, err := pipe.Exec(ctx); err != nil && !isAnswer(err) {
		return nil, c.wrap("look at keys", err)
	}
	var out []Key
	for i, name := range names {
		key := Key{Name: name, Idle: -1}
		if idle {
			d, err := idles[i].Result()
			if gone(err) {
				continue
			}
			if err != nil {
				return nil, c.wrap("ask how long a key was not used", err)
			}
			key.Idle = d
		}
		if ttl {
			d, err := ttls[i].Result()
			if err != nil {
				return nil, c.wrap("ask how long a key lives", err)
			}
			if d == -2 { // it is gone
				continue
			}
			key.Forever = d == -1
		}
		out = append(out, key)
	}
	return out, nil
}

// isAnswer tells an error that the server gave from a broken connection.
func isAnswer(err error) bool {
	_, ok := errors.AsType[redis.Error](err)
	return ok
}

// gone tells that a key is no longer there.
func gone(err error) bool {
	return errors.Is(err, redis.Nil) || err != nil && strings.Contains(err.Error(), "no such key")
}

// Unlink removes keys; their memory is freed in the background. It returns how
// many were there.
func (c *Conn) Unlink(ctx context.Context, names []string) (int64, error) {
	n, err := c.client.Unlink(ctx, names...).Result()
	return n, c.wrap("remove keys", err)
}
