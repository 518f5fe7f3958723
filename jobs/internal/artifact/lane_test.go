package artifact_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/artifact"
	"github.com/ghosteam/upkeep/storage/object"
	"github.com/ghosteam/upkeep/storage/object/objecttest"
)

// vault is a store that wants what it holds encrypted.
type vault struct {
	object.Store
	to []string
}

// EncryptTo returns the recipients.
func (v vault) EncryptTo() []string { return v.to }

func stored(t *testing.T, s object.Store) (names string, plain bool) {
	t.Helper()
	for info, err := range s.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		r, _, err := s.Get(t.Context(), info.Key)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err = errors.Join(err, r.Close()); err != nil {
			t.Fatal(err)
		}
		names += info.Key[strings.LastIndexByte(info.Key, '/')+1:] + " "
		plain = plain || bytes.Contains(text, []byte("all work and no play"))
	}
	return names, plain
}

func TestStoresEncryptAsTheyWant(t *testing.T) {
	t.Parallel()
	key, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	open, closed, other := objecttest.NewMemory("a"), objecttest.NewMemory("b"), objecttest.NewMemory("c")
	b := newBench(t, map[string]object.Store{"a": open, "b": vault{closed, []string{key.Recipient().String()}}, "c": vault{other, []string{key.Recipient().String()}}})
	b.options.Compression = "none"
	out, err := b.publish(t.Context(), nil)
	if err != nil || len(out.Copies) != 3 {
		t.Fatal(out, err)
	}
	if names, plain := stored(t, open); !plain || names != "data.txt index.txt manifest.json " {
		t.Errorf("the open store holds %s, plain %v", names, plain)
	}
	for _, s := range []object.Store{closed, other} {
		if names, plain := stored(t, s); plain || names != "data.txt.age index.txt.age manifest.json " {
			t.Errorf("a closed store holds %s, plain %v", names, plain)
		}
	}
	one, two, three := out.Copies[0].Artifact.Manifest, out.Copies[1].Artifact.Manifest, out.Copies[2].Artifact.Manifest
	if len(one.Streams[0].Recipients) != 0 || two.Streams[0].Recipients[0] != key.Recipient().String() || two.Level != object.L2 {
		t.Errorf("streams %+v, %+v", one.Streams, two.Streams)
	}
	if one.Streams[0].Plain != two.Streams[0].Plain || two.Streams[0].Parts[0].Digest != three.Streams[0].Parts[0].Digest {
		t.Error("the copies are not of the same content, or alike stores got other bytes")
	}
	// What the job says is stronger.
	second, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	b.options.EncryptTo = unit.Names{second.Recipient().String()}
	if out, err = b.publish(t.Context(), nil); err != nil || out.Copies[0].Artifact.Manifest.Streams[0].Recipients[0] != second.Recipient().String() {
		t.Errorf("%v", err)
	}
	if _, plain := stored(t, closed); plain {
		t.Error("a closed store holds plain text")
	}
}

func TestCutEncryptedStream(t *testing.T) {
	t.Parallel()
	key, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	s := objecttest.NewMemory("a")
	b := newBench(t, map[string]object.Store{"a": s})
	b.options.EncryptTo = unit.Names{key.Recipient().String()}
	broken := errors.New("broken")
	_, err = b.publish(t.Context(), func(_ context.Context, w *artifact.Writer) error {
		data, err := w.Stream("data.txt")
		if err != nil {
			return err
		}
		if _, err := io.WriteString(data, body); err != nil {
			return err
		}
		return broken
	})
	if !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	if names, _ := stored(t, s); names != "" {
		t.Errorf("left: %s", names)
	}
}

func TestEncryptionOptions(t *testing.T) {
	t.Parallel()
	key, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	for _, names := range []unit.Names{{"nonsense"}, {key.String()}, {key.Recipient().String(), key.Recipient().String()}} {
		o := artifact.Defaults()
		o.Store, o.EncryptTo = unit.Names{"a"}, names
		err := o.Validate()
		if field, ok := errors.AsType[*jobs.FieldError](err); !ok || !strings.HasPrefix(field.Field, "encrypt_to") || strings.Contains(err.Error(), key.String()) {
			t.Errorf("%.20q: %v", names, err)
		}
	}
}
