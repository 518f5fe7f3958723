package retry_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/runner/retry"
)

var errBusy = errors.New("busy")

// steady waits 1s, 2s, 4s, … up to 10s.
func steady(most int) retry.Policy {
	return retry.Policy{Max: most, Backoff: retry.Backoff{Min: time.Second, Max: 10 * time.Second}, Jitter: retry.JitterNone}
}

func TestDo_SucceedsAfterFailures(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var at []time.Duration
		var told []retry.Failure
		err := retry.Do(t.Context(), steady(5), func(context.Context) error {
			at = append(at, time.Since(start))
			if len(at) < 4 {
				return errBusy
			}
			return nil
		}, func(f retry.Failure) { told = append(told, f) })
		if err != nil {
			t.Errorf("Do: %v", err)
		}
		if diff := cmp.Diff([]time.Duration{0, time.Second, 3 * time.Second, 7 * time.Second}, at); diff != "" {
			t.Errorf("attempts started at (-want +got):\n%s", diff)
		}
		if len(told) != 3 || told[2].Attempt != 3 || told[2].Wait != 4*time.Second || !errors.Is(told[2].Err, errBusy) {
			t.Errorf("watch was told %+v, want three failures, the last of attempt 3 with 4s", told)
		}
	})
}

func TestDo_GivesUp(t *testing.T) {
	t.Parallel()
	permanent := retry.Permanent(errBusy)
	tests := []struct {
		name     string
		policy   retry.Policy
		errs     []error // one per attempt
		attempts int
		elapsed  time.Duration
		message  string
	}{
		{"NoRetries", retry.Policy{}, []error{errBusy}, 1, 0, "busy"},
		{"PermanentAtOnce", steady(3), []error{permanent}, 1, 0, "busy"},
		{"Spent", steady(2), []error{errBusy, errBusy, errBusy}, 3, 3 * time.Second, "gave up after 3 attempts: busy"},
		{"PermanentLater", steady(5), []error{errBusy, permanent}, 2, time.Second, "gave up after 2 attempts: busy"},
		{"After", steady(1), []error{retry.After(errBusy, time.Minute), errBusy}, 2, time.Minute, "gave up after 2 attempts: busy"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				start, attempts := time.Now(), 0
				err := retry.Do(t.Context(), test.policy, func(context.Context) error {
					attempts++
					return test.errs[attempts-1]
				})
				if err == nil || err.Error() != test.message {
					t.Errorf("Do: %v, want %q", err, test.message)
				}
				if !errors.Is(err, errBusy) {
					t.Errorf("%v does not wrap the operation's error", err)
				}
				if retry.IsPermanent(err) != retry.IsPermanent(test.errs[attempts-1]) {
					t.Errorf("IsPermanent(%v) = %t: Do changed the mark", err, retry.IsPermanent(err))
				}
				if attempts != test.attempts || time.Since(start) != test.elapsed {
					t.Errorf("%d attempts in %s, want %d in %s", attempts, time.Since(start), test.attempts, test.elapsed)
				}
			})
		})
	}
}

func TestDo_DeadContext(t *testing.T) {
	t.Parallel()
	cause := errors.New("node is draining")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	called := false
	err := retry.Do(ctx, steady(3), func(context.Context) error { called = true; return nil })
	if called {
		t.Error("the operation ran on a dead context")
	}
	var stopped *retry.StoppedError
	if !errors.As(err, &stopped) || stopped.Attempts != 0 || !errors.Is(err, cause) {
		t.Fatalf("Do: %v, want a StoppedError without attempts that wraps the cause", err)
	}
	if want := "not attempted: node is draining"; err.Error() != want {
		t.Errorf("message %q, want %q", err, want)
	}
}

func TestDo_ContextEndsDuringWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cause := errors.New("canceled by anna")
		ctx, cancel := context.WithCancelCause(t.Context())
		attempts := 0
		go func() {
			time.Sleep(1500 * time.Millisecond)
			cancel(cause)
		}()
		start := time.Now()
		err := retry.Do(ctx, steady(9), func(context.Context) error { attempts++; return errBusy })
		if attempts != 2 || time.Since(start) != 1500*time.Millisecond {
			t.Errorf("%d attempts in %s, want 2 in 1.5s", attempts, time.Since(start))
		}
		if !errors.Is(err, cause) || !errors.Is(err, errBusy) {
			t.Errorf("Do: %v, want it to wrap both the cause and the last error", err)
		}
		if want := "stopped after 2 attempts (canceled by anna): busy"; err.Error() != want {
			t.Errorf("message %q, want %q", err, want)
		}
	})
}

func TestDo_ContextEndsDuringAttempt(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		first   error
		message string
	}{
		{"KeepsTheUsefulError", errBusy, "stopped after 2 attempts (too slow): busy"},
		{"KeepsTheOnlyError", nil, "stopped after 1 attempt (too slow): put dump: context deadline exceeded"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				cause := errors.New("too slow")
				ctx, cancel := context.WithTimeoutCause(t.Context(), 5*time.Second, cause)
				defer cancel()
				first := test.first
				err := retry.Do(ctx, steady(9), func(ctx context.Context) error {
					if first != nil {
						failed := first
						first = nil
						return failed
					}
					<-ctx.Done()
					return fmt.Errorf("put dump: %w", ctx.Err())
				})
				if err == nil || err.Error() != test.message || !errors.Is(err, cause) {
					t.Errorf("Do: %v, want %q, wrapping the cause", err, test.message)
				}
			})
		})
	}
}

func TestDo_DoesNotWaitBeyondTheDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		start, attempts := time.Now(), 0
		err := retry.Do(ctx, steady(9), func(context.Context) error {
			attempts++
			return retry.After(errBusy, 6*time.Second)
		})
		if attempts != 2 || time.Since(start) != 6*time.Second {
			t.Errorf("%d attempts in %s, want 2 in 6s", attempts, time.Since(start))
		}
		if !errors.Is(err, retry.ErrNoTime) || !errors.Is(err, errBusy) {
			t.Errorf("Do: %v, want it to wrap ErrNoTime and the last error", err)
		}
	})
}

func TestDo_SuccessCountsEvenWhenTheContextEnded(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	if err := retry.Do(ctx, steady(3), func(context.Context) error { cancel(); return nil }); err != nil {
		t.Errorf("Do: %v, want the success to count", err)
	}
}
