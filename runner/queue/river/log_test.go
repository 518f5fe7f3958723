package river_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ghosteam/upkeep/runner/queue/river"
)

// River's errors are warnings to people, one a minute, and none at the end.
func TestQuiet(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j := &journal{}
		quiet, hush := river.Quiet(slog.NewTextHandler(j, &slog.HandlerOptions{Level: slog.LevelDebug}))
		log := slog.New(quiet).With("node", "a").WithGroup("river")
		ctx := context.Background()
		log.InfoContext(ctx, "client started")
		log.DebugContext(ctx, "looks")
		if len(j.lines) != 0 {
			t.Errorf("news are told: %s", j.lines)
		}
		for range 90 {
			log.ErrorContext(ctx, "Error fetching jobs", "err", errors.New("connection refused"))
			time.Sleep(time.Second)
		}
		warned := j.of("WARN")
		if len(j.lines) != 2 || len(warned) != 2 {
			t.Fatalf("90 errors in 90 s are told as %s", j.lines)
		}
		for i, parts := range [][]string{{"Error fetching jobs", "connection refused", "node=a", "more_before=0"}, {"more_before=59"}} {
			for _, part := range parts {
				if !strings.Contains(warned[i], part) {
					t.Errorf("line %q lacks %q", warned[i], part)
				}
			}
		}
		hush()
		time.Sleep(time.Hour)
		log.ErrorContext(ctx, "Error closing listener")
		if len(j.lines) != 2 {
			t.Errorf("after the end it is told: %s", j.lines[2:])
		}
	})
}
