package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// interrupts are the signals that ask this process to end: Ctrl-C, TERM, and
// the end of the terminal.
type interrupts struct {
	// ctx ends with the first of them; its cause is an *interruptedError.
	ctx context.Context
	// received has all of them, for commands that execute runs.
	received chan os.Signal

	in   chan os.Signal
	quit context.CancelCauseFunc
}

// listen begins to listen. A signal that whoever started this process wants
// ignored, as nohup does, stays ignored.
func listen() *interrupts {
	const most = 8 // unread signals beyond that say nothing new
	i := &interrupts{received: make(chan os.Signal, most), in: make(chan os.Signal, most)}
	i.ctx, i.quit = context.WithCancelCause(context.Background())
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP} {
		if !signal.Ignored(s) {
			signal.Notify(i.in, s)
		}
	}
	go func() {
		for s := range i.in {
			i.quit(&interruptedError{signal: s})
			select {
			case i.received <- s:
			default:
			}
		}
	}()
	return i
}

// stop ends the listening; further signals do what they do by default.
func (i *interrupts) stop() {
	signal.Stop(i.in)
	close(i.in)
	i.quit(nil)
}

// interruptedError says that a signal ended the command.
type interruptedError struct{ signal os.Signal }

// Error names the signal.
func (e *interruptedError) Error() string { return fmt.Sprintf("interrupted (%s)", e.signal) }

// Is makes it a canceled context.
func (e *interruptedError) Is(target error) bool { return target == context.Canceled }

// keepRunningWithoutReader lets this process live on when nobody reads its
// output any longer, as after `upkeep run daily | head -1`: a run under way is
// worth more than its display. The function that it returns ends that. Child
// processes are not affected.
func keepRunningWithoutReader() (restore func()) {
	unread := make(chan os.Signal, 1)
	signal.Notify(unread, syscall.SIGPIPE)
	return func() { signal.Stop(unread) }
}

// isClosedPipe tells whether a write failed because its reader went away.
func isClosedPipe(err error) bool { return errors.Is(err, syscall.EPIPE) }
