package unit_test

import (
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/unit"
)

func TestTook(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		d    time.Duration
		want string
	}{
		{-1, "-"},
		{0, "0s"},
		{1234 * time.Microsecond, "1ms"},
		{999*time.Millisecond + 900*time.Microsecond, "1s"},
		{12345 * time.Millisecond, "12.3s"},
		{59960 * time.Millisecond, "1m"},
		{70 * time.Second, "1m10s"},
		{10 * time.Minute, "10m"},
		{59*time.Minute + 59500*time.Millisecond, "1h"},
		{time.Hour, "1h"},
		{100 * time.Minute, "1h40m"},
		{30*time.Hour + 29*time.Second, "30h"},
	} {
		if got := unit.Took(tt.d); got != tt.want {
			t.Errorf("Took(%s) = %q, want %q", tt.d, got, tt.want)
		}
	}
}

func TestBrief(t *testing.T) {
	t.Parallel()
	for want, d := range map[string]time.Duration{"0s": 0, "10s": 10 * time.Second, "10m": 10 * time.Minute, "10h": 10 * time.Hour, "1h0m1s": time.Hour + time.Second, "-1h": -time.Hour} {
		if got := unit.Brief(d); got != want {
			t.Errorf("Brief(%s) = %q, want %q", d, got, want)
		}
	}
}
