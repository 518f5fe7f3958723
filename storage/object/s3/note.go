package s3

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/ghosteam/upkeep/storage/object"
)

// notes is where uploads are noted, below the prefix. No key of an object can
// begin so. The notes stand in the bucket and not on this machine, because a
// machine that dies for good must not leave uploads that nobody knows.
const notes = object.ReservedPrefix + "uploads/"

// longestNote bounds what is read as a note.
const longestNote = 16 << 10

// note says that an upload of ours to a key was about to begin, and, once Upload
// is set, which one it is.
type note struct {
	// Token names the note itself.
	Token string `json:"token"`
	// Key is the full key in the bucket.
	Key string `json:"key"`
	// Upload is the id of the upload; empty as long as it is not known.
	Upload string `json:"upload,omitempty"`
	// Since is when it was written, UTC, by the clock of who wrote it; it is
	// there for people.
	Since time.Time `json:"since"`

	// written is the same by the server's clock.
	written time.Time
}

func (s *Store) noteKey(token string) *string { return aws.String(s.prefix + notes + token + ".json") }

// announce writes a note before an upload begins.
func (s *Store) announce(ctx context.Context, key string) (note, error) {
	n := note{Token: strings.ToLower(rand.Text()[:16]), Key: s.prefix + key, Since: time.Now().UTC()}
	written, err := s.writeNote(ctx, n)
	if err != nil {
		return note{}, fmt.Errorf("note an upload: %w", err)
	}
	n.written = written
	return n, nil
}

// record adds the id of the upload to its note.
func (s *Store) record(ctx context.Context, n note, id string) error {
	n.Upload = id
	if _, err := s.writeNote(ctx, n); err != nil {
		return fmt.Errorf("note the id of an upload: %w", err)
	}
	return nil
}

func (s *Store) writeNote(ctx context.Context, n note) (time.Time, error) {
	text, err := json.Marshal(n)
	if err != nil {
		return time.Time{}, err
	}
	client, err := s.connect(ctx)
	if err != nil {
		return time.Time{}, err
	}
	sums := s.sums(text)
	out, err := client.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &s.options.Bucket, Key: s.noteKey(n.Token), Body: bytes.NewReader(text), ContentLength: aws.Int64(int64(len(text))),
		ContentMD5: sums.md5, ChecksumCRC32C: sums.crc32c, ContentType: aws.String("application/json"),
	})
	if err != nil {
		return time.Time{}, s.explain(ctx, callPut, err)
	}
	return serverTime(out.ResultMetadata), nil
}

// forget removes a note.
func (s *Store) forget(ctx context.Context, n note) error {
	client, err := s.connect(ctx)
	if err != nil {
		return err
	}
	_, err = client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &s.options.Bucket, Key: s.noteKey(n.Token)})
	if err = s.explain(ctx, callDelete, err); errors.Is(err, object.ErrNotFound) {
		return nil
	}
	return err
}

// readNote returns the note of that token. ok is false when what stands there
// is no note of ours about a key below our prefix.
func (s *Store) readNote(ctx context.Context, token string) (n note, ok bool, err error) {
	client, err := s.connect(ctx)
	if err != nil {
		return note{}, false, err
	}
	out, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: &s.options.Bucket, Key: s.noteKey(token)})
	if err != nil {
		return note{}, false, s.explain(ctx, callGet, err)
	}
	text, err := io.ReadAll(io.LimitReader(out.Body, longestNote))
	if err := errors.Join(err, out.Body.Close()); err != nil {
		return note{}, false, s.explain(ctx, callGet, err)
	}
	if err := json.Unmarshal(text, &n); err != nil || n.Token != token {
		return note{}, false, nil
	}
	n.written = aws.ToTime(out.LastModified)
	key, below := strings.CutPrefix(n.Key, s.prefix)
	return n, below && object.CheckKey(key) == nil, nil
}

// abort ends an upload for good. Parts that were on their way while it was
// aborted may arrive after it, so that the server is asked until it knows the
// upload no more:
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_AbortMultipartUpload.html
// The error is object.ErrNotFound when there was none.
func (s *Store) abort(ctx context.Context, full, id string) error {
	client, err := s.connect(ctx)
	if err != nil {
		return err
	}
	gone := error(object.ErrNotFound)
	for range 5 {
		_, err := client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &s.options.Bucket, Key: &full, UploadId: &id})
		if err = s.explain(ctx, callAbort, err); errors.Is(err, object.ErrNotFound) {
			return gone
		} else if err != nil {
			return err
		}
		gone = nil
		_, err = client.ListParts(ctx, &s3.ListPartsInput{Bucket: &s.options.Bucket, Key: &full, UploadId: &id, MaxParts: aws.Int32(1)})
		switch err = s.explain(ctx, callParts, err); {
		case errors.Is(err, object.ErrNotFound), errors.Is(err, object.ErrDenied):
			return nil // who may not look must trust the answer to the abort
		case err != nil:
			return err
		}
	}
	return errors.New("the server still knows the upload after five aborts")
}

// creation is how far, by the server's clock, the creation of an upload may lie
// from its note; servers round, and an attempt may hang.
const creation = 15 * time.Minute

// abortEmpty ends the uploads that a note without an id may be about: to
// exactly its key, begun when the note was written, and without a part, because
// the id is noted before the first part.
func (s *Store) abortEmpty(ctx context.Context, full string, n note) error {
	uploads, err := s.uploads(ctx, full)
	if err != nil {
		return err
	}
	for _, u := range uploads {
		if aws.ToString(u.Key) != full || aws.ToTime(u.Initiated).Sub(n.written).Abs() > creation {
			continue
		}
		id := aws.ToString(u.UploadId)
		bytes, _, err := s.growth(ctx, full, id)
		if errors.Is(err, object.ErrNotFound) || err == nil && bytes > 0 {
			continue
		}
		if err != nil {
			return err
		}
		if err := s.abort(ctx, full, id); err != nil && !errors.Is(err, object.ErrNotFound) {
			return err
		}
	}
	return nil
}

// uploads returns the uploads under way to keys that begin with full.
func (s *Store) uploads(ctx context.Context, full string) ([]types.MultipartUpload, error) {
	client, err := s.connect(ctx)
	if err != nil {
		return nil, err
	}
	var found []types.MultipartUpload
	in := &s3.ListMultipartUploadsInput{Bucket: &s.options.Bucket, Prefix: &full}
	for {
		out, err := client.ListMultipartUploads(ctx, in)
		if err != nil {
			return nil, s.explain(ctx, callUploads, err)
		}
		found = append(found, out.Uploads...)
		if !aws.ToBool(out.IsTruncated) || aws.ToString(out.NextKeyMarker) == aws.ToString(in.KeyMarker) && aws.ToString(out.NextUploadIdMarker) == aws.ToString(in.UploadIdMarker) {
			return found, nil
		}
		in.KeyMarker, in.UploadIdMarker = out.NextKeyMarker, out.NextUploadIdMarker
	}
}

// growth returns how many bytes an upload holds and when its last part came;
// ErrNotFound when there is no such upload.
func (s *Store) growth(ctx context.Context, full, id string) (bytes int64, last time.Time, err error) {
	client, err := s.connect(ctx)
	if err != nil {
		return 0, time.Time{}, err
	}
	in := &s3.ListPartsInput{Bucket: &s.options.Bucket, Key: &full, UploadId: &id}
	for {
		out, err := client.ListParts(ctx, in)
		if err != nil {
			return 0, time.Time{}, s.explain(ctx, callParts, err)
		}
		for _, p := range out.Parts {
			bytes += aws.ToInt64(p.Size)
			if at := aws.ToTime(p.LastModified).UTC(); at.After(last) {
				last = at
			}
		}
		if !aws.ToBool(out.IsTruncated) || aws.ToString(out.NextPartNumberMarker) == aws.ToString(in.PartNumberMarker) {
			return bytes, last, nil
		}
		in.PartNumberMarker = out.NextPartNumberMarker
	}
}
