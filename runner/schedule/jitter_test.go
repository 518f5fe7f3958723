package schedule_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/runner/schedule"
)

func TestJitter(t *testing.T) {
	t.Parallel()
	// The values are part of the contract: an upgrade must not move the starts.
	tests := []struct {
		most       time.Duration
		name, host string
		want       time.Duration
	}{
		{0, "daily", "db-1", 0},
		{-time.Second, "daily", "db-1", 0},
		{1, "daily", "db-1", 0},
		{5 * time.Minute, "daily", "db-1", 183914945584},
		{time.Hour, "weekly", "db-2", 1784697589699},
		{time.Hour, "", "", 2622136802609},
	}
	for _, test := range tests {
		if got := schedule.Jitter(test.most, test.name, test.host); got != test.want {
			t.Errorf("Jitter(%s, %q, %q) = %s, want %s", test.most, test.name, test.host, got, test.want)
		}
	}
	if schedule.Jitter(time.Hour, "ab", "c") == schedule.Jitter(time.Hour, "a", "bc") {
		t.Error("the name runs into the host")
	}
}

// TestJitter_IsUniform counts 40,000 workflows in 20 equal parts of the range.
// With 2,000 expected in each, the chi-squared statistic of 19 degrees of
// freedom exceeds 43.8 by chance once in a thousand, and the hash is fixed.
func TestJitter_IsUniform(t *testing.T) {
	t.Parallel()
	const parts, names = 20, 40_000
	most := 5 * time.Minute
	var counts [parts]int
	for i := range names {
		jitter := schedule.Jitter(most, fmt.Sprintf("workflow-%d", i/10), fmt.Sprintf("db-%d", i%10))
		if jitter < 0 || jitter >= most {
			t.Fatalf("jitter %s is outside [0, %s)", jitter, most)
		}
		counts[int64(jitter)*parts/int64(most)]++
	}
	statistic := 0.0
	for _, count := range counts {
		off := float64(count) - names/parts
		statistic += off * off / (names / parts)
	}
	if statistic > 43.8 {
		t.Errorf("chi-squared %.1f of %v, want at most 43.8", statistic, counts)
	}
}
