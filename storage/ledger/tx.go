package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

const (
	// commitTimeout bounds a commit, which the caller's context no longer
	// ends: a commit that was asked for is waited for, so that its outcome is
	// known.
	commitTimeout = 30 * time.Second
	// maxTries bounds how often a transaction that lost against another one is
	// repeated.
	maxTries = 10
)

// errSlowCommit is the cause of a commit that took too long. Its outcome is
// not known; every write of this package may be repeated safely.
var errSlowCommit = fmt.Errorf("%w: the commit was not confirmed within %s", runner.ErrUnavailable, commitTimeout)

// transact runs do in one transaction and returns when it is durable. do may
// run several times. what says in errors what was being done.
func (l *Ledger) transact(ctx context.Context, what string, do func(context.Context, session) error) error {
	var err error
	for range maxTries {
		if l.group != nil {
			err = l.transactTogether(ctx, do)
		} else {
			err = l.transactAlone(ctx, do)
		}
		if err == nil || !l.d.conflict(err) {
			break
		}
	}
	return l.explain(ctx, what, err)
}

func (l *Ledger) transactTogether(ctx context.Context, do func(context.Context, session) error) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	owes, err := l.group.transact(ctx, do)
	// Also when the outcome is not known: looking in vain does no harm.
	if owes {
		l.wake()
	}
	return err
}

func (l *Ledger) transactAlone(ctx context.Context, do func(context.Context, session) error) (err error) {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	// ctx ends everything before the commit and nothing after it.
	inner, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	detach := context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })
	defer detach()

	tx, err := l.write.BeginTx(inner, &sql.TxOptions{Isolation: l.d.isolation})
	if err != nil {
		return err
	}
	defer func() {
		if err == nil {
			return
		}
		if e := tx.Rollback(); e != nil && !errors.Is(e, sql.ErrTxDone) && !l.d.rolledBack(e) {
			err = fmt.Errorf("%w (and the rollback failed: %w)", err, e)
		}
	}()
	owes := false
	var bells []Bell
	s := session{on: tx, d: l.d, owes: &owes, bells: &bells}
	if err := do(inner, s); err != nil {
		return err
	}
	if owes {
		s.ring(Bell{Kind: BellOwed})
	}
	if err := l.pull(inner, s, bells); err != nil {
		return err
	}
	if !detach() {
		return context.Cause(ctx)
	}
	timer := time.AfterFunc(commitTimeout, func() { cancel(errSlowCommit) })
	defer timer.Stop()
	// Also when the outcome is not known: looking in vain does no harm.
	defer func() {
		if owes {
			l.wake()
		}
	}()
	if err := tx.Commit(); err != nil {
		if cause := context.Cause(inner); cause != nil {
			return fmt.Errorf("%w: %w", cause, err)
		}
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// explain adds what was being done, the cause of a context that ended, and
// what the dialect knows about the error.
func (r *Reader) explain(ctx context.Context, what string, err error) error {
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
		return fmt.Errorf("%s: %w (%w)", what, cause, err)
	}
	// An error with a hint was understood where it arose.
	if jobs.HintOf(err) == "" {
		err = r.d.explain(err)
	}
	return fmt.Errorf("%s: %w", what, err)
}
