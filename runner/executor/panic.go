package executor

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
)

// stackFrames is the most frames that a trimmed stack shows.
const stackFrames = 30

// errVanished reports a job that neither returned nor panicked.
var errVanished = errors.New("the job ended its goroutine without returning")

// panicError is a panic of a kind's code.
type panicError struct {
	value any
	stack string
}

// Error shows the value of the panic.
func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.value) }

// trimmedStack returns the frames between the panic and this package, the
// deepest first. It is called by a deferred function of guard.
func trimmedStack() string {
	counters := make([]uintptr, 128)
	counters = counters[:runtime.Callers(2, counters)]
	frames := runtime.CallersFrames(counters)
	var out strings.Builder
	raised := false
	for shown := 0; shown < stackFrames; {
		frame, more := frames.Next()
		switch {
		case strings.HasPrefix(frame.Function, "runtime."):
			// The runtime's frames lie between the deferred function and the
			// code that panicked.
			raised = true
		case strings.HasSuffix(frame.Function, "/executor.guard"):
			return out.String()
		case raised:
			fmt.Fprintf(&out, "%s\n\t%s:%d\n", frame.Function, frame.File, frame.Line)
			shown++
		}
		if !more {
			break
		}
	}
	return out.String()
}

// guard calls do and turns a panic into a *panicError. When do ends its
// goroutine, guard reports errVanished to gone and the goroutine ends.
func guard(do func() error, gone func(error)) (err error) {
	returned := false
	defer func() {
		if returned {
			return
		}
		if value := recover(); value != nil {
			err = &panicError{value: value, stack: trimmedStack()}
			return
		}
		gone(errVanished)
	}()
	err = do()
	returned = true
	return err
}
