package child

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"time"
)

// Exit is how a command ended. It is filled in as far as it is known also when
// Run returns an error.
type Exit struct {
	// Code is the exit status, 0 … 255; -1 when a signal ended the process or no
	// process was started.
	Code int
	// Signal names the signal that ended the main process ("SIGKILL"), or is empty.
	Signal string
	// Duration is the time from before the start to the end of the main process.
	Duration time.Duration
	// UserCPU and SystemCPU are the processor time of the main process and of the
	// descendants it waited for.
	UserCPU, SystemCPU time.Duration
	// MaxRSS is the peak memory in bytes of the largest of these processes. It is 0
	// when it is not known: Linux counts the peak of the parent at the time of the
	// fork as the child's, so a child smaller than this process cannot be measured.
	MaxRSS int64
	// Escaped counts the processes of the tree which outlived the main one and had
	// to be ended.
	Escaped int
	// Remaining counts the processes which could not be ended (see *LeftoverError).
	Remaining int
	// Stopped tells that Run ended the command: its context ended or a stream failed.
	Stopped bool
	// Killed tells that TERM was not enough for the tree and KILL was sent.
	Killed bool
	// Cgroup tells that a cgroup held the tree; else it was found by walking /proc.
	Cgroup bool
}

// ErrNotFound is the cause of a *StartError when argv[0] is in no folder of PATH.
// It goes together with fs.ErrNotExist.
var ErrNotFound = errors.New("no such program in PATH")

// ExitError tells that a command ended by itself with a status other than 0.
type ExitError struct {
	// Name is argv[0].
	Name string
	// Code is the exit status, -1 when a signal ended the process.
	Code int
	// Signal names that signal, or is empty.
	Signal string
}

func (e *ExitError) Error() string {
	if e.Signal != "" {
		return fmt.Sprintf("%s: ended by %s", e.Name, e.Signal)
	}
	return fmt.Sprintf("%s: exit status %d", e.Name, e.Code)
}

// StartError tells that a command could not be started: no instruction of the
// program ran. Err holds the cause (fs.ErrNotExist, fs.ErrPermission,
// syscall.ENOEXEC …).
type StartError struct {
	// Name is argv[0].
	Name string
	// Doing is the step that failed when it is not the start itself ("enter /x").
	Doing string
	// Err is the cause.
	Err error

	hint string
}

func (e *StartError) Error() string {
	if e.Doing != "" {
		return fmt.Sprintf("start %s: %s: %v", e.Name, e.Doing, e.Err)
	}
	return fmt.Sprintf("start %s: %v", e.Name, e.Err)
}

func (e *StartError) Unwrap() error { return e.Err }

// Hint is what a person can do about it, or empty.
func (e *StartError) Hint() string {
	switch {
	case e.hint != "":
		return e.hint
	case errors.Is(e.Err, ErrNotFound):
		return "install the program, write its full path, or set PATH in the command's environment"
	case errors.Is(e.Err, syscall.ENOEXEC):
		return "a script needs a first line such as #!/bin/sh; a binary must be built for this machine"
	case errors.Is(e.Err, fs.ErrPermission):
		return "the program must be executable, and it and the folders above it open to the user who runs it"
	}
	return ""
}

// StopError tells that a command was ended because its context had ended. It
// wraps the cause of the context and the context's own error.
type StopError struct {
	// Name is argv[0].
	Name string
	// Cause is context.Cause of the context.
	Cause error
	// Killed tells that TERM was not enough.
	Killed bool

	ctx error
}

func (e *StopError) Error() string {
	if e.Killed {
		return fmt.Sprintf("%s: killed: %v", e.Name, e.Cause)
	}
	return fmt.Sprintf("%s: stopped: %v", e.Name, e.Cause)
}

func (e *StopError) Unwrap() []error { return []error{e.Cause, e.ctx} }

// StreamError tells that a command was ended because its input could not be read
// or its output could not be stored.
type StreamError struct {
	// Name is argv[0].
	Name string
	// Stream is "stdin", "stdout", "stderr" or "output" (both in one).
	Stream string
	// Err is what the reader or writer returned.
	Err error
}

func (e *StreamError) Error() string { return fmt.Sprintf("%s: %s: %v", e.Name, e.Stream, e.Err) }
func (e *StreamError) Unwrap() error { return e.Err }

// HeldError tells that the main process ended while others held its output, so
// that nobody can say the output is complete. Run returns it when the holders
// could not be found, Output also when they had to be ended.
type HeldError struct {
	// Name is argv[0].
	Name string
	// Ended tells that the holders were ended.
	Ended bool
}

func (e *HeldError) Error() string {
	if e.Ended {
		return e.Name + ": ended while processes it had started still held its output; they were ended"
	}
	return e.Name + ": ended, but its output is still held by a process that could not be found"
}

// Hint is what a person can do about it.
func (e *HeldError) Hint() string {
	return "let the command wait for its background processes, or redirect their output"
}

// LeftoverError tells that processes of a command could not be ended, or that it
// could not be found out whether any were left.
type LeftoverError struct {
	// Name is argv[0], or the marks of a sweep.
	Name string
	// PIDs are the processes that are left.
	PIDs []int
	// Err is why, when it is known.
	Err error
}

func (e *LeftoverError) Error() string {
	var b strings.Builder
	b.WriteString(e.Name)
	if len(e.PIDs) > 0 {
		fmt.Fprintf(&b, ": %d of its processes could not be ended %v", len(e.PIDs), e.PIDs)
	} else {
		b.WriteString(": leftover processes could not be looked for")
	}
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	return b.String()
}

func (e *LeftoverError) Unwrap() error { return e.Err }
