package pgbackup_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"os"
	osexec "os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/ghosteam/upkeep/jobs/internal/pg/pgtest"
)

// readme returns the fenced blocks of the README's section about backups, by
// their languages.
func readme(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(text), "\n## Backups that are proven\n")
	if !ok {
		t.Fatal("the README has no section about backups")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	blocks := map[string]string{}
	for _, m := range regexp.MustCompile("(?s)```(\\w+)\n(.*?)```").FindAllStringSubmatch(section, -1) {
		blocks[m[1]] = m[2]
	}
	return blocks
}

// build makes upkeep once, for all tests; TestMain removes it.
var build = sync.OnceValues(func() (dir string, err error) {
	if dir, err = os.MkdirTemp("", "upkeep-walk-"); err != nil {
		return "", err
	}
	out, err := osexec.CommandContext(context.Background(), "go", "build", "-buildvcs=false", "-o", filepath.Join(dir, "upkeep"), "../../cmd/upkeep").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("build upkeep: %w: %s", err, out)
	}
	return dir, err
})

// program returns the directory with upkeep in it.
func program(t *testing.T) string {
	t.Helper()
	dir, err := build()
	if err != nil {
		t.Fatal(err)
	}
	built.Store(&dir)
	return dir
}

// built is what has to be removed in the end.
var built atomic.Pointer[string]

// TestReadmeWalk does what the README says, word for word: a backup of a real
// database into a real bucket, proven, drilled, restored and the same.
func TestReadmeWalk(t *testing.T) {
	t.Parallel()
	blocks := readme(t)
	name := pgtest.Database(t, awkward...)
	restored := "restored_" + strings.ToLower(rand.Text()[:10])
	t.Cleanup(func() {
		pgtest.Exec(t, pgtest.Connect(t, pgtest.URL(t, "")), "DROP DATABASE IF EXISTS "+pgx.Identifier{restored}.Sanitize()+" WITH (FORCE)")
	})
	bucket := newBucket(t)
	dir, bin := t.TempDir(), program(t)
	config := strings.Replace(blocks["yaml"], "bucket: shop-backups", "bucket: "+bucket.Bucket, 1)
	if err := os.WriteFile(filepath.Join(dir, "upkeep.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	environ := append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "DATABASE_URL="+pgtest.URL(t, name), "SCRATCH_URL="+pgtest.URL(t, restored),
		"S3_ENDPOINT="+bucket.Endpoint, "S3_ACCESS_KEY="+bucket.AccessKey.Reveal(), "S3_SECRET_KEY="+bucket.SecretKey.Reveal())
	want := map[string]string{
		"run":     "verified L2",
		"list":    "nightly.backup",
		"verify":  "L2",
		"drill":   "L3",
		"restore": "restored",
		"prune":   "would remove 0 artifacts",
	}
	for line := range strings.Lines(blocks["sh"]) {
		cmd := osexec.CommandContext(t.Context(), "sh", "-c", line)
		cmd.Dir, cmd.Env = dir, environ
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Run(); err != nil {
			t.Fatalf("%s: %v\n%s", strings.TrimSpace(line), err, out.String())
		}
		for word, text := range want {
			if !strings.Contains(line, " "+word+" ") {
				continue
			}
			delete(want, word)
			if !strings.Contains(out.String(), text) {
				t.Errorf("%s says\n%s\nwithout %q", strings.TrimSpace(line), out.String(), text)
			}
		}
	}
	for word := range want {
		t.Errorf("the README does not show %s", word)
	}
	if before, after := counts(t, name), counts(t, restored); before != after || before == "" {
		t.Errorf("restored: %s, not %s", after, before)
	}
}

// counts lists the tables of a database with their rows.
func counts(t *testing.T, name string) (out string) {
	t.Helper()
	c := pgtest.Connect(t, pgtest.URL(t, name))
	rows, err := c.Query(context.Background(), `SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range tables {
		var text string
		if err := c.QueryRow(context.Background(), "SELECT format('%s rows, %s', count(*), md5(string_agg(t::text, E'\\n' ORDER BY t::text))) FROM "+table+" t").Scan(&text); err != nil {
			t.Fatal(err)
		}
		out += table + ": " + text + "\n"
	}
	return out
}
