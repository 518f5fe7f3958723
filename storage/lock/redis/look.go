package redis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/redis/go-redis/v9"

	"github.com/ghosteam/upkeep/runner"
)

const (
	// leastSecret is how many characters of a token are kept back at least, so
	// that nobody guesses it from the name.
	leastSecret = 8
	// mostName is how long the name of a holder may be.
	mostName = 400
)

// Seen is what the server knows of one lock.
type Seen struct {
	// Holders are those who have one of its places.
	Holders []Holder
	// Err says why they are not known; nil when they are.
	Err error
}

// Holder is who has a place of a lock.
type Holder struct {
	// Name is what its token says of it, as Name makes it for a job of upkeep;
	// empty when it says nothing. The token cannot be told from it.
	Name string
	// Expires is when the place is free unless it is renewed, by the clock of this
	// machine; zero for never.
	Expires time.Time
}

// Look says who holds locks, by the names of the locks. It only reads, and waits
// no longer than ctx allows; without an answer each lock has the error.
func (l *Locks) Look(ctx context.Context, wants []Want) map[string]Seen {
	client, err := l.connect()
	if err != nil {
		return unseen(wants, fmt.Errorf("locks in Redis at %s: %w", l.address.Where(), err))
	}
	defer client.Close() //nolint:errcheck // nothing was written
	pipe := client.Pipeline()
	places := make(map[string][]place, len(wants))
	for _, w := range wants {
		for n := range max(w.Places, 1) {
			key := Key(w.Name, n+1)
			places[w.Name] = append(places[w.Name], place{token: pipe.Get(ctx, key), left: pipe.PTTL(ctx, key)})
		}
	}
	// A connection that cannot be had is an error of none of the commands.
	commands, err := pipe.Exec(ctx)
	if err != nil && !slices.ContainsFunc(commands, func(c redis.Cmder) bool { return c.Err() != nil }) {
		return unseen(wants, l.explain("read who holds locks", why(ctx, err)))
	}
	seen := make(map[string]Seen, len(wants))
	now := time.Now()
	for name, list := range places {
		var s Seen
		for _, p := range list {
			h, held, err := p.holder(now)
			if err != nil {
				s = Seen{Err: l.explain("read who holds "+name, why(ctx, err))}
				break
			}
			if held {
				s.Holders = append(s.Holders, h)
			}
		}
		seen[name] = s
	}
	return seen
}

// why is the cause of the end of ctx, or err while it has not ended. A connection
// may know sooner than ctx that its time is over.
func why(ctx context.Context, err error) error {
	if at, bound := ctx.Deadline(); bound && !time.Now().Before(at) {
		<-ctx.Done()
	}
	return cmp.Or(context.Cause(ctx), err)
}

// unseen are locks of which nothing is known.
func unseen(wants []Want, err error) map[string]Seen {
	seen := make(map[string]Seen, len(wants))
	for _, w := range wants {
		seen[w.Name] = Seen{Err: err}
	}
	return seen
}

// place is one place of a lock: the answers of who has it, and for how long.
type place struct {
	token *redis.StringCmd
	left  *redis.DurationCmd
}

func (p place) holder(now time.Time) (h Holder, held bool, err error) {
	token, err := p.token.Result()
	if errors.Is(err, redis.Nil) {
		return Holder{}, false, nil
	}
	if err == nil {
		err = p.left.Err()
	}
	if err != nil {
		return Holder{}, false, err
	}
	h.Name = nameIn(token)
	switch left := p.left.Val(); {
	case left == -2: // it expired between the two
		return Holder{}, false, nil
	case left >= 0:
		h.Expires = now.Add(left)
	}
	return h, true, nil
}

// Name is what the token of an attempt says of it: RUN/JOB/NUMBER.
func Name(who runner.AttemptKey) string {
	return fmt.Sprintf("%s/%s/%d", who.Run, who.Job, who.Number)
}

// nameIn is what a token says of its holder; empty for nothing.
func nameIn(token string) string {
	at := strings.LastIndexByte(token, ':')
	if at < 0 || at > mostName || len(token)-at-1 < leastSecret {
		return ""
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return -1
		}
		return r
	}, token[:at])
}

// called names the holder of a token for people.
func called(token string) string { return cmp.Or(nameIn(token), "another tool") }
