package sqlitebackup_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/jobs/sqlitebackup"
	"github.com/ghosteam/upkeep/storage/object"
	"github.com/ghosteam/upkeep/storage/object/objecttest"
)

func drill(t *testing.T, a *object.Artifact, d jobs.Drill, h jobs.Hooks) (jobs.Drilled, error) {
	t.Helper()
	work := t.TempDir()
	d.Level = object.L3
	driller, ok := sqlitebackup.Kind().Artifacts.(jobs.Driller)
	if !ok {
		t.Fatal("the kind does not drill")
	}
	r, err := driller.Drill(t.Context(), jobs.NewEnv(jobs.Env{Workflow: "daily", Job: "db", Node: "n", WorkDir: work}, h), a, d)
	if left := jobstest.Tree(t, work); len(left) != 1 {
		t.Errorf("left in the working directory: %v", left)
	}
	return r, err
}

func TestDrill(t *testing.T) {
	t.Parallel()
	b := newBench(t, "wal")
	b.options.Verify.Weekly, b.options.Drill.Assert = object.L3, []string{"SELECT count(*) = 1000 FROM orders"}
	r, a := b.saved()
	if a.Level() != object.L3 || a.Proof.Restored.Assertions != 1 || r.Values["restore_seconds"] <= 0 || !strings.Contains(r.Summary, "proven L3 in s") {
		t.Errorf("%+v, proof %+v", r, a.Proof)
	}
	d, err := drill(t, a, jobs.Drill{}, jobs.Hooks{DryRun: true})
	if err != nil || !d.Proof.Time.IsZero() || !strings.HasPrefix(d.Summary, "would restore ") {
		t.Errorf("dry run: %+v, %v", d, err)
	}
	details, err := sqlitebackup.DetailsOf(a.Manifest)
	if err != nil {
		t.Fatal(err)
	}
	d, err = drill(t, a, jobs.Drill{}, jobs.Hooks{})
	got := d.Proof.Restored
	if err != nil || got == nil || got.Rows != details.Rows() || got.Tables != len(details.Tables) || got.Bytes != details.Pages*details.PageSize || got.Seconds <= 0 || !got.AsOf.Equal(a.Manifest.Started) {
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
	if got := column(t, connect(t, filepath.Join(d.Kept, "restored.sqlite"), ""), "SELECT count(*) FROM orders"); !slices.Equal(got, []string{"1000"}) {
		t.Errorf("kept %v", got)
	}
	driller, _ := sqlitebackup.Kind().Artifacts.(jobs.Driller)
	if _, err := driller.Drill(t.Context(), jobs.NewEnv(jobs.Env{WorkDir: t.TempDir()}, jobs.Hooks{}), a, jobs.Drill{Level: object.L4}); err == nil || jobs.HintOf(err) == "" {
		t.Errorf("L4: %v", err)
	}
}

func TestDrill_Assertions(t *testing.T) {
	t.Parallel()
	b := newBench(t, "delete")
	_, a := b.saved()
	for assertion, want := range map[string]string{
		"SELECT count(*) = 1000 FROM orders":        "",
		"SELECT id FROM orders ORDER BY id":         "",
		"SELECT 0 UNION ALL SELECT 0":               "",
		"SELECT count(*) > 1000 FROM orders":        "0",
		"SELECT id FROM orders WHERE id < 0":        "no rows",
		"SELECT max(id) FROM orders WHERE id < 0":   "null",
		"SELECT missing FROM orders":                "no such column",
		"DELETE FROM orders":                        "readonly",
		"SELECT json_extract('{', '$') FROM orders": "malformed JSON",
	} {
		d, err := drill(t, a, jobs.Drill{Assert: []string{"SELECT 1", assertion}}, jobs.Hooks{})
		unmet, is := errors.AsType[*jobs.AssertionError](err)
		switch {
		case want == "" && (err != nil || d.Proof.Restored.Assertions != 2):
			t.Errorf("%s: %+v, %v", assertion, d, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want) || !d.Proof.Time.IsZero() || errors.Is(err, object.ErrDamaged)):
			t.Errorf("%s: %+v, %v", assertion, d, err)
		case is && unmet.Answer != want:
			t.Errorf("%s: answer %q, want %q", assertion, unmet.Answer, want)
		}
	}
	for _, assertions := range [][]string{{""}, {"SELECT 1", " "}} {
		b.options.Drill.Assert = assertions
		if err := b.options.Validate(); err == nil || !strings.Contains(err.Error(), "drill.assert[") {
			t.Errorf("%q: %v", assertions, err)
		}
	}
}

func TestDrill_Damaged(t *testing.T) {
	t.Parallel()
	b := newBench(t, "delete")
	memory := objecttest.NewMemory("s")
	b.store, b.options.Compression = memory, "none"
	_, a := b.saved()
	forged := *a
	forged.Manifest.Details = []byte(strings.Replace(string(a.Manifest.Details), `"rows": 1000`, `"rows": 1001`, 1))
	if string(forged.Manifest.Details) == string(a.Manifest.Details) {
		t.Fatalf("nothing was forged in %s", a.Manifest.Details)
	}
	damaged := func(label string, a *object.Artifact) {
		t.Helper()
		if d, err := drill(t, a, jobs.Drill{}, jobs.Hooks{}); !errors.Is(err, object.ErrDamaged) || d.Proof.Damage == "" || d.Proof.Restored != nil {
			t.Errorf("%s: %+v, %v", label, d, err)
		}
	}
	damaged("rows", &forged)
	memory.Change(a.Dir()+"/"+a.Manifest.Streams[0].Parts[0].Name, func(body []byte) []byte { body[len(body)/2] ^= 4; return body })
	damaged("a byte", a)
}
