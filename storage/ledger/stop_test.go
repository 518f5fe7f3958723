package ledger_test

import (
	"bufio"
	"context"
	"errors"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
	"github.com/ghosteam/upkeep/storage/ledger/ledgertest"
)

// childSleeper claims a run, keeps its lease, and when it is asked tries every
// write that its claim allows.
func childSleeper(ctx context.Context, o order) error {
	const ttl = 2 * time.Second
	l, err := ledger.Open(ctx, ledger.Options{DSN: secret.New(o.DSN), Node: "sleeper", LeaseTTL: ttl})
	if err != nil {
		return err
	}
	if err := l.Register(ctx); err != nil {
		return err
	}
	c, _, err := l.Claim(ctx, o.Run)
	if err != nil {
		return err
	}
	a := ledgertest.Attempt("x", 1)
	if _, err := l.Advance(ctx, c, runner.Step{Begun: []runner.Start{{Attempt: a, Locks: []string{"held"}}}}); err != nil {
		return err
	}
	say("ready")
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		bufio.NewScanner(os.Stdin).Scan()
	}()
	beat := time.NewTicker(ttl / 4)
	defer beat.Stop()
	var lost error
	for waiting := true; waiting; {
		select {
		case <-asked:
			waiting = false
		case <-beat.C:
			if lost == nil {
				lost = l.Heartbeat(ctx)
			}
		}
	}
	_, end := l.Advance(ctx, c, runner.Step{Ended: []runner.End{{Attempt: ledgertest.Ended(a, runner.Succeeded)}}})
	_, finish := l.Advance(ctx, c, runner.Step{Finish: &runner.Finish{State: runner.Succeeded}})
	_, begin := l.Advance(ctx, c, runner.Step{Begun: []runner.Start{{Attempt: ledgertest.Attempt("y", 1)}}})
	causes, err := l.Watch(ctx, c)
	watch := errors.Join(append(causes, err)...)
	late := l.Heartbeat(ctx)
	for _, err := range []error{end, finish, begin, watch, l.Release(ctx, c)} {
		say("stale=%t %v", errors.Is(err, runner.ErrStale), err)
	}
	say("lost=%t %v %v", errors.Is(lost, runner.ErrLeaseLost) || errors.Is(late, runner.ErrLeaseLost), lost, late)
	return nil
}

// TestStoppedOwner stops a process with SIGSTOP, takes its run over when its
// lease has ended, and wakes it with SIGCONT.
func TestStoppedOwner(t *testing.T) {
	t.Parallel()
	for name, fresh := range dialects() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dsn := fresh(t)
			l := ledgertest.Join(t, dsn, "awake", time.Hour)
			answers, err := l.Submit(t.Context(), ledgertest.Request("w", ledgertest.Midnight()))
			if err != nil {
				t.Fatal(err)
			}
			id := answers[0].Run
			c := startChild(t, order{Role: "sleeper", DSN: dsn.Reveal(), Run: id})
			c.line()
			if _, _, err := l.Claim(t.Context(), id); !errors.Is(err, runner.ErrNotClaimable) {
				t.Fatalf("Claim under a living owner: %v, want ErrNotClaimable", err)
			}
			if err := c.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			var claim runner.Claim
			for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
				if claim, _, err = l.Claim(t.Context(), id); err == nil {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("the stopped owner still counts as alive: %v", err)
				}
			}
			a := ledgertest.Attempt("x", 2)
			if blocked, err := l.Advance(t.Context(), claim, runner.Step{Begun: []runner.Start{{Attempt: a, Locks: []string{"held"}}}}); err != nil || len(blocked) > 0 {
				t.Fatalf("begin after the takeover: %+v, %v", blocked, err)
			}
			if err := c.cmd.Process.Signal(syscall.SIGCONT); err != nil {
				t.Fatal(err)
			}
			if _, err := c.stdin.Write([]byte("\n")); err != nil {
				t.Fatal(err)
			}
			for range 5 {
				if line := c.line(); line[:10] != "stale=true" {
					t.Errorf("a late write: %s", line)
				}
			}
			if line := c.line(); line[:9] != "lost=true" {
				t.Errorf("its heartbeat: %s", line)
			}
			c.wait()
			attempts, err := l.Attempts(t.Context(), id)
			if err != nil || len(attempts) != 2 || attempts[0].State != runner.Lost || attempts[1].State != runner.Running {
				t.Errorf("attempts: %+v, %v", attempts, err)
			}
			if _, err := l.Advance(t.Context(), claim, runner.Step{Ended: []runner.End{{Attempt: ledgertest.Ended(a, runner.Succeeded)}}, Finish: &runner.Finish{State: runner.Succeeded}}); err != nil {
				t.Errorf("the end by the new owner: %v", err)
			}
		})
	}
}
