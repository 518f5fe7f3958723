package jobs

import (
	"errors"
	"fmt"

	"github.com/ghosteam/upkeep/configs/registry"
)

// FieldError says that one option of a job has an impossible value. The
// loader finds the option's place in the file and shows it.
type FieldError = registry.FieldError

// Fieldf returns a FieldError without a hint.
func Fieldf(field, format string, args ...any) *FieldError {
	return registry.Fieldf(field, format, args...)
}

// hinted is an error with advice for the person who reads it.
type hinted struct {
	err  error
	hint string
}

func (h *hinted) Error() string { return h.err.Error() }
func (h *hinted) Unwrap() error { return h.err }

// WithHint attaches advice to err: what the reader can do about it, as one
// imperative line without a final full stop. It returns nil for a nil err.
func WithHint(err error, hint string) error {
	if err == nil {
		return nil
	}
	return &hinted{err: err, hint: hint}
}

// Hint returns the advice.
func (h *hinted) Hint() string { return h.hint }

// HintOf returns the outermost hint that err or an error it wraps carries, by
// WithHint or by a Hint method of its own, or the empty string.
func HintOf(err error) string {
	if h, ok := errors.AsType[interface {
		error
		Hint() string
	}](err); ok {
		return h.Hint()
	}
	return ""
}

// RefusedError says that a safety rail stopped the job before it changed
// anything more. The attempt fails with reason "refused", is not retried, and
// the command ends with exit code 6.
type RefusedError struct {
	// Rail names the option or rule that refused, such as "max_share".
	Rail string
	// Why says what would have happened, with numbers.
	Why string
}

// Error returns the rail and the reason.
func (e *RefusedError) Error() string { return fmt.Sprintf("refused by %s: %s", e.Rail, e.Why) }

// ExitCoder is implemented by errors of child processes, so that
// `retry.on_exit_codes` can look at the code.
type ExitCoder interface {
	error
	// ExitCode returns 0 to 255, or -1 when a signal ended the process.
	ExitCode() int
}
