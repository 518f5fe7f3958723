package webhook

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/alerts/internal/post"
	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
)

// The headers of our own.
const (
	headerKey       = "Idempotency-Key"
	headerSignature = "X-Upkeep-Signature"
)

// Options are the settings of a webhook channel.
type Options struct {
	URL          secret.String            `yaml:"url" required:"true" doc:"Address that gets the messages." example:"${file:secrets/webhook-url}"`
	Method       string                   `yaml:"method" enum:"POST,PUT,PATCH" doc:"How they are handed over: POST, PUT or PATCH."`
	Headers      map[string]secret.String `yaml:"headers" doc:"Headers to send along; all their values are secrets." example:"{Authorization: 'Bearer ${file:secrets/webhook}'}"`
	Secret       secret.String            `yaml:"secret" doc:"Secret to sign messages with, at least 16 characters; without it they are not signed." example:"${file:secrets/webhook-key}"`
	Body         string                   `yaml:"body" doc:"What to send, as a template (Go text/template) that makes JSON; without it the whole message." example:"{\"text\": {{json .title}}}"`
	Success      unit.Names               `yaml:"success" doc:"The statuses by which the server says that it has the message: numbers, ranges or classes." example:"[2xx]"`
	AllowHTTP    bool                     `yaml:"allow_http" doc:"Send over http to other machines too, where everybody on the way can read the message and its secrets."`
	post.Options `yaml:",inline"`
}

func defaults() Options {
	return Options{Method: http.MethodPost, Success: unit.Names{"2xx"}, Options: post.Defaults()}
}

// shortestSecret is the length of the shortest secret to sign with, in bytes.
const shortestSecret = 16

// Validate implements jobs.Validator.
func (o *Options) Validate() error {
	errs := []error{post.CheckURL("url", o.URL.Reveal(), o.AllowHTTP), o.Options.Validate()}
	if !slices.Contains([]string{http.MethodPost, http.MethodPut, http.MethodPatch}, o.Method) {
		errs = append(errs, jobs.Fieldf("method", "%q is neither POST nor PUT nor PATCH", o.Method))
	}
	for name, value := range o.Headers {
		field := "headers." + name
		switch {
		case name == "" || strings.ContainsFunc(name, notOfToken):
			errs = append(errs, jobs.Fieldf("headers", "%q is not the name of a header", name))
		case ours(name):
			errs = append(errs, jobs.Fieldf(field, "upkeep sets this header itself"))
		case strings.ContainsFunc(value.Reveal(), func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }):
			errs = append(errs, &jobs.FieldError{Field: field, Why: "it holds a line end or another control character", Hint: "keep it in a file with one line"})
		}
	}
	if n := len(o.Secret.Reveal()); n > 0 && n < shortestSecret {
		errs = append(errs, &jobs.FieldError{Field: "secret", Why: fmt.Sprintf("%d characters can be guessed", n), Hint: fmt.Sprintf("use at least %d, such as the output of openssl rand -hex 32", shortestSecret)})
	}
	_, err := parseStatuses(o.Success)
	errs = append(errs, err)
	_, err = parseBody(o.Body)
	return errors.Join(append(errs, err)...)
}

// ours tells whether upkeep or the connection sets a header.
func ours(name string) bool {
	return slices.Contains([]string{headerKey, headerSignature, "Content-Length", "Transfer-Encoding", "Connection", "Trailer", "Upgrade"}, http.CanonicalHeaderKey(name))
}

// notOfToken tells whether c cannot stand in the name of a header: RFC 9110,
// section 5.6.2.
func notOfToken(c rune) bool {
	letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
	return !letter && !strings.ContainsRune("!#$%&'*+-.^_`|~", c)
}

// statuses are ranges of statuses, both ends included.
type statuses [][2]int

func (s statuses) has(status int) bool {
	return slices.ContainsFunc(s, func(r [2]int) bool { return status >= r[0] && status <= r[1] })
}

// parseStatuses reads 200, 200-204 and 2xx.
func parseStatuses(texts []string) (statuses, error) {
	if len(texts) == 0 {
		return nil, jobs.Fieldf("success", "no answer would mean that a message arrived")
	}
	var out statuses
	for i, text := range texts {
		r, ok := parseStatus(text)
		if !ok || r[0] < 200 || r[1] > 299 {
			return nil, jobs.Fieldf(fmt.Sprintf("success[%d]", i), "%q is not a status of success: write 200, 200-204 or 2xx", text)
		}
		out = append(out, r)
	}
	return out, nil
}

func parseStatus(text string) (r [2]int, ok bool) {
	if len(text) == 3 && strings.EqualFold(text[1:], "xx") && text[0] >= '1' && text[0] <= '5' {
		class := int(text[0]-'0') * 100
		return [2]int{class, class + 99}, true
	}
	from, to, isRange := strings.Cut(text, "-")
	if !isRange {
		to = from
	}
	for i, part := range []string{from, to} {
		n, err := strconv.Atoi(strings.TrimSpace(part))
		if err != nil {
			return r, false
		}
		r[i] = n
	}
	return r, r[0] <= r[1]
}

// moment writes an instant; the zero time is empty.
func moment(t time.Time, zone *time.Location) string {
	if t.IsZero() {
		return ""
	}
	return t.In(zone).Format(time.RFC3339)
}
