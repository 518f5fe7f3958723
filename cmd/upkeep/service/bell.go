package service

import (
	"context"
	"sync"
	"time"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

// bellEvery is the least time between two rings for answers of checks that
// changed nothing but their values.
const bellEvery = 10 * time.Second

// checkBell tells those who follow what changes of the answers of checks.
type checkBell struct {
	ring func(...api.Topic)

	mu    sync.Mutex
	said  map[string]string // what a list shows of a check, by its name
	since time.Time         // the last ring
}

var _ runner.CheckObserver = (*checkBell)(nil)

// Checked implements runner.CheckObserver.
func (b *checkBell) Checked(_ context.Context, r runner.CheckReport) {
	b.mu.Lock()
	said := string(r.Health) + "/" + string(r.Phase) + "/" + r.Cause
	ring := b.said[r.Name] != said || time.Since(b.since) >= bellEvery
	b.said[r.Name] = said
	if ring {
		b.since = time.Now()
	}
	b.mu.Unlock()
	if ring {
		b.ring(api.TopicChecks)
	}
}
