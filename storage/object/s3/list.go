package s3

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/ghosteam/upkeep/storage/object"
)

// List implements object.Store. It holds one page of up to 1,000 objects at a
// time.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[object.Info, error] {
	return func(yield func(object.Info, error) bool) {
		for item, err := range s.list(ctx, s.prefix+prefix) {
			if err != nil {
				yield(object.Info{}, fmt.Errorf("list %q in store %s: %w", prefix, s.name, err))
				return
			}
			key := strings.TrimPrefix(aws.ToString(item.Key), s.prefix)
			if object.CheckKey(key) != nil {
				continue // a foreign object, or a note of ours
			}
			if !yield(s.info(key, aws.ToInt64(item.Size), aws.ToTime(item.LastModified)), nil) {
				return
			}
		}
	}
}

// list yields what stands in the bucket below a full prefix. It ends with an
// error when the server's pages do not follow each other: an order that cannot
// be relied on would hide objects from who compares neighbors.
func (s *Store) list(ctx context.Context, prefix string) iter.Seq2[types.Object, error] {
	return func(yield func(types.Object, error) bool) {
		client, err := s.connect(ctx)
		if err != nil {
			yield(types.Object{}, err)
			return
		}
		in := &s3.ListObjectsV2Input{Bucket: &s.options.Bucket, Prefix: &prefix, EncodingType: types.EncodingTypeUrl}
		last := ""
		for {
			out, err := client.ListObjectsV2(ctx, in)
			if err != nil {
				yield(types.Object{}, s.explain(ctx, callList, err))
				return
			}
			for _, item := range out.Contents {
				if err := context.Cause(ctx); err != nil {
					yield(types.Object{}, err)
					return
				}
				key, err := listed(item.Key, out.EncodingType, prefix, last)
				if err != nil {
					yield(types.Object{}, err)
					return
				}
				item.Key, last = &key, key
				if !yield(item, nil) {
					return
				}
			}
			if !aws.ToBool(out.IsTruncated) {
				return
			}
			next := aws.ToString(out.NextContinuationToken)
			if next == "" || next == aws.ToString(in.ContinuationToken) {
				yield(types.Object{}, errors.New("the server says that its list goes on, but not where"))
				return
			}
			in.ContinuationToken = &next
		}
	}
}

// listed undoes the encoding that keeps keys readable in XML, and judges what
// the server lists after last.
func listed(encoded *string, encoding types.EncodingType, prefix, last string) (string, error) {
	key := aws.ToString(encoded)
	if encoding == types.EncodingTypeUrl {
		plain, err := url.QueryUnescape(key)
		if err != nil {
			return "", fmt.Errorf("the server lists a key that cannot be decoded: %w", err)
		}
		key = plain
	}
	switch {
	case !strings.HasPrefix(key, prefix):
		return "", fmt.Errorf("the server lists %q, which was not asked for", key)
	case key <= last:
		return "", fmt.Errorf("the server lists %q after %q: its order cannot be relied on", key, last)
	}
	return key, nil
}
