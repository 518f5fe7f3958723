package api

import (
	"cmp"
	"context"
	"errors"
	"net/http"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

// Code says what kind of error an answer is. The words stay the same between
// versions.
type Code string

// The codes.
const (
	CodeInvalid         Code = "invalid"          // the request breaks the schema or makes no sense
	CodeNotFound        Code = "not_found"        // what it names does not exist
	CodeAmbiguous       Code = "ambiguous"        // a shortened ID fits several
	CodeNotClaimable    Code = "not_claimable"    // the run is not in a state for that
	CodeSkipped         Code = "skipped"          // there is nothing to do, or somebody else is at it
	CodeConflict        Code = "conflict"         // the Idempotency-Key was used for another request
	CodeRefused         Code = "refused"          // a safety rail refused
	CodeUnauthenticated Code = "unauthenticated"  // nobody can tell who asks
	CodeForbidden       Code = "forbidden"        // who asks may not
	CodeFailed          Code = "failed"           // it was tried, and what it works on did not do it; the text says why
	CodeTooMany         Code = "too_many"         // too many logins failed; Retry-After says for how long
	CodeUnavailable     Code = "unavailable"      // not just now; the same request may be repeated
	CodeNoSpace         Code = "no_space"         // not before there is room on the disk of the ledger
	CodeTooLarge        Code = "too_large"        // the request is larger than what is read
	CodeNoMethod        Code = "no_method"        // the address exists and does not answer this method
	CodeUnsupported     Code = "unsupported_type" // the body is not JSON
	CodeRange           Code = "range"            // nothing was kept of the bytes that were asked for
	CodeInternal        Code = "internal"         // a fault of upkeep; its log says more
)

// outcome is what a code is elsewhere.
type outcome struct {
	status int   // of HTTP
	exit   int   // exit code of the command line
	err    error // the word of runner, if it has one
}

// outcomeOf is the one table of codes; exit codes are those of `upkeep --help`.
func outcomeOf(c Code) outcome {
	switch c {
	case CodeInvalid:
		return outcome{http.StatusUnprocessableEntity, 2, nil}
	case CodeNotFound:
		return outcome{http.StatusNotFound, 3, runner.ErrNotFound}
	case CodeAmbiguous:
		return outcome{http.StatusConflict, 2, nil}
	case CodeNotClaimable:
		return outcome{http.StatusConflict, 4, runner.ErrNotClaimable}
	case CodeSkipped:
		return outcome{http.StatusConflict, 4, nil}
	case CodeConflict:
		return outcome{http.StatusConflict, 2, nil}
	case CodeRefused:
		return outcome{http.StatusConflict, 6, nil}
	case CodeUnauthenticated:
		return outcome{http.StatusUnauthorized, 6, nil}
	case CodeForbidden:
		return outcome{http.StatusForbidden, 6, nil}
	case CodeFailed:
		return outcome{http.StatusConflict, 1, nil}
	case CodeTooMany:
		return outcome{http.StatusTooManyRequests, 75, nil}
	case CodeUnavailable:
		return outcome{http.StatusServiceUnavailable, 75, runner.ErrUnavailable}
	case CodeNoSpace:
		return outcome{http.StatusInsufficientStorage, 75, runner.ErrNoSpace}
	case CodeTooLarge:
		return outcome{http.StatusRequestEntityTooLarge, 2, nil}
	case CodeNoMethod:
		return outcome{http.StatusMethodNotAllowed, 2, nil}
	case CodeUnsupported:
		return outcome{http.StatusUnsupportedMediaType, 2, nil}
	case CodeRange:
		return outcome{http.StatusRequestedRangeNotSatisfiable, 2, nil}
	default:
		return outcome{http.StatusInternalServerError, 1, nil}
	}
}

// Codes lists all codes.
func Codes() []Code {
	return []Code{
		CodeInvalid, CodeNotFound, CodeAmbiguous, CodeNotClaimable, CodeSkipped, CodeConflict, CodeRefused, CodeFailed, CodeUnauthenticated,
		CodeForbidden, CodeTooMany, CodeUnavailable, CodeNoSpace, CodeTooLarge, CodeNoMethod, CodeUnsupported, CodeRange, CodeInternal,
	}
}

// Status returns the code's HTTP status.
func (c Code) Status() int { return outcomeOf(c).status }

// Exit returns the exit code of a command that ends with the code.
func (c Code) Exit() int { return outcomeOf(c).exit }

// Problem is an answer that is an error, in the form of RFC 9457. It is an
// error itself: what implements the daemon may return one, and the client
// returns the one that it was answered.
type Problem struct {
	Title     string   `json:"title" doc:"the status in words"`
	Status    int      `json:"status" doc:"the HTTP status"`
	Detail    string   `json:"detail" doc:"what went wrong, without secrets"`
	Code      Code     `json:"code" doc:"what kind of error it is; the words stay the same between versions"`
	Advice    string   `json:"hint" doc:"what can be done about it; empty when there is no advice"`
	ExitCode  int      `json:"exit_code" doc:"with what a command ends that meets it"`
	RequestID string   `json:"request_id" doc:"under which the log has it"`
	Errors    []Wrong  `json:"errors,omitempty" doc:"what is wrong where in the request"`
	Prefix    string   `json:"prefix,omitempty" doc:"an ambiguous beginning of an ID"`
	IDs       []string `json:"ids,omitempty" doc:"what it fits"`
}

// Wrong is one thing that is wrong with a request.
type Wrong struct {
	Location string `json:"location" doc:"such as query.limit or body.jobs[1]"`
	Message  string `json:"message"`
}

// NewProblem makes a problem. It may be wrapped; the texts around it then are
// lost on the way to the client.
func NewProblem(code Code, hint, detail string) *Problem {
	return &Problem{
		Title: http.StatusText(code.Status()), Status: code.Status(), Detail: detail,
		Code: code, Advice: hint, ExitCode: code.Exit(),
	}
}

// ProblemOf says what kind of error err is, with its text and hint. An error
// that it cannot place becomes CodeInternal without its text, which may hold
// what is not for everybody's eyes; the log is the place for that.
func ProblemOf(err error) *Problem {
	hint := jobs.HintOf(err)
	if p, ok := errors.AsType[*Problem](err); ok {
		return NewProblem(p.Code, hint, p.Detail).with(p)
	}
	if e, ok := errors.AsType[*runner.AmbiguousError](err); ok {
		p := NewProblem(CodeAmbiguous, cmp.Or(hint, "give more characters of the ID"), err.Error())
		p.Prefix = e.Prefix
		for _, id := range e.IDs {
			p.IDs = append(p.IDs, string(id))
		}
		return p
	}
	if _, ok := errors.AsType[*jobs.RefusedError](err); ok {
		return NewProblem(CodeRefused, hint, err.Error())
	}
	switch {
	case errors.Is(err, runner.ErrNotFound):
		return NewProblem(CodeNotFound, hint, err.Error())
	case errors.Is(err, runner.ErrNotClaimable):
		return NewProblem(CodeNotClaimable, hint, err.Error())
	case errors.Is(err, runner.ErrIncidentState):
		return NewProblem(CodeSkipped, hint, err.Error())
	case errors.Is(err, runner.ErrNoSpace):
		return NewProblem(CodeNoSpace, cmp.Or(hint, "make room on the disk of the ledger"), err.Error())
	case errors.Is(err, runner.ErrUnavailable):
		return NewProblem(CodeUnavailable, cmp.Or(hint, "try again soon"), err.Error())
	case errors.Is(err, runner.ErrShutdown):
		return NewProblem(CodeUnavailable, cmp.Or(hint, "try again when the daemon is back"), err.Error())
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return NewProblem(CodeUnavailable, cmp.Or(hint, "try again soon"), "the request was not done in time")
	}
	return NewProblem(CodeInternal, hint, "upkeep met an error that it did not expect; its log says more under the request's ID")
}

// FailureOf is ProblemOf for an error of work on foreign things, such as a
// database: its text, which must have no secret, is for who asks, whatever it
// is.
func FailureOf(err error) *Problem {
	p := ProblemOf(err)
	if p.Code == CodeInternal {
		return NewProblem(CodeFailed, p.Advice, err.Error())
	}
	p.Detail = err.Error()
	return p
}

// with takes over what only from has.
func (p *Problem) with(from *Problem) *Problem {
	p.Errors, p.Prefix, p.IDs = from.Errors, from.Prefix, from.IDs
	return p
}

// Error returns what went wrong.
func (p *Problem) Error() string {
	text := p.Detail
	if text == "" {
		text = string(p.Code)
	}
	for _, w := range p.Errors {
		text += "; " + w.Location + ": " + w.Message
	}
	return text
}

// Hint returns the advice, for jobs.HintOf.
func (p *Problem) Hint() string { return p.Advice }

// GetStatus returns the HTTP status.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType returns the media type of problems.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

// Unwrap returns the word of runner for the problem: ErrNotFound,
// ErrNotClaimable, ErrUnavailable, *AmbiguousError, or nil.
func (p *Problem) Unwrap() error {
	switch p.Code {
	case CodeAmbiguous:
		e := &runner.AmbiguousError{Prefix: p.Prefix}
		for _, id := range p.IDs {
			e.IDs = append(e.IDs, runner.RunID(id))
		}
		return e
	case CodeRefused:
		return &jobs.RefusedError{Rail: string(p.Code), Why: p.Detail}
	default:
		return outcomeOf(p.Code).err
	}
}
