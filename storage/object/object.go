// Package object is the contract of artifact stores: places such as a
// directory or an S3 bucket where jobs put what they made. It knows what every
// store must promise and refuses to know any particular one; each store is a
// folder of its own below this one and passes the suite in objecttest.
package object

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"
)

// ErrNotFound reports that no object stands at a key.
var ErrNotFound = errors.New("object not found")

// ErrExists reports that a Put with IfAbsent found an object at its key.
var ErrExists = errors.New("object already exists")

// Info describes one stored object.
type Info struct {
	// Store is the configured name of the store that holds the object.
	Store string `json:"store"`
	// Key is the slash-separated name inside the store, without a leading
	// slash.
	Key string `json:"key"`
	// Bytes is the stored length.
	Bytes int64 `json:"bytes"`
	// SHA256 is the hash of the stored bytes in lower-case hexadecimal; empty
	// when the store cannot tell it without reading the object.
	SHA256 string `json:"sha256,omitempty"`
	// Modified is when the object became visible, UTC.
	Modified time.Time `json:"modified"`
}

// PutOptions steers one Put.
type PutOptions struct {
	// ContentType is a media type for stores that keep one.
	ContentType string
	// IfAbsent makes Put fail with ErrExists instead of replacing an object.
	IfAbsent bool
	// Passing says that the object will soon be replaced or deleted, so that a
	// store which can lock objects leaves this one alone.
	Passing bool
}

// Store keeps objects by key. Every method may be called from several
// goroutines at once, blocks until done, and returns an error that wraps
// context.Cause(ctx) when ctx ends first.
type Store interface {
	// Put reads r to its end and makes the bytes visible under key, replacing
	// what was there. The object becomes visible only after r returned io.EOF
	// and all bytes are durable; any other error of r, a canceled ctx or a
	// crash leaves what was there before. Putting the same bytes again is
	// harmless. The returned Info carries Bytes and SHA256 as computed while
	// writing.
	Put(ctx context.Context, key string, r io.Reader, o PutOptions) (Info, error)
	// Get opens the object anew through the store; what it reads comes from
	// where the bytes rest, not from a memory of Put. ErrNotFound when there
	// is none. The caller closes the reader.
	Get(ctx context.Context, key string) (io.ReadCloser, Info, error)
	// Stat describes the object; ErrNotFound when there is none.
	Stat(ctx context.Context, key string) (Info, error)
	// List yields every visible object whose key starts with prefix, in
	// ascending byte order of keys. It never yields unfinished objects. The
	// sequence ends after the first error it yields.
	List(ctx context.Context, prefix string) iter.Seq2[Info, error]
	// Delete removes the object. Deleting what is not there is no error, so
	// that a repeated delete converges.
	Delete(ctx context.Context, key string) error
}
