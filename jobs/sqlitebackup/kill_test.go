package sqlitebackup_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/jobs/sqlitebackup"
	"github.com/ghosteam/upkeep/storage/object"
	"github.com/ghosteam/upkeep/storage/object/local"
	"github.com/ghosteam/upkeep/storage/object/objecttest"
)

// saveAndDie is the other process of TestKill: it dies at a call of a method
// of the store with a key.
func saveAndDie(dir, at string) {
	disk, err := local.Open("s", local.Options{Path: unit.Path(filepath.Join(dir, "store"))})
	if err != nil {
		panic(err)
	}
	method, key, _ := strings.Cut(at, " ")
	t := &testing.T{}
	die := func() {
		if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
			panic(err)
		}
		select {}
	}
	store := objecttest.NewFaulty(t, disk, objecttest.Fault{Method: objecttest.Method(method), Key: key, Do: die})
	deps := jobstest.NewDeps(t)
	deps.AddStore("s", store)
	o := sqlitebackup.Kind().Options().(*sqlitebackup.Options)
	o.Path, o.Store = unit.Path(filepath.Join(dir, "app.db")), unit.Names{"s"}
	job, err := sqlitebackup.Kind().Build(o, deps)
	if err != nil {
		panic(err)
	}
	work, err := os.MkdirTemp(dir, "work")
	if err != nil {
		panic(err)
	}
	_, err = job.Run(context.Background(), jobs.NewEnv(jobs.Env{Workflow: "daily", Job: "db", WorkDir: work}, jobs.Hooks{}))
	panic(fmt.Sprint("not killed: ", err))
}

func TestKill(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"Put unfinished", "Put database", "Get database", "Put manifest", "Get manifest", "Delete unfinished"} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			makeDatabase(t, filepath.Join(dir, "app.db"), "wal")
			cmd := osexec.CommandContext(t.Context(), os.Args[0])
			cmd.Env = append(os.Environ(), "SQLITEBACKUP_TEST_DIE="+dir, "SQLITEBACKUP_TEST_AT="+at)
			out, err := cmd.CombinedOutput()
			exit, ok := errors.AsType[*osexec.ExitError](err)
			if !ok || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
				t.Fatalf("the process ended with %v:\n%s", err, out)
			}
			disk, err := local.Open("s", local.Options{Path: unit.Path(filepath.Join(dir, "store"))})
			if err != nil {
				t.Fatal(err)
			}
			b := newBench(t, "")
			b.path, b.store = filepath.Join(dir, "app.db"), disk
			b.options.Path = unit.Path(b.path)
			n := 0
			for a, err := range object.Artifacts(t.Context(), disk, "") {
				if err != nil {
					t.Fatal(err)
				}
				n++
				if err := sqlitebackup.Verify(t.Context(), a, t.TempDir()); err != nil {
					t.Errorf("a manifest without whole data: %v", err)
				}
			}
			if want := strings.Count("Get manifest Delete unfinished", at); n != want {
				t.Errorf("%d artifacts exist, want %d", n, want)
			}
			b.saved()
		})
	}
}
