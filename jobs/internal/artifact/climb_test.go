package artifact_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/artifact"
	"github.com/ghosteam/upkeep/jobs/internal/crypt"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/storage/object"
	"github.com/ghosteam/upkeep/storage/object/objecttest"
)

// driller says what it was made to say.
type driller struct {
	drills []jobs.Drill
	keys   []int
	err    error
}

func (*driller) Deepest() object.Level { return object.L4 }

func (d *driller) Drill(_ context.Context, env *jobs.Env, a *object.Artifact, want jobs.Drill) (jobs.Drilled, error) {
	d.drills = append(d.drills, want)
	keys, err := crypt.Load(want.Identities...)
	if err != nil {
		return jobs.Drilled{}, err
	}
	d.keys = append(d.keys, len(keys))
	proof, err := artifact.Judge(env, a, want.Level, time.Now().Add(-time.Second), d.err)
	if err == nil {
		proof.Restored = &object.Restored{Seconds: 0.5, Rows: 7}
	}
	return jobs.Drilled{Proof: proof, Findings: []jobs.Finding{{ID: "said", Severity: jobs.Info, Text: "said"}}}, err
}

// climbing publishes with a driller.
func (b *bench) climbing(d *driller, past ...jobs.Past) (artifact.Outcome, jobs.Result, error) {
	b.t.Helper()
	deps := jobstest.NewDeps(b.t)
	for name, s := range b.stores {
		deps.AddStore(name, s)
	}
	for _, p := range past {
		deps.AddPast("", "", p)
	}
	if err := b.options.ValidateUpTo(object.L4); err != nil {
		b.t.Fatal(err)
	}
	p, err := artifact.New("test", b.options, deps)
	if err != nil {
		b.t.Fatal(err)
	}
	out, err := p.Publish(b.t.Context(), b.env(), artifact.Work{
		What: "a test",
		Produce: func(ctx context.Context, w *artifact.Writer) (artifact.Note, error) {
			return artifact.Note{}, twoStreams(ctx, w)
		},
		Prove: prove, Driller: d, Drill: jobs.Drill{Database: "other", Assert: []string{"SELECT 1"}},
	})
	var r jobs.Result
	out.Describe(&r, 1)
	r.Summary = out.Sentence(1)
	return out, r, err
}

func newest(t *testing.T, s object.Store) *object.Artifact {
	t.Helper()
	a, err := object.Newest(t.Context(), s, "")
	if err != nil || a == nil {
		t.Fatalf("no artifact: %v", err)
	}
	return a
}

// makeOlder moves the proofs of all artifacts in a store into the past.
func makeOlder(t *testing.T, s object.Store, by time.Duration) {
	t.Helper()
	for a, err := range object.Artifacts(t.Context(), s, "") {
		if err != nil {
			t.Fatal(err)
		}
		if a.Proof == nil {
			continue
		}
		proof := *a.Proof
		proof.Time = proof.Time.Add(-by)
		if err := a.Record(t.Context(), proof); err != nil {
			t.Fatal(err)
		}
	}
}

func TestClimb(t *testing.T) {
	t.Parallel()
	b := newBench(t, map[string]object.Store{"a": objecttest.NewMemory("a"), "b": objecttest.NewMemory("b")})
	b.options.Verify = artifact.Ladder{Each: object.L1, Daily: object.L2, Weekly: object.L3, Monthly: object.L4}
	key, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	b.options.EncryptTo = []string{key.Recipient().String()}
	d := &driller{}
	level := func(want ...object.Level) {
		t.Helper()
		before := len(d.drills)
		out, r, err := b.climbing(d)
		if err != nil {
			t.Fatal(err)
		}
		var got []object.Level
		for _, c := range out.Copies {
			if c.Artifact.Level() != newest(t, b.stores[c.Store]).Level() {
				t.Errorf("store %s has another level on record than %s", c.Store, c.Artifact.Level())
			}
			got = append(got, c.Artifact.Level())
		}
		if !slices.Equal(got, want) {
			t.Errorf("levels %v, want %v", got, want)
		}
		for _, drill := range d.drills[before:] {
			if drill.Database != "other" || len(drill.Assert) != 1 || len(drill.Identities) != 1 {
				t.Errorf("drill %+v", drill)
			}
			if _, err := os.Stat(drill.Identities[0]); err == nil {
				t.Error("the keys are there after the drill")
			}
		}
		if want[0] == object.L4 && (r.Values["restore_seconds"] != 0.5 || r.Values["drill_seconds"] < 2 || r.Outputs["proven.a"] != "L4" ||
			!strings.Contains(r.Summary, "verified L1, proven L4 in a (restored in 500ms), proven L4 in b")) {
			t.Errorf("result %+v", r)
		}
	}
	level(object.L4, object.L4)
	level(object.L1, object.L1)
	makeOlder(t, b.stores["a"], 2*24*time.Hour)
	level(object.L2, object.L1)
	level(object.L1, object.L1)
	makeOlder(t, b.stores["a"], 6*24*time.Hour)
	level(object.L3, object.L1)
	makeOlder(t, b.stores["b"], 29*24*time.Hour+13*time.Hour)
	level(object.L1, object.L4)
	if slices.Contains(d.keys, 0) {
		t.Errorf("a drill had no keys: %v", d.keys)
	}
}

// TestClimb_History: what retention has removed is remembered.
func TestClimb_History(t *testing.T) {
	t.Parallel()
	for since, want := range map[time.Duration]object.Level{time.Hour: object.L2, 8 * 24 * time.Hour: object.L3} {
		b := newBench(t, map[string]object.Store{"a": objecttest.NewMemory("a")})
		b.options.Verify.Weekly = object.L3
		_, _, err := b.climbing(&driller{}, jobs.Past{Finished: time.Now().Add(-since), Result: jobs.Result{Outputs: map[string]string{"proven.a": "L3", "proven.b": "L4"}}})
		if got := newest(t, b.stores["a"]).Level(); err != nil || got != want {
			t.Errorf("after %s: %s, %v, want %s", since, got, err, want)
		}
	}
}

// TestClimb_Fails: damage and unmet demands are critical findings, anything
// else is an error; what is damaged does not push out what is good.
func TestClimb_Fails(t *testing.T) {
	t.Parallel()
	for label, tt := range map[string]struct {
		err     error
		level   object.Level
		finding string
		fails   bool
	}{
		"damaged":   {fmt.Errorf("table t: %w", object.ErrDamaged), "", "drill-damaged:a", false},
		"assertion": {&jobs.AssertionError{Assertion: "SELECT 1", Answer: "no"}, object.L2, "drill-assertion:a", false},
		"server":    {jobs.WithHint(errors.New("the server is gone"), "start it"), object.L2, "", true},
	} {
		t.Run(label, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, map[string]object.Store{"a": objecttest.NewMemory("a")})
			b.options.Keep.Last = 1
			if _, _, err := b.climbing(&driller{}); err != nil {
				t.Fatal(err)
			}
			good := newest(t, b.stores["a"])
			b.options.Verify.Weekly = object.L3
			out, r, err := b.climbing(&driller{err: tt.err})
			a := newest(t, b.stores["a"])
			if a.Manifest.ID == good.Manifest.ID || a.Level() != tt.level || (err != nil) != tt.fails {
				t.Fatalf("%s proven %q, %v", a.Manifest.ID, a.Level(), err)
			}
			if tt.fails && (jobs.HintOf(err) != "start it" || r.Worst() == jobs.Critical) {
				t.Errorf("%v, %+v", err, r)
			}
			if tt.finding != "" && !slices.ContainsFunc(r.Findings, func(f jobs.Finding) bool { return f.ID == tt.finding && f.Severity == jobs.Critical }) {
				t.Errorf("findings %+v", r.Findings)
			}
			_, err = object.Find(t.Context(), b.stores["a"], good.Manifest.ID)
			if kept := err == nil; kept != (label == "damaged") || out.Removed != 1 && !kept {
				t.Errorf("the last good artifact is there: %v", kept)
			}
		})
	}
}

func TestClimb_DryRun(t *testing.T) {
	t.Parallel()
	b := newBench(t, map[string]object.Store{"a": objecttest.NewMemory("a")})
	b.options.Verify.Monthly, b.dryRun = object.L3, true
	d := &driller{}
	if _, _, err := b.climbing(d); err != nil || len(d.drills) > 0 {
		t.Fatalf("%v, %+v", err, d.drills)
	}
	if !strings.Contains(b.out.String(), "would prove the new artifact in store a up to L3, as it was not monthly") {
		t.Errorf("said %s", b.out)
	}
}

func TestLadder(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		ladder artifact.Ladder
		most   object.Level
		want   string
	}{
		{artifact.Ladder{Each: object.L2}, object.L2, ""},
		{artifact.Ladder{Each: object.L0, Daily: object.L1, Weekly: object.L2, Monthly: object.L3}, object.L3, ""},
		{artifact.Ladder{Each: object.L2, Weekly: object.L3}, object.L2, "verify.weekly: jobs of this kind cannot prove L3: use at most L2"},
		{artifact.Ladder{Each: object.L2, Monthly: object.L4}, object.L3, "verify.monthly: jobs of this kind cannot prove L4"},
		{artifact.Ladder{Each: object.L3}, object.L4, `verify: "L3" is not a level that each copy can be proven to`},
		{artifact.Ladder{}, object.L4, "verify: "},
		{artifact.Ladder{Each: object.L2, Daily: object.L2}, object.L4, "verify.daily: L2 proves no more than L2, which each does already"},
		{artifact.Ladder{Each: object.L1, Daily: object.L3, Weekly: object.L2}, object.L4, "verify.weekly: L2 proves no more than L3, which daily does already"},
	} {
		o := artifact.Defaults()
		o.Store, o.Verify = []string{"a"}, tt.ladder
		err := o.ValidateUpTo(tt.most)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v, want %q", tt.ladder, err, tt.want)
		}
	}
}
