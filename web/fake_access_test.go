package web_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// keys keeps tokens and the audit in memory.
type keys struct {
	mu      sync.Mutex
	list    []runner.Token
	digests []runner.TokenDigest
	actions []runner.Action
}

func (k *keys) Tokens(context.Context) ([]runner.Token, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.list), nil
}

func (k *keys) TokenOf(_ context.Context, digest runner.TokenDigest) (runner.Token, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if at := slices.Index(k.digests, digest); at >= 0 {
		return k.list[at], nil
	}
	return runner.Token{}, fmt.Errorf("token: %w", runner.ErrNotFound)
}

func (k *keys) AddToken(_ context.Context, t runner.Token, digest runner.TokenDigest) (runner.Token, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if slices.ContainsFunc(k.list, func(known runner.Token) bool { return known.Name == t.Name && known.Valid(time.Now()) }) {
		return t, runner.ErrTokenExists
	}
	t.ID = fmt.Sprintf("01d%d", len(k.list))
	k.list, k.digests = append(k.list, t), append(k.digests, digest)
	return t, nil
}

func (k *keys) RevokeToken(_ context.Context, nameOrID, by string) (runner.Token, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for i, t := range k.list {
		if t.Name == nameOrID || t.ID == nameOrID {
			k.list[i].RevokedAt, k.list[i].RevokedBy = time.Now(), by
			return k.list[i], nil
		}
	}
	return runner.Token{}, fmt.Errorf("token: %w", runner.ErrNotFound)
}

func (k *keys) UseToken(context.Context, string, time.Time) error { return nil }

func (k *keys) Audit(_ context.Context, actions ...runner.Action) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	for i, a := range actions {
		a.ID = fmt.Sprintf("01e%d", len(k.actions)+i)
		k.actions = append(k.actions, a)
	}
	return nil
}

func (k *keys) Actions(_ context.Context, f runner.ActionFilter) ([]runner.Action, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	out := slices.Clone(k.actions)
	slices.Reverse(out)
	return out[:min(len(out), max(f.Limit, 1))], nil
}
