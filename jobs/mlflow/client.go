package mlflow

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/reach"
)

const (
	// api is where the REST API begins (mlflow.org/docs/latest/rest-api.html).
	api = "api/2.0/mlflow/"
	// longestAnswer bounds an answer of the API, longestFile an artifact, in
	// bytes.
	longestAnswer = 64 << 20
	longestFile   = 4 << 20
	// tries is how often a request is made that the server refuses for now.
	tries = 3
	// firstPause is waited before the second try when the server does not say
	// how long; it doubles. longestPause bounds what a server may ask for.
	firstPause   = 300 * time.Millisecond
	longestPause = 20 * time.Second
)

// client asks one server.
type client struct {
	base  *url.URL
	http  *http.Client
	sign  func(*http.Request)
	clock *reach.Clock
	agent string
}

// newClient returns a client of the server of o. The caller closes it.
func newClient(o Options, version string) (*client, error) {
	base, err := parseBase(o.URL.Reveal())
	if err != nil {
		return nil, fmt.Errorf("url: %w", err)
	}
	config, err := o.TLS.Config(base.Hostname())
	if err != nil {
		return nil, err
	}
	c := &client{base: base, clock: reach.NewClock(), agent: "upkeep/" + version, sign: func(*http.Request) {}}
	user := base.User
	base.User = nil
	switch {
	case !o.Token.IsEmpty():
		c.sign = func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+o.Token.Reveal()) }
	case o.Username != "":
		c.sign = func(r *http.Request) { r.SetBasicAuth(o.Username, o.Password.Reveal()) }
	case user != nil:
		password, _ := user.Password()
		c.sign = func(r *http.Request) { r.SetBasicAuth(user.Username(), password) }
	}
	c.http = &http.Client{
		Transport: &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 1},
		// A redirect leads to a login page more often than to an answer.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c, nil
}

func (c *client) close() { c.http.CloseIdleConnections() }

// apiError is an answer in which the server says what is wrong with a question,
// not with itself.
type apiError struct {
	// status is that of HTTP; code is MLflow's own, such as
	// RESOURCE_DOES_NOT_EXIST, and empty when the answer was not MLflow's.
	status        int
	code, message string
	path          string
}

func (e *apiError) Error() string {
	text := fmt.Sprintf("%s: HTTP %d", e.path, e.status)
	if e.code != "" {
		text += " " + e.code
	}
	if e.message != "" {
		text += ": " + e.message
	}
	return text
}

// isMissing tells whether err says that what was asked for does not exist.
func isMissing(err error) bool {
	e, ok := errors.AsType[*apiError](err)
	if !ok {
		return false
	}
	// An alias that is not set is an INVALID_PARAMETER_VALUE in some versions.
	return e.code == "RESOURCE_DOES_NOT_EXIST" || e.code == "INVALID_PARAMETER_VALUE" && strings.Contains(strings.ToLower(e.message), "not found")
}

// isUnknownEndpoint tells whether err says that the server does not know the
// question.
func isUnknownEndpoint(err error) bool {
	e, ok := errors.AsType[*apiError](err)
	return ok && (e.code == "ENDPOINT_NOT_FOUND" || e.code == "" && (e.status == http.StatusNotFound || e.status == http.StatusMethodNotAllowed))
}

// get asks with a query and reads the answer as JSON into out.
func (c *client) get(ctx context.Context, path string, query url.Values, out any) error {
	u := c.base.JoinPath(api, path)
	u.RawQuery = query.Encode()
	return c.json(ctx, http.MethodGet, u, nil, path, out)
}

// post asks with a body.
func (c *client) post(ctx context.Context, path string, body, out any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("write the question %s: %w", path, err)
	}
	return c.json(ctx, http.MethodPost, c.base.JoinPath(api, path), text, path, out)
}

func (c *client) json(ctx context.Context, method string, u *url.URL, body []byte, path string, out any) error {
	text, err := c.ask(ctx, method, u, body, path, longestAnswer, c.sign)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, out); err != nil {
		return reach.Faultf(reach.Body, "%s: the answer is not what MLflow's API gives: %w", path, err)
	}
	return nil
}

// file reads something that is not JSON.
func (c *client) file(ctx context.Context, u *url.URL, what string) (string, error) {
	text, err := c.ask(ctx, http.MethodGet, u, nil, what, longestFile, c.sign)
	if err != nil {
		return "", err
	}
	if head := strings.ToLower(strings.TrimSpace(string(text[:min(len(text), 64)]))); strings.HasPrefix(head, "<!doctype") || strings.HasPrefix(head, "<html") {
		return "", &apiError{status: http.StatusOK, message: "a page for people instead of a file", path: what}
	}
	return string(text), nil
}

// ask makes a request, repeats it while the server refuses it for now and there
// is time, and returns the body of a good answer. Its error is a *reach.Fault
// when the server cannot be asked, or an *apiError.
func (c *client) ask(ctx context.Context, method string, u *url.URL, body []byte, what string, most int64, sign func(*http.Request)) ([]byte, error) {
	pause := firstPause
	for try := 1; ; try++ {
		text, wait, err := c.try(ctx, method, u, body, what, most, sign)
		if err == nil || wait < 0 || try == tries {
			return text, err
		}
		if wait == 0 {
			wait = pause
		}
		pause *= 2
		end, bounded := ctx.Deadline()
		if wait > longestPause || bounded && time.Until(end) < wait {
			return nil, err
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, c.clock.Ended(ctx, ctx.Err(), reach.Timeout)
		}
	}
}

// try makes a request once. wait says how long to wait before it makes sense to
// try again: 0 when the server does not say, negative when it makes none.
func (c *client) try(ctx context.Context, method string, u *url.URL, body []byte, what string, most int64, sign func(*http.Request)) (text []byte, wait time.Duration, err error) {
	request, err := http.NewRequestWithContext(c.clock.Trace(ctx), method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, -1, fmt.Errorf("ask %s: %w", what, err)
	}
	request.Header.Set("Accept", "application/json, */*;q=0.5")
	request.Header.Set("User-Agent", c.agent)
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	sign(request)
	c.clock.Begin("request")
	answer, err := c.http.Do(request)
	if err != nil {
		return nil, -1, c.clock.Ended(ctx, bare(err), reach.TCP)
	}
	text, err = io.ReadAll(io.LimitReader(answer.Body, most+1))
	closed := answer.Body.Close()
	c.clock.Begin("")
	if err := errors.Join(err, closed); err != nil {
		return nil, -1, c.clock.Ended(ctx, fmt.Errorf("read the answer of %s: %w", what, err), reach.TCP)
	}
	if int64(len(text)) > most {
		return nil, -1, reach.Faultf(reach.Body, "%s: the answer is longer than %d bytes", what, most)
	}
	if answer.StatusCode == http.StatusOK {
		return text, -1, nil
	}
	wait, err = judgeStatus(answer, text, what)
	return nil, wait, err
}

// bare is the error of a request without its address, which may be long.
func bare(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

// judgeStatus reads an answer that is not good.
func judgeStatus(answer *http.Response, text []byte, what string) (wait time.Duration, err error) {
	said := &apiError{status: answer.StatusCode, path: what}
	var body struct {
		Code    string `json:"error_code"`
		Message string `json:"message"`
	}
	if json.Unmarshal(text, &body) == nil {
		said.code, said.message = body.Code, jobs.OneLine(body.Message)
	}
	switch status := answer.StatusCode; {
	case status == http.StatusTooManyRequests || said.code == "REQUEST_LIMIT_EXCEEDED":
		return retryAfter(answer), &reach.Fault{Kind: reach.Limited, Err: jobs.WithHint(said, "ask less often, or raise the server's limit")}
	case status == http.StatusUnauthorized:
		return -1, &reach.Fault{Kind: reach.Auth, Err: jobs.WithHint(said, "correct the token, or the user and the password")}
	case status == http.StatusBadGateway || status == http.StatusServiceUnavailable || status == http.StatusGatewayTimeout:
		return retryAfter(answer), &reach.Fault{Kind: reach.Status, Err: jobs.WithHint(said, "look at the server's own log")}
	case status >= http.StatusInternalServerError:
		return -1, &reach.Fault{Kind: reach.Status, Err: jobs.WithHint(said, "look at the server's own log")}
	case status >= http.StatusMultipleChoices && status < http.StatusBadRequest:
		return -1, &reach.Fault{Kind: reach.Status, Err: jobs.WithHint(fmt.Errorf("%s: HTTP %d leads elsewhere", what, status), "give the address of the server itself, not that of a login page")}
	case status < http.StatusMultipleChoices:
		return -1, reach.Faultf(reach.Body, "%s: HTTP %d without an answer", what, status)
	}
	return -1, said
}

// retryAfter reads how long the server wants us to wait, in seconds or as a date
// (RFC 9110, section 10.2.3); 0 when it does not say.
func retryAfter(answer *http.Response) time.Duration {
	text := answer.Header.Get("Retry-After")
	if seconds, err := strconv.Atoi(text); err == nil && seconds >= 0 {
		return time.Duration(min(seconds, 1<<20)) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, time.Until(at))
	}
	return 0
}
