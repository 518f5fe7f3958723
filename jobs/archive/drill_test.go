package archive_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/archive"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/storage/object"
	"github.com/ghosteam/upkeep/storage/object/objecttest"
)

func drill(t *testing.T, a *object.Artifact, d jobs.Drill, h jobs.Hooks) (jobs.Drilled, error) {
	t.Helper()
	work := t.TempDir()
	d.Level = object.L3
	driller, ok := archive.Kind().Artifacts.(jobs.Driller)
	if !ok {
		t.Fatal("the kind does not drill")
	}
	r, err := driller.Drill(t.Context(), jobs.NewEnv(jobs.Env{Workflow: "daily", Job: "files", Node: "n", WorkDir: work}, h), a, d)
	if left := jobstest.Tree(t, work); len(left) != 1 {
		t.Errorf("left in the working directory: %v", left)
	}
	return r, err
}

func TestDrill(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.hostileTree()
	b.options.Verify.Weekly = object.L3
	r, a := b.saved()
	if a.Level() != object.L3 || !strings.Contains(r.Summary, "proven L3 in s") {
		t.Errorf("%+v, proof %+v", r, a.Proof)
	}
	details, err := archive.DetailsOf(a.Manifest)
	if err != nil {
		t.Fatal(err)
	}
	d, err := drill(t, a, jobs.Drill{}, jobs.Hooks{DryRun: true})
	if err != nil || !d.Proof.Time.IsZero() {
		t.Errorf("dry run: %+v, %v", d, err)
	}
	d, err = drill(t, a, jobs.Drill{}, jobs.Hooks{})
	got := d.Proof.Restored
	if err != nil || got == nil || got.Files != details.Files || got.Bytes != details.Bytes || got.Seconds <= 0 || !got.AsOf.Equal(a.Manifest.Started) {
		t.Errorf("%+v, %v", d, err)
	}
	d, err = drill(t, a, jobs.Drill{Keep: true}, jobs.Hooks{})
	if err != nil || d.Kept == "" {
		t.Fatalf("kept: %+v, %v", d, err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(d.Kept); err != nil {
			t.Error(err)
		}
	})
	if text, err := os.ReadFile(filepath.Join(d.Kept, "content", "data", "plain")); err != nil || string(text) != "plain" {
		t.Errorf("kept %q, %v", text, err)
	}
	if _, err := drill(t, a, jobs.Drill{Assert: []string{"SELECT 1"}}, jobs.Hooks{}); err == nil {
		t.Error("an archive answered a question")
	}
}

func TestDrill_Damaged(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.write("data/a", strings.Repeat("a", 10_000))
	b.write("data/b", "b")
	memory := objecttest.NewMemory("s")
	b.store, b.options.Compression = memory, "none"
	_, a := b.saved()
	forged := *a
	forged.Manifest.Details = []byte(strings.Replace(string(a.Manifest.Details), `"files": 2`, `"files": 3`, 1))
	if string(forged.Manifest.Details) == string(a.Manifest.Details) {
		t.Fatalf("nothing was forged in %s", a.Manifest.Details)
	}
	damaged := func(label string, a *object.Artifact) {
		t.Helper()
		if d, err := drill(t, a, jobs.Drill{}, jobs.Hooks{}); !errors.Is(err, object.ErrDamaged) || d.Proof.Damage == "" || d.Proof.Restored != nil {
			t.Errorf("%s: %+v, %v", label, d, err)
		}
	}
	damaged("files", &forged)
	memory.Change(a.Dir()+"/"+a.Manifest.Streams[0].Parts[0].Name, func(body []byte) []byte { body[len(body)/2] ^= 4; return body })
	damaged("a byte", a)
}
