package artifact_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/artifact"
	"github.com/ghosteam/upkeep/jobs/internal/child"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/storage/object"
	"github.com/ghosteam/upkeep/storage/object/local"
	"github.com/ghosteam/upkeep/storage/object/objecttest"
)

func TestRetention(t *testing.T) {
	t.Parallel()
	memory := objecttest.NewMemory("a")
	b := newBench(t, map[string]object.Store{"a": memory})
	b.options.Keep.Last = 2
	for range 4 {
		if _, err := b.publish(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
	}
	kept := ids(t, memory)
	if len(kept) != 2 {
		t.Fatalf("%d artifacts left: %q", len(kept), kept)
	}
	if got := strings.Join(b.effects, "\n"); strings.Count(got, "remove artifact") != 2 {
		t.Errorf("effects:\n%s", got)
	}
	// A suspect artifact does not push out a good one, nor let any go.
	b.suspect = "rows fell"
	b.options.Keep.Last = 1
	out, err := b.publish(t.Context(), nil)
	if err != nil || out.Removed != 0 || len(ids(t, memory)) != 3 {
		t.Errorf("with a suspect one: %+v, %v, left %q", out, err, ids(t, memory))
	}
	// Foreign kinds and damaged manifests are left alone.
	b.suspect = ""
	memory.Change("daily/backup/"+kept[0]+"/manifest.json", func(b []byte) []byte { return b[1:] })
	out, err = b.publish(t.Context(), nil)
	if err != nil || out.Removed != 1 {
		t.Errorf("removed %d, %v", out.Removed, err)
	}
	if len(out.Findings) != 1 || out.Findings[0].ID != "unreadable-manifest" {
		t.Errorf("findings %+v", out.Findings)
	}
	if _, err := memory.Stat(t.Context(), "daily/backup/"+kept[0]+"/data.txt.zst"); err != nil {
		t.Errorf("the damaged artifact lost its part: %v", err)
	}
}

func TestRetentionTroubleIsAFinding(t *testing.T) {
	t.Parallel()
	broken := errors.New("denied")
	memory := objecttest.NewMemory("a")
	b := newBench(t, map[string]object.Store{"a": memory})
	b.options.Keep.Last = 1
	if _, err := b.publish(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	b.stores["a"] = objecttest.NewFaulty(t, memory, objecttest.Fault{Method: objecttest.Delete, Key: "manifest", Err: broken})
	out, err := b.publish(t.Context(), nil)
	if err != nil || len(out.Copies) != 1 || len(out.Findings) != 1 || out.Findings[0].ID != "retention-failed" || out.Findings[0].Severity != jobs.Warning {
		t.Errorf("%+v, %v", out, err)
	}
}

func TestDryRun(t *testing.T) {
	t.Parallel()
	memory := objecttest.NewMemory("a")
	b := newBench(t, map[string]object.Store{"a": memory})
	b.options.Keep.Last = 1
	if _, err := b.publish(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	before := strings.Join(memory.Keys(), "\n")
	b.dryRun = true
	out, err := b.publish(t.Context(), nil)
	if err != nil || len(out.Copies) != 0 || out.Removed != 0 {
		t.Errorf("%+v, %v", out, err)
	}
	if after := strings.Join(memory.Keys(), "\n"); after != before {
		t.Errorf("a dry run left\n%s", after)
	}
	for _, want := range []string{"would store a test in store a", "would remove artifact"} {
		if !strings.Contains(b.out.String(), want) {
			t.Errorf("output misses %q:\n%s", want, b.out)
		}
	}
	if out.Sentence(1) != "" {
		t.Errorf("sentence %q about nothing", out.Sentence(1))
	}
}

func TestLeftoversAreCleared(t *testing.T) {
	t.Parallel()
	memory := objecttest.NewMemory("a")
	draft := object.Manifest{ID: object.NewID(time.Now()), Workflow: "daily", Job: "backup"}
	dead, err := object.Begin(t.Context(), memory, draft)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := dead.Part(t.Context(), "data.txt.zst", strings.NewReader("half")); err != nil {
		t.Fatal(err)
	}
	b := newBench(t, map[string]object.Store{"a": memory})
	if _, err := b.publish(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := memory.Stat(t.Context(), "daily/backup/"+draft.ID+"/data.txt.zst"); err != nil {
		t.Errorf("what may still be under way was swept: %v", err)
	}
	memory.Age(25 * time.Hour)
	if _, err := b.publish(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	for _, key := range memory.Keys() {
		if strings.Contains(key, draft.ID) {
			t.Errorf("%s is left", key)
		}
	}
	broken := errors.New("broken")
	b.stores["a"] = objecttest.NewFaulty(t, memory, objecttest.Fault{Method: objecttest.List, Err: broken})
	out, err := b.publish(t.Context(), nil)
	if err != nil || len(out.Findings) != 1 || out.Findings[0].ID != "sweep-failed" {
		t.Errorf("with a sweep that fails: %+v, %v", out.Findings, err)
	}
}

// TestDeadProcess: what a process left that is known to be dead goes with the
// next run, without waiting until it is old.
func TestDeadProcess(t *testing.T) {
	t.Parallel()
	self, err := child.Self()
	if err != nil {
		t.Fatal(err)
	}
	dead := self
	dead.Start++ // the number was used again
	elsewhere := dead
	elsewhere.Namespace++
	rebooted := dead
	rebooted.Boot = "00000000-0000-4000-8000-000000000000"
	if artifact.Process() == "" || self.Machine != "" && strings.Contains(artifact.Process(), self.Machine) {
		t.Errorf("this process calls itself %q", artifact.Process())
	}
	for name, tt := range map[string]struct {
		process string
		goes    bool
	}{
		"dead": {dead.String(), true}, "alive": {artifact.Process(), false}, "nobody": {"", false}, "nonsense": {"a/b/c", false},
		"in another container": {elsewhere.String(), false}, "before the last start, of a machine without a number": {strings.Replace(rebooted.String(), "/"+self.Machine+"/", "/-/", 1), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			disk, err := local.Open("a", local.Options{Path: unit.Path(dir)})
			if err != nil {
				t.Fatal(err)
			}
			memory := objecttest.NewMemory("b")
			draft := object.Manifest{ID: object.NewID(time.Now()), Workflow: "daily", Job: "backup", Process: tt.process}
			for _, s := range []object.Store{disk, memory} {
				p, err := object.Begin(t.Context(), s, draft)
				if err == nil {
					_, err = p.Part(t.Context(), "data.txt.zst", strings.NewReader("half"))
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			folder := filepath.Join(dir, "daily", "backup", draft.ID)
			// As the store names a file that is being written.
			if err := os.WriteFile(filepath.Join(folder, ".upkeep-abcdefghijklmnop.tmp"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			there := func() (disk, distant bool) {
				_, err := os.Stat(folder)
				_, err2 := memory.Stat(t.Context(), "daily/backup/"+draft.ID+"/data.txt.zst")
				return err == nil, err2 == nil
			}
			b := newBench(t, map[string]object.Store{"a": disk, "b": memory})
			if out, err := b.publish(t.Context(), nil); err != nil || len(out.Findings) > 0 {
				t.Fatalf("%+v, %v", out.Findings, err)
			}
			if disk, distant := there(); disk == tt.goes || !distant {
				t.Errorf("at once: in the folder %v, in the distant store %v", disk, distant)
			}
			memory.Age(6 * time.Minute) // nothing is on its way any more
			if _, err := b.publish(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			if disk, distant := there(); disk == tt.goes || distant == tt.goes {
				t.Errorf("later: in the folder %v, in the distant store %v", disk, distant)
			}
		})
	}
}

// cramped is a store with little space.
type cramped struct {
	object.Store
	free int64
}

func (c cramped) FreeBytes(context.Context) (int64, error) { return c.free, nil }

func TestRequireSpace(t *testing.T) {
	t.Parallel()
	memory := objecttest.NewMemory("a")
	b := newBench(t, map[string]object.Store{"a": cramped{memory, 1 << 20}})
	require := func(plain int64) error { return b.publisher().RequireSpace(t.Context(), b.env(), plain) }
	if err := errors.Join(require(0), require(10<<20)); err != nil {
		t.Errorf("with nothing known: %v", err)
	}
	if err := require(1 << 30); err == nil || jobs.HintOf(err) == "" {
		t.Errorf("1 GB into 1 MB: %v, want an error with a hint", err)
	}
	if _, err := b.publish(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	last, err := object.Newest(t.Context(), memory, "")
	if err != nil || last == nil {
		t.Fatal(err)
	}
	ratio := float64(last.Manifest.Stored()) / float64(len(body))
	if err := require(int64(0.9 * float64(1<<20) / ratio)); err != nil {
		t.Errorf("what fits by the last ratio %v: %v", ratio, err)
	}
	if err := require(int64(1.1 * float64(1<<20) / ratio)); err == nil {
		t.Error("what does not fit by the last ratio was accepted")
	}
	b.options.Compression = "none"
	if err := require(2 << 20); err == nil {
		t.Error("2 MB uncompressed into 1 MB was accepted")
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		spoil func(*artifact.Options)
		field string
	}{
		"no store":      {func(o *artifact.Options) { o.Store = nil }, "store"},
		"store twice":   {func(o *artifact.Options) { o.Store = unit.Names{"a", "b", "a"} }, "store[2]"},
		"level 0":       {func(o *artifact.Options) { o.Level = 0 }, "level"},
		"gzip 10":       {func(o *artifact.Options) { o.Compression, o.Level = "gzip", 10 }, "level"},
		"L3":            {func(o *artifact.Options) { o.Verify.Each = object.L3 }, "verify"},
		"min_keep 0":    {func(o *artifact.Options) { o.Keep.MinKeep = 0 }, "keep.min_keep"},
		"negative rule": {func(o *artifact.Options) { o.Keep.Daily = -1 }, "keep"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := artifact.Defaults()
			o.Store = unit.Names{"a"}
			if err := o.Validate(); err != nil {
				t.Fatalf("sound options: %v", err)
			}
			tt.spoil(&o)
			field, ok := errors.AsType[*jobs.FieldError](o.Validate())
			if !ok || field.Field != tt.field {
				t.Errorf("Validate: %v, want a complaint about %s", o.Validate(), tt.field)
			}
		})
	}
	o := artifact.Defaults()
	o.Store = unit.Names{"a", "nowhere"}
	deps := jobstest.NewDeps(t)
	deps.AddStore("a", objecttest.NewMemory("a"))
	_, err := artifact.New("test", o, deps)
	if field, ok := errors.AsType[*jobs.FieldError](err); !ok || field.Field != "store[1]" {
		t.Errorf("unknown store: %v", err)
	}
}

func TestReadFindsForgeries(t *testing.T) {
	t.Parallel()
	memory := objecttest.NewMemory("a")
	b := newBench(t, map[string]object.Store{"a": memory})
	out, err := b.publish(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	good := out.Copies[0].Artifact
	read := func(forge func(*object.Manifest)) error {
		a, err := object.Load(t.Context(), memory, good.Info.Key)
		if err != nil {
			t.Fatal(err)
		}
		forge(&a.Manifest)
		return artifact.Read(t.Context(), a, nil, "data.txt", func(r io.Reader) error {
			_, err := io.CopyN(io.Discard, r, 10)
			return err
		})
	}
	if err := read(func(*object.Manifest) {}); err != nil {
		t.Errorf("a reader that stops early: %v", err)
	}
	for name, forge := range map[string]func(*object.Manifest){
		"shorter":   func(m *object.Manifest) { m.Streams[0].Plain.Bytes-- },
		"longer":    func(m *object.Manifest) { m.Streams[0].Plain.Bytes++ },
		"bomb":      func(m *object.Manifest) { m.Streams[0].Plain.Bytes = 5 },
		"other":     func(m *object.Manifest) { m.Streams[0].Plain.SHA256 = strings.Repeat("0", 64) },
		"codec":     func(m *object.Manifest) { m.Streams[0].Compression = "gzip" },
		"no stream": func(m *object.Manifest) { m.Streams = m.Streams[1:] },
	} {
		if err := read(forge); !errors.Is(err, object.ErrDamaged) {
			t.Errorf("%s: %v, want ErrDamaged", name, err)
		}
	}
}
