package object_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/ghosteam/upkeep/storage/object"
	"github.com/ghosteam/upkeep/storage/object/objecttest"
)

// volumed bounds objects, and may lock one of them.
type volumed struct {
	*objecttest.Memory
	bytes  int64
	locked string
	until  time.Time
}

func (v *volumed) VolumeBytes() int64 { return v.bytes }

func (v *volumed) LockedUntil(_ context.Context, key string) (time.Time, error) {
	if v.locked != "" && strings.HasSuffix(key, v.locked) {
		return v.until, nil
	}
	return time.Time{}, nil
}

func TestStream(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		store := &volumed{Memory: objecttest.NewMemory("memory"), bytes: rapid.Int64Range(1, 7).Draw(rt, "volume")}
		text := rapid.StringMatching(`[a-z]{0,30}`).Draw(rt, "text")
		p, err := object.Begin(t.Context(), store, draft())
		if err != nil {
			rt.Fatal(err)
		}
		parts, err := p.Stream(t.Context(), "data", iotest.OneByteReader(strings.NewReader(text)))
		if err != nil {
			rt.Fatal(err)
		}
		want := max(1, (int64(len(text))+store.bytes-1)/store.bytes)
		if int64(len(parts)) != want {
			rt.Fatalf("%d bytes in volumes of %d became %d, want %d", len(text), store.bytes, len(parts), want)
		}
		a, err := p.Commit(t.Context(), object.Content{Streams: []object.Stream{
			{Name: "data", Compression: "none", Plain: digest(text), Parts: parts},
		}}, object.L1, nil)
		if err != nil {
			rt.Fatal(err)
		}
		if err := a.Read(t.Context(), "data", func(r io.Reader) error {
			got, err := io.ReadAll(r)
			if err == nil && string(got) != text {
				err = fmt.Errorf("%q came back as %q", text, got)
			}
			return err
		}); err != nil {
			rt.Fatal(err)
		}
		if err := a.Remove(t.Context()); err != nil || len(store.Keys()) != 0 {
			rt.Fatalf("Remove: %v, left %q", err, store.Keys())
		}
	})
}

func TestStreamThatFails(t *testing.T) {
	t.Parallel()
	broken := errors.New("producer died")
	for _, after := range []int{0, 3, 4, 5, 8} {
		store := &volumed{Memory: objecttest.NewMemory("memory"), bytes: 4}
		p, err := object.Begin(t.Context(), store, draft())
		if err != nil {
			t.Fatal(err)
		}
		source := io.MultiReader(strings.NewReader(strings.Repeat("x", after)), iotest.ErrReader(broken))
		if _, err := p.Stream(t.Context(), "data", source); !errors.Is(err, broken) {
			t.Errorf("after %d bytes: %v", after, err)
		}
		if err := p.Abort(t.Context()); err != nil || len(store.Keys()) != 0 {
			t.Errorf("Abort: %v, left %q", err, store.Keys())
		}
	}
	// A wrapped EOF is not the end of a stream.
	store := &volumed{Memory: objecttest.NewMemory("memory"), bytes: 4}
	p, err := object.Begin(t.Context(), store, draft())
	if err != nil {
		t.Fatal(err)
	}
	source := io.MultiReader(strings.NewReader("12345678"), iotest.ErrReader(fmt.Errorf("pipe: %w", io.EOF)))
	if parts, err := p.Stream(t.Context(), "data", source); err == nil {
		t.Errorf("a source that ends too early became %+v", parts)
	}
}

func TestStreamIntoLyingStores(t *testing.T) {
	t.Parallel()
	store := objecttest.NewFaulty(t, objecttest.NewMemory("memory"), objecttest.Fault{Method: objecttest.Put, Key: "data", Err: errShorter, Lose: true})
	p, err := object.Begin(t.Context(), short{store}, draft())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Stream(t.Context(), "data", strings.NewReader("hello")); !errors.Is(err, object.ErrDamaged) {
		t.Errorf("a store that says it holds less: %v", err)
	}
}

var errShorter = errors.New("shorter")

// short claims one byte less than it was given.
type short struct{ object.Store }

func (s short) Put(ctx context.Context, key string, r io.Reader, o object.PutOptions) (object.Info, error) {
	info, err := s.Store.Put(ctx, key, r, o)
	info.Bytes--
	return info, err
}

func TestLockedArtifactsStay(t *testing.T) {
	t.Parallel()
	store := &volumed{Memory: objecttest.NewMemory("memory"), bytes: 1 << 20}
	a, err := publish(t.Context(), store, draft(), object.L1)
	if err != nil {
		t.Fatal(err)
	}
	before := store.Keys()
	store.locked, store.until = "/data.2", time.Now().Add(time.Hour)
	locked, ok := errors.AsType[*object.LockedError](a.Remove(t.Context()))
	if !ok || !locked.Until.Equal(store.until) || locked.Hint() == "" || !strings.Contains(locked.Error(), "locked until") {
		t.Errorf("Remove of a locked artifact: %v", locked)
	}
	if diff := cmp.Diff(before, store.Keys()); diff != "" {
		t.Errorf("it changed (-want +got):\n%s", diff)
	}
	store.until = time.Now().Add(-time.Hour)
	if err := a.Remove(t.Context()); err != nil || len(store.Keys()) != 0 {
		t.Errorf("after the lock: %v, left %q", err, store.Keys())
	}
}

func TestTryBasics(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for name, tt := range map[string]struct {
		faults []objecttest.Fault
		want   string
	}{
		"good":    {nil, ""},
		"put":     {[]objecttest.Fault{{Method: objecttest.Put, Err: broken}}, "put"},
		"head":    {[]objecttest.Fault{{Method: objecttest.Stat, Err: broken}}, "head"},
		"get":     {[]objecttest.Fault{{Method: objecttest.Get, Err: broken}}, "get"},
		"old":     {[]objecttest.Fault{{Method: objecttest.Get, Body: func([]byte) []byte { return []byte("old") }}}, "get"},
		"nothing": {[]objecttest.Fault{{Method: objecttest.Get, Body: func([]byte) []byte { return nil }}}, "get"},
		"list":    {[]objecttest.Fault{{Method: objecttest.List, Err: broken}}, "list"},
		"cond":    {[]objecttest.Fault{{Method: objecttest.Put, Call: 2, Lose: true}}, "conditional put"},
		"delete":  {[]objecttest.Fault{{Method: objecttest.Delete, Err: broken}}, "delete"},
		"lost":    {[]objecttest.Fault{{Method: objecttest.Delete, Lose: true}}, "delete"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			memory := objecttest.NewMemory("memory")
			var failed []string
			for _, p := range object.TryBasics(t.Context(), objecttest.NewFaulty(t, memory, tt.faults...)) {
				if p.Err != nil {
					failed = append(failed, p.Name)
				}
			}
			if strings.Join(failed, ",") != tt.want {
				t.Errorf("failed: %q, want %q", failed, tt.want)
			}
			if keys := memory.Keys(); len(keys) != 0 && name != "delete" && name != "lost" {
				t.Errorf("left: %q", keys)
			}
		})
	}
}
