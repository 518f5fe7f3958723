package s3

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // S3 asks for it in Content-MD5; nothing is trusted because of it
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/middleware"

	"github.com/ghosteam/upkeep/storage/object"
)

const (
	// cleanupTime bounds how long clearing up takes after a failure or when
	// the context has ended.
	cleanupTime = 30 * time.Second
	// firstBuffer is what an object gets before it is known to be longer.
	firstBuffer = 64 << 10
	// tokenKey names the metadata by which an object is known to come from one
	// particular Put.
	tokenKey = "upkeep-put"
)

// upload is one Put under way.
type upload struct {
	store *Store
	key   string // as the caller knows it
	full  *string
	o     object.PutOptions
	token string

	sum   hash.Hash
	bytes int64
}

// Put implements object.Store. Up to part_size bytes become one request, more
// become a multipart upload.
func (s *Store) Put(ctx context.Context, key string, r io.Reader, o object.PutOptions) (object.Info, error) {
	info, err := s.put(ctx, key, r, o)
	if err != nil {
		return object.Info{}, fmt.Errorf("put %s into store %s: %w", key, s.name, err)
	}
	return info, nil
}

func (s *Store) put(ctx context.Context, key string, r io.Reader, o object.PutOptions) (object.Info, error) {
	full, err := s.key(key)
	if err != nil {
		return object.Info{}, err
	}
	if _, err := s.connect(ctx); err != nil {
		return object.Info{}, err
	}
	u := &upload{store: s, key: key, full: full, o: o, token: strings.ToLower(rand.Text()), sum: sha256.New()}
	if err := u.absent(ctx); err != nil {
		return object.Info{}, err
	}
	s.buffers.enter()
	defer s.buffers.leave()
	source := &source{ctx: ctx, r: r}
	first, err := s.firstPart(source)
	defer first.free()
	if err != nil {
		return object.Info{}, err
	}
	var modified time.Time
	if source.ended {
		modified, err = u.single(ctx, first.body)
	} else {
		modified, err = u.multipart(ctx, first, source)
	}
	if err != nil {
		return object.Info{}, err
	}
	info := s.info(key, u.bytes, modified)
	info.SHA256 = hex.EncodeToString(u.sum.Sum(nil))
	return info, nil
}

// absent asks whether the key is free when it has to be. The server decides
// again in the end, if it can.
func (u *upload) absent(ctx context.Context) error {
	if !u.o.IfAbsent {
		return nil
	}
	_, err := u.store.headFull(ctx, u.full)
	switch {
	case err == nil:
		return object.ErrExists
	case errors.Is(err, object.ErrNotFound):
		return nil
	}
	return err
}

// condition returns the header that makes a write depend on a free key.
func (u *upload) condition() *string {
	if !u.o.IfAbsent || !u.store.profile.conditional || u.store.noCondition.Load() {
		return nil
	}
	return aws.String("*")
}

// forgetCondition tells whether err means that the server does not know
// conditional writes, which is then remembered.
func (u *upload) forgetCondition(err error) bool {
	if u.condition() == nil || statusOf(err) != http.StatusNotImplemented && codeOf(err) != "NotImplemented" {
		return false
	}
	u.store.noCondition.Store(true)
	return true
}

// source is what is to be stored. A failure of it is never taken for its end.
type source struct {
	ctx   context.Context
	r     io.Reader
	ended bool
}

// fill reads until p is full or the source ends.
func (s *source) fill(p []byte) (int, error) {
	n := 0
	for n < len(p) && !s.ended {
		if err := context.Cause(s.ctx); err != nil {
			return n, err
		}
		read, err := s.r.Read(p[n:])
		n += read
		if err == io.EOF { // a wrapped EOF is a failure and no end
			s.ended = true
		} else if err != nil {
			return n, fmt.Errorf("read what is to be stored: %w", err)
		}
	}
	return n, nil
}

// part is a piece of the source in memory.
type part struct {
	body   []byte
	buffer []byte
	from   *buffers
}

// free gives the memory back. It may be called again.
func (p *part) free() {
	if p.buffer != nil {
		p.from.put(p.buffer)
		p.buffer, p.body = nil, nil
	}
}

// firstPart reads up to a part of the source. A short object does not take the
// memory of a whole part.
func (s *Store) firstPart(from *source) (*part, error) {
	small := make([]byte, firstBuffer)
	n, err := from.fill(small)
	if err != nil || from.ended {
		return &part{body: small[:n]}, err
	}
	return s.nextPart(from, small)
}

// nextPart reads up to a part of the source, after what was read of it before.
func (s *Store) nextPart(from *source, before []byte) (*part, error) {
	buffer := s.buffers.get()
	n := copy(buffer, before)
	more, err := from.fill(buffer[n:])
	return &part{body: buffer[:n+more], buffer: buffer, from: s.buffers}, err
}

// note counts and hashes bytes in their order.
func (u *upload) note(p []byte) {
	u.sum.Write(p)
	u.bytes += int64(len(p))
}

// sums are the checksums that a request carries.
type sums struct {
	sha256 string // hexadecimal, of the signature
	md5    *string
	crc32c *string
}

func (s *Store) sums(p []byte) sums {
	sha := sha256.Sum256(p)
	out := sums{sha256: hex.EncodeToString(sha[:])}
	switch s.checksum {
	case sumMD5:
		sum := md5.Sum(p) //nolint:gosec // see the import
		out.md5 = aws.String(base64.StdEncoding.EncodeToString(sum[:]))
	case sumCRC32C:
		sum := binary.BigEndian.AppendUint32(nil, crc32.Checksum(p, crc32.MakeTable(crc32.Castagnoli)))
		out.crc32c = aws.String(base64.StdEncoding.EncodeToString(sum))
	}
	return out
}

// signed gives the hash of the body to the signature, which would compute it
// once more.
func signed(hash string) func(*s3.Options) {
	return s3.WithAPIOptions(func(stack *middleware.Stack) error {
		return stack.Finalize.Insert(middleware.FinalizeMiddlewareFunc("UpkeepPayloadHash",
			func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
				return next.HandleFinalize(v4.SetPayloadHash(ctx, hash), in)
			}), (&v4.ComputePayloadSHA256{}).ID(), middleware.Before)
	})
}

// single stores the whole object with one request.
func (u *upload) single(ctx context.Context, body []byte) (time.Time, error) {
	s := u.store
	client, err := s.connect(ctx)
	if err != nil {
		return time.Time{}, err
	}
	u.note(body)
	sums := s.sums(body)
	in := &s3.PutObjectInput{
		Bucket: &s.options.Bucket, Key: u.full, Body: bytes.NewReader(body), ContentLength: aws.Int64(int64(len(body))),
		ContentMD5: sums.md5, ChecksumCRC32C: sums.crc32c, IfNoneMatch: u.condition(),
		Metadata: map[string]string{tokenKey: u.token},
	}
	if u.o.ContentType != "" {
		in.ContentType = &u.o.ContentType
	}
	if until := u.lockUntil(); !until.IsZero() {
		in.ObjectLockMode, in.ObjectLockRetainUntilDate = types.ObjectLockMode(strings.ToUpper(s.options.ObjectLock.Mode)), &until
	}
	// A request that is cut while its server works could have its effect after
	// the caller has cleared up: a manifest without its artifact.
	wire, cut := outlast(ctx)
	defer cut()
	out, err := client.PutObject(wire, in, signed(sums.sha256))
	if u.forgetCondition(err) {
		in.IfNoneMatch = nil
		in.Body = bytes.NewReader(body)
		out, err = client.PutObject(wire, in, signed(sums.sha256))
	}
	if err != nil {
		failed := s.explain(ctx, callPut, err)
		if wire.Err() != nil {
			failed = fmt.Errorf("%w: %w", object.ErrUnreachable, failed)
		}
		return u.settle(ctx, failed)
	}
	return serverTime(out.ResultMetadata), nil
}

// lockUntil returns until when the object is to be locked; zero when not.
func (u *upload) lockUntil() time.Time {
	if u.store.options.ObjectLock.Mode == "" || u.o.Passing {
		return time.Time{}
	}
	return time.Now().UTC().AddDate(0, 0, u.store.options.ObjectLock.Days).Truncate(time.Second)
}

// serverTime returns when the server answered, by its own clock.
func serverTime(m middleware.Metadata) time.Time {
	if t, ok := awsmiddleware.GetServerTime(m); ok && !t.IsZero() {
		return t
	}
	return time.Now()
}

// settle finds out what became of a write whose answer was lost or unclear:
// the object at the key is ours when it carries our token, and whole when it
// has our length and, without a token, our bytes. Otherwise failed is what it
// was.
func (u *upload) settle(ctx context.Context, failed error) (time.Time, error) {
	if errors.Is(failed, object.ErrDenied) || errors.Is(failed, object.ErrWrongPlace) || errors.Is(failed, object.ErrClock) {
		return time.Time{}, failed
	}
	ctx, cancel := u.cleanup(ctx)
	defer cancel()
	head, err := u.store.headFull(ctx, u.full)
	if err != nil {
		return time.Time{}, failed
	}
	ours := head.Metadata[tokenKey] == u.token
	if !ours && head.Metadata[tokenKey] == "" && aws.ToInt64(head.ContentLength) == u.bytes && !errors.Is(failed, object.ErrExists) {
		ours = u.sameBytes(ctx)
	}
	if !ours || aws.ToInt64(head.ContentLength) != u.bytes {
		return time.Time{}, failed
	}
	return aws.ToTime(head.LastModified), nil
}

// sameBytes reads the object back and compares its hash with what was sent.
func (u *upload) sameBytes(ctx context.Context) bool {
	r, _, err := u.store.Get(ctx, u.key)
	if err != nil {
		return false
	}
	defer r.Close() //nolint:errcheck // only read
	sum := sha256.New()
	if _, err := io.Copy(sum, r); err != nil {
		return false
	}
	return bytes.Equal(sum.Sum(nil), u.sum.Sum(nil))
}

// cleanup returns a context for what must be done although ctx may have ended.
func (u *upload) cleanup(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(context.WithoutCancel(ctx), cleanupTime, errors.New("clearing up took too long"))
}
