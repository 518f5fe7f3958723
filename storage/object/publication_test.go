package object_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/storage/object"
	"github.com/ghosteam/upkeep/storage/object/objecttest"
)

func digest(body string) object.Digest {
	sum := sha256.Sum256([]byte(body))
	return object.Digest{Bytes: int64(len(body)), SHA256: hex.EncodeToString(sum[:])}
}

func draft() object.Manifest {
	m := sample()
	m.ID, m.Started = object.NewID(time.Now()), time.Now().UTC()
	m.Streams, m.Details = nil, nil
	return m
}

// content is an artifact of two streams, the first in two parts.
func content() object.Content {
	return object.Content{Streams: []object.Stream{
		{Name: "data", Compression: "none", Plain: digest("hello world"), Parts: []object.Part{
			{Name: "data.1", Digest: digest("hello ")}, {Name: "data.2", Digest: digest("world")},
		}},
		{Name: "index", Compression: "none", Plain: digest(""), Parts: []object.Part{{Name: "index", Digest: digest("")}}},
	}}
}

// publish puts content into store, as a job would.
func publish(ctx context.Context, store object.Store, m object.Manifest, level object.Level) (*object.Artifact, error) {
	p, err := object.Begin(ctx, store, m)
	if err != nil {
		return nil, err
	}
	for name, body := range map[string]string{"data.1": "hello ", "data.2": "world", "index": ""} {
		if _, err := p.Part(ctx, name, strings.NewReader(body)); err != nil {
			return nil, err
		}
	}
	return p.Commit(ctx, content(), level, func(ctx context.Context, a *object.Artifact) error {
		return a.Read(ctx, "data", func(r io.Reader) error {
			body, err := io.ReadAll(r)
			if err == nil && string(body) != "hello world" {
				return errors.New("the content is not what it was")
			}
			return err
		})
	})
}

func TestPublish(t *testing.T) {
	t.Parallel()
	store := objecttest.NewMemory("memory")
	m := draft()
	a, err := publish(t.Context(), store, m, object.L2)
	if err != nil {
		t.Fatal(err)
	}
	dir := "daily/backup/" + m.ID + "/"
	want := []string{dir + "data.1", dir + "data.2", dir + "index", dir + "manifest.json"}
	if diff := cmp.Diff(want, store.Keys()); diff != "" {
		t.Errorf("stored (-want +got):\n%s", diff)
	}
	found, err := object.Find(t.Context(), store, m.ID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(a.Manifest, found.Manifest); diff != "" {
		t.Errorf("manifest as found (-published +found):\n%s", diff)
	}
	if found.Level() != object.L2 || found.Manifest.Proven.IsZero() || found.Manifest.Created.Before(found.Manifest.Started) {
		t.Errorf("level %q, times %v %v", found.Level(), found.Manifest.Created, found.Manifest.Proven)
	}
	for _, level := range []object.Level{object.L0, object.L1} {
		if err := found.Verify(t.Context(), level); err != nil {
			t.Errorf("Verify(%s): %v", level, err)
		}
	}
	if _, err := object.Find(t.Context(), store, object.NewID(time.Now())); !errors.Is(err, object.ErrNotFound) {
		t.Errorf("Find of another id: %v, want ErrNotFound", err)
	}
	if _, err := object.Find(t.Context(), store, "nonsense"); !errors.Is(err, object.ErrNotFound) {
		t.Errorf("Find of nonsense: %v, want ErrNotFound", err)
	}
}

// artifacts lists the ids in a store and fails the test on errors.
func artifacts(t *testing.T, store object.Store) []string {
	t.Helper()
	var out []string
	for a, err := range object.Artifacts(t.Context(), store, "") {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, a.Manifest.ID)
	}
	return out
}

func TestPublishFaults(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	stale := func([]byte) []byte { return []byte("hullo ") }
	nothing := func([]byte) []byte { return nil }
	for name, tt := range map[string]struct {
		fault object.Level
		f     objecttest.Fault
	}{
		"marker cannot be put":             {object.L2, objecttest.Fault{Method: objecttest.Put, Key: "unfinished", Err: broken}},
		"part cannot be put":               {object.L2, objecttest.Fault{Method: objecttest.Put, Key: "data", Call: 2, Err: broken, After: 2}},
		"part is lost":                     {object.L2, objecttest.Fault{Method: objecttest.Put, Key: "data.1", Lose: true}},
		"part is lost, found at L1":        {object.L1, objecttest.Fault{Method: objecttest.Put, Key: "index", Lose: true}},
		"part is lost, found at L0":        {object.L0, objecttest.Fault{Method: objecttest.Put, Key: "data.2", Lose: true}},
		"read back fails":                  {object.L2, objecttest.Fault{Method: objecttest.Get, Key: "data.1", Err: broken}},
		"read back breaks off":             {object.L1, objecttest.Fault{Method: objecttest.Get, Key: "data.1", Err: broken, After: 3}},
		"read back is stale":               {object.L2, objecttest.Fault{Method: objecttest.Get, Key: "data.1", Body: stale}},
		"read back is empty":               {object.L1, objecttest.Fault{Method: objecttest.Get, Key: "data.2", Body: nothing}},
		"stream that prove skips is stale": {object.L2, objecttest.Fault{Method: objecttest.Get, Key: "index", Body: stale}},
		"stat fails":                       {object.L0, objecttest.Fault{Method: objecttest.Stat, Key: "data.1", Err: broken}},
		"manifest cannot be put":           {object.L2, objecttest.Fault{Method: objecttest.Put, Key: "manifest", Err: broken}},
		"manifest is lost":                 {object.L2, objecttest.Fault{Method: objecttest.Put, Key: "manifest", Lose: true}},
		"manifest cannot be read back":     {object.L2, objecttest.Fault{Method: objecttest.Get, Key: "manifest", Err: broken}},
		"manifest reads back empty":        {object.L2, objecttest.Fault{Method: objecttest.Get, Key: "manifest", Body: nothing}},
		"marker vanished":                  {object.L2, objecttest.Fault{Method: objecttest.Get, Key: "unfinished", Err: object.ErrNotFound}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			memory := objecttest.NewMemory("memory")
			a, err := publish(t.Context(), objecttest.NewFaulty(t, memory, tt.f), draft(), tt.fault)
			if err == nil {
				t.Errorf("published %+v", a)
			}
			if tt.f.Err != nil && !errors.Is(err, tt.f.Err) {
				t.Errorf("error %v does not name the cause", err)
			}
			if got := artifacts(t, memory); len(got) != 0 {
				t.Errorf("artifacts %q exist", got)
			}
			// A later sweep removes whatever is left.
			memory.Age(48 * time.Hour)
			left, err := object.Leftovers(t.Context(), memory, "", time.Now().Add(-24*time.Hour))
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range left {
				if err := l.Remove(t.Context()); err != nil {
					t.Errorf("Remove: %v", err)
				}
			}
			if keys := memory.Keys(); len(keys) != 0 {
				t.Errorf("after the sweep: %q", keys)
			}
		})
	}
}

func TestPublishLeavesMarkerOnly(t *testing.T) {
	t.Parallel()
	memory := objecttest.NewMemory("memory")
	denied := errors.New("access denied")
	store := objecttest.NewFaulty(t, memory, objecttest.Fault{Method: objecttest.Delete, Key: "unfinished", Err: denied})
	m := draft()
	a, err := publish(t.Context(), store, m, object.L1)
	left, ok := errors.AsType[*object.LeftoverError](err)
	if !ok || a == nil || !errors.Is(err, denied) || !strings.Contains(left.Error(), "unfinished") {
		t.Fatalf("Commit = %v, %v; want an artifact and a LeftoverError", a, err)
	}
	if diff := cmp.Diff([]string{m.ID}, artifacts(t, memory)); diff != "" {
		t.Errorf("artifacts (-want +got):\n%s", diff)
	}
	memory.Age(time.Hour)
	found, err := object.Leftovers(t.Context(), memory, "daily/", time.Now())
	if err != nil || len(found) != 1 || !found[0].Finished || found[0].Objects != 1 {
		t.Fatalf("Leftovers = %+v, %v", found, err)
	}
	if err := found[0].Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{m.ID}, artifacts(t, memory)); diff != "" || len(memory.Keys()) != 4 {
		t.Errorf("after the sweep %q, artifacts (-want +got):\n%s", memory.Keys(), diff)
	}
}

func TestAbort(t *testing.T) {
	t.Parallel()
	store := objecttest.NewMemory("memory")
	p, err := object.Begin(t.Context(), store, draft())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Part(t.Context(), "data", strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", "../x", "a/b"} {
		if _, err := p.Part(t.Context(), name, strings.NewReader("x")); err == nil {
			t.Errorf("Part(%q) was accepted", name)
		}
	}
	if _, err := p.Part(t.Context(), "data", strings.NewReader("y")); !errors.Is(err, object.ErrExists) {
		t.Errorf("the same part twice: %v, want ErrExists", err)
	}
	if err := p.Abort(t.Context()); err != nil {
		t.Fatal(err)
	}
	if keys := store.Keys(); len(keys) != 0 {
		t.Errorf("after Abort: %q", keys)
	}
}

func TestEveryStoredByteCounts(t *testing.T) {
	t.Parallel()
	store := objecttest.NewMemory("memory")
	m := draft()
	if _, err := publish(t.Context(), store, m, object.L2); err != nil {
		t.Fatal(err)
	}
	verify := func() error {
		a, err := object.Load(t.Context(), store, "daily/backup/"+m.ID+"/manifest.json")
		if err != nil {
			return err
		}
		return a.Verify(t.Context(), object.L1)
	}
	if err := verify(); err != nil {
		t.Fatalf("undamaged: %v", err)
	}
	for _, key := range store.Keys() {
		var whole []byte
		store.Change(key, func(body []byte) []byte { whole = slices.Clone(body); return body })
		damage := func(how string, bad []byte) {
			store.Change(key, func([]byte) []byte { return bad })
			if err := verify(); !errors.Is(err, object.ErrDamaged) {
				t.Errorf("%s %s: %v, want ErrDamaged", key, how, err)
			}
		}
		for i := range whole {
			bad := slices.Clone(whole)
			bad[i] ^= 0x10
			damage("flipped", bad)
			damage("cut", whole[:i])
		}
		damage("longer", append(slices.Clone(whole), 'x'))
		store.Change(key, func([]byte) []byte { return whole })
	}
	for _, key := range store.Keys() {
		if strings.HasSuffix(key, "manifest.json") {
			continue
		}
		if err := store.Delete(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	}
	for _, level := range []object.Level{object.L0, object.L1} {
		a, err := object.Find(t.Context(), store, m.ID)
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Verify(t.Context(), level); !errors.Is(err, object.ErrDamaged) {
			t.Errorf("Verify(%s) with the parts gone: %v, want ErrDamaged", level, err)
		}
	}
}
