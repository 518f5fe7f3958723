package jobs

import (
	"log/slog"

	"github.com/ghosteam/upkeep/jobs/internal/child"
)

// ReapOrphans makes this process bury the orphaned processes that the kernel
// hands to it, as the first process of a container must; without it they stay
// as zombies. The ends of child processes that jobs run are not touched. It
// works in the background until stop is called and costs nothing while nobody
// dies.
func ReapOrphans(log *slog.Logger) (stop func()) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return child.ReapOrphans(log)
}
