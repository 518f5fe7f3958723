package s3

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/logging"

	"github.com/ghosteam/upkeep/storage/object"
)

// longestPause bounds the pause between two attempts, also when the server
// asks for a longer one.
const longestPause = 60 * time.Second

// connect returns the client, which is made when it is first needed, because
// the chain of credentials looks at files and environment.
func (s *Store) connect(ctx context.Context) (*s3.Client, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client != nil {
		return s.client, nil
	}
	region := s.options.Region
	var provider aws.CredentialsProvider
	if !s.options.AccessKey.IsEmpty() {
		provider = credentials.NewStaticCredentialsProvider(
			s.options.AccessKey.Reveal(), s.options.SecretKey.Reveal(), s.options.SessionToken.Reveal())
		s.source = "access_key of the configuration"
	} else {
		found, err := config.LoadDefaultConfig(ctx, config.WithLogger(logging.Nop{}))
		if err != nil {
			return nil, s.noCredentials(err)
		}
		provider = &chain{inner: found.Credentials, store: s}
		if region == "" {
			region = found.Region
		}
	}
	if region == "" {
		region = cmp.Or(s.profile.region, regionIn(s.options.Endpoint, s.profile.endpoint), "us-east-1")
	}
	s.client = s3.New(s.clientOptions(region, provider))
	return s.client, nil
}

// regionIn returns the region that an endpoint of a profile's form names.
func regionIn(endpoint, form string) string {
	before, after, ok := strings.Cut(form, "%s")
	region, ok1 := strings.CutPrefix(strings.TrimSuffix(endpoint, "/"), before)
	region, ok2 := strings.CutSuffix(region, after)
	if !ok || !ok1 || !ok2 || !regionPattern.MatchString(region) {
		return ""
	}
	return region
}

func (s *Store) clientOptions(region string, provider aws.CredentialsProvider) s3.Options {
	o := s3.Options{
		Region:                     region,
		Credentials:                aws.NewCredentialsCache(provider),
		HTTPClient:                 s.web.client(),
		UsePathStyle:               s.profile.pathStyle,
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenRequired,
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenRequired,
		Retryer:                    newRetryer(s.options.Attempts, s.options.RetryDelay.Std()),
		Logger:                     logging.Nop{},
		// We log nothing of it, and the server's checksums prove nothing to us.
		DisableLogOutputChecksumValidationSkipped: true,
	}
	if s.options.PathStyle != nil {
		o.UsePathStyle = *s.options.PathStyle
	}
	switch {
	case s.options.Endpoint != "":
		o.BaseEndpoint = aws.String(strings.TrimSuffix(s.options.Endpoint, "/"))
	case strings.Contains(s.profile.endpoint, "%s"):
		o.BaseEndpoint = aws.String(fmt.Sprintf(s.profile.endpoint, region))
	case s.profile.endpoint != "":
		o.BaseEndpoint = aws.String(s.profile.endpoint)
	}
	return o
}

// chain is the SDK's chain of credentials; it remembers which link answered.
type chain struct {
	inner aws.CredentialsProvider
	store *Store
}

// Retrieve implements aws.CredentialsProvider.
func (c *chain) Retrieve(ctx context.Context) (aws.Credentials, error) {
	found, err := c.inner.Retrieve(ctx)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return aws.Credentials{}, cause
		}
		return aws.Credentials{}, c.store.noCredentials(err)
	}
	c.store.mu.Lock()
	defer c.store.mu.Unlock()
	c.store.source = found.Source
	return found, nil
}

// noCredentials says that no link of the chain answered. What the links said
// may hold addresses and tokens and is left out.
func (s *Store) noCredentials(error) error {
	return &failure{
		is: object.ErrDenied, text: "no link of the AWS credential chain answered (environment, shared files, web identity, container, instance)",
		hint: "write access_key: and secret_key: for store " + s.name + ", or give the process AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a shared credentials file or a role",
	}
}

// credentialSource says where the credentials came from.
func (s *Store) credentialSource() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.source
}

// retryer is the SDK's standard one without its quota, which would end a storm
// of errors early, and with the server's Retry-After.
type retryer struct {
	*retry.Standard
}

func newRetryer(attempts int, delay time.Duration) *retryer {
	return &retryer{retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = attempts
		o.RateLimiter = ratelimit.None
		o.Backoff = retry.BackoffDelayerFunc(func(attempt int, _ error) (time.Duration, error) {
			return pause(delay, attempt), nil
		})
		o.Retryables = append(o.Retryables, retry.IsErrorRetryableFunc(retryable))
	})}
}

// pause doubles delay for every attempt, up to 20 s, and takes away up to half
// of it at random so that many clients do not come back together.
func pause(delay time.Duration, attempt int) time.Duration {
	const most = 20 * time.Second
	for range attempt {
		if delay *= 2; delay >= most {
			delay = most
			break
		}
	}
	return delay - jitter(delay/2)
}

// retryable adds what the SDK's rules leave out.
func retryable(err error) aws.Ternary {
	if errors.Is(err, errStalled) {
		return aws.TrueTernary
	}
	switch codeOf(err) {
	case "RequestTimeout", "InternalError", "ServiceUnavailable", "SlowDown", "OperationAborted", "TooManyRequests", "BadDigest":
		return aws.TrueTernary
	}
	if status := statusOf(err); status == http.StatusTooManyRequests || status == http.StatusRequestTimeout {
		return aws.TrueTernary
	}
	return aws.UnknownTernary
}

// RetryDelay implements aws.Retryer.
func (r *retryer) RetryDelay(attempt int, err error) (time.Duration, error) {
	delay, rerr := r.Standard.RetryDelay(attempt, err)
	if rerr != nil {
		return delay, rerr
	}
	if answer, ok := errors.AsType[*awshttp.ResponseError](err); ok && answer.Response != nil {
		delay = max(delay, retryAfter(answer.Response.Header, time.Now()))
	}
	return delay, nil
}

// retryAfter reads the header of RFC 9110, section 10.2.3.
func retryAfter(header http.Header, now time.Time) time.Duration {
	text := header.Get("Retry-After")
	seconds, err := strconv.Atoi(text)
	wait := time.Duration(seconds) * time.Second
	if err != nil {
		at, err := http.ParseTime(text)
		if err != nil {
			return 0
		}
		wait = at.Sub(now)
	}
	return min(max(wait, 0), longestPause)
}
