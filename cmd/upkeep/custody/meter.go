package custody

import (
	"context"
	"io"
	"sync/atomic"

	"github.com/ghosteam/upkeep/storage/object"
)

// meter counts what was read from a store.
type meter struct{ bytes atomic.Int64 }

// meteredStore is a store whose readers are counted.
type meteredStore struct {
	object.Store
	meter *meter
}

// Get opens an object whose bytes count.
func (s *meteredStore) Get(ctx context.Context, key string) (io.ReadCloser, object.Info, error) {
	body, info, err := s.Store.Get(ctx, key)
	if err != nil {
		return nil, info, err
	}
	return &meteredBody{ReadCloser: body, meter: s.meter}, info, nil
}

type meteredBody struct {
	io.ReadCloser
	meter *meter
}

// Read counts what it reads.
func (b *meteredBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.meter.bytes.Add(int64(n))
	return n, err
}

// watch tells how much of an artifact was read, until stop is called.
func (c *Custodian) watch(a Artifact, verb string) (stop func()) {
	from := a.meter.bytes.Load()
	return c.o.Watch(verb+" "+a.Manifest.ID, func() int64 { return a.meter.bytes.Load() - from }, a.Manifest.Stored())
}
