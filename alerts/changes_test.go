package alerts_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ghosteam/upkeep/alerts"
	"github.com/ghosteam/upkeep/runner"
)

// chronicle has events.
type chronicle struct {
	stories

	mu   sync.Mutex
	list []runner.Happening
}

func (c *chronicle) add(h runner.Happening) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.list = append(c.list, h)
}

func (c *chronicle) Happenings(_ context.Context, f runner.HappeningFilter) ([]runner.Happening, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(c.list), func(h runner.Happening) bool {
		return !slices.Contains(f.Kinds, h.Kind) || h.At.Before(f.Since) || !f.Until.IsZero() && !h.At.Before(f.Until)
	}), nil
}

// TestDuty_Changes: a channel that keeps a record of deploys is told of each once,
// also when upkeep was away for a while, and others are not.
func TestDuty_Changes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		events := &chronicle{}
		pager, ops := &channel{}, &channel{}
		channels := map[string]*channel{"pager": pager, "ops": ops}
		var record *outbox
		prepare := func(b *bench) {
			b.stories, b.settings = events, map[string]alerts.Settings{"pager": {Changes: true, Style: alerts.Recording}}
			if record != nil {
				b.outbox = record
			}
		}
		began := time.Now()
		events.add(runner.Happening{ID: "h0", Kind: "deploy", Subject: "api", Text: "1.4.0 ok", By: "anna", At: began.Add(-13 * time.Hour)})
		b := newBench(t, channels, prepare)
		record = b.outbox
		time.Sleep(time.Minute)
		deployed := time.Now().Add(123456 * time.Microsecond)
		time.Sleep(time.Second)
		events.add(runner.Happening{ID: "h1", Kind: "deploy", Subject: "api", Text: "1.4.1 ok", By: "anna", At: deployed})
		events.add(runner.Happening{ID: "h2", Kind: "restart", Subject: "api", Text: "restarted", At: deployed})
		b.d.Wake()
		time.Sleep(10 * time.Minute)
		b.end()
		events.add(runner.Happening{ID: "h3", Kind: "deploy", Subject: "web", Text: "2.0 failed", By: "bert", At: time.Now()})
		time.Sleep(time.Hour)
		b = newBench(t, channels, prepare)
		time.Sleep(10 * time.Minute)
		b.end()
		if got := pager.told(began); len(got) != 2 || !strings.HasPrefix(got[0], "change ") {
			t.Fatalf("pager was told %v", got)
		}
		if got := ops.told(began); len(got) > 0 {
			t.Errorf("ops was told %v", got)
		}
		first, second := pager.got[0], pager.got[1]
		if first.Title != "deploy api: 1.4.1 ok" || len(first.Changes) != 1 || first.Changes[0].By != "anna" || !first.Changes[0].At.Equal(deployed) {
			t.Errorf("the first is %+v", first)
		}
		if second.Title != "deploy web: 2.0 failed" || len(second.Changes) != 1 {
			t.Errorf("the second is %+v", second)
		}
	})
}
