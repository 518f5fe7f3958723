package service

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/lock/redis"
	"github.com/ghosteam/upkeep/web/api"
)

// lookBound is how long the databases that keep locks are asked who has them.
const lookBound = 2 * time.Second

// keptLocks adds to locks who has them in the databases in which they are kept
// too. The ledger is asked first: who gets a lock meanwhile is an other for once.
func keptLocks(ctx context.Context, cfg *configs.Config, l LockReader, list []*api.Lock) error {
	names, err := tokenNames(ctx, l, list)
	if err != nil {
		return err
	}
	seen := look(ctx, cfg, list)
	for _, lock := range list {
		s := seen[lock.Name]
		switch {
		case lock.In == "":
			continue
		case s.Err != nil:
			lock.Unknown = s.Err.Error()
			continue
		}
		for i := range lock.Holders {
			h := &lock.Holders[i]
			name := names[attemptOf{h.Run, h.Job}]
			at := slices.IndexFunc(s.Holders, func(s redis.Holder) bool { return s.Name == name })
			if h.Waits = at < 0; !h.Waits {
				s.Holders = slices.Delete(s.Holders, at, at+1)
			}
		}
		for _, o := range s.Holders {
			other := api.OtherOwner{Name: o.Name}
			if !o.Expires.IsZero() {
				other.ExpiresAt = &o.Expires
			}
			lock.Others = append(lock.Others, other)
		}
	}
	return nil
}

// attemptOf names the latest attempt of a job.
type attemptOf struct {
	run runner.RunID
	job string
}

// tokenNames are the names under which jobs that hold locks in the ledger hold
// them in a database.
func tokenNames(ctx context.Context, l LockReader, list []*api.Lock) (map[attemptOf]string, error) {
	var runs []runner.RunID
	for _, lock := range list {
		for _, h := range lock.Holders {
			if lock.In != "" && !slices.Contains(runs, h.Run) {
				runs = append(runs, h.Run)
			}
		}
	}
	if len(runs) == 0 {
		return nil, nil
	}
	attempts, err := l.Attempts(ctx, runs...)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(attempts, func(a, b runner.Attempt) int { return a.Number - b.Number })
	names := map[attemptOf]string{}
	for _, a := range attempts {
		names[attemptOf{a.Run, a.Job}] = redis.Name(a.Key())
	}
	return names, nil
}

// look asks all databases that keep locks at once.
func look(ctx context.Context, cfg *configs.Config, list []*api.Lock) map[string]redis.Seen {
	wants := map[string][]redis.Want{}
	for _, l := range list {
		if l.In != "" {
			// A limit that was lowered ends nobody.
			wants[l.In] = append(wants[l.In], redis.Want{Name: l.Name, Places: max(l.Limit, len(l.Holders))})
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, lookBound, fmt.Errorf("no answer for %s", lookBound))
	defer cancel()
	answers := make(chan map[string]redis.Seen)
	for database, wants := range wants {
		go func() { answers <- lookIn(ctx, cfg, database, wants) }()
	}
	seen := map[string]redis.Seen{}
	for range wants {
		maps.Copy(seen, <-answers)
	}
	return seen
}

func lookIn(ctx context.Context, cfg *configs.Config, database string, wants []redis.Want) map[string]redis.Seen {
	locks, err := locksIn(cfg, database, redis.Options{})
	if err == nil {
		return locks.Look(ctx, wants)
	}
	seen := map[string]redis.Seen{}
	for _, w := range wants {
		seen[w.Name] = redis.Seen{Err: err}
	}
	return seen
}
