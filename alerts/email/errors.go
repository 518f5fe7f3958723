package email

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/textproto"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/alerts"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
)

// afterLogin is how long to wait at least after a refused login: servers lock
// out who tries wrong passwords in quick succession.
const afterLogin = 5 * time.Minute

// stage is a part of the conversation.
type stage string

const (
	stageConnect   stage = "connect"
	stageGreet     stage = "greet"
	stageTLS       stage = "encrypt the connection"
	stageLogin     stage = "log in"
	stageSender    stage = "name the sender"
	stageRecipient stage = "name a recipient"
	stageData      stage = "hand over the mail"
)

// stageError says where in the conversation an error occurred.
type stageError struct {
	stage stage
	err   error
}

func (e *stageError) Error() string { return string(e.stage) + ": " + e.err.Error() }
func (e *stageError) Unwrap() error { return e.err }

func at(s stage, err error) error { return &stageError{s, err} }

// slowError is the cause of a mail that took too long.
type slowError struct{ limit unit.Duration }

func (e *slowError) Error() string { return fmt.Sprintf("no end after %s", e.limit) }

// Timeout tells the standard library's callers what it is.
func (e *slowError) Timeout() bool { return true }

// isReply tells whether err is an answer of the server.
func isReply(err error) bool {
	_, ok := errors.AsType[*textproto.Error](err)
	return ok
}

// forGood tells whether an error is about this mail and will not go away; of
// several, whether all are. What
// is wrong with the server, the connection or the login may be put right while
// the mail waits.
func forGood(err error) bool {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, part := range joined.Unwrap() {
			if !forGood(part) {
				return false
			}
		}
		return true
	}
	s, ok := errors.AsType[*stageError](err)
	if !ok || s.stage != stageSender && s.stage != stageRecipient && s.stage != stageData {
		return false
	}
	reply, ok := errors.AsType[*textproto.Error](err)
	if !ok {
		return false
	}
	switch reply.Code {
	case 530, 534, 535, 538: // about the login: RFC 4954, section 6
		return false
	}
	return reply.Code >= 500 && reply.Code < 600
}

// tell gives an error the type that steers the dispatcher, says which server it
// is about, and takes out the password.
func (c *Channel) tell(ctx context.Context, err error) error {
	if partial, ok := errors.AsType[*alerts.PartialError](err); ok {
		return &alerts.PartialError{Receipt: c.redactor.Scrub(partial.Receipt), Err: c.scrubbed(partial.Err)}
	}
	hint := jobs.HintOf(err)
	if hint == "" {
		hint = c.hint(err)
	}
	if cause := context.Cause(ctx); cause != nil {
		// The error that the closed connection caused says nothing.
		if s, ok := errors.AsType[*stageError](err); ok {
			cause = fmt.Errorf("%s: %w", s.stage, cause)
		}
		return &alerts.TemporaryError{Err: jobs.WithHint(fmt.Errorf("mail server %s: %w", c.o.address(), cause), "is it the right port, and is nothing in between that swallows packets?")}
	}
	said := c.scrubbed(fmt.Errorf("mail server %s: %w", c.o.address(), err))
	if hint != "" {
		said = jobs.WithHint(said, hint)
	}
	if forGood(err) {
		return &alerts.PermanentError{Err: said}
	}
	temporary := &alerts.TemporaryError{Err: said}
	if s, ok := errors.AsType[*stageError](err); ok && s.stage == stageLogin && isReply(err) {
		temporary.After = afterLogin
	}
	return temporary
}

// scrubbed returns err as one line without the password, and without the chain
// below it, whose texts may hold it.
func (c *Channel) scrubbed(err error) error {
	return errors.New(jobs.OneLine(c.redactor.Scrub(err.Error())))
}

// hint says what a person can do about err.
func (c *Channel) hint(err error) string {
	s, ok := errors.AsType[*stageError](err)
	if !ok {
		return ""
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "smtp_server must be a name in the certificate; for an authority of your own set ca_file"
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok && c.o.TLS == tlsImplicit {
		return "the port does not speak TLS from the start: use tls: starttls"
	}
	reply, isReply := errors.AsType[*textproto.Error](err)
	switch {
	case s.stage == stageLogin && isReply:
		return "check username and password; the mail waits, and a new password is used without a restart"
	case s.stage == stageSender && isReply && reply.Code == 530:
		return "the server wants a login: set username and password"
	case s.stage == stageConnect && strings.Contains(err.Error(), "refused"):
		return "is the mail server up, and smtp_port right?"
	}
	return ""
}
