package archive_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/archive"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/storage/object/objecttest"
)

// Reading the ledger's files would drop its locks, so an archive of the folder
// in which they lie leaves them out, without a warning: nobody can change it.
func TestRun_LeavesUpkeepsOwnFiles(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	own := filepath.Join(root, "upkeep.db")
	for path, text := range map[string]string{own: "SQLite format 3\x00", own + "-wal": "x", filepath.Join(root, "app.log"): "y"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	deps := jobstest.NewDeps(t)
	deps.AddStore("local", objecttest.NewMemory("local"))
	kind := archive.Kind()
	options, ok := kind.Options().(*archive.Options)
	if !ok {
		t.Fatal("the kind's options have another type")
	}
	options.Paths, options.Store = []unit.Path{unit.Path(root)}, unit.Names{"local"}
	job, err := kind.Build(options, deps)
	if err != nil {
		t.Fatal(err)
	}
	env := jobs.NewEnv(jobs.Env{Workflow: "w", Job: "j", RunID: "r", Root: root, WorkDir: t.TempDir()}, jobs.Hooks{Own: []string{own, own + "-wal"}})
	r, err := job.Run(t.Context(), env)
	if err != nil {
		t.Fatal(err)
	}
	if r.Values["files"] != 1 || r.Worst() == jobs.Warning {
		t.Errorf("files = %v, findings %+v; want app.log alone and no warning", r.Values["files"], r.Findings)
	}
}
