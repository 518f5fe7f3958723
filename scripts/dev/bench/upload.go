package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// bucket is where the benchmark puts what it uploads.
const bucket = "bench"

// objects is the S3 server under test.
func objects() *s3.Client {
	return s3.New(s3.Options{
		Region: "us-east-1", UsePathStyle: true, BaseEndpoint: aws.String(os.Getenv("UPKEEP_TEST_S3_ENDPOINT")),
		Credentials: credentials.NewStaticCredentialsProvider(os.Getenv("UPKEEP_TEST_S3_ACCESS_KEY"), os.Getenv("UPKEEP_TEST_S3_SECRET_KEY"), ""),
	})
}

// makeBucket makes the bucket, unless it is there from a run before.
func makeBucket(ctx context.Context) error {
	_, err := objects().CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String(bucket)})
	if _, ours := errors.AsType[*types.BucketAlreadyOwnedByYou](err); err != nil && !ours {
		return fmt.Errorf("create the bucket: %w", err)
	}
	return nil
}

// upload stores what it reads with the SDK's own uploader, as the end of a
// pipe. Length and number of parts on their way are those of our stores.
func upload(r io.Reader, key string) error {
	uploader := transfermanager.New(objects(), func(o *transfermanager.Options) {
		o.PartSizeBytes, o.Concurrency, o.FailTimeout = 16<<20, 4, 30*time.Second
	})
	// A file would be taken for one that can seek.
	body := struct{ io.Reader }{r}
	_, err := uploader.UploadObject(context.Background(), &transfermanager.UploadObjectInput{Bucket: aws.String(bucket), Key: &key, Body: body})
	return err
}

// clearBucket removes what was uploaded, behind the server's back, because
// that is no part of what is measured. It returns how many bytes were there.
func clearBucket() (int64, error) {
	dir := filepath.Join(os.Getenv("UPKEEP_TEST_S3_DIR"), bucket)
	total := int64(0)
	err := filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error { //nolint:gosec // the folder of the test server
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			total += info.Size()
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("clear the bucket: %w", err)
	}
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name()))) //nolint:gosec // as above
	}
	return total, err
}
