package s3

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/ghosteam/upkeep/storage/object"
)

// batchSize is how many objects one request may delete:
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html
const batchSize = 1000

// Delete implements object.Store. The error is an *object.LockedError when the
// object's lock has not ended. In a bucket with versions the object disappears
// while its bytes stay until a lifecycle rule removes them.
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := s.delete(ctx, key); err != nil {
		return fmt.Errorf("delete %s from store %s: %w", key, s.name, err)
	}
	return nil
}

func (s *Store) delete(ctx context.Context, key string) error {
	full, err := s.key(key)
	if err != nil {
		return err
	}
	client, err := s.connect(ctx)
	if err != nil {
		return err
	}
	if err := s.unlocked(ctx, key); err != nil {
		return err
	}
	_, err = client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &s.options.Bucket, Key: full})
	err = s.explain(ctx, callDelete, err)
	if errors.Is(err, object.ErrNotFound) {
		return nil
	}
	if errors.Is(err, object.ErrDenied) {
		// A lock that the bucket sets by itself looks like a missing permission.
		if until, lockErr := s.lockedUntil(ctx, key); lockErr == nil && until.After(time.Now()) {
			return &object.LockedError{Key: key, Until: until}
		}
	}
	return err
}

// unlocked returns an *object.LockedError when an object that we may have
// locked is. A bucket with versions would only hide it.
func (s *Store) unlocked(ctx context.Context, key string) error {
	until, err := s.LockedUntil(ctx, key)
	if errors.Is(err, object.ErrNotFound) {
		return nil
	}
	if err == nil && until.After(time.Now()) {
		return &object.LockedError{Key: key, Until: until}
	}
	return err
}

// LockedUntil implements object.Locker. Only a store that locks what it stores
// asks; who made a bucket that locks by itself hears of it from Delete.
func (s *Store) LockedUntil(ctx context.Context, key string) (time.Time, error) {
	if s.options.ObjectLock.Mode == "" {
		return time.Time{}, nil
	}
	return s.lockedUntil(ctx, key)
}

func (s *Store) lockedUntil(ctx context.Context, key string) (time.Time, error) {
	head, err := s.head(ctx, key)
	if err != nil {
		return time.Time{}, fmt.Errorf("look for the lock of %s in store %s: %w", key, s.name, err)
	}
	return aws.ToTime(head.ObjectLockRetainUntilDate).UTC(), nil
}

// DeleteAll implements object.BulkDeleter.
func (s *Store) DeleteAll(ctx context.Context, keys []string) error {
	if !s.profile.batch || s.options.ObjectLock.Mode != "" {
		return s.deleteEach(ctx, keys)
	}
	var errs []error
	for batch := range slices.Chunk(keys, batchSize) {
		err := s.deleteBatch(ctx, batch)
		if statusOf(err) == http.StatusNotImplemented {
			err = s.deleteEach(ctx, batch)
		}
		if err != nil {
			errs = append(errs, err)
		}
		if context.Cause(ctx) != nil {
			break
		}
	}
	return errors.Join(errs...)
}

func (s *Store) deleteEach(ctx context.Context, keys []string) error {
	var errs []error
	for _, key := range keys {
		if err := s.Delete(ctx, key); err != nil {
			errs = append(errs, err)
		}
		if context.Cause(ctx) != nil {
			break
		}
	}
	return errors.Join(errs...)
}

func (s *Store) deleteBatch(ctx context.Context, keys []string) error {
	client, err := s.connect(ctx)
	if err != nil {
		return err
	}
	in := &s3.DeleteObjectsInput{Bucket: &s.options.Bucket, Delete: &types.Delete{Quiet: aws.Bool(true)}}
	for _, key := range keys {
		full, err := s.key(key)
		if err != nil {
			return err
		}
		in.Delete.Objects = append(in.Delete.Objects, types.ObjectIdentifier{Key: full})
	}
	// The request must carry a checksum; the one that every server knows is MD5.
	out, err := client.DeleteObjects(ctx, in, s3.WithAPIOptions(smithyhttp.AddContentChecksumMiddleware))
	if err != nil {
		return fmt.Errorf("delete %d objects from store %s: %w", len(keys), s.name, s.explain(ctx, callDelete, err))
	}
	var errs []error
	for _, e := range out.Errors {
		code := aws.ToString(e.Code)
		if code == "NoSuchKey" {
			continue
		}
		f := &failure{code: code, text: s.scrub(code + ": " + aws.ToString(e.Message))}
		if code == "AccessDenied" {
			f.status = http.StatusForbidden
		}
		s.classify(f, callDelete, nil)
		errs = append(errs, fmt.Errorf("delete %s from store %s: %w", aws.ToString(e.Key)[min(len(s.prefix), len(aws.ToString(e.Key))):], s.name, f))
	}
	return errors.Join(errs...)
}
