package objecttest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/storage/object"
)

func hostileKeys(t *testing.T, s object.Store) {
	for _, key := range []string{
		"", "/", "/etc/passwd", "a/", "a//b", ".", "..", "../x", "a/../b", "a/./b", "a/..",
		"a\x00b", "a\nb", "a\\b", "a/" + object.ReservedPrefix + "x", "\xff", strings.Repeat("a", 256),
		strings.Repeat("a/", 600) + "a",
	} {
		if _, err := s.Put(t.Context(), key, strings.NewReader("x"), object.PutOptions{}); err == nil {
			t.Errorf("Put(%.40q) was accepted", key)
		}
		if _, _, err := s.Get(t.Context(), key); err == nil {
			t.Errorf("Get(%.40q) was accepted", key)
		}
		if _, err := s.Stat(t.Context(), key); err == nil {
			t.Errorf("Stat(%.40q) was accepted", key)
		}
		if err := s.Delete(t.Context(), key); err == nil {
			t.Errorf("Delete(%.40q) was accepted", key)
		}
	}
	if got := keys(t, s, ""); len(got) != 0 {
		t.Errorf("refused keys left %q", got)
	}
}

func awkwardKeys(t *testing.T, s object.Store) {
	all := []string{
		"a b/c+d=e&f", "ü/日本.txt", "%2e%2e/x", "-rf", "a/*?[x]", "...", "a/'\"`$(x)", strings.Repeat("n", 255),
		strings.Repeat(strings.Repeat("d", 99)+"/", 9) + "leaf",
	}
	for _, key := range all {
		put(t, s, key, "body of "+key)
	}
	for _, key := range all {
		if got := get(t, s, key); got != "body of "+key {
			t.Errorf("Get(%q) = %q", key, got)
		}
	}
	slices.Sort(all)
	if diff := cmp.Diff(all, keys(t, s, "")); diff != "" {
		t.Errorf("List (-want +got):\n%s", diff)
	}
}

func failingSource(t *testing.T, s object.Store) {
	broken := errors.New("producer died")
	for _, after := range []int{0, 1, 100_000} {
		key := fmt.Sprintf("deep/er/%d", after)
		source := io.MultiReader(bytes.NewReader(make([]byte, after)), iotest.ErrReader(broken))
		if _, err := s.Put(t.Context(), key, source, object.PutOptions{}); !errors.Is(err, broken) {
			t.Errorf("Put from a source failing after %d bytes: %v, want its error", after, err)
		}
		if _, err := s.Stat(t.Context(), key); !errors.Is(err, object.ErrNotFound) {
			t.Errorf("a source failing after %d bytes left an object: %v", after, err)
		}
	}
	// A failure that wraps the end of something else is no end.
	source := io.MultiReader(strings.NewReader("half"), iotest.ErrReader(fmt.Errorf("connection: %w", io.EOF)))
	if _, err := s.Put(t.Context(), "wrapped", source, object.PutOptions{}); err == nil {
		t.Error("a source that failed with a wrapped EOF was stored as if it had ended")
	}
	if got := keys(t, s, ""); len(got) != 0 {
		t.Errorf("failing sources left %q", got)
	}
}

func failingSourceKeepsOld(t *testing.T, s object.Store) {
	broken := errors.New("producer died")
	put(t, s, "a/b", "old")
	source := io.MultiReader(strings.NewReader("new but cut"), iotest.ErrReader(broken))
	if _, err := s.Put(t.Context(), "a/b", source, object.PutOptions{}); !errors.Is(err, broken) {
		t.Errorf("Put: %v, want the source's error", err)
	}
	if got := get(t, s, "a/b"); got != "old" {
		t.Errorf("a failed Put changed the object to %q", got)
	}
}

// cancelingReader cancels a context in the middle and would go on for ever.
type cancelingReader struct {
	cancel func()
	reads  int
}

func (c *cancelingReader) Read(p []byte) (int, error) {
	if c.reads++; c.reads == 3 {
		c.cancel()
	}
	return len(p), nil
}

func cancelLeavesNothing(t *testing.T, s object.Store) {
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stop")
	_, err := s.Put(ctx, "a/b", &cancelingReader{cancel: func() { cancel(stop) }}, object.PutOptions{})
	if !errors.Is(err, stop) {
		t.Errorf("Put whose context ended: %v, want the cause", err)
	}
	if got := keys(t, s, ""); len(got) != 0 {
		t.Errorf("a canceled Put left %q", got)
	}
}

func endedContexts(t *testing.T, s object.Store) {
	put(t, s, "a/b", "x")
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stop")
	cancel(stop)
	_, err := s.Put(ctx, "a/b", strings.NewReader("y"), object.PutOptions{})
	if !errors.Is(err, stop) {
		t.Errorf("Put: %v, want the cause", err)
	}
	if _, err := s.Stat(ctx, "a/b"); !errors.Is(err, stop) {
		t.Errorf("Stat: %v, want the cause", err)
	}
	if _, _, err := s.Get(ctx, "a/b"); !errors.Is(err, stop) {
		t.Errorf("Get: %v, want the cause", err)
	}
	if err := s.Delete(ctx, "a/b"); !errors.Is(err, stop) {
		t.Errorf("Delete: %v, want the cause", err)
	}
	if got := get(t, s, "a/b"); got != "x" {
		t.Errorf("calls with an ended context changed the object to %q", got)
	}
	// A context that ends between Get and Read ends the reading.
	ctx, cancel = context.WithCancelCause(t.Context())
	r, _, err := s.Get(ctx, "a/b")
	if err != nil {
		t.Fatalf("Get: %v", err)
	}
	cancel(stop)
	if _, err := io.ReadAll(r); !errors.Is(err, stop) {
		t.Errorf("Read after the context ended: %v, want the cause", err)
	}
	if err := r.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

func deleteConverges(t *testing.T, s object.Store) {
	put(t, s, "a/b/c", "x")
	put(t, s, "a/d", "y")
	for range 2 {
		if err := s.Delete(t.Context(), "a/b/c"); err != nil {
			t.Errorf("Delete: %v", err)
		}
	}
	if diff := cmp.Diff([]string{"a/d"}, keys(t, s, "")); diff != "" {
		t.Errorf("after Delete (-want +got):\n%s", diff)
	}
	put(t, s, "a/b/c", "again")
	if got := get(t, s, "a/b/c"); got != "again" {
		t.Errorf("after putting again, Get returned %q", got)
	}
}

func concurrentReaders(t *testing.T, s object.Store) {
	old := strings.Repeat("old ", 1<<18)
	put(t, s, "a/b", old)
	r, _, err := s.Get(t.Context(), "a/b")
	if err != nil {
		t.Fatalf("Get: %v", err)
	}
	put(t, s, "a/b", strings.Repeat("new ", 1<<18))
	body, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil || string(body) != old {
		t.Errorf("a reader opened before a replacing Put read %d bytes of a mixture, error %v", len(body), err)
	}
}

// peekingReader looks at the store while it is being read from.
type peekingReader struct {
	io.Reader
	peek func()
}

func (p *peekingReader) Read(b []byte) (int, error) {
	p.peek()
	return p.Reader.Read(b)
}

func invisible(t *testing.T, s object.Store) {
	put(t, s, "a/other", "x")
	peeks := 0
	source := &peekingReader{Reader: strings.NewReader(strings.Repeat("z", 1<<20)), peek: func() {
		peeks++
		if diff := cmp.Diff([]string{"a/other"}, keys(t, s, "")); diff != "" {
			t.Errorf("while a Put was under way, List (-want +got):\n%s", diff)
		}
		if _, err := s.Stat(t.Context(), "a/new"); !errors.Is(err, object.ErrNotFound) {
			t.Errorf("while a Put was under way, Stat: %v, want ErrNotFound", err)
		}
	}}
	if _, err := s.Put(t.Context(), "a/new", source, object.PutOptions{}); err != nil {
		t.Fatalf("Put: %v", err)
	}
	if peeks == 0 || len(keys(t, s, "")) != 2 {
		t.Errorf("%d peeks, then List = %q", peeks, keys(t, s, ""))
	}
}
