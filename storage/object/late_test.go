package object_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/storage/object"
	"github.com/ghosteam/upkeep/storage/object/objecttest"
)

// late is a store in which a manifest arrives after its sender has given up.
type late struct {
	object.Store
	text []byte
	key  string
}

var errLate = fmt.Errorf("no answer in time: %w", object.ErrUnreachable)

// Put implements object.Store.
func (l *late) Put(ctx context.Context, key string, r io.Reader, o object.PutOptions) (object.Info, error) {
	if !strings.HasSuffix(key, "/manifest.json") {
		return l.Store.Put(ctx, key, r, o)
	}
	text, err := io.ReadAll(r)
	l.text, l.key = text, key
	return object.Info{}, errors.Join(err, errLate)
}

// TestLateManifest: a manifest that arrives after its publication was aborted
// is no artifact, and goes with the next sweep.
func TestLateManifest(t *testing.T) {
	t.Parallel()
	memory := objecttest.NewMemory("s")
	store := &late{Store: memory}
	m := sample()
	m.Streams, m.Details = nil, nil
	p, err := object.Begin(t.Context(), store, m)
	if err != nil {
		t.Fatal(err)
	}
	parts, err := p.Stream(t.Context(), "data", strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	streams := []object.Stream{{Name: "data", Compression: "none", Plain: parts[0].Digest, Parts: parts}}
	if _, err := p.Commit(t.Context(), object.Content{Streams: streams}, object.L1, nil); !errors.Is(err, errLate) {
		t.Fatalf("Commit: %v", err)
	}
	if err := p.Abort(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := memory.Put(t.Context(), store.key, bytes.NewReader(store.text), object.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	for a, err := range object.Artifacts(t.Context(), memory, "") {
		t.Errorf("there is an artifact %v, %v", a, err)
	}
	left, err := object.Leftovers(t.Context(), memory, "", time.Now().Add(time.Minute))
	if err != nil || len(left) != 1 || left[0].Finished {
		t.Fatalf("Leftovers = %+v, %v", left, err)
	}
	if err := left[0].Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	if keys := memory.Keys(); len(keys) != 0 {
		t.Errorf("left: %q", keys)
	}
}
