package object

import (
	"context"
	"io"
	"time"
)

// Checker is implemented by stores that can tell without effects whether they
// could be written to now. Preflight calls it.
type Checker interface {
	// Check returns nil when a Put is likely to succeed. Its error says what
	// is missing.
	Check(ctx context.Context) error
}

// Spacious is implemented by stores that know how much room is left.
type Spacious interface {
	// FreeBytes returns how many bytes may still be stored.
	FreeBytes(ctx context.Context) (int64, error)
}

// Housed is implemented by stores that keep their objects in a directory of
// this machine, so that a job which reads directories can leave it out.
type Housed interface {
	// Dir returns the absolute path of the directory, which need not exist.
	Dir() string
}

// Unfinished is something that a Put which never ended left in a store, such
// as a temporary file.
type Unfinished struct {
	// Name identifies it to Discard.
	Name string
	// Dir is the folder of the key that it was to get; empty when unknown.
	Dir string
	// Bytes is its length, or 0 when unknown.
	Bytes int64
	// Modified is when it last grew, UTC.
	Modified time.Time
}

// Sweeper is implemented by stores in which a crash can leave unfinished
// objects.
type Sweeper interface {
	// Unfinished returns what is provably ours and was last modified before
	// the given instant.
	Unfinished(ctx context.Context, before time.Time) ([]Unfinished, error)
	// Discard removes one of them. It is no error when it is gone already, and
	// it keeps what has changed since or still has a living writer.
	Discard(ctx context.Context, u Unfinished) error
}

// Volumed is implemented by stores whose objects must not be longer than so
// many bytes. Publication.Stream then makes several objects of a longer stream.
type Volumed interface {
	// VolumeBytes returns the length of the longest object, above 0.
	VolumeBytes() int64
}

// Ranger is implemented by stores that can read a part of an object.
type Ranger interface {
	// GetRange opens length bytes of the object from offset on, anew through
	// the store, or fewer when the object ends before; ErrNotFound when there
	// is none. The caller closes the reader.
	GetRange(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error)
}

// BulkDeleter is implemented by stores that can delete many objects faster
// than one after the other.
type BulkDeleter interface {
	// DeleteAll removes the objects. It goes on after a failure and returns
	// all of them joined; each names its key. What is not there is no error.
	DeleteAll(ctx context.Context, keys []string) error
}

// Locker is implemented by stores whose objects may be locked against removal.
type Locker interface {
	// LockedUntil returns when the lock of an object ends, UTC; the zero time
	// when it has none. ErrNotFound when there is no such object.
	LockedUntil(ctx context.Context, key string) (time.Time, error)
}
