package all_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"filippo.io/age"
	"github.com/jackc/pgx/v5"
	_ "modernc.org/sqlite"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/all"
	"github.com/ghosteam/upkeep/jobs/archive"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/jobs/pgbackup"
	"github.com/ghosteam/upkeep/jobs/sqlitebackup"
	"github.com/ghosteam/upkeep/storage/object"
	"github.com/ghosteam/upkeep/storage/object/objecttest"
)

// form is one way in which an artifact can be stored.
type form struct {
	compression string
	encryptTo   []string
}

// format is what an artifact consists of: it arranges the options of a job.
type format struct {
	kind    string
	arrange func(t *testing.T, options any, deps *jobstest.Deps, f form)
	// levels are how far each damaged artifact is proven, at every so many
	// offsets.
	levels map[object.Level]int
}

func formats(t *testing.T) map[string]format {
	quick := map[object.Level]int{object.L1: 1, object.L2: 1}
	slow := map[object.Level]int{object.L1: 1, object.L2: 4} // pg_restore has to be started
	database := newDatabase(t)
	dump := func(connections int) func(*testing.T, any, *jobstest.Deps, form) {
		return func(t *testing.T, options any, deps *jobstest.Deps, f form) {
			o := jobstest.Options[pgbackup.Options](t, options)
			deps.AddDatabase(jobs.Database{Name: "main", Kind: "postgres", URL: secret.New(database)})
			o.Database, o.Jobs, o.Store, o.Compression, o.EncryptTo = unit.Names{"main"}, connections, unit.Names{"s"}, f.compression, f.encryptTo
		}
	}
	return map[string]format{
		"tar": {"archive", func(t *testing.T, options any, _ *jobstest.Deps, f form) {
			dir := t.TempDir()
			for name, text := range map[string]string{"one": "the first file\n", "two": strings.Repeat("the second file\n", 500)} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			o := jobstest.Options[archive.Options](t, options)
			o.Paths, o.Store, o.Compression, o.EncryptTo = []unit.Path{unit.Path(dir)}, unit.Names{"s"}, f.compression, f.encryptTo
		}, quick},
		"SQLite": {"sqlitebackup", func(t *testing.T, options any, _ *jobstest.Deps, f form) {
			path := filepath.Join(t.TempDir(), "app.db")
			db, err := sql.Open("sqlite", "file:"+path)
			if err != nil {
				t.Fatal(err)
			}
			_, err = db.ExecContext(t.Context(), `CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT);
				WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) INSERT INTO t SELECT i, 'row ' || i FROM n`)
			if err := errors.Join(err, db.Close()); err != nil {
				t.Fatal(err)
			}
			o := jobstest.Options[sqlitebackup.Options](t, options)
			o.Path, o.Store, o.Compression, o.EncryptTo = unit.Path(path), unit.Names{"s"}, f.compression, f.encryptTo
		}, quick},
		"pg_dump custom":    {"pgbackup", dump(1), slow},
		"pg_dump directory": {"pgbackup", dump(2), slow},
	}
}

// newDatabase makes a database on the test server, which goes with the test.
func newDatabase(t *testing.T) string {
	t.Helper()
	address := os.Getenv("UPKEEP_TEST_POSTGRES_URL")
	if address == "" {
		t.Fatal("UPKEEP_TEST_POSTGRES_URL is not set: run the tests with `make test`, or start the servers with scripts/dev/servers.sh")
	}
	admin, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	name := "damage_" + strings.ToLower(rand.Text()[:10])
	if _, err := admin.Exec(t.Context(), "CREATE DATABASE "+name+" TEMPLATE template0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, err := admin.Exec(context.Background(), "DROP DATABASE "+name+" WITH (FORCE)")
		if err := errors.Join(err, admin.Close(context.Background())); err != nil {
			t.Error(err)
		}
	})
	config := admin.Config().Copy()
	config.Database = name
	c, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Exec(t.Context(), `CREATE TABLE a AS SELECT i AS id, 'row ' || i AS v FROM generate_series(1, 2000) i; CREATE TABLE b (id int); CREATE INDEX ON a (id)`)
	if err := errors.Join(err, c.Close(t.Context())); err != nil {
		t.Fatal(err)
	}
	return strings.Replace(address, "/postgres?", "/"+name+"?", 1)
}

// TestEveryOffsetClass: whatever is cut, flipped, lengthened, emptied or
// exchanged in an artifact of any kind, compression and encryption, at every
// class of offset, is found by L1, by L2, and where lengths tell it by L0; what
// is encrypted is found without an identity too.
func TestEveryOffsetClass(t *testing.T) {
	t.Parallel()
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	keys := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(keys, []byte(identity.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	kinds := all.Kinds()
	for name, f := range formats(t) {
		kind, _ := kinds.Lookup(f.kind)
		for _, compression := range []string{"none", "gzip", "zstd"} {
			for _, encrypted := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, %s, encrypted %v", name, compression, encrypted), func(t *testing.T) {
					t.Parallel()
					how := form{compression: compression}
					d := &damage{t: t, kind: kind, levels: f.levels, store: objecttest.NewMemory("s")}
					if encrypted {
						how.encryptTo, d.identities = []string{identity.Recipient().String()}, []string{keys}
					}
					deps := jobstest.NewDeps(t)
					deps.AddStore("s", d.store)
					options := kind.Options()
					f.arrange(t, options, deps, how)
					d.make(options, deps)
					d.everywhere()
				})
			}
		}
	}
}

// damage is one artifact that is damaged in every way.
type damage struct {
	t          *testing.T
	kind       jobs.Kind
	levels     map[object.Level]int
	identities []string
	store      *objecttest.Memory
	manifest   string
	length     int // of the whole object that is damaged
	proofs     int
}

func (d *damage) env() *jobs.Env {
	return jobs.NewEnv(jobs.Env{RunID: "damage-" + rand.Text(), Workflow: "daily", Job: "save", Attempt: 1, WorkDir: d.t.TempDir()}, jobs.Hooks{})
}

// make runs the job.
func (d *damage) make(options any, deps *jobstest.Deps) {
	d.t.Helper()
	job, err := d.kind.Build(options, deps)
	if err != nil {
		d.t.Fatal(err)
	}
	if _, err := job.Run(d.t.Context(), d.env()); err != nil {
		d.t.Fatal(err)
	}
	for _, key := range d.store.Keys() {
		if strings.HasSuffix(key, "/manifest.json") {
			d.manifest = key
		}
	}
	for level := range d.levels {
		if err := d.prove(level, d.identities); err != nil {
			d.t.Fatalf("the whole artifact at %s: %v", level, err)
		}
	}
}

// prove reads the artifact anew.
func (d *damage) prove(level object.Level, identities []string) error {
	d.proofs++
	a, err := object.Load(d.t.Context(), d.store, d.manifest)
	if err != nil {
		return err
	}
	proof, err := d.kind.Artifacts.Verify(d.t.Context(), d.env(), a, jobs.Proving{Level: level, Identities: identities})
	if errors.Is(err, object.ErrDamaged) && proof.Damage == "" {
		d.t.Errorf("the proof does not say: %v", err)
	}
	return err
}

// classes are the offsets of n bytes at which things differ: what begins a
// format, its header, its body, the edges of age's chunks of 64 KiB, its end.
func classes(n int) []int {
	out := []int{0, 1, 5, 11, 12, 170, 230, 512, n / 7, n / 3, n / 2, n - n/5, 64<<10 + 200, n - 1025, n - 513, n - 17, n - 9, n - 2, n - 1}
	for i := range out {
		out[i] = max(0, min(n-1, out[i]))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (d *damage) everywhere() {
	keys := d.store.Keys()
	for i, key := range keys {
		whole := d.body(key)
		d.length = len(whole)
		for n, at := range classes(len(whole)) {
			flipped := bytes.Clone(whole)
			flipped[at] ^= 0x20
			d.try(key, fmt.Sprintf("flipped at %d of %d", at, len(whole)), flipped, n)
			d.try(key, fmt.Sprintf("cut at %d of %d", at, len(whole)), whole[:at], n)
			d.try(key, fmt.Sprintf("without the byte at %d of %d", at, len(whole)), append(bytes.Clone(whole[:at]), whole[at+1:]...), n)
		}
		d.try(key, "one byte longer", append(bytes.Clone(whole), 0), 0)
		d.try(key, "twice", append(bytes.Clone(whole), whole...), 0)
		d.try(key, "its end in zeros", append(bytes.Clone(whole[:len(whole)/2]), make([]byte, len(whole)-len(whole)/2)...), 0)
		if other := d.body(keys[(i+1)%len(keys)]); len(keys) > 1 {
			d.try(key, "another object in its place", other, 0)
		}
		d.store.Change(key, func([]byte) []byte { return whole })
	}
	if d.proofs < 20*len(keys) {
		d.t.Errorf("only %d proofs of %d objects", d.proofs, len(keys))
	}
	for level := range d.levels {
		if err := d.prove(level, d.identities); err != nil {
			d.t.Errorf("the whole artifact at %s again: %v", level, err)
		}
	}
}

func (d *damage) body(key string) (body []byte) {
	d.store.Change(key, func(stored []byte) []byte { body = bytes.Clone(stored); return stored })
	return body
}

// try wants bad bytes to be found.
func (d *damage) try(key, how string, bad []byte, n int) {
	d.t.Helper()
	d.store.Change(key, func([]byte) []byte { return bad })
	for level, every := range d.levels {
		if n%every != 0 {
			continue
		}
		if err := d.prove(level, d.identities); !errors.Is(err, object.ErrDamaged) {
			d.t.Errorf("%s %s passes %s: %v", key, how, level, err)
		}
	}
	if len(d.identities) > 0 {
		if err := d.prove(object.L1, nil); !errors.Is(err, object.ErrDamaged) {
			d.t.Errorf("%s %s passes L1 without an identity: %v", key, how, err)
		}
	}
	if len(bad) != d.length {
		if err := d.prove(object.L0, nil); !errors.Is(err, object.ErrDamaged) {
			d.t.Errorf("%s %s passes L0: %v", key, how, err)
		}
	}
}
