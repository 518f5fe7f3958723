package pgbackup_test

import (
	"encoding/json"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg/pgtest"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/jobs/pgbackup"
	"github.com/ghosteam/upkeep/storage/object"
	"github.com/ghosteam/upkeep/storage/object/objecttest"
)

// otherwise is the artifact with a manifest that says something else.
func otherwise(t testing.TB, a *object.Artifact, change func(d *pgbackup.Details)) *object.Artifact {
	t.Helper()
	d, err := pgbackup.DetailsOf(a.Manifest)
	if err != nil {
		t.Fatal(err)
	}
	change(&d)
	out := *a
	if out.Manifest.Details, err = json.Marshal(d); err != nil {
		t.Fatal(err)
	}
	return &out
}

// What cannot work is refused before anything is made, in every way to restore.
func TestRestorePreflight(t *testing.T) {
	t.Parallel()
	_, a := sold(t)
	target, gone := pgtest.Database(t), freeName(t)
	for label, tt := range map[string]struct {
		change func(d *pgbackup.Database)
		want   string
		// told is a finding instead of a refusal.
		told string
	}{
		"extension":         {func(d *pgbackup.Database) { d.Extensions = []pgbackup.Extension{{Name: "nope", Version: "1.2"}} }, "it lacks extensions: nope 1.2", ""},
		"extension version": {func(d *pgbackup.Database) { d.Extensions = []pgbackup.Extension{{Name: "plpgsql", Version: "0.9"}} }, "", "extension:plpgsql"},
		"role":              {func(d *pgbackup.Database) { d.Roles = []string{"nobody here"} }, "it lacks roles: nobody here", ""},
		"tablespace":        {func(d *pgbackup.Database) { d.Tablespaces = []string{"fast"} }, "it lacks tablespaces: fast", ""},
		"server":            {func(d *pgbackup.Database) { d.Server.Number = 990000 }, "", "older-server"},
		"settings":          {func(d *pgbackup.Database) { d.Settings = []string{"app.key=…"} }, "", "settings"},
		"space":             {func(d *pgbackup.Database) { d.Bytes = 1 << 60 }, "disk", ""},
		"sort order":        {func(d *pgbackup.Database) { d.Collate = "xx_XX" }, "", "locale"},
	} {
		t.Run(label, func(t *testing.T) {
			t.Parallel()
			changed := otherwise(t, a, func(d *pgbackup.Details) { tt.change(&d.Databases[0]) })
			for name, demand := range map[string]jobs.Target{target: {}, gone: {Create: true}} {
				if label == "sort order" && demand.Create || label == "space" && os.Geteuid() != 0 {
					continue // the new one gets what was saved; only root looks into the server's folder
				}
				r, err := restoreWith(t.Context(), t, changed, restoring{database: name, target: demand, hooks: jobs.Hooks{DryRun: true}})
				if tt.want != "" && (!refused(err) || !strings.Contains(err.Error(), tt.want) || jobs.HintOf(err) == "") {
					t.Errorf("%v: %v, want %s", demand, err, tt.want)
				}
				if tt.told != "" && (err != nil || len(r.Findings) != 1 || r.Findings[0].ID != tt.told) {
					t.Errorf("%v: %+v, %v, want %s", demand, r.Findings, err, tt.told)
				}
			}
		})
	}
}

// A working directory that is too small, or becomes so, leaves nothing anywhere.
func TestRestoreFullDisk(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Log("only root can mount a small disk; this is proven where the tests run as root")
		return
	}
	b := newBench(t, `CREATE TABLE a (id int, v text)`, `INSERT INTO a SELECT i, repeat(md5(i::text), 9) FROM generate_series(1, 6000) i`)
	b.options.Compression = "none"
	if _, err := b.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	a, d := b.one()
	disk := t.TempDir()
	if out, err := osexec.CommandContext(t.Context(), "mount", "-t", "tmpfs", "-o", "size=4m", "none", disk).CombinedOutput(); err != nil {
		t.Fatalf("mount: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := osexec.Command("umount", disk).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	filler := filepath.Join(disk, "filler")
	fill := func(bytes int) {
		if err := os.WriteFile(filler, make([]byte, bytes), 0o600); err != nil {
			t.Error(err)
		}
	}
	target := oldDatabase(t)
	restore := func(a *object.Artifact) error {
		env := jobs.NewEnv(jobs.Env{RunID: "r", Workflow: "w", Job: "j", Attempt: 1, WorkDir: disk, KillGrace: time.Second, Out: &jobstest.Buffer{}}, jobs.Hooks{})
		_, err := pgbackup.Kind().Artifacts.(jobs.Restorer).Restore(t.Context(), env, a, jobs.Target{To: "shop", Replace: true, Jobs: 2, Database: func(string) (jobs.Database, error) {
			return pgtest.Configured("shop", pgtest.URL(t, target)), nil
		}})
		return err
	}
	fill(3 << 20)
	if err := restore(a); err == nil || !strings.Contains(err.Error(), "free") || jobs.HintOf(err) == "" {
		t.Errorf("too small: %v", err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	fired := false
	faulty := objecttest.NewFaulty(t, b.store, objecttest.Fault{Method: objecttest.Get, Key: d.Databases[0].Stream, Body: func(body []byte) []byte {
		fired = true
		fill(3 << 20)
		return body
	}})
	full, err := object.Load(t.Context(), faulty, a.Info.Key)
	if err != nil {
		t.Fatal(err)
	}
	if err := restore(full); err == nil || !strings.Contains(err.Error(), "no space left") || !fired {
		t.Errorf("became full: %v, %v", err, fired)
	}
	left, err := os.ReadDir(disk)
	if err != nil || len(left) != 1 || len(named(t, target)) != 1 || one(t, target, "SELECT id FROM precious") != "7" {
		t.Errorf("left: %v, %v, %q", left, err, named(t, target))
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if err := restore(a); err != nil {
		t.Error(err)
	}
}
