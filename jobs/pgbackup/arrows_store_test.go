package pgbackup_test

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/ghosteam/upkeep/storage/object"
)

// Put implements object.Store. The step of a stream is met in its middle.
func (s *stepped) Put(ctx context.Context, key string, r io.Reader, o object.PutOptions) (info object.Info, err error) {
	if middle := strings.Contains(key, ".dump") || strings.Contains(key, ".dir.tar"); middle && !s.at.After && s.hit("Put", key) {
		r = &meeting{r: r, during: &during{do: s.strike}}
		info, err = s.Store.Put(ctx, key, &choking{r: r, s: s}, o)
		return info, err
	}
	err = s.around("Put", key, func() error {
		info, err = s.Store.Put(ctx, key, &choking{r: r, s: s}, o)
		return err
	})
	return info, err
}

// Get implements object.Store.
func (s *stepped) Get(ctx context.Context, key string) (r io.ReadCloser, info object.Info, err error) {
	err = s.around("Get", key, func() error {
		r, info, err = s.Store.Get(ctx, key)
		return err
	})
	return r, info, err
}

// Delete implements object.Store.
func (s *stepped) Delete(ctx context.Context, key string) error {
	return s.around("Delete", key, func() error { return s.Store.Delete(ctx, key) })
}

// choking is a stream into a store that may be full.
type choking struct {
	r io.Reader
	s *stepped
}

// Read implements io.Reader.
func (c *choking) Read(p []byte) (int, error) {
	if err := c.s.full(); err != nil {
		return 0, fmt.Errorf("injected: %w", err)
	}
	n, err := c.r.Read(p)
	if full := c.s.full(); full != nil {
		return 0, fmt.Errorf("injected: %w", full)
	}
	return n, err
}
