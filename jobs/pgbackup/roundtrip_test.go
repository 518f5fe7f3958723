package pgbackup_test

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg/pgtest"
	"github.com/ghosteam/upkeep/jobs/pgbackup"
	"github.com/ghosteam/upkeep/runner/retry"
	"github.com/ghosteam/upkeep/storage/object"
)

// fetch lays a dump down as pg_restore reads it.
func fetch(t *testing.T, b *bench, directory bool) string {
	t.Helper()
	a, d := b.one()
	path := filepath.Join(t.TempDir(), "dump")
	err := pgbackup.Read(t.Context(), a, d.Databases[0].Stream, func(r io.Reader) error {
		if !directory {
			return lay(path, r)
		}
		if err := os.Mkdir(path, 0o700); err != nil {
			return err
		}
		files := tar.NewReader(r)
		for {
			h, err := files.Next()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err == nil {
				err = lay(filepath.Join(path, h.Name), files)
			}
			if err != nil {
				return err
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func lay(path string, r io.Reader) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}

// tool runs a client program and returns what it wrote.
func tool(t *testing.T, name string, args ...string) string {
	t.Helper()
	var said strings.Builder
	cmd := osexec.CommandContext(t.Context(), filepath.Join(realClient(t), name), args...)
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v: %s", name, err, said.String())
	}
	return string(out)
}

// logical is all that a database holds, as text.
func logical(t *testing.T, name string) map[string]string {
	t.Helper()
	out := map[string]string{}
	var schema []string
	for line := range strings.Lines(tool(t, "pg_dump", "--schema-only", "-d", pgtest.URL(t, name))) {
		if !strings.HasPrefix(line, `\restrict`) && !strings.HasPrefix(line, `\unrestrict`) {
			schema = append(schema, line)
		}
	}
	out["schema"] = strings.Join(schema, "")
	c := pgtest.Connect(t, pgtest.URL(t, name))
	rows, err := c.Query(context.Background(), `SELECT format('%I.%I', nspname, relname), relkind::text FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
		WHERE relkind IN ('r', 'm', 'S') AND nspname !~ '^pg_' AND nspname <> 'information_schema'`)
	if err != nil {
		t.Fatal(err)
	}
	type relation struct{ Name, Kind string }
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[relation])
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range all {
		from := "ONLY " + r.Name
		if r.Kind == "S" {
			from = "(SELECT last_value, is_called FROM " + r.Name + ")"
		}
		var text string
		if err := c.QueryRow(context.Background(), "SELECT count(*) || ' ' || coalesce(md5(string_agg(t::text, E'\\n' ORDER BY t::text)), '') FROM "+from+" t").Scan(&text); err != nil {
			t.Fatalf("%s: %v", r.Name, err)
		}
		out[r.Name] = text
	}
	var objects string
	if err := c.QueryRow(context.Background(), "SELECT coalesce(string_agg(md5(lo_get(oid)), ' ' ORDER BY oid), '') FROM pg_largeobject_metadata").Scan(&objects); err != nil {
		t.Fatal(err)
	}
	out["large objects"] = objects
	return out
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for name, connections := range map[string]int{"custom": 1, "directory": 3} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, awkward...)
			before := logical(t, b.name)
			b.options.Jobs = connections
			if _, err := b.run(t.Context()); err != nil {
				t.Fatal(err)
			}
			target := pgtest.Database(t)
			tool(t, "pg_restore", "--exit-on-error", "-d", pgtest.URL(t, target), fetch(t, b, connections > 1))
			if diff := cmp.Diff(before, logical(t, target)); diff != "" {
				t.Errorf("the restored database differs (-saved +restored):\n%s", diff)
			}
			if diff := cmp.Diff(before, logical(t, b.name)); diff != "" {
				t.Errorf("the backup changed its source:\n%s", diff)
			}
		})
	}
}

// TestSnapshotHolds: what is written while a dump runs is not in it, and the
// counts are those of the dump.
func TestSnapshotHolds(t *testing.T) {
	t.Parallel()
	b := newBench(t, large...)
	b.options.Compression = "none"
	memory := b.store
	writer := pgtest.Connect(t, b.url)
	b.store = &during{Store: memory, do: func() {
		pgtest.Exec(t, writer, `DELETE FROM large WHERE id % 2 = 0`, `INSERT INTO large SELECT -i, 'later' FROM generate_series(1, 50000) i`, `CREATE TABLE later (id int)`)
	}}
	if _, err := b.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.store = memory
	a, d := b.one()
	if tables := d.Databases[0].Tables; len(tables) != 1 || tables[0].Rows != 30_000 || !tables[0].Exact {
		t.Errorf("tables %+v", tables)
	}
	target := pgtest.Database(t)
	tool(t, "pg_restore", "--exit-on-error", "-d", pgtest.URL(t, target), fetch(t, b, false))
	var rows int
	if err := pgtest.Connect(t, pgtest.URL(t, target)).QueryRow(t.Context(), "SELECT count(*) FROM large WHERE id > 0").Scan(&rows); err != nil || rows != 30_000 {
		t.Errorf("%d rows were restored, %v; artifact %s", rows, err, a.Manifest.ID)
	}
}

func TestEmptyDatabase(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	_, err := b.run(t.Context())
	if !retry.IsPermanent(err) || !strings.Contains(err.Error(), "no tables") || !strings.Contains(jobs.HintOf(err), "allow_empty") {
		t.Errorf("%v", err)
	}
	b.empty()
	b.options.AllowEmpty = true
	if _, err := b.run(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestMinFree(t *testing.T) {
	t.Parallel()
	b := newBench(t, `CREATE TABLE t (id int)`)
	b.store = small{b.store, 1 << 20}
	b.options.MinFree = 1 << 30
	if _, err := b.run(t.Context()); !refused(err) || !strings.Contains(err.Error(), "min_free") {
		t.Errorf("%v", err)
	}
	b.options.MinFree = 0
	if _, err := b.run(t.Context()); err != nil {
		t.Error(err)
	}
	b.store = small{b.store.(small).Store, 1}
	if _, err := b.run(t.Context()); err == nil || !strings.Contains(err.Error(), "free, but about") {
		t.Errorf("%v", err)
	}
}

// small is a store that is nearly full.
type small struct {
	object.Store
	free int64
}

// FreeBytes implements object.Spacious.
func (s small) FreeBytes(context.Context) (int64, error) { return s.free, nil }
