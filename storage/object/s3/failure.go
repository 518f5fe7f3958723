package s3

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"

	"github.com/ghosteam/upkeep/storage/object"
)

// failure is what went wrong in the words of upkeep. It does not wrap what the
// SDK said: that may hold signed headers, addresses and tokens.
type failure struct {
	// is is the sentinel it is known by; nil when it has none.
	is error
	// inner is a harmless cause, such as that of a network.
	inner error
	text  string
	hint  string
	// permission is the IAM action that was refused.
	permission string
	code       string
	status     int
}

// Error says what happened.
func (f *failure) Error() string { return f.text }

// Unwrap returns what it is known by.
func (f *failure) Unwrap() []error {
	var errs []error
	for _, err := range []error{f.is, f.inner} {
		if err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

// Hint says what to do.
func (f *failure) Hint() string { return f.hint }

// Permission returns the IAM action that was refused; see object.Try.
func (f *failure) Permission() string { return f.permission }

// call is a request by the IAM action that it needs:
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html
type call string

const (
	callPut     call = "s3:PutObject"
	callGet     call = "s3:GetObject"
	callList    call = "s3:ListBucket"
	callDelete  call = "s3:DeleteObject"
	callAbort   call = "s3:AbortMultipartUpload"
	callParts   call = "s3:ListMultipartUploadParts"
	callUploads call = "s3:ListBucketMultipartUploads"
	callLock    call = "s3:GetBucketObjectLockConfiguration"
)

// ofObject tells whether the request is about an object or upload that exists,
// so that a bare 404 means that there is none.
func (c call) ofObject() bool {
	return slices.Contains([]call{callGet, callDelete, callAbort, callParts}, c)
}

func codeOf(err error) string {
	if f, ok := errors.AsType[*failure](err); ok {
		return f.code
	}
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorCode()
	}
	return ""
}

func statusOf(err error) int {
	if f, ok := errors.AsType[*failure](err); ok {
		return f.status
	}
	if answer, ok := errors.AsType[*awshttp.ResponseError](err); ok && answer.Response != nil {
		return answer.HTTPStatusCode()
	}
	return 0
}

// explain turns an error of the SDK into one of ours. It returns the cause of
// ctx when ctx has ended.
func (s *Store) explain(ctx context.Context, c call, err error) error {
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if ours, ok := errors.AsType[*failure](err); ok {
		return ours
	}
	code, status := codeOf(err), statusOf(err)
	if status == 0 && code == "" {
		return s.unanswered(err)
	}
	f := &failure{code: code, status: status, text: s.says(err, code, status)}
	switch {
	case code == "NoSuchBucket":
		f.is, f.hint = object.ErrWrongPlace, fmt.Sprintf("make the bucket %s, or write the name, region and endpoint of the one that exists", s.options.Bucket)
	case code == "NoSuchKey", code == "NoSuchUpload", status == http.StatusNotFound && c.ofObject() && (code == "NotFound" || code == "NoSuchVersion"):
		f.is = object.ErrNotFound
	case status == http.StatusPreconditionFailed:
		f.is = object.ErrExists
	default:
		s.classify(f, c, err)
	}
	return f
}

// classify finds the remedy of an answer that is not about one object.
func (s *Store) classify(f *failure, c call, err error) {
	switch region := regionOf(err); {
	case f.code == "RequestTimeTooSkewed" || f.code == "RequestExpired" || f.code == "RequestInTheFuture":
		f.is, f.hint = object.ErrClock, "set this machine's clock (timedatectl, chrony): requests are refused when it is more than 15 minutes off"
	case f.status == http.StatusMovedPermanently, f.status == http.StatusTemporaryRedirect, f.code == "AuthorizationHeaderMalformed", f.code == "IllegalLocationConstraintException":
		f.is, f.hint = object.ErrWrongPlace, "write the region and endpoint of the bucket"
		if region != "" {
			f.hint = "the bucket is in another region: write region: " + region
		}
	case f.status == http.StatusUnauthorized || f.status == http.StatusForbidden || badCredentials(f.code):
		f.is, f.permission, f.hint = object.ErrDenied, string(c), s.deniedHint(f.code, c)
	case f.status == http.StatusTooManyRequests || f.status >= 500 && f.status != http.StatusNotImplemented || f.code == "SlowDown":
		f.is, f.hint = object.ErrThrottled, fmt.Sprintf("it was asked %d times; try again later, or lower parallel:", s.options.Attempts)
	case f.code == "QuotaExceeded" || f.code == "XMinioStorageFull" || f.status == http.StatusInsufficientStorage:
		f.hint = "the bucket or its disk is full: keep fewer artifacts or raise its quota"
	}
}

// badCredentials tells whether a code is about who asks and not about what is
// asked. XAdminUserNotFound is versitygw's, with status 404.
func badCredentials(code string) bool {
	switch code {
	case "InvalidAccessKeyId", "XAdminUserNotFound", "SignatureDoesNotMatch", "InvalidToken", "ExpiredToken", "TokenRefreshRequired", "ExpiredTokenException":
		return true
	}
	return false
}

func (s *Store) deniedHint(code string, c call) string {
	from := s.credentialSource()
	if badCredentials(code) {
		return "the server does not accept the credentials from " + cmp.Or(from, "the configuration") + ": give valid ones to store " + s.name
	}
	what := fmt.Sprintf("allow %s for bucket %s", c, s.options.Bucket)
	if s.prefix != "" {
		what += " below " + s.prefix
	}
	if c == callGet {
		what += ", and s3:ListBucket, without which a missing object looks like a forbidden one"
	}
	return what + " (credentials from " + cmp.Or(from, "the configuration") + ")"
}

// unanswered describes a request to which no answer came.
func (s *Store) unanswered(err error) error {
	var inner error
	hint := "look at the endpoint, the network and the server"
	switch {
	case errors.Is(err, errStalled):
		inner = fmt.Errorf("%w (%s)", errStalled, s.options.Timeout)
	default:
		if e, ok := errors.AsType[*net.DNSError](err); ok {
			inner, hint = e, "the host name of the endpoint is not known: look at endpoint:, region: and path_style:"
		} else if e, ok := errors.AsType[*net.OpError](err); ok {
			inner = e
		} else if e, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
			inner, hint = e, "write ca_file: with the authority that signed the server's certificate"
		} else if e, ok := errors.AsType[x509.HostnameError](err); ok {
			inner, hint = e, "write the host name for which the server has a certificate as endpoint:"
		} else if e, ok := errors.AsType[*url.Error](err); ok {
			inner = errors.New(s.scrub(e.Err.Error()))
		} else if e, ok := errors.AsType[*aws.RequestCanceledError](err); ok {
			inner = errors.New(s.scrub(e.Error()))
		} else {
			inner = errors.New(s.scrub(err.Error()))
		}
	}
	return &failure{is: object.ErrUnreachable, inner: inner, text: s.scrub(inner.Error()), hint: hint}
}

// says writes the server's answer as one short line.
func (s *Store) says(err error, code string, status int) string {
	message := ""
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		message = api.ErrorMessage()
	}
	if code == "" || code == "UnknownError" {
		code = http.StatusText(status)
	}
	text := fmt.Sprintf("the server answered %d %s", status, code)
	if message = s.scrub(strings.Join(strings.Fields(message), " ")); message != "" && !strings.EqualFold(message, "UnknownError") {
		text += ": " + message
	}
	return s.scrub(text)
}

// signedPattern matches what is secret by its form: signatures, credentials
// and tokens in headers, queries and documents.
var signedPattern = regexp.MustCompile(`(?i)((?:x-amz-)?(?:signature|credential|security-token|sessiontoken|secret[a-z]*)["']?\s*[=:]\s*)[^\s&,;<>]+|AWS4-HMAC-SHA256[^\n]*`)

// longestText is how much of a server's words is worth showing.
const longestText = 400

// scrub takes secrets out of a text that others wrote, and what could disturb
// a terminal.
func (s *Store) scrub(text string) string {
	for _, secret := range []string{s.options.SecretKey.Reveal(), s.options.SessionToken.Reveal(), s.options.AccessKey.Reveal()} {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "<redacted>")
			text = strings.ReplaceAll(text, url.QueryEscape(secret), "<redacted>")
		}
	}
	text = signedPattern.ReplaceAllString(text, "${1}<redacted>")
	text = strings.Map(func(c rune) rune {
		if c < 0x20 || c == 0x7f {
			return ' '
		}
		return c
	}, text)
	if len(text) > longestText {
		text = strings.ToValidUTF8(text[:longestText], "") + "…"
	}
	return text
}

var expectingPattern = regexp.MustCompile(`expecting '([a-z0-9-]{1,63})'`)

// regionOf returns the region that an answer names as the right one.
func regionOf(err error) string {
	answer, ok := errors.AsType[*awshttp.ResponseError](err)
	if ok && answer.Response != nil {
		if region := answer.Response.Header.Get("X-Amz-Bucket-Region"); regionPattern.MatchString(region) {
			return region
		}
	}
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		if m := expectingPattern.FindStringSubmatch(api.ErrorMessage()); m != nil {
			return m[1]
		}
	}
	return ""
}
