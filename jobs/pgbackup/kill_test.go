package pgbackup_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/jobs/pgbackup"
	"github.com/ghosteam/upkeep/storage/object"
	"github.com/ghosteam/upkeep/storage/object/local"
	"github.com/ghosteam/upkeep/storage/object/objecttest"
)

// victimVariable tells a process of the test binary that it is to be killed.
const victimVariable = "PGBACKUP_VICTIM"

type victim struct {
	Dir, URL, At, Run string
	Jobs              int
}

func TestMain(m *testing.M) {
	if text := os.Getenv(victimVariable); text != "" {
		var v victim
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			panic(err)
		}
		v.die()
	}
	os.Exit(m.Run())
}

// die runs a backup and kills this process at a call of a method of the store,
// or half-way through a dump.
func (v victim) die() {
	disk, err := local.Open("s", local.Options{Path: unit.Path(filepath.Join(v.Dir, "store"))})
	if err != nil {
		panic(err)
	}
	die := func() {
		if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
			panic(err)
		}
		select {}
	}
	t := &testing.T{}
	var store object.Store = &during{Store: disk, do: die}
	if v.At != "half-way" {
		method, key, _ := strings.Cut(v.At, " ")
		store = objecttest.NewFaulty(t, disk, objecttest.Fault{Method: objecttest.Method(method), Key: key, Do: die})
	}
	deps := jobstest.NewDeps(t)
	deps.AddStore("s", store)
	deps.AddDatabase(jobs.Database{Name: "main", Kind: "postgres", URL: secret.New(v.URL)})
	o := pgbackup.Kind().Options().(*pgbackup.Options)
	o.Database, o.Store, o.Jobs, o.Compression = unit.Names{"main"}, unit.Names{"s"}, v.Jobs, "none"
	job, err := pgbackup.Kind().Build(o, deps)
	if err != nil {
		panic(err)
	}
	work, err := os.MkdirTemp(v.Dir, "work")
	if err != nil {
		panic(err)
	}
	_, err = job.Run(context.Background(), jobs.NewEnv(jobs.Env{RunID: v.Run, Workflow: "daily", Job: "backup", Attempt: 1, WorkDir: work}, jobs.Hooks{}))
	panic(fmt.Sprint("not killed: ", err))
}

// TestKill: wherever upkeep is killed, no half artifact can be seen, no process
// and no session stays, and the next run is as good as any.
func TestKill(t *testing.T) {
	t.Parallel()
	name := newDatabase(t, "", large...)
	for at, connections := range map[string]int{
		"Put unfinished": 1, "half-way": 1, "half-way through a directory": 2, "Get .dump": 1, "Put manifest": 1, "Get manifest": 1, "Delete unfinished": 1,
	} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			b := benchOn(t, name)
			dir := t.TempDir()
			point, _, _ := strings.Cut(at, " through")
			v := victim{Dir: dir, URL: b.url, At: point, Run: "run-" + filepath.Base(filepath.Dir(dir)) + fmt.Sprint(len(at)), Jobs: connections}
			text, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			cmd := osexec.CommandContext(t.Context(), os.Args[0])
			cmd.Env = append(os.Environ(), victimVariable+"="+string(text))
			out, _ := cmd.CombinedOutput() // how it ended is judged below
			if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
				t.Fatalf("it was not killed: %s", out)
			}
			disk, err := local.Open("s", local.Options{Path: unit.Path(filepath.Join(dir, "store"))})
			if err != nil {
				t.Fatal(err)
			}
			b.store = disk
			published := at == "Delete unfinished" || at == "Get manifest"
			if all := b.artifacts(); (len(all) > 0) != published {
				t.Errorf("%d artifacts can be seen", len(all))
			}
			admin := connect(t, serverURL(t, ""))
			for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
				var sessions int
				if err := admin.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1", "upkeep "+v.Run).Scan(&sessions); err != nil {
					t.Fatal(err)
				}
				left := ours(t, v.Run, "pg_dump")
				if sessions == 0 && len(left) == 0 {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("%d sessions and the processes %v stay", sessions, left)
				}
			}
			if _, err := b.run(t.Context()); err != nil {
				t.Fatalf("the next run: %v", err)
			}
			for _, a := range b.artifacts() {
				if _, err := prove(t, a, object.L2); err != nil {
					t.Error(err)
				}
			}
		})
	}
}
