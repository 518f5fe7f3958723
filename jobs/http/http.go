// Package http is the kind that sends HTTP requests and judges the answers: a
// probe of a service, a warm-up after a restart, a golden request for a model,
// and a measurement of its throughput. It knows in which phase a request
// failed and how long each took. It refuses to show what is sent, to follow a
// redirect with what is meant for another server, and to pass over an
// unverified certificate in silence.
package http

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
)

const doc = `Sends an HTTP request and judges the answer, once or many times.

**Expectations.** An answer is good when all that ` + "`expect`" + ` says holds; without it, when the status is 200 to 299. An answer that
is not good, and no answer within ` + "`timeout`" + `, are a critical finding whose id tells what went wrong: http:dns, http:tcp, http:tls,
http:timeout, http:redirect, http:status, http:header or http:body. A slow answer is http:latency. Set ` + "`fail_on: critical`" + ` on the job to
make it fail then.

**Effects.** GET, HEAD and OPTIONS change nothing by their definition (RFC 9110, 9.2.1). Any other method is an effect: a dry run does not
send it, a check may not use it, and an answer that is not good is an error of the job. A request such as the golden request
of a model, which is a POST and changes nothing, is marked by ` + "`safe: true`" + `. After a crash a request may be sent once more; with
` + "`idempotency_key`" + ` the server can tell.

**A warm-up** after a restart waits with ` + "`wait`" + ` until the service answers as expected, then sends ` + "`repeat.warm_up`" + ` requests that are not
measured. **Throughput**: ` + "`repeat.count`" + ` requests by ` + "`repeat.concurrency`" + ` clients give requests_per_second and the percentiles of
their times; latency is judged by the 95th. Failed requests are counted by what went wrong.

**What is not sent, and not shown.** No proxy is used unless ` + "`proxy`" + ` names one. Redirects are followed on the same host only, unless
` + "`redirects`" + ` says otherwise; on the way to another host all configured headers are left behind, and a body is never sent there. At most
` + "`max_body`" + ` of an answer is read, and none of it is shown but single values that ` + "`expect.json`" + ` looks at. Certificates are
verified; ` + "`tls.insecure`" + ` is a warning in each run.

Values: status, total_seconds, dns_seconds, connect_seconds, tls_seconds, first_byte_seconds (from the sent request to the first byte
of the answer; the phases are those of the last hop), body_bytes, certificate_days (until the server's certificate expires), one for each
` + "`expect.json`" + ` with a ` + "`value`" + `; with ` + "`repeat`" + ` also requests, errors, error_percent, requests_per_second,
p50_seconds, p95_seconds, p99_seconds, max_seconds and, with ` + "`repeat.items`" + `, items_per_second.`

// Options are the options of the kind.
type Options struct {
	URL            string                   `yaml:"url" required:"true" doc:"Where to send the request; secrets belong into query, headers or password." example:"https://api.example.org/health"`
	Method         string                   `yaml:"method" doc:"The method of the request." example:"POST"`
	Safe           bool                     `yaml:"safe" doc:"The request changes nothing, whatever its method: it is sent in a dry run and by a check too."`
	Query          map[string]secret.String `yaml:"query" doc:"Parameters that are added to the URL, such as a token." example:"{token: \"${env:TOKEN}\"}"`
	Headers        map[string]secret.String `yaml:"headers" doc:"Headers of the request. They are never shown." example:"{Authorization: \"Bearer ${env:TOKEN}\"}"`
	Username       string                   `yaml:"username" doc:"The user of basic authentication."`
	Password       secret.String            `yaml:"password" doc:"The password of basic authentication."`
	Body           secret.String            `yaml:"body" doc:"The body of the request. It is never shown." example:"'{\"inputs\": [[1, 2]]}'"`
	BodyFile       unit.Path                `yaml:"body_file" doc:"A file, of at most 16 MiB, with the body of the request." example:"golden/request.json"`
	IdempotencyKey bool                     `yaml:"idempotency_key" doc:"Send a header Idempotency-Key that is the same for all attempts of a run."`
	Socket         unit.Path                `yaml:"socket" doc:"Send the request through this unix socket instead of to the URL's host." example:"/run/api.sock"`
	Proxy          secret.String            `yaml:"proxy" doc:"The URL of a proxy, or environment for HTTP_PROXY and its like; none without it." example:"http://proxy.internal:3128"`
	Redirects      string                   `yaml:"redirects" enum:"none,same_host,any" doc:"Which redirects are followed, ten at most: none (the redirect itself is the answer), same_host, or any except from https to http."`
	Timeout        unit.Duration            `yaml:"timeout" doc:"How long one request may take, with its redirects and the whole answer."`
	MaxBody        unit.Size                `yaml:"max_body" doc:"How much of an answer is read. An expectation about the body of a longer one is not met."`
	TLS            TLS                      `yaml:"tls" doc:"How to speak TLS."`
	Expect         Expect                   `yaml:"expect" doc:"What a good answer is."`
	Latency        Latency                  `yaml:"latency" limits:"total_seconds" doc:"Limits of the whole time of a request, or of the 95th percentile with repeat."`
	Wait           unit.Duration            `yaml:"wait" doc:"How long to try again, once a second, until the answer is good; only for requests that change nothing."`
	Repeat         Repeat                   `yaml:"repeat" doc:"Send the request many times."`
}

// TLS says how to speak TLS. Version 1.2 is the least.
type TLS struct {
	CA          unit.Path `yaml:"ca" doc:"A file of certificates, PEM, of the authorities to trust instead of the system's." example:"/etc/ssl/internal.pem"`
	Certificate unit.Path `yaml:"certificate" doc:"A file with the certificate, PEM, by which to identify ourselves."`
	Key         unit.Path `yaml:"key" doc:"A file with the key of that certificate, PEM."`
	ServerName  string    `yaml:"server_name" doc:"The name that the certificate must hold, and that the server is asked for, instead of the URL's host." example:"api.example.org"`
	Insecure    bool      `yaml:"insecure" doc:"Accept any certificate. Each run then warns."`
}

// Latency are limits of a time; zero is none.
type Latency struct {
	Warn unit.Duration `yaml:"warn" doc:"Above this time it is a warning." example:"1s"`
	Crit unit.Duration `yaml:"crit" doc:"Above this time it is critical." example:"3s"`
}

// Repeat says how often to send the request.
type Repeat struct {
	Count       int        `yaml:"count" doc:"How many requests are measured, at most 1,000,000; 0 and 1 mean a single one." example:"1000"`
	Concurrency int        `yaml:"concurrency" doc:"How many requests are under way at once, 1 to 256."`
	WarmUp      int        `yaml:"warm_up" doc:"How many requests are sent before, by as many clients, and not measured." example:"20"`
	MaxErrors   unit.Share `yaml:"max_errors" doc:"Above this share of failed requests it is critical; fewer are a warning."`
	MinRate     float64    `yaml:"min_rate" doc:"Fewer good requests in a second than this are a warning; 0 means any." example:"50"`
	Items       int        `yaml:"items" doc:"How many items one request holds, such as the rows of a batch; measures items_per_second." example:"64"`
}

const (
	redirectNone = "none"
	redirectSame = "same_host"
	redirectAny  = "any"

	proxyFromEnvironment = "environment"

	mostRequests    = 1_000_000
	mostConcurrency = 256
	mostRequestBody = 16 << 20
	mostAnswerBody  = 64 << 20
)

// Kind returns the kind of job.
func Kind() jobs.Kind {
	return jobs.Define("http", doc, Options{
		Method: http.MethodGet, Redirects: redirectSame, Timeout: unit.Duration(5 * time.Second), MaxBody: 1 << 20,
		Repeat: Repeat{Concurrency: 1},
	}, func(o Options, _ jobs.Deps) (jobs.Job, error) {
		e, err := o.Expect.compile()
		if err != nil {
			return nil, err
		}
		return &Job{options: o, expect: e}, nil
	}).AsProbe()
}

// Validate judges the options.
func (o *Options) Validate() error {
	_, expect := o.Expect.compile()
	errs := []error{o.address(), expect, o.request(), o.repeat()}
	if !slices.Contains([]string{redirectNone, redirectSame, redirectAny}, o.Redirects) {
		errs = append(errs, jobs.Fieldf("redirects", "%q is unknown: use none, same_host or any", o.Redirects))
	}
	if o.Timeout.Std() < time.Millisecond || o.Timeout.Std() > time.Hour {
		errs = append(errs, jobs.Fieldf("timeout", "%s is out of range: use 1ms to 1h", o.Timeout))
	}
	if o.MaxBody < 0 || o.MaxBody > mostAnswerBody {
		errs = append(errs, jobs.Fieldf("max_body", "%s is out of range: use at most %s", o.MaxBody, unit.Size(mostAnswerBody)))
	}
	if o.Latency.Warn > 0 && o.Latency.Crit > 0 && o.Latency.Warn > o.Latency.Crit {
		errs = append(errs, jobs.Fieldf("latency.warn", "%s is above crit, %s", o.Latency.Warn, o.Latency.Crit))
	}
	for name, d := range map[string]unit.Duration{"latency.warn": o.Latency.Warn, "latency.crit": o.Latency.Crit} {
		if d > o.Timeout {
			errs = append(errs, jobs.Fieldf(name, "%s is above the timeout, %s: no answer takes that long", d, o.Timeout))
		}
	}
	if (o.TLS.Certificate == "") != (o.TLS.Key == "") {
		errs = append(errs, jobs.Fieldf("tls.certificate", "a certificate and its key go together"))
	}
	if o.Wait > 0 && o.changes() {
		errs = append(errs, jobs.Fieldf("wait", "a request that changes something is not sent again and again: say safe: true if it does not"))
	}
	return errors.Join(errs...)
}

// address judges where the request goes. Its errors do not repeat what could
// hold a password.
func (o *Options) address() error {
	u, err := url.Parse(o.URL)
	switch {
	case o.URL == "":
		return jobs.Fieldf("url", "it is required")
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return jobs.Fieldf("url", "it is not http://HOST/PATH or https://HOST/PATH")
	case u.User != nil:
		return &jobs.FieldError{Field: "url", Why: "a URL with a user or a password would be shown", Hint: "write username: and password:"}
	case u.Fragment != "":
		return jobs.Fieldf("url", "what follows # is never sent")
	}
	if text := o.Proxy.Reveal(); text != "" && text != proxyFromEnvironment {
		p, err := url.Parse(text)
		if err != nil || p.Host == "" || !slices.Contains([]string{"http", "https", "socks5", "socks5h"}, p.Scheme) {
			return jobs.Fieldf("proxy", "it is neither environment nor a URL of the scheme http, https or socks5")
		}
	}
	if o.Socket != "" && !o.Proxy.IsEmpty() {
		return jobs.Fieldf("proxy", "a request through a socket goes through no proxy")
	}
	return nil
}

// request judges what is sent.
func (o *Options) request() error {
	var errs []error
	if !isToken(o.Method) || strings.ToUpper(o.Method) != o.Method || o.Method == http.MethodConnect {
		errs = append(errs, jobs.Fieldf("method", "%q is not the method of a request, such as GET or POST", o.Method))
	}
	for name, value := range o.Headers {
		if !isToken(name) || !isFieldValue(value.Reveal()) {
			errs = append(errs, jobs.Fieldf("headers", "%q is not a header that could be sent", name))
		}
	}
	if !o.Body.IsEmpty() && o.BodyFile != "" {
		errs = append(errs, jobs.Fieldf("body_file", "the body stands in body already"))
	}
	if o.Username == "" && !o.Password.IsEmpty() {
		errs = append(errs, jobs.Fieldf("username", "a password needs one"))
	}
	if o.Username != "" && slices.ContainsFunc(keysOf(o.Headers), func(name string) bool { return strings.EqualFold(name, "Authorization") }) {
		errs = append(errs, jobs.Fieldf("username", "the header Authorization is given already"))
	}
	return errors.Join(errs...)
}

func (o *Options) repeat() error {
	r := o.Repeat
	var errs []error
	if r.Count < 0 || r.Count > mostRequests {
		errs = append(errs, jobs.Fieldf("repeat.count", "%d is out of range: use at most %d", r.Count, mostRequests))
	}
	if r.WarmUp < 0 || r.WarmUp > mostRequests {
		errs = append(errs, jobs.Fieldf("repeat.warm_up", "%d is out of range: use at most %d", r.WarmUp, mostRequests))
	}
	if r.Concurrency < 1 || r.Concurrency > mostConcurrency {
		errs = append(errs, jobs.Fieldf("repeat.concurrency", "%d is out of range: use 1 to %d", r.Concurrency, mostConcurrency))
	}
	if r.MinRate < 0 {
		errs = append(errs, jobs.Fieldf("repeat.min_rate", "it is below 0"))
	}
	if r.Items < 0 {
		errs = append(errs, jobs.Fieldf("repeat.items", "it is below 0"))
	}
	if !r.many() && (r.MinRate > 0 || r.Items > 0 || r.MaxErrors > 0) {
		errs = append(errs, jobs.Fieldf("repeat.count", "a single request has no rate and no share of errors"))
	}
	return errors.Join(errs...)
}

// many tells that more than one request is measured.
func (r Repeat) many() bool { return r.Count > 1 }

func keysOf(m map[string]secret.String) []string {
	var out []string
	for name := range m {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// changes tells whether the request may change something on its server.
func (o *Options) changes() bool {
	return !o.Safe && !slices.Contains([]string{http.MethodGet, http.MethodHead, http.MethodOptions}, o.Method)
}

// Job sends requests.
type Job struct {
	options Options
	expect  *expectation
}

var (
	_ jobs.Job       = (*Job)(nil)
	_ jobs.Checker   = (*Job)(nil)
	_ jobs.Effectful = (*Job)(nil)
)

// Effectful keeps requests that change something out of checks.
func (j *Job) Effectful() error {
	if !j.options.changes() {
		return nil
	}
	return &jobs.FieldError{
		Field: "method", Why: "a check may not send " + j.options.Method + ", which changes something",
		Hint: "say safe: true if this request changes nothing",
	}
}

// Check reads the files that the request needs. It sends nothing.
func (j *Job) Check(context.Context, *jobs.Env) error {
	_, err := j.body()
	_, other := j.config()
	return errors.Join(err, other)
}

// body is what is sent.
func (j *Job) body() (_ []byte, err error) {
	if j.options.BodyFile == "" {
		return []byte(j.options.Body.Reveal()), nil
	}
	f, err := os.Open(string(j.options.BodyFile))
	if err != nil {
		return nil, jobs.WithHint(fmt.Errorf("read the body of the request: %w", err), "correct body_file: or make the file")
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(fmt.Errorf("read the body of the request: %s is not an ordinary file", j.options.BodyFile), err)
	}
	body, err := io.ReadAll(io.LimitReader(f, mostRequestBody+1))
	if err == nil && len(body) > mostRequestBody {
		err = fmt.Errorf("it is larger than %s", unit.Size(mostRequestBody))
	}
	if err != nil {
		return nil, fmt.Errorf("read the body of the request: %s: %w", j.options.BodyFile, err)
	}
	return body, nil
}
