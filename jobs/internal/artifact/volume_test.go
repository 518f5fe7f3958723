package artifact_test

import (
	"io"
	"testing"

	"github.com/ghosteam/upkeep/storage/object"
	"github.com/ghosteam/upkeep/storage/object/objecttest"
)

// bounded is a store whose objects are short.
type bounded struct {
	*objecttest.Memory
	bytes int64
}

func (b bounded) VolumeBytes() int64 { return b.bytes }

// Stores that bound objects differently get copies of the same content, each
// with a manifest that lists its own parts.
func TestVolumesDifferBetweenStores(t *testing.T) {
	t.Parallel()
	b := newBench(t, map[string]object.Store{
		"a": objecttest.NewMemory("a"), "b": bounded{objecttest.NewMemory("b"), 1_000_000}, "c": bounded{objecttest.NewMemory("c"), 700_000},
	})
	b.options.Compression = "none"
	out, err := b.publish(t.Context(), nil)
	if err != nil || len(out.Copies) != 3 {
		t.Fatalf("%d copies, %v", len(out.Copies), err)
	}
	for i, bound := range []int64{1 << 62, 1_000_000, 700_000} {
		m := out.Copies[i].Artifact.Manifest
		main := m.Streams[0]
		if want := int((main.Plain.Bytes-1)/bound) + 1; len(main.Parts) != want {
			t.Errorf("store %s holds %d parts of %s, want %d", out.Copies[i].Store, len(main.Parts), main.Name, want)
		}
		a, err := object.Find(t.Context(), b.stores[out.Copies[i].Store], m.ID)
		if err != nil {
			t.Fatal(err)
		}
		var bytes int64
		if err := a.Read(t.Context(), main.Name, func(r io.Reader) error {
			var err error
			bytes, err = io.Copy(io.Discard, r)
			return err
		}); err != nil || bytes != main.Plain.Bytes {
			t.Errorf("store %s returns %d bytes of %d, %v", out.Copies[i].Store, bytes, main.Plain.Bytes, err)
		}
	}
}
