package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/ghosteam/upkeep/storage/object"
)

// Get implements object.Store. When a connection breaks, the rest is asked for
// again, but only of the same version of the object.
func (s *Store) Get(ctx context.Context, key string) (io.ReadCloser, object.Info, error) {
	r := &reader{ctx: ctx, store: s, key: key, left: -1}
	info, err := r.open()
	if err != nil {
		return nil, object.Info{}, fmt.Errorf("get %s from store %s: %w", key, s.name, err)
	}
	return r, info, nil
}

// GetRange implements object.Ranger.
func (s *Store) GetRange(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	if offset < 0 || length <= 0 {
		return nil, fmt.Errorf("get %s from store %s: the range of %d bytes at %d is not one", key, s.name, length, offset)
	}
	r := &reader{ctx: ctx, store: s, key: key, at: offset, left: length, ranged: true}
	if _, err := r.open(); err != nil {
		return nil, fmt.Errorf("get %s from store %s: %w", key, s.name, err)
	}
	return r, nil
}

// Stat implements object.Store.
func (s *Store) Stat(ctx context.Context, key string) (object.Info, error) {
	head, err := s.head(ctx, key)
	if err != nil {
		return object.Info{}, fmt.Errorf("stat %s in store %s: %w", key, s.name, err)
	}
	return s.info(key, aws.ToInt64(head.ContentLength), aws.ToTime(head.LastModified)), nil
}

func (s *Store) head(ctx context.Context, key string) (*s3.HeadObjectOutput, error) {
	full, err := s.key(key)
	if err != nil {
		return nil, err
	}
	return s.headFull(ctx, full)
}

func (s *Store) headFull(ctx context.Context, full *string) (*s3.HeadObjectOutput, error) {
	client, err := s.connect(ctx)
	if err != nil {
		return nil, err
	}
	out, err := client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.options.Bucket, Key: full})
	return out, s.explain(ctx, callGet, err)
}

// reader reads an object, going on where it was when a connection breaks.
type reader struct {
	ctx   context.Context
	store *Store
	key   string

	body   io.ReadCloser
	etag   *string
	at     int64
	left   int64 // what is still to come; -1 before the first answer
	ranged bool
	// fruitless counts the attempts since the last byte.
	fruitless int
	err       error
}

// open asks for what is left.
func (r *reader) open() (object.Info, error) {
	s := r.store
	full, err := s.key(r.key)
	if err != nil {
		return object.Info{}, err
	}
	client, err := s.connect(r.ctx)
	if err != nil {
		return object.Info{}, err
	}
	in := &s3.GetObjectInput{Bucket: &s.options.Bucket, Key: full, IfMatch: r.etag}
	if r.ranged || r.at > 0 {
		in.Range = aws.String(fmt.Sprintf("bytes=%d-%d", r.at, r.at+r.left-1))
	}
	out, err := client.GetObject(r.ctx, in)
	if err != nil {
		if statusOf(err) == http.StatusPreconditionFailed {
			return object.Info{}, fmt.Errorf("%w: it was replaced while it was read", object.ErrDamaged)
		}
		return object.Info{}, s.explain(r.ctx, callGet, err)
	}
	length := aws.ToInt64(out.ContentLength)
	if in.Range != nil && aws.ToString(out.ContentRange) == "" {
		return object.Info{}, errors.Join(errors.New("the server ignores ranges"), out.Body.Close())
	}
	switch {
	case out.ContentLength == nil || length < 0:
		return object.Info{}, errors.Join(errors.New("the server does not tell the object's length"), out.Body.Close())
	case r.left < 0:
		r.left = length
	case length > r.left || length < r.left && r.etag != nil:
		return object.Info{}, errors.Join(fmt.Errorf("the server sends %d bytes instead of %d", length, r.left), out.Body.Close())
	default:
		r.left = length
	}
	r.body, r.etag = out.Body, out.ETag
	return s.info(r.key, length, aws.ToTime(out.LastModified)), nil
}

// Read implements io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	for r.err == nil {
		if err := context.Cause(r.ctx); err != nil {
			return 0, fmt.Errorf("read %s from store %s: %w", r.key, r.store.name, err)
		}
		if r.left == 0 {
			return 0, io.EOF
		}
		if r.body == nil {
			if _, err := r.open(); err != nil {
				r.fail(err)
				continue
			}
		}
		n, err := r.body.Read(p[:min(int64(len(p)), r.left)])
		r.at += int64(n)
		r.left -= int64(n)
		if n > 0 {
			r.fruitless = 0
			if err != nil && r.left > 0 {
				r.again(err)
			}
			return n, nil
		}
		if err != nil {
			r.again(err)
		}
	}
	return 0, r.err
}

// again prepares another attempt after the connection broke.
func (r *reader) again(cause error) {
	// It is broken: what its Close says tells nothing new.
	_ = r.body.Close()
	r.body = nil
	if errors.Is(cause, io.EOF) {
		cause = io.ErrUnexpectedEOF
	}
	r.fruitless++
	// Without a word for its version, the rest could be that of another object.
	if r.fruitless >= r.store.options.Attempts || aws.ToString(r.etag) == "" {
		r.fail(r.store.explain(r.ctx, callGet, cause))
		return
	}
	timer := time.NewTimer(pause(r.store.options.RetryDelay.Std(), r.fruitless-1))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.ctx.Done():
	}
}

func (r *reader) fail(err error) {
	r.err = fmt.Errorf("read %s from store %s at byte %d: %w", r.key, r.store.name, r.at, err)
}

// Close implements io.Closer.
func (r *reader) Close() error {
	if r.err == nil {
		r.err = fmt.Errorf("read %s from store %s: it is closed", r.key, r.store.name)
	}
	if r.body == nil {
		return nil
	}
	body := r.body
	r.body = nil
	// Whether all came is said by Read; a connection that is given up early
	// has nothing to add.
	_ = body.Close()
	return nil
}
