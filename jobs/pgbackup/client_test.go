package pgbackup_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg"
)

// programs writes a folder of client programs, each a shell script.
func programs(t testing.TB, scripts map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, body := range scripts {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+body), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// oldClient is a client that says it is older than any server here.
func oldClient(t testing.TB) string {
	old := "echo \"$0 (PostgreSQL) 9.1\"\n"
	return programs(t, map[string]string{"pg_dump": old, "pg_restore": old, "pg_dumpall": old})
}

// realClient is where the client of this machine is.
func realClient(t testing.TB) string {
	t.Helper()
	c, err := pg.FindClient(t.Context(), os.Environ(), "", 1, "pg_dump", "pg_restore", "pg_dumpall")
	if err != nil {
		t.Fatal(err)
	}
	return c.Dir
}

// lyingClient is the client of this machine, except that a dump comes out of
// the given shell command, in which "$@" is the real pg_dump with its arguments.
func lyingClient(t testing.TB, dump string) string {
	dir := realClient(t)
	pass := func(name string) string { return fmt.Sprintf("exec %s/%s \"$@\"\n", dir, name) }
	return programs(t, map[string]string{
		"pg_restore": pass("pg_restore"), "pg_dumpall": pass("pg_dumpall"),
		"pg_dump": fmt.Sprintf("if [ \"$1\" = --version ]; then exec %s/pg_dump --version; fi\nset -- %s/pg_dump \"$@\"\n%s\n", dir, dir, dump),
	})
}

func TestOldClientIsRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t, `CREATE TABLE t (id int)`)
	b.options.Client = pathOf(oldClient(t))
	_, err := b.run(t.Context())
	if !refused(err) || !strings.Contains(jobs.HintOf(err), "install") {
		t.Errorf("%v, hint %q", err, jobs.HintOf(err))
	}
	b.empty()
}

// TestLyingClients: programs that say all went well, though their dump is cut,
// empty, of something else or of another instant.
func TestLyingClients(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]struct{ dump, want string }{
		"cut":            {`"$@" | head -c 9000`, "damaged"},
		"cut in its toc": {`"$@" | head -c 500`, "table of contents"},
		"empty":          {`exit 0`, "table of contents"},
		"text":           {`echo "-- PostgreSQL database dump complete"`, "table of contents"},
		"without rows":   {`"$@" --schema-only`, "lacks the rows of 2 tables"},
		"another table":  {`"$@" --exclude-table-data=b`, "lacks the rows of 1 tables"},
		"other rows":     {`for a; do shift; case $a in --snapshot=*) ;; *) set -- "$@" "$a" ;; esac; done; "$@"`, "damaged"},
		"fails at last":  {`"$@"; exit 3`, "exit status 3"},
		"killed":         {`"$@" | head -c 9000; kill -9 $$`, "SIGKILL"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, `CREATE TABLE a (id int, v text)`, `CREATE TABLE b (id int)`,
				`INSERT INTO a SELECT i, md5(i::text) FROM generate_series(1, 1000) i`, `INSERT INTO b VALUES (1)`)
			if name == "other rows" {
				// It takes a snapshot of its own, after somebody has written.
				script.dump = fmt.Sprintf("%s/psql -qXd %s -c 'DELETE FROM a WHERE id = 7'\n%s", realClient(t), b.url, script.dump)
			}
			b.options.Client = pathOf(lyingClient(t, script.dump))
			r, err := b.run(t.Context())
			if err == nil || !strings.Contains(err.Error(), script.want) {
				t.Errorf("%v; %v", err, r.Findings)
			}
			b.empty()
		})
	}
}
