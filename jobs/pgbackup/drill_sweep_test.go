package pgbackup_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	osexec "os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/artifact"
	"github.com/ghosteam/upkeep/jobs/internal/pg/pgtest"
	"github.com/ghosteam/upkeep/jobs/pgbackup"
	"github.com/ghosteam/upkeep/storage/object"
	"github.com/ghosteam/upkeep/storage/object/local"
)

// drillVictimVariable tells a process of the test binary that it is to be
// killed during a drill.
const drillVictimVariable = "PGBACKUP_DRILL_VICTIM"

type drillVictim struct {
	Dir, URL, Run string
	Level         object.Level
	// Live tells that it is not to be killed after all, but to say what came out.
	Live bool
}

// drill drills the only artifact in the store at v.Dir.
func (v drillVictim) drill(do func()) (jobs.Drilled, error) {
	disk, err := local.Open("s", local.Options{Path: unit.Path(filepath.Join(v.Dir, "store"))})
	if err != nil {
		panic(err)
	}
	store := &reading{Store: disk, after: halfWay, do: do}
	a, err := object.Newest(context.Background(), store, "")
	if err != nil || a == nil {
		panic(fmt.Sprint("no artifact: ", err))
	}
	work, err := os.MkdirTemp(v.Dir, "work")
	if err != nil {
		panic(err)
	}
	env := jobs.NewEnv(jobs.Env{RunID: v.Run, Workflow: "daily", Job: "backup", Attempt: 1, Node: "n", WorkDir: work}, jobs.Hooks{})
	return pgbackup.Kind().Artifacts.(jobs.Driller).Drill(context.Background(), env, a, jobs.Drill{
		Level: v.Level, Open: func(name string) (jobs.Database, error) {
			return pgtest.Configured(name, v.URL), nil
		},
	})
}

// die kills this process half-way through a restore.
func (v drillVictim) die() {
	_, err := v.drill(func() {
		if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
			panic(err)
		}
		select {}
	})
	panic(fmt.Sprint("not killed: ", err))
}

// asVictim does what another process of this test binary was started for.
func asVictim() bool {
	text := os.Getenv(drillVictimVariable)
	if text == "" {
		return false
	}
	var v drillVictim
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		panic(err)
	}
	if !v.Live {
		v.die()
	}
	r, err := v.drill(func() {})
	if err != nil {
		panic(err)
	}
	fmt.Printf("PROVEN %s %d rows\n", r.Proof.Level, r.Proof.Restored.Rows)
	return true
}

// command starts this test again as a victim.
func (v drillVictim) command(t *testing.T) *osexec.Cmd {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	top, _, _ := strings.Cut(t.Name(), "/")
	cmd := osexec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+top+"$")
	cmd.Env = append(os.Environ(), drillVictimVariable+"="+string(text))
	return cmd
}

// onDisk makes a backup of the large table in a store that another process can
// read too.
func onDisk(t *testing.T) (*bench, *object.Artifact, string) {
	t.Helper()
	b := newBench(t, large...)
	// Another user must be able to walk there.
	dir, err := os.MkdirTemp("/tmp", "upkeep-test-") //nolint:usetesting // its folders are private
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	disk, err := local.Open("s", local.Options{Path: unit.Path(filepath.Join(dir, "store"))})
	if err != nil {
		t.Fatal(err)
	}
	b.store, b.options.Compression = disk, "none"
	if _, err := b.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	a, _ := b.one()
	return b, a, dir
}

// TestDrill_Killed: what a killed drill leaves is cleared away by the next one.
func TestDrill_Killed(t *testing.T) {
	if asVictim() {
		return
	}
	t.Parallel()
	t.Run("L3", func(t *testing.T) {
		t.Parallel()
		b, a, dir := onDisk(t)
		v := drillVictim{Dir: dir, URL: b.url, Run: "run-" + filepath.Base(dir), Level: object.L3}
		out, _ := v.command(t).CombinedOutput() // how it ended is judged below
		left := scratchOf(t, a.Manifest.ID)
		if len(left) != 1 {
			t.Fatalf("the killed drill left %q: %s", left, out)
		}
		admin := pgtest.Connect(t, pgtest.URL(t, ""))
		pgtest.Gone(t, admin, left[0], "")
		// Its process is known to be dead, so that it need not get old.
		r, err := drillAll(t.Context(), b, a, jobs.Drill{}, jobs.Hooks{DryRun: true})
		if got := scratchOf(t, a.Manifest.ID); err != nil || !slices.Equal(got, left) || !strings.Contains(b.out.String(), "would drop the scratch database "+left[0]) {
			t.Fatalf("dry run: %+v, %v, %q, %s", r, err, got, b.out)
		}
		if _, err := drillAll(t.Context(), b, a, jobs.Drill{}, jobs.Hooks{}); err != nil {
			t.Fatal(err)
		}
		noScratch(t, a)
	})
	t.Run("L4", func(t *testing.T) {
		t.Parallel()
		b, _, dir := onDisk(t)
		v := drillVictim{Dir: dir, URL: b.url, Run: "run-" + filepath.Base(dir), Level: object.L4}
		cmd := v.command(t)
		temporary := filepath.Join(dir, "tmp")
		if err := os.Mkdir(temporary, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		cmd.Env = append(cmd.Env, "TMPDIR="+temporary)
		out, _ := cmd.CombinedOutput()
		homes, err := filepath.Glob(filepath.Join(dir, "*", "upkeep-drill-*"))
		if err != nil || len(homes) != 1 {
			t.Fatalf("the killed drill left %q, %v: %s", homes, err, out)
		}
		for deadline := time.Now().Add(time.Minute); len(ours(t, v.Run, "postgres")) > 0; time.Sleep(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("the server of the killed drill lives on: %v", ours(t, v.Run, "postgres"))
			}
		}
		next := v
		next.Live = true
		cmd = next.command(t)
		cmd.Env = append(cmd.Env, "TMPDIR="+filepath.Dir(homes[0]))
		old := time.Now().Add(-time.Hour)
		if err := os.Chtimes(homes[0], old, old); err != nil {
			t.Fatal(err)
		}
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "PROVEN L4 30000 rows") {
			t.Fatalf("the next drill: %v: %s", err, out)
		}
		if _, err := os.Stat(homes[0]); !os.IsNotExist(err) {
			t.Errorf("what the killed drill left is there: %v", err)
		}
	})
}

// TestDrill_SparesOthers: only what carries the mark, is old, not kept and not
// in use is dropped.
func TestDrill_SparesOthers(t *testing.T) {
	t.Parallel()
	b := newBench(t, `CREATE TABLE t (id int)`)
	if _, err := b.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	a, _ := b.one()
	admin := pgtest.Connect(t, pgtest.URL(t, ""))
	const old = "2020-01-01T00:00:00Z"
	alive := artifact.Process()
	stays := map[string]string{
		"alive":    fmt.Sprintf(`upkeep drill {"artifact": "x", "made": %q, "process": %q}`, time.Now().UTC().Format(time.RFC3339), alive),
		"foreign":  "",
		"chatter":  "somebody wrote upkeep drill here",
		"nonsense": "upkeep drill {nonsense",
		"empty":    "upkeep drill {}",
		"undated":  `upkeep drill {"artifact": "x"}`,
		"young":    fmt.Sprintf(`upkeep drill {"artifact": "x", "made": %q}`, time.Now().Add(-50*time.Minute).UTC().Format(time.RFC3339)),
		"future":   fmt.Sprintf(`upkeep drill {"artifact": "x", "made": %q}`, time.Now().Add(24*time.Hour).UTC().Format(time.RFC3339)),
		"kept":     fmt.Sprintf(`upkeep drill {"artifact": "x", "made": %q, "kept": true}`, old),
		"used":     fmt.Sprintf(`upkeep drill {"artifact": "x", "made": %q}`, old),
	}
	goes := pgtest.NamedDatabase(t, "upkeep_drill_goes_"+b.name)
	pgtest.Exec(t, admin, "COMMENT ON DATABASE "+goes+fmt.Sprintf(` IS 'upkeep drill {"artifact": "x", "made": %q}'`, old))
	other := pgtest.NamedDatabase(t, "other_drill_"+b.name) // our mark, but not our name
	pgtest.Exec(t, admin, "COMMENT ON DATABASE "+other+fmt.Sprintf(` IS 'upkeep drill {"artifact": "x", "made": %q}'`, old))
	names := []string{other}
	for label, comment := range stays {
		name := pgtest.NamedDatabase(t, "upkeep_drill_"+label+"_"+b.name)
		if label == "used" {
			pgtest.Connect(t, pgtest.URL(t, name))
		}
		if comment != "" {
			pgtest.Exec(t, admin, "COMMENT ON DATABASE "+name+" IS '"+comment+"'")
		}
		names = append(names, name)
	}
	r, err := drillAll(t.Context(), b, a, jobs.Drill{}, jobs.Hooks{})
	if err != nil {
		t.Fatal(err)
	}
	there := func(name string) (is bool) {
		if err := admin.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).Scan(&is); err != nil {
			t.Fatal(err)
		}
		return is
	}
	if there(goes) {
		t.Error("what a dead drill left is still there")
	}
	for _, name := range names {
		if !there(name) {
			t.Errorf("database %s was dropped", name)
		}
	}
	told := 0
	for _, f := range r.Findings {
		if strings.HasPrefix(f.ID, "scratch-unmarked:") && strings.Contains(f.Text, b.name) || strings.HasPrefix(f.ID, "scratch-kept:") && strings.Contains(f.Text, b.name) {
			told++
		}
	}
	if told != 6 {
		t.Errorf("%d of 6 that stay are told: %+v", told, r.Findings)
	}
	pgtest.Exec(t, admin, "CREATE DATABASE "+goes) // for whoever cleans up
}

// TestDrill_AsAnotherUser: L4 works for an ordinary user too, in the attempt's
// own folder.
func TestDrill_AsAnotherUser(t *testing.T) {
	if asVictim() {
		return
	}
	t.Parallel()
	b, _, dir := onDisk(t)
	v := drillVictim{Dir: dir, URL: b.url, Run: "run-" + filepath.Base(dir), Level: object.L4, Live: true}
	cmd := v.command(t)
	if os.Getuid() == 0 {
		const nobody = 65534
		err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return os.Lchown(path, nobody, nobody)
		})
		if err != nil {
			t.Fatal(err)
		}
		// The test binary lies in a folder that only root can enter.
		binary := filepath.Join(dir, "victim.test")
		text, err := os.ReadFile(os.Args[0])
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(binary, text, 0o755); err != nil {
			t.Fatal(err)
		}
		cmd.Path, cmd.Dir = binary, dir
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		cmd.Env = append(cmd.Env, "TMPDIR="+dir, "HOME="+dir)
	}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "PROVEN L4 30000 rows") {
		t.Fatalf("%v: %s", err, out)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "work*", "*")); err != nil || len(left) > 0 {
		t.Errorf("left: %q, %v", left, err)
	}
}
