package artifact_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"filippo.io/age"
	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/artifact"
	"github.com/ghosteam/upkeep/jobs/internal/crypt"
	"github.com/ghosteam/upkeep/jobs/jobstest"
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
	// The job's keys are added to the store's: both decrypt the copy there.
	second, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	b.options.EncryptTo = unit.Names{second.Recipient().String()}
	if out, err = b.publish(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	for i, want := range [][]string{
		{second.Recipient().String()}, {key.Recipient().String(), second.Recipient().String()}, {key.Recipient().String(), second.Recipient().String()},
	} {
		slices.Sort(want)
		m := out.Copies[i].Artifact.Manifest
		if diff := cmp.Diff(want, m.Streams[0].Recipients); diff != "" {
			t.Errorf("recipients in store %s:\n%s", out.Copies[i].Store, diff)
		}
		for j, id := range []*age.X25519Identity{key, second} {
			err := artifact.Read(t.Context(), out.Copies[i].Artifact, crypt.Keys{id}, "data.txt", func(io.Reader) error { return nil })
			if able := slices.Contains(want, id.Recipient().String()); (err == nil) != able || !able && !errors.Is(err, crypt.ErrNoIdentity) {
				t.Errorf("identity %d in store %s: %v", j, out.Copies[i].Store, err)
			}
		}
	}
	if _, plain := stored(t, closed); plain {
		t.Error("a closed store holds plain text")
	}
}

// TestStoresWithKeysOfTheirOwn: two stores with different keys get two streams,
// none of which the other's key decrypts; keys that cannot be mixed are refused
// when the job is built.
func TestStoresWithKeysOfTheirOwn(t *testing.T) {
	t.Parallel()
	one, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	two, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	hybrid, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]*age.X25519Identity{"a": one, "b": two}
	b := newBench(t, map[string]object.Store{
		"a": vault{objecttest.NewMemory("a"), []string{one.Recipient().String()}}, "b": vault{objecttest.NewMemory("b"), []string{two.Recipient().String()}},
	})
	out, err := b.publish(t.Context(), nil)
	if err != nil || len(out.Copies) != 2 {
		t.Fatal(out, err)
	}
	for _, c := range out.Copies {
		if c.Artifact.Manifest.Level != object.L2 {
			t.Errorf("store %s: level %s", c.Store, c.Artifact.Manifest.Level)
		}
		for name, id := range ids {
			err := artifact.Read(t.Context(), c.Artifact, crypt.Keys{id}, "data.txt", func(io.Reader) error { return nil })
			if (err == nil) != (name == c.Store) {
				t.Errorf("the key of %s in store %s: %v", name, c.Store, err)
			}
		}
	}
	b.options.EncryptTo = unit.Names{hybrid.Recipient().String()}
	deps := jobstest.NewDeps(t)
	deps.AddStore("a", b.stores["a"])
	deps.AddStore("b", b.stores["b"])
	_, err = artifact.New("test", b.options, deps)
	if field, ok := errors.AsType[*jobs.FieldError](err); !ok || field.Field != "encrypt_to" || !strings.Contains(err.Error(), "store a") || !strings.Contains(err.Error(), "mixed") {
		t.Errorf("keys that cannot be mixed: %v", err)
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
