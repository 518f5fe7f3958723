package jobstest

import (
	"sync"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
)

// argumentWatch looks again and again into the arguments of all child
// processes: they are no secret from anybody on the machine.
type argumentWatch struct {
	quit chan struct{}
	done sync.WaitGroup

	redactor *secret.Redactor
	seen     map[string]bool
}

// watchArguments begins to watch, unless there is no secret to watch for.
func watchArguments(secrets []string) *argumentWatch {
	w := &argumentWatch{quit: make(chan struct{}), redactor: secret.NewRedactor(secrets), seen: map[string]bool{}}
	if len(secrets) == 0 {
		return w
	}
	w.done.Go(func() {
		for {
			w.look()
			select {
			case <-w.quit:
				return
			case <-time.After(200 * time.Microsecond):
			}
		}
	})
	return w
}

func (w *argumentWatch) look() {
	for _, child := range childrenOf("/proc/self") {
		line := commandLine(child)
		if safe := w.redactor.Scrub(line); safe != line {
			w.seen[safe] = true
		}
	}
}

// stop returns the command lines, scrubbed, that held a secret.
func (w *argumentWatch) stop() []string {
	close(w.quit)
	w.done.Wait()
	var out []string
	for line := range w.seen {
		out = append(out, line)
	}
	return out
}

// WatchArguments looks for secrets in the arguments of all child processes of
// this one until stop is called, which returns the command lines, scrubbed, that
// held one. It is for what kinds do beside a run; Exercise watches runs itself.
func WatchArguments(secrets []string) (stop func() []string) {
	return watchArguments(secrets).stop
}
