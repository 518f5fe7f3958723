package object_test

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/storage/object"
)

const someHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func sample() object.Manifest {
	return object.Manifest{
		Schema: object.ManifestSchema,
		ID:     "20261123-023000.123-k3v2q2m7xd", Set: "20261123-023000.123-aaaaaaaaaa",
		Kind: "archive", Workflow: "daily", Job: "backup", Run: "r1", Attempt: 1, Node: "db-1", Upkeep: "v1",
		Started: time.Date(2026, 11, 23, 2, 30, 0, 0, time.UTC), Created: time.Date(2026, 11, 23, 2, 31, 0, 0, time.UTC),
		Streams: []object.Stream{{
			Name: "archive.tar", Plain: object.Digest{Bytes: 10, SHA256: someHash}, Compression: "zstd",
			Parts: []object.Part{{Name: "archive.tar.zst", Digest: object.Digest{Bytes: 4, SHA256: someHash}}},
		}},
		Details: json.RawMessage(`{"files":3,"note":"<&>"}`),
		Level:   object.L2,
	}
}

func TestManifestRoundTrip(t *testing.T) {
	t.Parallel()
	text, err := object.EncodeManifest(sample())
	if err != nil {
		t.Fatal(err)
	}
	got, err := object.DecodeManifest(text)
	if err != nil {
		t.Fatal(err)
	}
	want := sample()
	sameJSON := cmp.Comparer(func(a, b json.RawMessage) bool {
		var x, y any
		return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && cmp.Equal(x, y)
	})
	if diff := cmp.Diff(want, got, sameJSON); diff != "" {
		t.Errorf("round trip (-want +got):\n%s", diff)
	}
	var plain map[string]any
	if err := json.Unmarshal(text, &plain); err != nil {
		t.Errorf("a manifest is not plain JSON: %v", err)
	}
	if got.Stored() != 4 {
		t.Errorf("Stored() = %d, want 4", got.Stored())
	}
}

func TestManifestFindsEveryChange(t *testing.T) {
	t.Parallel()
	text, err := object.EncodeManifest(sample())
	if err != nil {
		t.Fatal(err)
	}
	for i := range text {
		for _, bit := range []byte{0x01, 0x20} {
			bad := slices.Clone(text)
			bad[i] ^= bit
			if _, err := object.DecodeManifest(bad); !errors.Is(err, object.ErrDamaged) {
				t.Fatalf("byte %d flipped by %#x: %v, want ErrDamaged", i, bit, err)
			}
		}
		if _, err := object.DecodeManifest(text[:i]); !errors.Is(err, object.ErrDamaged) {
			t.Fatalf("cut at %d: %v, want ErrDamaged", i, err)
		}
	}
	if _, err := object.DecodeManifest(append(slices.Clone(text), '\n')); !errors.Is(err, object.ErrDamaged) {
		t.Errorf("with a byte more: %v, want ErrDamaged", err)
	}
}

func TestManifestRefuses(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*object.Manifest){
		"foreign id":         func(m *object.Manifest) { m.ID = "../../etc" },
		"path as workflow":   func(m *object.Manifest) { m.Workflow = "a/b" },
		"empty job":          func(m *object.Manifest) { m.Job = "" },
		"no streams":         func(m *object.Manifest) { m.Streams = nil },
		"no parts":           func(m *object.Manifest) { m.Streams[0].Parts = nil },
		"part elsewhere":     func(m *object.Manifest) { m.Streams[0].Parts[0].Name = "../x" },
		"part below":         func(m *object.Manifest) { m.Streams[0].Parts[0].Name = "a/b" },
		"part is manifest":   func(m *object.Manifest) { m.Streams[0].Parts[0].Name = "manifest.json" },
		"part twice":         func(m *object.Manifest) { m.Streams = append(m.Streams, m.Streams[0]) },
		"negative length":    func(m *object.Manifest) { m.Streams[0].Parts[0].Bytes = -1 },
		"no hash":            func(m *object.Manifest) { m.Streams[0].Parts[0].SHA256 = "" },
		"no hash of content": func(m *object.Manifest) { m.Streams[0].Plain.SHA256 = "x" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := sample()
			spoil(&m)
			if _, err := object.EncodeManifest(m); err == nil {
				t.Error("EncodeManifest accepts it")
			}
		})
	}
}

func FuzzDecodeManifest(f *testing.F) {
	text, err := object.EncodeManifest(sample())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := object.DecodeManifest(text)
		if err != nil {
			return
		}
		if _, err := object.EncodeManifest(m); err != nil {
			t.Errorf("decoded but cannot be encoded: %v", err)
		}
	})
}

func TestIDs(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 2, 30, 0, 123e6, time.FixedZone("", 3600))
	seen := map[string]bool{}
	last := ""
	for i := range 1000 {
		id := object.NewID(now.Add(time.Duration(i) * time.Millisecond))
		if seen[id] || id <= last {
			t.Fatalf("%s comes after %s", id, last)
		}
		seen[id], last = true, id
		got, err := object.IDTime(id)
		if want := now.Add(time.Duration(i) * time.Millisecond); err != nil || !got.Equal(want) {
			t.Fatalf("IDTime(%s) = %v, %v; want %v", id, got, err, want)
		}
		if err := object.CheckKey(id); err != nil || filepath.Base(id) != id {
			t.Fatalf("an id is no key: %v", err)
		}
	}
	for _, id := range []string{"", "x", strings.ToUpper(last), last + "x", "20261323-023000.123-k3v2q2m7xd", "20261123-023000.123-k3v2q2m7x/"} {
		if _, err := object.IDTime(id); err == nil {
			t.Errorf("IDTime(%q) accepts it", id)
		}
	}
}

func TestLevels(t *testing.T) {
	t.Parallel()
	for rank, l := range []object.Level{object.L0, object.L1, object.L2, object.L3, object.L4} {
		var back object.Level
		if err := back.UnmarshalText([]byte(l)); err != nil || back != l || l.Rank() != rank {
			t.Errorf("level %s: %v, rank %d", l, err, l.Rank())
		}
	}
	var l object.Level
	if err := l.UnmarshalText([]byte("L9")); err == nil || object.Level("").Rank() != -1 {
		t.Error("L9 is accepted, or unproven has a rank")
	}
}
