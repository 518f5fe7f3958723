package service

import (
	"cmp"
	"context"
	"slices"

	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

// LockReader is what the ledger knows about named locks, and about the attempts
// that hold them.
type LockReader interface {
	Locks(ctx context.Context) ([]runner.LockHolder, error)
	Waits(ctx context.Context) ([]runner.LockWait, error)
	Attempts(ctx context.Context, runs ...runner.RunID) ([]runner.Attempt, error)
}

// Locks implements web.Catalog.
func (c catalog) Locks(ctx context.Context) ([]api.Lock, error) {
	return NamedLocks(ctx, c.e.Config(), c.e.ledger)
}

// NamedLocks are the named locks that are configured, held or waited for, by name.
// Databases that keep locks too are asked for two seconds at most, all together.
func NamedLocks(ctx context.Context, cfg *configs.Config, l LockReader) ([]api.Lock, error) {
	holders, err := l.Locks(ctx)
	if err != nil {
		return nil, err
	}
	waits, err := l.Waits(ctx)
	if err != nil {
		return nil, err
	}
	var list []*api.Lock
	named := func(name string) *api.Lock {
		at := slices.IndexFunc(list, func(l *api.Lock) bool { return l.Name == name })
		if at < 0 {
			r := cfg.Resource(name)
			at, list = len(list), append(list, &api.Lock{Name: name, Limit: r.Limit, In: r.In})
		}
		return list[at]
	}
	for _, r := range cfg.Resources {
		named(r.Name)
	}
	for _, h := range holders {
		lock := named(h.Lock)
		lock.Holders = append(lock.Holders, api.LockOwner{LockHolder: api.LockHolder(h)})
	}
	for _, w := range waits {
		lock := named(w.Lock)
		lock.Waiters = append(lock.Waiters, api.LockWaiter{
			Run: w.Run, Workflow: w.Workflow, Job: w.Job, Owner: w.Owner, Node: w.Node, Since: w.Since, Passed: w.Passed,
		})
	}
	if err := keptLocks(ctx, cfg, l, list); err != nil {
		return nil, err
	}
	slices.SortFunc(list, func(a, b *api.Lock) int { return cmp.Compare(a.Name, b.Name) })
	out := make([]api.Lock, len(list))
	for i, lock := range list {
		out[i] = lock.Filled()
	}
	return out, nil
}
