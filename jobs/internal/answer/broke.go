package answer

import (
	"fmt"

	"github.com/ghosteam/upkeep/jobs"
)

// brokeError says that a program failed, with its own last words.
type brokeError struct {
	err   error
	words string
	hint  string
	code  int
}

// Broke makes the error of a program that ended with code. A line "error: …"
// of what it said is taken as the cause and a line "hint: …" as the advice;
// without one, the last line is the best there is. said must be scrubbed.
func Broke(env *jobs.Env, err error, code int, said string) error {
	words := LineWith(said, ErrorPrefix)
	if words == "" {
		words = LastLine(said)
	}
	return BrokeWith(env, err, code, words, said)
}

// BrokeWith is Broke with the words that say why.
func BrokeWith(env *jobs.Env, err error, code int, words, said string) error {
	return &brokeError{err: err, code: code, words: env.OneLine(words), hint: env.OneLine(LineWith(said, HintPrefix))}
}

// Error returns what happened and why.
func (e *brokeError) Error() string {
	if e.words == "" {
		return e.err.Error()
	}
	return fmt.Sprintf("%s: %s", e.err, e.words)
}

// Unwrap returns how the program ended.
func (e *brokeError) Unwrap() error { return e.err }

// Hint is the program's own advice, if it gave any.
func (e *brokeError) Hint() string { return e.hint }

// ExitCode lets `retry: on_exit_codes` see the code.
func (e *brokeError) ExitCode() int { return e.code }
