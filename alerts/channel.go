package alerts

import (
	"context"
	"time"

	"github.com/ghosteam/upkeep/jobs"
)

// Channel takes messages to people. Each is a folder of its own below this one
// and passes the suite in alertstest.
type Channel interface {
	// Send hands m over and returns when the receiving side has taken the
	// responsibility for it; receipt is what that side answered, one line.
	//
	// It may be called again with the same message, when it is not known
	// whether an earlier call succeeded: it then uses the same identity
	// (m.ID), so that the receiving side can tell. It ends when ctx does,
	// opens its connections anew, leaves nothing behind, and puts no secret
	// into what it returns. Everything in m but names is foreign text: it must
	// not become markup, a header or a command.
	//
	// Errors steer: *TemporaryError and every unknown error are tried again,
	// *PermanentError is given up, *PartialError counts as sent. A hint
	// (jobs.WithHint) says what to do about it.
	Send(ctx context.Context, m Message) (receipt string, err error)
}

// Style is how a channel wants to be told of several things.
type Style int

// The styles.
const (
	// OneByOne gets a message for each notice.
	OneByOne Style = iota
	// Gathering may also get a message that stands for several notices, with the
	// action digest; Title, Text and Items say what it stands for.
	Gathering
	// Recording keeps a record of each incident at its own side, as a pager does:
	// it gets a message for each notice, and none at all about an incident that
	// was over before its opening was tried.
	Recording
)

// Styled is a Channel that says how it wants to be told; the others are told
// OneByOne.
type Styled interface {
	Channel
	// Style returns the same at every call.
	Style() Style
}

// Selective is a Channel that hands over only what is grave enough and takes the
// rest without telling anybody.
type Selective interface {
	Channel
	// Takes returns the severities that it tells of, the same at every call.
	Takes() []jobs.Severity
}

// styleOf returns how a channel wants to be told.
func styleOf(c Channel) Style {
	if s, ok := c.(Styled); ok {
		return s.Style()
	}
	return OneByOne
}

// TemporaryError says that a message may be accepted later.
type TemporaryError struct {
	// After is how long to wait at least; 0 leaves that to the dispatcher.
	After time.Duration
	Err   error
}

// Error returns the text of Err.
func (e *TemporaryError) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e *TemporaryError) Unwrap() error { return e.Err }

// PermanentError says that this message will never be accepted as it is.
type PermanentError struct{ Err error }

// Error returns the text of Err.
func (e *PermanentError) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e *PermanentError) Unwrap() error { return e.Err }

// PartialError says that a message was accepted for some of those whom the
// channel is to tell, and that trying again would tell them twice. The message
// counts as sent, and the rest is logged.
type PartialError struct {
	// Receipt is what the receiving side answered.
	Receipt string
	// Err says who is not told, and why.
	Err error
}

// Error says that it went well in part, and the text of Err.
func (e *PartialError) Error() string { return "accepted for some only: " + e.Err.Error() }

// Unwrap returns Err.
func (e *PartialError) Unwrap() error { return e.Err }
