package object_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/storage/object"
	"github.com/ghosteam/upkeep/storage/object/objecttest"
)

// counted counts what is asked of a store, and how much of it at once.
type counted struct {
	object.Store

	mu        sync.Mutex
	gets      map[string]int
	now, most int
	// full is closed when so many as wanted wait at once; nobody goes on
	// before.
	wanted int
	full   chan struct{}
}

// Get implements object.Store.
func (c *counted) Get(ctx context.Context, key string) (io.ReadCloser, object.Info, error) {
	c.mu.Lock()
	c.gets[key]++
	c.now++
	c.most = max(c.most, c.now)
	if c.now == c.wanted {
		close(c.full)
		c.wanted = 0
	}
	c.mu.Unlock()
	if c.full != nil {
		select {
		case <-c.full:
		case <-ctx.Done():
		}
	}
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.now--
	}()
	return c.Store.Get(ctx, key)
}

// plant puts n artifacts into a store and returns their ids in order.
func plant(t *testing.T, store object.Store, n int) []string {
	t.Helper()
	var ids []string
	for i := range n {
		m := sample()
		m.ID = fmt.Sprintf("202611%02d-0230%02d.000-aaaaaaaaaa", 1+i/60, i%60)
		ids = append(ids, m.ID)
		text, err := object.EncodeManifest(m)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := store.Put(t.Context(), "daily/backup/"+m.ID+"/manifest.json", strings.NewReader(string(text)), object.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	return ids
}

// Many manifests are read side by side, each once, and come in their order.
func TestArtifactsAreReadOnce(t *testing.T) {
	t.Parallel()
	memory := objecttest.NewMemory("s")
	ids := plant(t, memory, 100)
	for _, at := range []int{3, 99} {
		a, err := object.Find(t.Context(), memory, ids[at])
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Record(t.Context(), object.Proof{Level: object.L4}); err != nil {
			t.Fatal(err)
		}
	}
	memory.Change("daily/backup/"+ids[50]+"/manifest.json", func(b []byte) []byte { return b[1:] })
	c := &counted{Store: memory, gets: map[string]int{}, wanted: 16, full: make(chan struct{})}
	at := 0
	for a, err := range object.Artifacts(t.Context(), c, "") {
		switch {
		case at == 50:
			if !errors.Is(err, object.ErrDamaged) || !strings.Contains(a.Info.Key, ids[50]) {
				t.Errorf("the damaged manifest: %v, %v", a, err)
			}
		case err != nil:
			t.Fatal(err)
		case a.Manifest.ID != ids[at] || (a.Proof != nil) != (at == 3 || at == 99):
			t.Errorf("artifact %d is %s with the proof %v", at, a.Manifest.ID, a.Proof)
		}
		at++
	}
	if at != 100 || len(c.gets) != 102 || c.most != 16 {
		t.Errorf("%d artifacts, %d objects were read, %d at once", at, len(c.gets), c.most)
	}
	for key, n := range c.gets {
		if n != 1 {
			t.Errorf("%s was read %d times", key, n)
		}
	}
}

// Who has seen enough waits for nothing and leaves nothing at work.
func TestArtifactsEndEarly(t *testing.T) {
	t.Parallel()
	memory := objecttest.NewMemory("s")
	ids := plant(t, memory, 100)
	c := &counted{Store: memory, gets: map[string]int{}}
	for a, err := range object.Artifacts(t.Context(), c, "") {
		if err != nil || a.Manifest.ID != ids[0] {
			t.Error(a, err)
		}
		break
	}
	if c.now != 0 || len(c.gets) > 17 {
		t.Errorf("%d are still read, %d were", c.now, len(c.gets))
	}
	ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errors.New("enough"))
	defer cancel()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	stopped := errors.New("stopped")
	n := 0
	var last error
	for _, err := range object.Artifacts(ctx, memory, "") {
		if n++; n == 1 {
			stop(stopped)
		}
		last = err
	}
	if !errors.Is(last, stopped) || n > 20 {
		t.Errorf("%d artifacts, then %v", n, last)
	}
}

// A failure to list is never taken for the end of the list, whatever it wraps.
func TestArtifactsListFails(t *testing.T) {
	t.Parallel()
	for _, broken := range []error{errors.New("broken"), object.ErrNotFound} {
		memory := objecttest.NewMemory("s")
		plant(t, memory, 10)
		store := objecttest.NewFaulty(t, memory, objecttest.Fault{Method: objecttest.List, Err: broken, After: 5})
		n := 0
		var last error
		for a, err := range object.Artifacts(t.Context(), store, "") {
			if last = err; a != nil {
				n++
			}
		}
		if n < 4 || !errors.Is(last, broken) {
			t.Errorf("%d artifacts, then %v", n, last)
		}
	}
}
