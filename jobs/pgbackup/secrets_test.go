package pgbackup_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/jobs/internal/pg/pgtest"
)

// needles are the forms in which a secret could show.
func needles(secret string) []string {
	return []string{
		secret, url.QueryEscape(secret), url.PathEscape(secret), url.UserPassword("", secret).String()[1:],
		strings.ReplaceAll(strings.ReplaceAll(secret, `\`, `\\`), `'`, `\'`), fmt.Sprintf("%q", secret),
		base64.StdEncoding.EncodeToString([]byte(secret)), base64.RawURLEncoding.EncodeToString([]byte(secret)), hex.EncodeToString([]byte(secret)),
	}
}

// hunt looks for secrets.
type hunt struct {
	t       *testing.T
	secrets map[string]string
}

func (h hunt) in(place string, text []byte) {
	h.t.Helper()
	for name, secret := range h.secrets {
		for form, needle := range needles(secret) {
			if len(needle) > 7 && bytes.Contains(text, []byte(needle)) {
				h.t.Errorf("the %s shows in %s (form %d)", name, place, form)
			}
		}
	}
}

// below searches every file in a directory.
func (h hunt) below(dir string) (files int) {
	h.t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		h.in(path, text)
		files++
		return err
	})
	if err != nil {
		h.t.Error(err)
	}
	return files
}

// arguments searches the command lines of all processes of this machine until
// stop is called, which returns how many of pg_dump it saw.
func (h hunt) arguments() (stop func() int) {
	quit := make(chan struct{})
	var done sync.WaitGroup
	dumps := map[string]bool{}
	done.Go(func() {
		for {
			found, err := filepath.Glob("/proc/[0-9]*/cmdline")
			if err != nil {
				h.t.Error(err)
			}
			for _, path := range found {
				line, _ := os.ReadFile(path) // it may have ended
				h.in("the arguments of a process", line)
				if program, _, _ := bytes.Cut(line, []byte{0}); filepath.Base(string(program)) == "pg_dump" {
					dumps[path] = true
				}
			}
			select {
			case <-quit:
				return
			case <-time.After(2 * time.Millisecond):
			}
		}
	})
	return func() int {
		close(quit)
		done.Wait()
		return len(dumps)
	}
}

const secretsConfig = `
project: secrets
stores:
  offsite: {kind: s3, profile: minio, endpoint: "${env:S3_ENDPOINT}", bucket: BUCKET, access_key: "${env:S3_ACCESS_KEY}", secret_key: "${env:S3_SECRET_KEY}", encrypt_to: RECIPIENT}
  wrong: {kind: s3, profile: minio, endpoint: "${env:S3_ENDPOINT}", bucket: BUCKET, access_key: "${env:S3_ACCESS_KEY}", secret_key: "${env:WRONG_KEY}", attempts: 1}
databases:
  main: {kind: postgres, url: "${env:DATABASE_URL}"}
  wrong: {kind: postgres, url: "${env:WRONG_URL}"}
workflows:
  nightly:
    jobs:
      backup: {kind: pgbackup, with: {database: main, store: offsite, identity: "IDENTITY"}}
  denied:
    jobs:
      backup: {kind: pgbackup, with: {database: main, store: wrong}}
  locked-out:
    jobs:
      backup: {kind: pgbackup, with: {database: wrong, store: offsite}}
  talkative:
    jobs:
      says: {kind: script, with: {run: 'printf %s "$A" | head -c 9; sleep 0.1; printf %s "$A" | tail -c +10; echo; printf %s "$B"', env: {A: "${env:S3_SECRET_KEY}", B: "${env:DATABASE_URL}"}}}
`

// TestSecretsStayInside plants secrets and searches for them, in every form,
// whatever upkeep says, runs, stores and remembers while it backs up to S3, well
// and in vain.
func TestSecretsStayInside(t *testing.T) {
	t.Parallel()
	name := pgtest.Database(t, `CREATE TABLE t (v text)`, `INSERT INTO t SELECT i FROM generate_series(1, 50000) i`)
	const password, wrong, wrongKey = `p:w/d@x#%?&=+ '\s3cr3t`, `wr0ng:p/w@#%&=+ '\s3cr3t`, "wr0ngS3cr3tKeyOfTheBucket"
	role := "secretive_" + name
	admin := pgtest.Connect(t, pgtest.URL(t, name))
	pgtest.Exec(t, admin, "CREATE ROLE "+role+" LOGIN PASSWORD E'"+strings.ReplaceAll(strings.ReplaceAll(password, `\`, `\\`), `'`, `''`)+"'", "GRANT pg_read_all_data TO "+role)
	t.Cleanup(func() { pgtest.Exec(t, pgtest.Connect(t, pgtest.URL(t, "")), "DROP ROLE "+role) })
	address := func(password string) string { return pgtest.As(t, pgtest.URL(t, name), role, password) }
	bucket := newBucket(t)
	file, public := identity(t)
	key, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, private, _ := strings.Cut(strings.TrimSpace(string(key)), "AGE-")
	dir, bin := t.TempDir(), program(t)
	config := strings.NewReplacer("BUCKET", bucket.Bucket, "RECIPIENT", public, "IDENTITY", file).Replace(secretsConfig)
	if err := os.WriteFile(filepath.Join(dir, "upkeep.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	h := hunt{t: t, secrets: map[string]string{
		"password": password, "wrong password": wrong, "S3 secret": bucket.SecretKey.Reveal(), "wrong S3 secret": wrongKey, "identity": "AGE-" + private,
	}}
	stop := h.arguments()
	for _, tt := range []struct {
		code int
		args []string
	}{
		{0, []string{"validate"}},
		{0, []string{"run", "nightly"}},
		{1, []string{"run", "denied"}},
		{1, []string{"run", "locked-out"}},
		{0, []string{"run", "talkative"}},
		{2, []string{"validate", "--online"}},
		{0, []string{"show", "last"}},
		{0, []string{"logs", "last"}},
		{0, []string{"history", "-o", "json"}},
		{0, []string{"backup", "list", "--store", "offsite", "-o", "json"}},
		{0, []string{"backup", "verify", "nightly", "--newest", "--store", "offsite", "--identity", file}},
	} {
		cmd := osexec.CommandContext(context.WithoutCancel(t.Context()), filepath.Join(bin, "upkeep"), tt.args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "DATABASE_URL="+address(password), "WRONG_URL="+address(wrong), "WRONG_KEY="+wrongKey,
			"S3_ENDPOINT="+bucket.Endpoint, "S3_ACCESS_KEY="+bucket.AccessKey.Reveal(), "S3_SECRET_KEY="+bucket.SecretKey.Reveal())
		out, _ := cmd.CombinedOutput() // its code is judged
		if code := cmd.ProcessState.ExitCode(); code != tt.code {
			t.Errorf("upkeep %s: exit code %d\n%s", strings.Join(tt.args, " "), code, out)
		}
		h.in("what upkeep "+strings.Join(tt.args, " ")+" says", out)
	}
	if dumps := stop(); dumps == 0 {
		t.Error("no pg_dump was seen while its arguments were searched")
	}
	if n := h.below(dir); n < 2 {
		t.Errorf("only %d files in %s", n, dir)
	}
	if n := h.below(filepath.Join(os.Getenv("UPKEEP_TEST_S3_DIR"), bucket.Bucket)); n < 3 {
		t.Errorf("only %d objects in the bucket", n)
	}
}
