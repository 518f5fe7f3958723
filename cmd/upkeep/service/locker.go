package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"

	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/configs/redisurl"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
	"github.com/ghosteam/upkeep/storage/lock/redis"
)

// Identity identifies the database of the configured ledger; empty when there is
// none on a PostgreSQL server.
func Identity(ctx context.Context, cfg *configs.Config, version string, log *slog.Logger) (identity string, err error) {
	reader, err := ledger.OpenReader(ctx, LedgerOptions(cfg, version, log))
	if errors.Is(err, ledger.ErrMissing) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, reader.Close()) }()
	return reader.Identity(ctx)
}

// limit says how many may hold a named lock at once, by the configuration in
// force.
func (e *Engine) limit(lock string) int { return e.Config().Resource(lock).Limit }

// locker takes the named locks that the configuration in force keeps in Redis.
type locker struct{ e *Engine }

var _ runner.Locker = locker{}

// Hold implements runner.Locker. The locks of one database are taken all or none;
// of several databases it takes those of one after the other, in the order of
// their names, as everybody does.
func (l locker) Hold(ctx context.Context, who runner.AttemptKey, locks []string, tell func(string), lost func(*runner.LockLostError)) (runner.HeldLocks, error) {
	wants := map[string][]redis.Want{}
	for _, lock := range locks {
		if r := l.e.Config().Resource(lock); r.In != "" {
			wants[r.In] = append(wants[r.In], redis.Want{Name: lock, Places: r.Limit})
		}
	}
	if len(wants) == 0 {
		return nil, nil
	}
	var held heldLocks
	for _, database := range slices.Sorted(maps.Keys(wants)) {
		one, err := l.hold(ctx, database, who, wants[database], tell, lost)
		if err != nil {
			return nil, errors.Join(err, held.Release(context.WithoutCancel(ctx)))
		}
		held = append(held, one)
	}
	return held, nil
}

// hold takes the locks of one database.
func (l locker) hold(ctx context.Context, database string, who runner.AttemptKey, wants []redis.Want, tell func(string), lost func(*runner.LockLostError)) (runner.HeldLocks, error) {
	locks, err := locksIn(l.e.Config(), database, redis.Options{Log: named(l.e.o.Log, "locks")})
	if err != nil {
		return nil, err
	}
	return locks.Hold(ctx, who, wants, tell, lost)
}

// locksIn are the locks that a configured database keeps.
func locksIn(cfg *configs.Config, database string, o redis.Options) (*redis.Locks, error) {
	// The secrets are not needed: errors repeat nothing of an address.
	db, _, err := cfg.OpenDatabase(database)
	if err != nil {
		return nil, err
	}
	address, err := redisurl.Parse(db.URL)
	if err != nil {
		return nil, fmt.Errorf("database %s: %w", database, err)
	}
	return redis.New(address, o), nil
}

// heldLocks are the locks of several databases.
type heldLocks []runner.HeldLocks

// Fences implements runner.HeldLocks.
func (h heldLocks) Fences() map[string]int64 {
	all := map[string]int64{}
	for _, one := range h {
		maps.Copy(all, one.Fences())
	}
	return all
}

// Release implements runner.HeldLocks.
func (h heldLocks) Release(ctx context.Context) error {
	var errs []error
	for _, one := range slices.Backward(h) {
		errs = append(errs, one.Release(ctx))
	}
	return errors.Join(errs...)
}
