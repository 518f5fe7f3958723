package retry_test

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/ghosteam/upkeep/runner/retry"
)

func TestPolicy_Delay(t *testing.T) {
	t.Parallel()
	half := func() float64 { return 0.5 }
	tests := []struct {
		name   string
		policy retry.Policy
		want   []time.Duration // after attempts 1, 2, …
	}{
		{
			"GrowsAndStopsAtMax",
			retry.Policy{Backoff: retry.Backoff{Min: time.Minute, Max: 10 * time.Minute}, Jitter: retry.JitterNone},
			[]time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 10 * time.Minute, 10 * time.Minute},
		},
		{
			"Factor",
			retry.Policy{Backoff: retry.Backoff{Min: time.Second, Max: time.Hour}, Factor: 3, Jitter: retry.JitterNone},
			[]time.Duration{time.Second, 3 * time.Second, 9 * time.Second, 27 * time.Second},
		},
		{
			"FactorOneIsConstant",
			retry.Policy{Backoff: retry.Backoff{Min: time.Second, Max: time.Hour}, Factor: 1, Jitter: retry.JitterNone},
			[]time.Duration{time.Second, time.Second, time.Second},
		},
		{
			"Full",
			retry.Policy{Backoff: retry.Backoff{Min: time.Minute, Max: 10 * time.Minute}, Jitter: retry.JitterFull},
			[]time.Duration{30 * time.Second, time.Minute, 2 * time.Minute},
		},
		{
			"EqualIsTheDefault",
			retry.Policy{Backoff: retry.Backoff{Min: time.Minute, Max: 10 * time.Minute}},
			[]time.Duration{45 * time.Second, 90 * time.Second, 180 * time.Second},
		},
		{
			"ZeroBackoffIsTheDefault",
			retry.Policy{Jitter: retry.JitterNone},
			[]time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second, 32 * time.Second, time.Minute},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var got []time.Duration
			for attempt := range test.want {
				got = append(got, test.policy.Delay(attempt+1, half))
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("Delay (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPolicy_DelayStaysInRange(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		low := time.Duration(rapid.Int64Range(int64(time.Millisecond), int64(7*24*time.Hour)).Draw(t, "min"))
		high := time.Duration(rapid.Int64Range(int64(low), int64(7*24*time.Hour)).Draw(t, "max"))
		policy := retry.Policy{
			Max:     10,
			Backoff: retry.Backoff{Min: low, Max: high},
			Factor:  rapid.SampledFrom([]float64{0, 1, 1.5, 2, 10, 1e300, math.MaxFloat64}).Draw(t, "factor"),
			Jitter:  rapid.SampledFrom([]retry.Jitter{"", retry.JitterEqual, retry.JitterFull, retry.JitterNone}).Draw(t, "jitter"),
		}
		if err := policy.Validate(); err != nil {
			t.Fatalf("Validate: %v", err)
		}
		attempt := rapid.OneOf(rapid.IntRange(-3, 100), rapid.Just(math.MaxInt), rapid.Just(math.MinInt)).Draw(t, "attempt")
		// Sources outside [0,1) are a fault of the caller that must stay harmless.
		share := rapid.SampledFrom([]float64{0, 0.25, math.Nextafter(1, 0), 1, 7, -1, math.NaN(), math.Inf(1)}).Draw(t, "share")
		got := policy.Delay(attempt, func() float64 { return share })
		floor := time.Duration(0)
		if policy.Jitter == retry.JitterNone {
			floor = low
		} else if policy.Jitter != retry.JitterFull {
			floor = low / 2
		}
		if got < floor || got > high {
			t.Fatalf("Delay(%d) = %s, want within [%s, %s]", attempt, got, floor, high)
		}
		if random := policy.Delay(attempt, nil); random < floor || random > high {
			t.Fatalf("Delay(%d) with the default source = %s, want within [%s, %s]", attempt, random, floor, high)
		}
	})
}

func TestPolicy_Next(t *testing.T) {
	t.Parallel()
	failure := errors.New("connection refused")
	policy := retry.Policy{Max: 2, Backoff: retry.Backoff{Min: time.Second, Max: time.Minute}, Jitter: retry.JitterNone}
	tests := []struct {
		name    string
		attempt int
		err     error
		wait    time.Duration
		again   bool
	}{
		{"First", 1, failure, time.Second, true},
		{"LastRetry", 2, failure, 2 * time.Second, true},
		{"Spent", 3, failure, 0, false},
		{"Permanent", 1, retry.Permanent(failure), 0, false},
		{"PermanentWinsOverAfter", 1, retry.After(retry.Permanent(failure), time.Hour), 0, false},
		{"PermanentDeepInside", 1, fmt.Errorf("upload: %w", errors.Join(failure, retry.Permanent(failure))), 0, false},
		{"AfterReplacesTheWait", 2, fmt.Errorf("put: %w", retry.After(failure, 90*time.Minute)), 90 * time.Minute, true},
		{"AfterNothing", 1, retry.After(failure, 0), 0, true},
		{"AfterDoesNotRaiseMax", 3, retry.After(failure, time.Second), 0, false},
		{"Success", 1, nil, 0, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			wait, again := policy.Next(test.attempt, test.err, nil)
			if wait != test.wait || again != test.again {
				t.Errorf("Next(%d, %v) = %s, %t, want %s, %t", test.attempt, test.err, wait, again, test.wait, test.again)
			}
		})
	}
}

func TestPolicy_Validate(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		policy retry.Policy
		want   string // part of the message, empty for none
	}{
		{"Zero", retry.Policy{}, ""},
		{"Whole", retry.Policy{Max: 3, Backoff: retry.Backoff{Min: time.Second, Max: time.Second}, Factor: 1, Jitter: retry.JitterFull}, ""},
		{"NegativeMax", retry.Policy{Max: -1}, "cannot be negative"},
		{"MinAboveMax", retry.Policy{Backoff: retry.Backoff{Min: time.Minute, Max: time.Second}}, "write the shorter wait first"},
		{"NoMin", retry.Policy{Backoff: retry.Backoff{Max: time.Second}}, "shortest wait is 1ms"},
		{"TooLong", retry.Policy{Backoff: retry.Backoff{Min: time.Second, Max: 8 * 24 * time.Hour}}, "longest wait is 7d"},
		{"FactorBelowOne", retry.Policy{Factor: 0.5}, "at least 1"},
		{"FactorNaN", retry.Policy{Factor: math.NaN()}, "at least 1"},
		{"FactorInfinite", retry.Policy{Factor: math.Inf(1)}, "at least 1"},
		{"Jitter", retry.Policy{Jitter: "some"}, "equal, full or none"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			err := test.policy.Validate()
			if test.want == "" {
				if err != nil {
					t.Errorf("Validate: %v, want none", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Validate: %v, want a message with %q", err, test.want)
			}
		})
	}
}

func TestMarks(t *testing.T) {
	t.Parallel()
	if err := retry.Permanent(nil); err != nil {
		t.Errorf("Permanent(nil) = %v", err)
	}
	if err := retry.After(nil, time.Second); err != nil {
		t.Errorf("After(nil) = %v", err)
	}
	if retry.IsPermanent(nil) || retry.IsPermanent(fs.ErrNotExist) {
		t.Error("IsPermanent is true for an unmarked error")
	}
	marked := retry.Permanent(fmt.Errorf("open dump: %w", fs.ErrNotExist))
	if !errors.Is(marked, fs.ErrNotExist) || marked.Error() != "open dump: file does not exist" {
		t.Errorf("the mark hides or changes the error: %v", marked)
	}
	if wait, ok := retry.AfterOf(marked); ok {
		t.Errorf("AfterOf an unmarked error = %s, true", wait)
	}
	if wait, ok := retry.AfterOf(retry.After(retry.After(marked, time.Hour), -time.Second)); !ok || wait != 0 {
		t.Errorf("AfterOf = %s, %t, want the outermost mark, not below 0", wait, ok)
	}
}
