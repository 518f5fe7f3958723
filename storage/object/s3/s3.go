// Package s3 keeps artifacts as objects in a bucket of Amazon S3 or a server
// that speaks its language. It knows the dialects, makes an object appear whole
// or not at all, and leaves no upload of its own behind; it refuses to trust an
// ETag, to touch uploads that are not provably its own, and to let a secret
// into an error.
//
// It sends multipart uploads with plain calls and not through the SDK's
// transfermanager, because the id of an upload is to be recorded between its
// creation and its first part, a lost answer to the completion must be told
// from a failure, and an abort has to be sent when the context has ended:
// transfermanager has no place for the first two.
package s3

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/ghosteam/upkeep/storage/object"
)

const doc = `Keeps artifacts as objects in a bucket of Amazon S3 or of a server that speaks its language.

A stream of any length is stored as objects of at most ` + "`volume`" + ` bytes, each uploaded in equal parts; the
manifest lists them. Only the manifest, written last, makes an artifact exist. Every request is signed with the
SHA-256 of its content. An upload is noted under ` + "`.upkeep-uploads/`" + ` before its first part is sent and aborted when
it fails; what a crash leaves is aborted by the next run after a day. Uploads of others are never touched. A
lifecycle rule that aborts incomplete uploads after some days does no harm.

Permissions that a backup needs: s3:PutObject, s3:GetObject, s3:ListBucket, s3:AbortMultipartUpload,
s3:ListMultipartUploadParts, s3:ListBucketMultipartUploads, and s3:DeleteObject to prune and to clear away what
failed; with object_lock also s3:PutObjectRetention and s3:GetObjectRetention.
` + "`upkeep validate --online`" + ` tries each of them.

Credentials are never printed. Without access_key the chain of the AWS SDK is asked.

Memory: an object on its way takes up to parallel × part_size, 64 MiB by default, and less when it is shorter.`

// Kind returns the kind of store.
func Kind() object.Kind {
	return object.Define("s3", doc, defaults(), func(name string, o Options) (object.Store, error) {
		return Open(name, o)
	})
}

// Defaults returns the options before a configuration is read.
func Defaults() Options { return defaults() }

// Store is a bucket, or the part of one below a prefix.
type Store struct {
	name     string
	options  Options
	profile  profile
	prefix   string
	checksum string
	web      *web
	buffers  *buffers

	// noCondition is set when the server turned out not to know conditional
	// writes.
	noCondition atomic.Bool

	mu     sync.Mutex
	client *s3.Client
	source string
}

var (
	_ object.Store       = (*Store)(nil)
	_ object.Checker     = (*Store)(nil)
	_ object.Sweeper     = (*Store)(nil)
	_ object.Prober      = (*Store)(nil)
	_ object.Volumed     = (*Store)(nil)
	_ object.Ranger      = (*Store)(nil)
	_ object.BulkDeleter = (*Store)(nil)
	_ object.Locker      = (*Store)(nil)
	_ object.Encrypting  = (*Store)(nil)
)

// Open returns the store of that configured name. It has no effects: neither
// the server nor a source of credentials is asked before the first call.
func Open(name string, o Options) (*Store, error) {
	if err := o.Validate(); err != nil {
		return nil, fmt.Errorf("open store %s: %w", name, err)
	}
	p, _ := lookupProfile(o.Profile)
	s := &Store{name: name, options: o, profile: p, checksum: o.Checksum}
	if trimmed := strings.TrimSuffix(o.Prefix, "/"); trimmed != "" {
		s.prefix = trimmed + "/"
	}
	if s.checksum == "auto" {
		s.checksum = p.checksum
		if o.ObjectLock.Mode != "" {
			s.checksum = p.lockChecksum
		}
	}
	s.buffers = &buffers{size: int(o.PartSize)}
	var err error
	if s.web, err = newWeb(o); err != nil {
		return nil, fmt.Errorf("open store %s: %w", name, err)
	}
	return s, nil
}

// VolumeBytes implements object.Volumed.
func (s *Store) VolumeBytes() int64 { return s.options.Volume.Bytes() }

// Close drops idle connections. The store remains usable.
func (s *Store) Close() error {
	s.web.transport.CloseIdleConnections()
	return nil
}

// key returns the key in the bucket.
func (s *Store) key(key string) (*string, error) {
	if err := object.CheckKey(key); err != nil {
		return nil, err
	}
	full := s.prefix + key
	if len(full) > 1024 {
		return nil, fmt.Errorf("the key %.40q… is longer than 1024 bytes together with the prefix", key)
	}
	return &full, nil
}

// EncryptTo implements object.Encrypting.
func (s *Store) EncryptTo() []string { return s.options.EncryptTo }

func (s *Store) info(key string, bytes int64, modified time.Time) object.Info {
	return object.Info{Store: s.name, Key: key, Bytes: bytes, Modified: modified.UTC()}
}
