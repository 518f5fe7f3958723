package cluster_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The versions of the program. The new one brings a migration of the ledger with
// it, which the later one knows too; their names are of one length.
const (
	oldVersion   = "9.9.1-cluster"
	newVersion   = "9.9.2-cluster"
	laterVersion = "9.9.3-cluster"
)

// skewVariable is what a program built with the clock below reads, once.
const skewVariable = "UPKEEP_TEST_CLOCK_SKEW"

// programs are the binaries of the versions.
type programs map[string]string

// buildPrograms builds the program as `make build` does, so that what that has
// compiled is not compiled again: as it is, and with the next migration. The
// later version is the new one under another name.
func buildPrograms(t *testing.T, skewable bool) programs {
	t.Helper()
	dir := t.TempDir()
	made := programs{}
	for _, version := range []string{oldVersion, newVersion, laterVersion} {
		made[version] = filepath.Join(dir, version)
	}
	replace := map[string]string{}
	if skewable {
		otherClock(t, replace)
	}
	build(t, oldVersion, made[oldVersion], replace)
	nextMigration(t, replace)
	build(t, newVersion, made[newVersion], replace)
	text, err := os.ReadFile(made[newVersion])
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(text, []byte(newVersion)) {
		t.Fatal("the program does not hold the name of its version")
	}
	text = bytes.ReplaceAll(text, []byte(newVersion), []byte(laterVersion))
	if err := os.WriteFile(made[laterVersion], text, 0o700); err != nil {
		t.Fatal(err)
	}
	for version, path := range made {
		out, err := exec.CommandContext(t.Context(), path, "version").Output()
		if err != nil || !bytes.Contains(out, []byte(version)) {
			t.Fatalf("the program of version %s says %q, %v", version, out, err)
		}
	}
	return made
}

// build builds a version of the program, with other files in the place of some.
func build(t *testing.T, version, path string, replace map[string]string) {
	t.Helper()
	args := []string{"build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -X main.version=" + version, "-o", path}
	if len(replace) > 0 {
		text, err := json.Marshal(map[string]any{"Replace": replace})
		if err != nil {
			t.Fatal(err)
		}
		overlay := filepath.Join(t.TempDir(), "overlay.json")
		if err := os.WriteFile(overlay, text, 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "-overlay", overlay)
	}
	cmd := exec.CommandContext(t.Context(), "go", append(args, "github.com/ghosteam/upkeep/cmd/upkeep")...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the program of version %s: %v\n%s", version, err, out)
	}
}

// migrationText is what the next release may do to a ledger that others work
// with: it adds, with defaults.
const migrationText = `-- +goose Up
ALTER TABLE runs ADD COLUMN mood TEXT NOT NULL DEFAULT 'calm';
ALTER TABLE attempts ADD COLUMN mood TEXT;
ALTER TABLE nodes ADD COLUMN mood TEXT NOT NULL DEFAULT 'calm';
CREATE TABLE moods (name TEXT NOT NULL PRIMARY KEY, since BIGINT NOT NULL);
CREATE INDEX runs_mood ON runs (mood) WHERE mood <> 'calm';
`

// nextMigration adds a migration after the last one that there is.
func nextMigration(t *testing.T, replace map[string]string) {
	t.Helper()
	folder, err := filepath.Abs(filepath.Join("..", "..", "..", "storage", "ledger", "migrations", "postgres"))
	if err != nil {
		t.Fatal(err)
	}
	there, err := filepath.Glob(filepath.Join(folder, "*.sql"))
	if err != nil || len(there) == 0 {
		t.Fatalf("the migrations of the ledger in %s: %v, %v", folder, there, err)
	}
	digits, _, _ := strings.Cut(filepath.Base(slices.Max(there)), "_")
	last, err := strconv.Atoi(digits)
	if err != nil {
		t.Fatal(err)
	}
	text := filepath.Join(t.TempDir(), "migration.sql")
	if err := os.WriteFile(text, []byte(migrationText), 0o600); err != nil {
		t.Fatal(err)
	}
	replace[filepath.Join(folder, fmt.Sprintf("%05d_mood.sql", last+1))] = text
}

const (
	clockBefore = "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n"
	clockAfter  = clockBefore + "\tsec, nsec = skewed(sec, nsec)\n"
)

// clockSkew joins package time. The monotonic clock stays as it is, as on a
// machine whose clock is wrong.
const clockSkew = `package time

import "syscall"

var skew = readSkew()

func readSkew() int64 {
	text, found := syscall.Getenv("` + skewVariable + `")
	if !found {
		return 0
	}
	d, err := ParseDuration(text)
	if err != nil {
		panic(err)
	}
	return int64(d)
}

func skewed(sec int64, nsec int32) (int64, int32) {
	if skew == 0 {
		return sec, nsec
	}
	all := sec*1e9 + int64(nsec) + skew
	return all / 1e9, int32(all % 1e9)
}
`

// otherClock replaces files of the standard library by ones with which time.Now
// is wrong by what the environment says: the kernel has no clock per process, and
// a static Go program asks nobody else.
func otherClock(t *testing.T, replace map[string]string) {
	t.Helper()
	root, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	source := filepath.Join(strings.TrimSpace(string(root)), "src", "time")
	text, err := os.ReadFile(filepath.Join(source, "time.go"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(text), clockBefore) != 1 {
		t.Fatalf("%s/time.go has another Now than the one that can be changed here; look at it and adapt clockBefore", source)
	}
	dir := t.TempDir()
	for name, text := range map[string]string{"time.go": strings.Replace(string(text), clockBefore, clockAfter, 1), "skew.go": clockSkew} {
		replace[filepath.Join(source, name)] = filepath.Join(dir, name)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
