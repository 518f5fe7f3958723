package child

import (
	"log/slog"
	"os"
	ossignal "os/signal"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// reapPause collects the deaths of many orphans into one look at all children.
const reapPause = 100 * time.Millisecond

// ReapOrphans makes this process bury the orphans that the kernel hands to it,
// as the first process of a container or a subreaper must: processes that none
// of its commands started. The exit of a command is never taken by it. It works
// until stop is called, which waits; between two deaths it does nothing. It may
// be called once at a time.
func ReapOrphans(log *slog.Logger) (stop func()) {
	family := thisProcess().family
	deaths := make(chan os.Signal, 1)
	ossignal.Notify(deaths, unix.SIGCHLD)
	over := make(chan struct{})
	var loop sync.WaitGroup
	loop.Go(func() {
		for {
			if err := family.reap(); err != nil {
				log.Warn("bury orphaned processes", "error", err)
			}
			select {
			case <-over:
				return
			case <-deaths:
			}
			select {
			case <-over:
				return
			case <-time.After(reapPause):
			}
		}
	})
	return sync.OnceFunc(func() {
		ossignal.Stop(deaths)
		close(over)
		loop.Wait()
	})
}
