package retry_test

import (
	"encoding"
	"regexp"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/runner/retry"
)

var (
	_ encoding.TextMarshaler   = retry.Backoff{}
	_ encoding.TextUnmarshaler = (*retry.Backoff)(nil)
)

func TestParseBackoff(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	tests := []struct {
		text string
		want retry.Backoff
		form string
	}{
		{"1m..10m", retry.Backoff{Min: time.Minute, Max: 10 * time.Minute}, "1m..10m"},
		{"30s", retry.Backoff{Min: 30 * time.Second, Max: 30 * time.Second}, "30s"},
		{"1ms..7d", retry.Backoff{Min: time.Millisecond, Max: 7 * day}, "1ms..7d"},
		{"1.5h..1d12h", retry.Backoff{Min: 90 * time.Minute, Max: 36 * time.Hour}, "1h30m..36h"},
		{"60s..1w", retry.Backoff{Min: time.Minute, Max: 7 * day}, "1m..7d"},
		{"0.5d .. 24h", retry.Backoff{Min: 12 * time.Hour, Max: day}, "12h..1d"},
	}
	for _, test := range tests {
		t.Run(test.text, func(t *testing.T) {
			t.Parallel()
			got, err := retry.ParseBackoff(test.text)
			if err != nil || got != test.want {
				t.Fatalf("ParseBackoff(%q) = %v, %v, want %v", test.text, got, err, test.want)
			}
			if got.String() != test.form {
				t.Errorf("String() = %q, want %q", got.String(), test.form)
			}
		})
	}
}

func TestParseBackoff_Refuses(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"":           `backoff "": a duration such as 30s or 5m is missing`,
		"5":          `backoff "5": "5" is not a duration such as 30s, 5m or 1d`,
		"0":          `backoff "0": "0" is not a duration such as 30s, 5m or 1d`,
		"1m..":       `backoff "1m..": a duration such as 30s or 5m is missing`,
		"..1m":       `backoff "..1m": a duration such as 30s or 5m is missing`,
		"1m...5m":    `backoff "1m...5m": ".5m" is not a duration such as 30s, 5m or 1d`,
		"-1s..5s":    `backoff "-1s..5s": "-1s" is not a duration such as 30s, 5m or 1d`,
		"-1d..5d":    `backoff "-1d..5d": "-1d" is not a duration such as 30s, 5m or 1d`,
		"10m..1m":    "backoff ends at 1m before it starts at 10m: write the shorter wait first",
		"0s..1m":     "backoff starts at 0s: the shortest wait is 1ms",
		"1s..8d":     "backoff ends at 8d: the longest wait is 7d",
		"1s..99999w": "backoff ends at 700d: the longest wait is 7d",
		"1e9d":       `backoff "1e9d": "1e9d" is not a duration such as 30s, 5m or 1d`,
		"5m3d":       `backoff "5m3d": "5m3d" is not a duration such as 30s, 5m or 1d`,
		"1m-10m":     `backoff "1m-10m": "1m-10m" is not a duration such as 30s, 5m or 1d`,
		"1s..\x00":   `backoff "1s..\x00": "\x00" is not a duration such as 30s, 5m or 1d`,
	}
	for text, want := range tests {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			got, err := retry.ParseBackoff(text)
			if err == nil {
				t.Fatalf("ParseBackoff(%q) = %v, want an error", text, got)
			}
			if !regexp.MustCompile("^" + regexp.QuoteMeta(want)).MatchString(err.Error()) {
				t.Errorf("message %q, want it to begin with %q", err, want)
			}
		})
	}
}

func FuzzParseBackoff(f *testing.F) {
	for _, seed := range []string{"1m..10m", "30s", "1d12h..1w", "", "..", "1e9d", "-5s", "9999999999999999999h"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		parsed, err := retry.ParseBackoff(text)
		if err != nil {
			return
		}
		if err := (retry.Policy{Max: 1, Backoff: parsed}).Validate(); err != nil {
			t.Fatalf("%q was accepted, but: %v", text, err)
		}
		form, err := parsed.MarshalText()
		if err != nil {
			t.Fatalf("MarshalText: %v", err)
		}
		if !regexp.MustCompile(retry.BackoffPattern).Match(form) {
			t.Errorf("%q does not match BackoffPattern", form)
		}
		var again retry.Backoff
		if err := again.UnmarshalText(form); err != nil || again != parsed {
			t.Fatalf("%q is written as %q, which reads as %v, %v, want %v", text, form, again, err, parsed)
		}
	})
}
