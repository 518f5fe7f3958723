package objecttest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"sync"
	"testing"

	"github.com/ghosteam/upkeep/storage/object"
)

// Method names a method of a store.
type Method string

// The methods of object.Store.
const (
	Put    Method = "Put"
	Get    Method = "Get"
	Stat   Method = "Stat"
	List   Method = "List"
	Delete Method = "Delete"
)

// Fault is one thing that goes wrong at one call.
type Fault struct {
	// Method is the method that fails, and Call which of its calls, counted
	// from 1, among those whose key contains Key.
	Method Method
	Call   int
	Key    string
	// Forever lets the fault strike again at every later such call.
	Forever bool

	// Err is what the call returns. For Put it comes after the store has read
	// After bytes, and for the reader of Get and for List after so many bytes
	// or items.
	Err   error
	After int64
	// Lose lets Put or Delete answer that all is well without doing anything.
	Lose bool
	// Body, when not nil, is what Get answers instead of the stored bytes, as
	// a stale cache would.
	Body func(stored []byte) []byte
	// Do, when not nil, runs before anything else.
	Do func()
}

// Faulty is a store in which chosen calls go wrong. The test fails when it ends
// and an armed fault was never met.
type Faulty struct {
	object.Store

	mu     sync.Mutex
	faults []*armed
}

type armed struct {
	Fault
	calls int
	fired bool
}

// NewFaulty wraps store. The wrapper has none of the optional abilities of the
// wrapped store.
func NewFaulty(t testing.TB, store object.Store, faults ...Fault) *Faulty {
	t.Helper()
	f := &Faulty{Store: store}
	for _, fault := range faults {
		if fault.Call == 0 {
			fault.Call = 1
		}
		f.faults = append(f.faults, &armed{Fault: fault})
	}
	t.Cleanup(func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, a := range f.faults {
			if !a.fired {
				t.Errorf("the fault at call %d of %s(%q) never fired: %d such calls were made", a.Call, a.Method, a.Key, a.calls)
			}
		}
	})
	return f
}

// strike counts a call and returns the fault that it meets, if any.
func (f *Faulty) strike(method Method, key string) (Fault, bool) {
	f.mu.Lock()
	var hit *armed
	for _, a := range f.faults {
		if a.Method != method || !strings.Contains(key, a.Key) {
			continue
		}
		a.calls++
		if hit == nil && (a.calls == a.Call || a.Forever && a.calls > a.Call) {
			hit = a
			a.fired = true
		}
	}
	f.mu.Unlock()
	if hit == nil {
		return Fault{}, false
	}
	if hit.Do != nil {
		hit.Do()
	}
	return hit.Fault, true
}

// Put implements object.Store.
func (f *Faulty) Put(ctx context.Context, key string, r io.Reader, o object.PutOptions) (object.Info, error) {
	fault, ok := f.strike(Put, key)
	switch {
	case ok && fault.Lose:
		n, err := io.Copy(io.Discard, r)
		return object.Info{Key: key, Bytes: n}, err
	case ok && fault.Err != nil:
		r = &failing{Reader: r, left: fault.After, err: fault.Err}
	}
	return f.Store.Put(ctx, key, r, o)
}

// Get implements object.Store.
func (f *Faulty) Get(ctx context.Context, key string) (io.ReadCloser, object.Info, error) {
	fault, ok := f.strike(Get, key)
	if ok && fault.Err != nil && fault.After == 0 {
		return nil, object.Info{}, fault.Err
	}
	r, info, err := f.Store.Get(ctx, key)
	if err != nil || !ok {
		return r, info, err
	}
	if fault.Body != nil {
		stored, err := io.ReadAll(r)
		if err := errors.Join(err, r.Close()); err != nil {
			return nil, object.Info{}, err
		}
		body := fault.Body(stored)
		info.Bytes = int64(len(body))
		return io.NopCloser(bytes.NewReader(body)), info, nil
	}
	if fault.Err != nil {
		return struct {
			io.Reader
			io.Closer
		}{&failing{Reader: r, left: fault.After, err: fault.Err}, r}, info, nil
	}
	return r, info, nil
}

// Stat implements object.Store.
func (f *Faulty) Stat(ctx context.Context, key string) (object.Info, error) {
	if fault, ok := f.strike(Stat, key); ok && fault.Err != nil {
		return object.Info{}, fault.Err
	}
	return f.Store.Stat(ctx, key)
}

// List implements object.Store.
func (f *Faulty) List(ctx context.Context, prefix string) iter.Seq2[object.Info, error] {
	fault, ok := f.strike(List, prefix)
	return func(yield func(object.Info, error) bool) {
		var items int64
		for info, err := range f.Store.List(ctx, prefix) {
			if ok && fault.Err != nil && items >= fault.After {
				break
			}
			items++
			if !yield(info, err) {
				return
			}
		}
		if ok && fault.Err != nil {
			yield(object.Info{}, fault.Err)
		}
	}
}

// Delete implements object.Store.
func (f *Faulty) Delete(ctx context.Context, key string) error {
	fault, ok := f.strike(Delete, key)
	switch {
	case ok && fault.Err != nil:
		return fault.Err
	case ok && fault.Lose:
		return nil
	}
	return f.Store.Delete(ctx, key)
}

// failing returns err after so many bytes.
type failing struct {
	io.Reader
	left int64
	err  error
}

func (f *failing) Read(p []byte) (int, error) {
	if f.left <= 0 {
		return 0, fmt.Errorf("injected: %w", f.err)
	}
	n, err := f.Reader.Read(p[:min(int64(len(p)), f.left)])
	f.left -= int64(n)
	if errors.Is(err, io.EOF) {
		// A short source still meets the fault.
		f.left, err = 0, nil
	}
	return n, err
}
