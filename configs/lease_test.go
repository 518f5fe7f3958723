package configs_test

import (
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs"
)

func TestLoad_Lease(t *testing.T) {
	t.Parallel()
	usual := configs.Lease{Every: 5 * time.Second, TTL: 15 * time.Second}
	if got := mustLoad(t, "node: db-1\n", nil).Lease; got != usual {
		t.Errorf("by default: %+v", got)
	}
	c, err := configs.Load("testdata/good/full.yaml", testCatalog(testEnv()))
	if err != nil {
		t.Fatal(err)
	}
	if want := (configs.Lease{Every: 2 * time.Second, TTL: 8 * time.Second, KeepRuns: true}); c.Lease != want {
		t.Errorf("got %+v, want %+v", c.Lease, want)
	}
	for text, want := range map[string]string{
		"lease: {every: 10s}":            "lease.ttl must be at least twice as long as lease.every, which is 10s",
		"lease: {ttl: 2h}":               "lease.ttl must be at most 1h",
		"lease: {every: 100ms, ttl: 1m}": "lease.every must be at least 500ms",
	} {
		if _, err := load(t, text+"\n", nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
