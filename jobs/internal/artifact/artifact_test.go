package artifact_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/artifact"
	"github.com/ghosteam/upkeep/jobs/internal/crypt"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/storage/object"
	"github.com/ghosteam/upkeep/storage/object/local"
	"github.com/ghosteam/upkeep/storage/object/objecttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is a publisher with its surroundings.
type bench struct {
	t       *testing.T
	options artifact.Options
	stores  map[string]object.Store
	out     *jobstest.Buffer
	effects []string
	dryRun  bool
	suspect string
}

func newBench(t *testing.T, stores map[string]object.Store) *bench {
	b := &bench{t: t, options: artifact.Defaults(), stores: stores, out: &jobstest.Buffer{}}
	for _, name := range []string{"a", "b", "c"} {
		if _, ok := stores[name]; ok {
			b.options.Store = append(b.options.Store, name)
		}
	}
	return b
}

func (b *bench) env() *jobs.Env {
	return jobs.NewEnv(jobs.Env{RunID: "run", Workflow: "daily", Job: "backup", Attempt: 1, Node: "n", Version: "v1", WorkDir: b.t.TempDir(), Out: b.out},
		jobs.Hooks{DryRun: b.dryRun, Effect: func(what string) { b.effects = append(b.effects, what) }})
}

func (b *bench) publisher() *artifact.Publisher {
	b.t.Helper()
	deps := jobstest.NewDeps(b.t)
	for name, s := range b.stores {
		deps.AddStore(name, s)
	}
	if err := b.options.Validate(); err != nil {
		b.t.Fatal(err)
	}
	p, err := artifact.New("test", b.options, deps)
	if err != nil {
		b.t.Fatal(err)
	}
	return p
}

// body is the main stream of every test: several frames long.
var body = strings.Repeat("all work and no play makes jack a dull boy\n", 250_000)

func (b *bench) publish(ctx context.Context, produce func(ctx context.Context, w *artifact.Writer) error) (artifact.Outcome, error) {
	if produce == nil {
		produce = twoStreams
	}
	return b.publisher().Publish(ctx, b.env(), artifact.Work{
		What: "a test",
		Produce: func(ctx context.Context, w *artifact.Writer) (artifact.Note, error) {
			return artifact.Note{Details: map[string]int{"lines": 250_000}, Suspect: b.suspect}, produce(ctx, w)
		},
		Prove: prove,
	})
}

// twoStreams writes two streams at once, in turns.
func twoStreams(_ context.Context, w *artifact.Writer) error {
	data, err := w.Stream("data.txt")
	if err != nil {
		return err
	}
	index, err := w.Stream("index.txt")
	if err != nil {
		return err
	}
	for rest := body; rest != ""; {
		n := min(100_000, len(rest))
		if _, err := io.WriteString(data, rest[:n]); err != nil {
			return err
		}
		if _, err := fmt.Fprintln(index, n); err != nil {
			return err
		}
		rest = rest[n:]
	}
	return errors.Join(data.Close(), index.Close())
}

func prove(ctx context.Context, a *object.Artifact, keys crypt.Keys) error {
	return artifact.Read(ctx, a, keys, "data.txt", func(r io.Reader) error {
		got, err := io.ReadAll(r)
		if err == nil && string(got) != body {
			return fmt.Errorf("%w: %d other bytes", object.ErrDamaged, len(got))
		}
		return err
	})
}

func ids(t *testing.T, s object.Store) []string {
	t.Helper()
	var out []string
	for a, err := range object.Artifacts(t.Context(), s, "daily/backup/") {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, a.Manifest.ID)
	}
	return out
}

func TestPublishInSeveralStores(t *testing.T) {
	t.Parallel()
	for _, compression := range []string{"zstd", "gzip", "none"} {
		t.Run(compression, func(t *testing.T) {
			t.Parallel()
			disk, err := local.Open("b", local.Options{Path: unit.Path(filepath.Join(t.TempDir(), "store"))})
			if err != nil {
				t.Fatal(err)
			}
			b := newBench(t, map[string]object.Store{"a": objecttest.NewMemory("a"), "b": disk})
			b.options.Compression = compression
			out, err := b.publish(t.Context(), nil)
			if err != nil || len(out.Copies) != 2 {
				t.Fatalf("%d copies, %v", len(out.Copies), err)
			}
			one, two := out.Copies[0].Artifact.Manifest, out.Copies[1].Artifact.Manifest
			if one.ID == two.ID || one.Set != two.Set || !cmp.Equal(one.Streams, two.Streams) {
				t.Errorf("the copies are not twins with ids of their own:\n%+v\n%+v", one, two)
			}
			if one.Kind != "test" || one.Run != "run" || one.Upkeep != "v1" || one.Level != object.L2 || one.Started.IsZero() {
				t.Errorf("manifest %+v", one)
			}
			for name, s := range b.stores {
				list := ids(t, s)
				if len(list) != 1 {
					t.Fatalf("store %s holds %q", name, list)
				}
				a, err := object.Find(t.Context(), s, list[0])
				if err != nil {
					t.Fatal(err)
				}
				if err := prove(t.Context(), a, nil); err != nil {
					t.Errorf("store %s: %v", name, err)
				}
			}
			var r jobs.Result
			out.Describe(&r, int64(len(body)))
			if len(r.Artifacts) != 6 || r.Values["stored_bytes"] != float64(one.Stored()) || r.Values["bytes"] != float64(len(body)) {
				t.Errorf("result %+v", r)
			}
			if text := out.Sentence(int64(len(body))); !strings.Contains(text, "in stores a, b, verified L2") {
				t.Errorf("sentence %q", text)
			}
			if diff := cmp.Diff([]string{"store a test in stores a, b"}, b.effects); diff != "" {
				t.Errorf("effects (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOneStoreFails(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for name, fault := range map[string]objecttest.Fault{
		"at the marker":          {Method: objecttest.Put, Key: "unfinished", Err: broken},
		"at once":                {Method: objecttest.Put, Key: "data.txt", Err: broken},
		"in the middle":          {Method: objecttest.Put, Key: "data.txt", Err: broken, After: 1000},
		"at the second stream":   {Method: objecttest.Put, Key: "index.txt", Err: broken},
		"by losing a part":       {Method: objecttest.Put, Key: "data.txt", Lose: true},
		"by returning nothing":   {Method: objecttest.Get, Key: "data.txt", Body: func([]byte) []byte { return nil }},
		"by returning old bytes": {Method: objecttest.Get, Key: "index.txt", Body: func(b []byte) []byte { b[9]++; return b }},
		"at reading back":        {Method: objecttest.Get, Key: "data.txt", Err: broken, After: 100},
		"at the manifest":        {Method: objecttest.Put, Key: "manifest", Err: broken},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bad, good := objecttest.NewMemory("a"), objecttest.NewMemory("b")
			b := newBench(t, map[string]object.Store{"a": objecttest.NewFaulty(t, bad, fault), "b": good})
			out, err := b.publish(t.Context(), nil)
			if err == nil || fault.Err != nil && !errors.Is(err, broken) || !strings.Contains(err.Error(), "store a") {
				t.Errorf("error %v, want one about store a", err)
			}
			if len(out.Copies) != 1 || out.Copies[0].Store != "b" || len(ids(t, good)) != 1 {
				t.Errorf("the good store did not get its copy: %+v", out.Copies)
			}
			if keys := bad.Keys(); len(keys) != 0 {
				t.Errorf("the bad store was left with %q", keys)
			}
			// Alone, the bad store means nothing is published.
			bad = objecttest.NewMemory("a")
			b = newBench(t, map[string]object.Store{"a": objecttest.NewFaulty(t, bad, fault)})
			if out, err := b.publish(t.Context(), nil); err == nil || len(out.Copies) != 0 || len(bad.Keys()) != 0 {
				t.Errorf("alone: %+v, %v, left %q", out.Copies, err, bad.Keys())
			}
		})
	}
}

func TestProducerFails(t *testing.T) {
	t.Parallel()
	broken := errors.New("source is broken")
	for name, produce := range map[string]func(context.Context, *artifact.Writer) error{
		"before any stream": func(context.Context, *artifact.Writer) error { return broken },
		"with a stream half written": func(_ context.Context, w *artifact.Writer) error {
			s, err := w.Stream("data.txt")
			if err == nil {
				_, err = io.WriteString(s, body)
			}
			return errors.Join(err, broken)
		},
		"after all streams": func(ctx context.Context, w *artifact.Writer) error {
			return errors.Join(twoStreams(ctx, w), broken)
		},
		"with a stream that is never closed (neglect)": func(_ context.Context, w *artifact.Writer) error {
			_, err := w.Stream("data.txt") // never closed
			return err
		},
		"by producing nothing": func(context.Context, *artifact.Writer) error { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			one, two := objecttest.NewMemory("a"), objecttest.NewMemory("b")
			b := newBench(t, map[string]object.Store{"a": one, "b": two})
			out, err := b.publish(t.Context(), produce)
			if err == nil || len(out.Copies) != 0 {
				t.Errorf("%+v, %v", out.Copies, err)
			}
			if strings.Contains(name, "stream") && !strings.Contains(name, "neglect") && !errors.Is(err, broken) {
				t.Errorf("error %v does not name the cause", err)
			}
			if keys := append(one.Keys(), two.Keys()...); len(keys) != 0 {
				t.Errorf("left %q", keys)
			}
		})
	}
}

func TestCanceled(t *testing.T) {
	t.Parallel()
	stop := errors.New("stop")
	memory := objecttest.NewMemory("a")
	b := newBench(t, map[string]object.Store{"a": memory})
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	_, err := b.publish(ctx, func(_ context.Context, w *artifact.Writer) error {
		s, err := w.Stream("data.txt")
		if err != nil {
			return err
		}
		for {
			if _, err := io.WriteString(s, body); err != nil {
				return err
			}
			cancel(stop)
		}
	})
	if !errors.Is(err, stop) {
		t.Errorf("error %v, want the cause", err)
	}
	if keys := memory.Keys(); len(keys) != 0 {
		t.Errorf("left %q", keys)
	}
}

func TestFullDiskIsNamed(t *testing.T) {
	t.Parallel()
	memory := objecttest.NewMemory("a")
	b := newBench(t, map[string]object.Store{"a": objecttest.NewFaulty(t, memory, objecttest.Fault{Method: objecttest.Put, Key: "data", Err: syscall.ENOSPC, After: 10})})
	if _, err := b.publish(t.Context(), nil); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("error %v, want ENOSPC", err)
	}
}
