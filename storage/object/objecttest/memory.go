package objecttest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ghosteam/upkeep/storage/object"
)

// Memory is a store that keeps its objects in memory. It passes Exercise.
type Memory struct {
	name string

	mu      sync.Mutex
	objects map[string]memoryObject
}

type memoryObject struct {
	body []byte
	info object.Info
}

var _ object.Store = (*Memory)(nil)

// NewMemory returns an empty store of that name.
func NewMemory(name string) *Memory {
	return &Memory{name: name, objects: map[string]memoryObject{}}
}

// Put implements object.Store.
func (m *Memory) Put(ctx context.Context, key string, r io.Reader, o object.PutOptions) (object.Info, error) {
	if err := m.ready(ctx, "put", key); err != nil {
		return object.Info{}, err
	}
	body, err := io.ReadAll(&contextReader{ctx: ctx, r: r})
	if err != nil {
		return object.Info{}, fmt.Errorf("put %s: %w", key, err)
	}
	if err := m.ready(ctx, "put", key); err != nil {
		return object.Info{}, err
	}
	sum := sha256.Sum256(body)
	info := object.Info{
		Store: m.name, Key: key, Bytes: int64(len(body)),
		SHA256: hex.EncodeToString(sum[:]), Modified: time.Now().UTC(),
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.objects[key]; ok && o.IfAbsent {
		return object.Info{}, fmt.Errorf("put %s: %w", key, object.ErrExists)
	}
	m.objects[key] = memoryObject{body: body, info: info}
	return info, nil
}

// Get implements object.Store.
func (m *Memory) Get(ctx context.Context, key string) (io.ReadCloser, object.Info, error) {
	if err := m.ready(ctx, "get", key); err != nil {
		return nil, object.Info{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	o, ok := m.objects[key]
	if !ok {
		return nil, object.Info{}, fmt.Errorf("get %s: %w", key, object.ErrNotFound)
	}
	return io.NopCloser(&contextReader{ctx: ctx, r: bytes.NewReader(o.body)}), o.info, nil
}

// Stat implements object.Store.
func (m *Memory) Stat(ctx context.Context, key string) (object.Info, error) {
	if err := m.ready(ctx, "stat", key); err != nil {
		return object.Info{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	o, ok := m.objects[key]
	if !ok {
		return object.Info{}, fmt.Errorf("stat %s: %w", key, object.ErrNotFound)
	}
	return o.info, nil
}

// List implements object.Store.
func (m *Memory) List(ctx context.Context, prefix string) iter.Seq2[object.Info, error] {
	return func(yield func(object.Info, error) bool) {
		m.mu.Lock()
		keys := slices.Sorted(maps.Keys(m.objects))
		m.mu.Unlock()
		for _, key := range keys {
			if !strings.HasPrefix(key, prefix) {
				continue
			}
			if err := context.Cause(ctx); err != nil {
				yield(object.Info{}, fmt.Errorf("list %q: %w", prefix, err))
				return
			}
			m.mu.Lock()
			o, ok := m.objects[key]
			m.mu.Unlock()
			if ok && !yield(o.info, nil) {
				return
			}
		}
	}
}

// Delete implements object.Store.
func (m *Memory) Delete(ctx context.Context, key string) error {
	if err := m.ready(ctx, "delete", key); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.objects, key)
	return nil
}

// Change replaces the bytes at key without the store noticing, as a failing
// disk would. It panics when there is no such object.
func (m *Memory) Change(key string, change func([]byte) []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	o, ok := m.objects[key]
	if !ok {
		panic("objecttest: no object " + key)
	}
	o.body = change(slices.Clone(o.body))
	o.info.Bytes = int64(len(o.body))
	m.objects[key] = o
}

// Age makes every object look as if it had been put earlier by d.
func (m *Memory) Age(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key, o := range m.objects {
		o.info.Modified = o.info.Modified.Add(-d)
		m.objects[key] = o
	}
}

// Keys returns the keys of all objects in order.
func (m *Memory) Keys() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.objects))
}

func (m *Memory) ready(ctx context.Context, verb, key string) error {
	if err := object.CheckKey(key); err != nil {
		return fmt.Errorf("%s: %w", verb, err)
	}
	if err := context.Cause(ctx); err != nil {
		return fmt.Errorf("%s %s: %w", verb, key, err)
	}
	return nil
}

type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *contextReader) Read(p []byte) (int, error) {
	if err := context.Cause(c.ctx); err != nil {
		return 0, fmt.Errorf("read: %w", err)
	}
	return c.r.Read(p)
}
