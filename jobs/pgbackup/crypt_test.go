package pgbackup_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/crypt"
	"github.com/ghosteam/upkeep/jobs/internal/pg/pgtest"
	"github.com/ghosteam/upkeep/jobs/pgbackup"
	"github.com/ghosteam/upkeep/storage/object"
)

// identity makes an age identity: its file and its public key.
func identity(t testing.TB) (file, public string) {
	t.Helper()
	key, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "key.txt")
	if err := os.WriteFile(file, []byte("# made by a test\n\n"+key.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file, key.Recipient().String()
}

// prove verifies an artifact as the command does.
func prove(t testing.TB, a *object.Artifact, level object.Level, identities ...string) (object.Proof, error) {
	t.Helper()
	env := jobs.NewEnv(jobs.Env{RunID: "verify", Job: "verify", Node: "here", WorkDir: t.TempDir()}, jobs.Hooks{})
	return pgbackup.Kind().Artifacts.Verify(t.Context(), env, a, jobs.Proving{Level: level, Identities: identities})
}

func TestEncrypted(t *testing.T) {
	t.Parallel()
	b := newBench(t, `CREATE TABLE t (v text)`, `INSERT INTO t SELECT 'find me ' || i FROM generate_series(1, 1000) i`)
	mine, public := identity(t)
	offline, second := identity(t)
	stranger, _ := identity(t)
	b.options.EncryptTo = []string{public, second}
	b.options.Compression = "none"
	if _, err := b.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	a, _ := b.one()
	if a.Level() != object.L2 || !strings.HasSuffix(a.Manifest.Streams[0].Parts[0].Name, ".dump.age") || len(a.Manifest.Streams[0].Recipients) != 2 {
		t.Errorf("level %s, streams %+v", a.Level(), a.Manifest.Streams)
	}
	for info, err := range b.store.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		if text := content(t, b.store, info.Key); bytes.Contains(text, []byte("find me")) || bytes.Contains(text, []byte("SECRET-KEY")) {
			t.Errorf("%s can be read by everybody", info.Key)
		}
	}
	for _, file := range []string{mine, offline} {
		for _, level := range []object.Level{object.L0, object.L1, object.L2} {
			if proof, err := prove(t, reload(t, a, b.store), level, stranger, file); err != nil || proof.Level != level || proof.Node != "here" {
				t.Errorf("%s: %+v, %v", level, proof, err)
			}
		}
	}
	if _, err := prove(t, reload(t, a, b.store), object.L1); err != nil {
		t.Errorf("L1 without an identity: %v", err)
	}
	for name, keys := range map[string][]string{"no identity": nil, "a stranger's": {stranger}} {
		_, err := prove(t, reload(t, a, b.store), object.L2, keys...)
		if !errors.Is(err, crypt.ErrNoIdentity) || errors.Is(err, object.ErrDamaged) || jobs.HintOf(err) == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	// With the identity at hand, the proof uses it: a wrong one is found out at once.
	b.options.Identity = pathOf(stranger)
	if _, err := b.run(t.Context()); !errors.Is(err, crypt.ErrNoIdentity) {
		t.Errorf("a wrong identity: %v", err)
	}
	b.options.Identity = pathOf(mine)
	if _, err := b.run(t.Context()); err != nil {
		t.Error(err)
	}
	if age, err := osexec.LookPath("age"); err == nil {
		var out, said bytes.Buffer
		cmd := osexec.CommandContext(t.Context(), age, "-d", "-i", offline)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(content(t, b.store, a.Dir()+"/"+a.Manifest.Streams[0].Parts[0].Name)), &out, &said
		if err := cmd.Run(); err != nil || !bytes.HasPrefix(out.Bytes(), []byte("PGDMP")) {
			t.Errorf("age itself: %v: %s", err, said.String())
		}
	}
}

func content(t testing.TB, s object.Store, key string) []byte {
	t.Helper()
	r, _, err := s.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err = errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	return text
}

func reload(t testing.TB, a *object.Artifact, s object.Store) *object.Artifact {
	t.Helper()
	out, err := object.Load(t.Context(), s, a.Info.Key)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// offsets are the first and last bytes and some between.
func offsets(n int) []int {
	out := []int{0, 1, 5, 11, 12, n / 7, n / 3, n / 2, n - n/5, n - 17, n - 2, n - 1}
	for i := range out {
		out[i] = max(0, min(n-1, out[i]))
	}
	return out
}

// TestForgedDamage: a dump that was damaged before it was hashed, as by a lying
// disk below pg_dump, is found out by what is in it when it was cut.
func TestForgedDamage(t *testing.T) {
	t.Parallel()
	name := pgtest.Database(t, awkward...)
	for _, connections := range []int{1, 2} {
		b := benchOn(t, name)
		b.options.Compression, b.options.Jobs = "none", connections
		if _, err := b.run(t.Context()); err != nil {
			t.Fatal(err)
		}
		a, _ := b.one()
		main := a.Manifest.Streams[0]
		whole := content(t, b.store, a.Dir()+"/"+main.Parts[0].Name)
		for _, at := range offsets(len(whole) - 1024*(connections-1)) { // a tar ends in zeros
			forged := forge(t, b, a, whole[:at])
			if _, err := prove(t, forged, object.L2); !errors.Is(err, object.ErrDamaged) {
				t.Errorf("%s cut at %d of %d passes L2: %v", main.Name, at, len(whole), err)
			}
		}
		if connections == 2 {
			if _, err := prove(t, forge(t, b, a, without(t, whole)), object.L2); !errors.Is(err, object.ErrDamaged) {
				t.Errorf("a directory without one of its files passes L2: %v", err)
			}
		}
	}
}

// forge replaces the main stream of an artifact and makes its manifest fit.
func forge(t testing.TB, b *bench, a *object.Artifact, text []byte) *object.Artifact {
	t.Helper()
	m := a.Manifest
	m.Streams = append([]object.Stream(nil), m.Streams...)
	digest := digestOf(text)
	m.Streams[0].Plain = digest
	m.Streams[0].Parts = []object.Part{{Name: m.Streams[0].Parts[0].Name, Digest: digest}}
	encoded, err := object.EncodeManifest(m)
	if err != nil {
		t.Fatal(err)
	}
	for key, content := range map[string][]byte{a.Info.Key: encoded, a.Dir() + "/" + m.Streams[0].Parts[0].Name: text} {
		if _, err := b.store.Put(t.Context(), key, bytes.NewReader(content), object.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	return reload(t, a, b.store)
}

// without leaves the first file with rows out of a tar.
func without(t testing.TB, whole []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	from, to := tar.NewReader(bytes.NewReader(whole)), tar.NewWriter(&out)
	left := false
	for {
		h, err := from.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if !left && strings.HasSuffix(h.Name, ".dat") && h.Name != "toc.dat" {
			left = true
			continue
		}
		if err := to.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(to, from); err != nil {
			t.Fatal(err)
		}
	}
	if err := to.Close(); err != nil || !left {
		t.Fatal(err, left)
	}
	return out.Bytes()
}
