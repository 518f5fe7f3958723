package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/storage/object"
)

// multipart stores first, which is a whole part, and the rest of the source.
// The order of steps is what a crash at any point is judged by:
//
//  1. a note that an upload to this key will begin;
//  2. the upload is created;
//  3. its id goes into the note;
//  4. the parts;
//  5. the completion;
//  6. the note goes.
//
// A crash after 1 leaves a note and perhaps an upload without parts, one after
// 3 an upload whose id is known. Sweeping ends both; see Discard.
func (u *upload) multipart(ctx context.Context, first *part, from *source) (time.Time, error) {
	second, err := u.store.nextPart(from, nil)
	defer second.free()
	if err != nil {
		return time.Time{}, err
	}
	if len(second.body) == 0 {
		return u.single(ctx, first.body) // it ended exactly with its first part
	}
	note, err := u.store.announce(ctx, u.key)
	if err != nil {
		return time.Time{}, err
	}
	id, err := u.create(ctx)
	if err != nil {
		return time.Time{}, errors.Join(err, u.forsake(ctx, note, ""))
	}
	if err := u.store.record(ctx, note, id); err != nil {
		return time.Time{}, errors.Join(err, u.forsake(ctx, note, id))
	}
	parts, err := u.parts(ctx, id, first, second, from)
	if err != nil {
		return time.Time{}, errors.Join(err, u.forsake(ctx, note, id))
	}
	modified, err := u.complete(ctx, id, parts)
	if err != nil {
		return time.Time{}, errors.Join(err, u.forsake(ctx, note, id))
	}
	ctx, cancel := u.cleanup(ctx)
	defer cancel()
	// The object is there. A note that stays is taken away by the next sweep,
	// which finds no upload to it.
	_ = u.store.forget(ctx, note)
	return modified, nil
}

func (u *upload) create(ctx context.Context) (string, error) {
	s := u.store
	client, err := s.connect(ctx)
	if err != nil {
		return "", err
	}
	in := &s3.CreateMultipartUploadInput{
		Bucket: &s.options.Bucket, Key: u.full, Metadata: map[string]string{tokenKey: u.token},
	}
	if s.checksum == sumCRC32C {
		in.ChecksumAlgorithm = types.ChecksumAlgorithmCrc32c
	}
	if u.o.ContentType != "" {
		in.ContentType = &u.o.ContentType
	}
	if until := u.lockUntil(); !until.IsZero() {
		in.ObjectLockMode, in.ObjectLockRetainUntilDate = types.ObjectLockMode(strings.ToUpper(s.options.ObjectLock.Mode)), &until
	}
	out, err := client.CreateMultipartUpload(ctx, in)
	if err != nil {
		return "", fmt.Errorf("begin a multipart upload: %w", s.explain(ctx, callPut, err))
	}
	id := aws.ToString(out.UploadId)
	if id == "" {
		return "", errors.New("begin a multipart upload: the server gave it no id")
	}
	return id, nil
}

// landing is how long parts under way may go on after a failure or a cancel.
// A request that is cut while its server works may leave a part behind that
// comes after the abort, and some servers then never find it again.
const landing = 2 * time.Second

// outlast returns a context for requests: it ends a little later than ctx, so
// that what is under way then is over before anybody clears up after it.
func outlast(ctx context.Context) (context.Context, func()) {
	wire, cut := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(landing, func() { cut(context.Cause(ctx)) })
		context.AfterFunc(wire, func() { timer.Stop() })
	})
	return wire, func() {
		stop()
		cut(nil)
	}
}

// sender sends the parts of one upload, several at once.
type sender struct {
	upload *upload
	id     string
	ctx    context.Context // ends with the caller's, or when a part fails
	cancel context.CancelCauseFunc
	wire   context.Context // of the requests; ends a little later
	slots  chan struct{}
	wg     sync.WaitGroup

	mu   sync.Mutex
	done []types.CompletedPart
}

// parts sends all parts. It holds at most `parallel` of them: one is read
// while the others are on their way, and with parallel 1 each waits for the
// one before.
func (u *upload) parts(ctx context.Context, id string, first, second *part, from *source) ([]types.CompletedPart, error) {
	s := &sender{upload: u, id: id, slots: make(chan struct{}, u.store.options.Parallel)}
	s.ctx, s.cancel = context.WithCancelCause(ctx)
	defer s.cancel(nil)
	wire, cut := outlast(s.ctx)
	defer cut()
	s.wire = wire
	err := s.sendAll(first, second, from)
	if err != nil {
		s.cancel(err)
	}
	s.wg.Wait()
	if cause := context.Cause(ctx); cause != nil {
		return nil, cause
	}
	if err == nil {
		err = context.Cause(s.ctx) //nolint:contextcheck // it is a child of ctx
	}
	if err != nil {
		return nil, err
	}
	slices.SortFunc(s.done, func(a, b types.CompletedPart) int { return int(aws.ToInt32(a.PartNumber) - aws.ToInt32(b.PartNumber)) })
	return s.done, nil
}

func (s *sender) sendAll(first, second *part, from *source) error {
	for number, p := range []*part{first, second} {
		if err := s.acquire(); err != nil {
			return err
		}
		s.send(number+1, p)
	}
	store := s.upload.store
	for number := 3; !from.ended; number++ {
		if err := s.acquire(); err != nil {
			return err
		}
		p, err := store.nextPart(from, nil)
		if err == nil && len(p.body) > 0 && int64(number) > store.profile.parts {
			err = fmt.Errorf("it is longer than %d parts of %s, which is all that an upload may have: raise part_size", store.profile.parts, store.options.PartSize)
		}
		if err != nil || len(p.body) == 0 {
			p.free()
			<-s.slots
			return err
		}
		s.send(number, p)
	}
	return nil
}

// acquire waits until another part may be held.
func (s *sender) acquire() error {
	select {
	case s.slots <- struct{}{}:
		return context.Cause(s.ctx)
	case <-s.ctx.Done():
		return context.Cause(s.ctx)
	}
}

// send hands a part to a goroutine, which gives its slot and memory back.
func (s *sender) send(number int, p *part) {
	s.upload.note(p.body)
	size := unit.Size(len(p.body))
	s.wg.Go(func() {
		defer func() { p.free(); <-s.slots }()
		done, err := s.upload.part(s.wire, s.id, number, p.body)
		if err != nil {
			s.cancel(fmt.Errorf("part %d (%s): %w", number, size, err))
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.done = append(s.done, done)
	})
}

func (u *upload) part(ctx context.Context, id string, number int, body []byte) (types.CompletedPart, error) {
	s := u.store
	client, err := s.connect(ctx)
	if err != nil {
		return types.CompletedPart{}, err
	}
	sums := s.sums(body)
	out, err := client.UploadPart(ctx, &s3.UploadPartInput{
		Bucket: &s.options.Bucket, Key: u.full, UploadId: &id, PartNumber: aws.Int32(int32(number)),
		Body: bytes.NewReader(body), ContentLength: aws.Int64(int64(len(body))), ContentMD5: sums.md5, ChecksumCRC32C: sums.crc32c,
	}, signed(sums.sha256))
	if err != nil {
		return types.CompletedPart{}, s.explain(ctx, callPut, err)
	}
	if aws.ToString(out.ETag) == "" {
		return types.CompletedPart{}, errors.New("the server confirmed the part without an ETag")
	}
	return types.CompletedPart{ETag: out.ETag, PartNumber: aws.Int32(int32(number)), ChecksumCRC32C: sums.crc32c}, nil
}

// complete puts the parts together. Its answer may be lost: then the object
// itself tells.
func (u *upload) complete(ctx context.Context, id string, parts []types.CompletedPart) (time.Time, error) {
	s := u.store
	client, err := s.connect(ctx)
	if err != nil {
		return time.Time{}, err
	}
	if u.condition() == nil {
		if err := u.absent(ctx); err != nil {
			return time.Time{}, err
		}
	}
	in := &s3.CompleteMultipartUploadInput{
		Bucket: &s.options.Bucket, Key: u.full, UploadId: &id, IfNoneMatch: u.condition(),
		MultipartUpload: &types.CompletedMultipartUpload{Parts: parts},
	}
	out, err := client.CompleteMultipartUpload(ctx, in)
	if u.forgetCondition(err) {
		in.IfNoneMatch = nil
		out, err = client.CompleteMultipartUpload(ctx, in)
	}
	if err == nil {
		return serverTime(out.ResultMetadata), nil
	}
	failed := fmt.Errorf("complete the multipart upload of %d parts: %w", len(parts), s.explain(ctx, callPut, err))
	if !errors.Is(failed, object.ErrNotFound) {
		// After an abort it cannot be completed behind our back any more.
		done, cancel := u.cleanup(ctx)
		defer cancel()
		if err := s.abort(done, *u.full, id); err != nil && !errors.Is(err, object.ErrNotFound) {
			failed = errors.Join(failed, fmt.Errorf("abort it: %w", err))
		}
	}
	return u.settle(ctx, failed)
}

// forsake ends an upload that failed and takes its note away. What it cannot
// do, a later sweep does by the note.
func (u *upload) forsake(ctx context.Context, n note, id string) error {
	ctx, cancel := u.cleanup(ctx)
	defer cancel()
	if id != "" {
		if err := u.store.abort(ctx, *u.full, id); err != nil && !errors.Is(err, object.ErrNotFound) {
			return fmt.Errorf("abort the upload, which is left to the next sweep: %w", err)
		}
	} else if err := u.store.abortEmpty(ctx, *u.full, n); err != nil {
		return fmt.Errorf("abort an upload that may have begun, which is left to the next sweep: %w", err)
	}
	// Without an upload, the note harms nobody until the next sweep.
	_ = u.store.forget(ctx, n)
	return nil
}
