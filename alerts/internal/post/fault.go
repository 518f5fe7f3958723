package post

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/ghosteam/upkeep/alerts"
	"github.com/ghosteam/upkeep/jobs"
)

// longestAfter bounds how long a server can make one message wait.
const longestAfter = time.Hour

// Refusal is what a channel makes of an answer that is not a yes.
type Refusal struct {
	// Forever tells that the message will never be accepted as it is.
	Forever bool
	// Why says what is wrong, in words of the server or ours; empty means the
	// first line of the answer.
	Why string
	// Hint says what to do about it; it may be empty.
	Hint string
	// After is how long to wait at least, besides what the answer asks for.
	After time.Duration
}

// Refused returns the error for an answer, without secrets.
func (c *Client) Refused(a *Answer, r Refusal) error {
	why := r.Why
	if why == "" {
		why = firstLine(a.Body)
	}
	status := strings.TrimSpace(strconv.Itoa(a.Status) + " " + http.StatusText(a.Status))
	text := fmt.Sprintf("%s at %s answered %s", c.who, a.Host, status)
	if why != "" {
		text += ": " + why
	}
	err := errors.New(c.Scrub(text))
	if r.Hint != "" {
		err = jobs.WithHint(err, c.Scrub(r.Hint))
	}
	if r.Forever {
		return &alerts.PermanentError{Err: err}
	}
	return &alerts.TemporaryError{After: max(r.After, After(a.Header, time.Now())), Err: err}
}

// Scrub returns text as one line without secrets, fit for a receipt.
func (c *Client) Scrub(text string) string { return jobs.OneLine(c.redactor.Scrub(text)) }

// Receipt says which answer took the responsibility.
func (c *Client) Receipt(a *Answer, more string) string {
	return c.Scrub(strings.TrimSuffix(fmt.Sprintf("%d %s: %s", a.Status, http.StatusText(a.Status), more), ": "))
}

// firstLine returns what an answer says to people. Pages of HTML say nothing.
func firstLine(body []byte) string {
	text := strings.TrimSpace(string(body))
	if strings.HasPrefix(text, "<") {
		return ""
	}
	return text
}

// After returns how long an answer asks to wait, by its header Retry-After in
// either form (RFC 9110, section 10.2.3), at most an hour; 0 when it does not
// say. A date is compared with the server's own clock when it tells the time.
func After(h http.Header, now time.Time) time.Duration {
	text := strings.TrimSpace(h.Get("Retry-After"))
	if text == "" {
		return 0
	}
	if strings.Trim(text, "0123456789") == "" {
		seconds, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			return longestAfter // more than fits
		}
		return min(time.Duration(seconds)*time.Second, longestAfter)
	}
	when, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		now = date
	}
	return min(max(0, when.Sub(now)), longestAfter)
}

// broken returns the error for a message that got no answer.
func (c *Client) broken(ctx context.Context, host string, err error) error {
	who := c.who
	if host != "" {
		who += " at " + host
	}
	if cause := context.Cause(ctx); cause != nil {
		// The error that the canceled request caused says nothing more.
		return &alerts.TemporaryError{Err: jobs.WithHint(fmt.Errorf("%s: %w", who, cause), "is the address right, and is nothing in between that swallows packets?")}
	}
	if outer, ok := errors.AsType[*url.Error](err); ok {
		err = outer.Err // without the address
	}
	said := errors.New(c.Scrub(who + ": " + err.Error()))
	if hint := hintOf(err); hint != "" {
		said = jobs.WithHint(said, hint)
	}
	return &alerts.TemporaryError{Err: said}
}

func hintOf(err error) string {
	if _, ok := errors.AsType[*redirectError](err); ok {
		return "write the address to which the server really answers"
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return "correct the name of the host, or look at this machine's resolver"
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "the address must use a name in the certificate; for an authority of your own set ca_file"
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return "the port does not speak TLS"
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return "is the server up, and the port right?"
	}
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
		return "upkeep must be able to read the file"
	}
	return ""
}
