package s3_test

import (
	"crypto/rand"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/storage/object"
	"github.com/ghosteam/upkeep/storage/object/objecttest"
	"github.com/ghosteam/upkeep/storage/object/s3"
)

// env returns a variable of scripts/dev/servers.sh. A missing server fails.
func env(t testing.TB, name string) string {
	t.Helper()
	value := os.Getenv(name)
	if value == "" {
		t.Fatalf("%s is not set: run the tests by make test, or under scripts/dev/servers.sh run --", name)
	}
	return value
}

// raw returns a client of the real server's that is not ours.
func raw(t testing.TB) *sdk.Client {
	t.Helper()
	return sdk.New(sdk.Options{
		HTTPClient: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
		Region:     "us-east-1", UsePathStyle: true, BaseEndpoint: aws.String(env(t, "UPKEEP_TEST_S3_ENDPOINT")),
		Credentials: credentials.NewStaticCredentialsProvider(env(t, "UPKEEP_TEST_S3_ACCESS_KEY"), env(t, "UPKEEP_TEST_S3_SECRET_KEY"), ""),
	})
}

// options returns the settings of a store in a new bucket of the real server.
func options(t testing.TB) s3.Options {
	t.Helper()
	o := s3.Defaults()
	o.Profile = "generic"
	o.Endpoint = env(t, "UPKEEP_TEST_S3_ENDPOINT")
	o.AccessKey = secret.New(env(t, "UPKEEP_TEST_S3_ACCESS_KEY"))
	o.SecretKey = secret.New(env(t, "UPKEEP_TEST_S3_SECRET_KEY"))
	o.Bucket = "upkeep-" + strings.ToLower(rand.Text()[:16])
	o.Prefix = "prod/"
	o.PartSize = 5 << 20
	o.RetryDelay = unit.Duration(time.Millisecond)
	if _, err := raw(t).CreateBucket(t.Context(), &sdk.CreateBucketInput{Bucket: &o.Bucket}); err != nil {
		t.Fatalf("make a bucket: %v", err)
	}
	return o
}

func open(t testing.TB, o s3.Options) *s3.Store {
	t.Helper()
	store, err := s3.Open("offsite", o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() }) // always nil
	return store
}

func TestSuite(t *testing.T) {
	t.Parallel()
	objecttest.Exercise(t, func(t *testing.T) object.Store { t.Helper(); return open(t, options(t)) })
}
