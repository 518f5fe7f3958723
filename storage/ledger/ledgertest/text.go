package ledgertest

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
	"github.com/ghosteam/upkeep/storage/object"
)

func testOutput(t *testing.T, dsn secret.String) {
	live := map[runner.AttemptKey]runner.Output{}
	broken := errors.New("live output is broken")
	l := Open(t, dsn, func(o *ledger.Options) {
		o.LeaseTTL = longLease
		o.Live = func(k runner.AttemptKey) (runner.Output, bool, error) {
			if k.Job == "broken" {
				return runner.Output{}, false, broken
			}
			out, found := live[k]
			return out, found, nil
		}
	})
	s := &site{Ledger: l, t: t, ctx: t.Context()}
	if err := s.Register(s.ctx); err != nil {
		t.Fatalf("Register: %v", err)
	}
	c := s.running()
	binary := make([]byte, 300<<10)
	fill := rand.NewChaCha8([32]byte{1})
	if _, err := fill.Read(binary); err != nil {
		t.Fatal(err)
	}
	outputs := map[string]runner.Output{
		"small":  {Head: []byte("a\x00\xff\n")},
		"large":  {Head: bytes.Repeat([]byte("line of a log\n"), 20_000), Tail: binary, Cut: 1 << 40},
		"tail":   {Tail: bytes.Repeat([]byte("x"), 600), Cut: 3},
		"silent": {},
	}
	for job, out := range outputs {
		s.begin(c, Attempt(job, 1))
		s.advance(c, runner.Step{Ended: []runner.End{{Attempt: Ended(Attempt(job, 1), runner.Succeeded), Output: out}}})
	}
	read := func(job string) (runner.Output, error) {
		return s.Output(s.ctx, runner.AttemptKey{Run: c.Run, Job: job, Number: 1})
	}
	for job, want := range outputs {
		got, err := read(job)
		if err != nil || !bytes.Equal(got.Head, want.Head) || !bytes.Equal(got.Tail, want.Tail) || got.Cut != want.Cut {
			t.Errorf("%s: read %d + %d bytes, %d cut, %v", job, len(got.Head), len(got.Tail), got.Cut, err)
		}
	}
	for _, a := range s.attempts(c.Run) {
		want := outputs[a.Job]
		if a.OutputCut != want.Cut || a.OutputBytes != want.Cut+int64(len(want.Head)+len(want.Tail)) {
			t.Errorf("%s: %d bytes, %d cut are on record", a.Job, a.OutputBytes, a.OutputCut)
		}
	}
	s.begin(c, Attempt("running", 1))
	if _, err := read("running"); !errors.Is(err, runner.ErrNotFound) {
		t.Errorf("output that cannot be seen: %v, want ErrNotFound", err)
	}
	live[runner.AttemptKey{Run: c.Run, Job: "running", Number: 1}] = runner.Output{Head: []byte("so far")}
	if got, err := read("running"); err != nil || string(got.Head) != "so far" {
		t.Errorf("live output = %q, %v", got.Head, err)
	}
	if _, err := read("broken"); !errors.Is(err, broken) {
		t.Errorf("broken live output: %v", err)
	}
	if _, err := read("never"); !errors.Is(err, runner.ErrNotFound) {
		t.Errorf("output of no attempt: %v, want ErrNotFound", err)
	}
}

func testTexts(t *testing.T, dsn secret.String) {
	s := join(t, dsn, "a", longLease)
	c := s.running()
	hostile := "caf\xe9 \x00 \U0001F4A9 \u2028 ' \" \\ %s ; DROP TABLE runs"
	a := Attempt("x", 1)
	s.begin(c, a)
	a = Ended(a, runner.Failed)
	a.Error, a.Hint = hostile+strings.Repeat("é", 40_000), hostile
	a.Result = jobs.Result{
		Summary: "two\nlines " + hostile,
		Values:  map[string]float64{"good": 1, "nan": math.NaN(), "inf": math.Inf(-1), "tiny": math.SmallestNonzeroFloat64, "huge": math.MaxFloat64, hostile: 2},
		Outputs: map[string]string{"o": hostile, "long": strings.Repeat("ö", 40_000)},
		Findings: []jobs.Finding{
			{ID: "id" + hostile, Severity: jobs.Critical, Text: hostile},
			{ID: "odd", Severity: "catastrophic", Text: "?"},
		},
		Artifacts: []object.Info{{Store: "s", Key: hostile, SHA256: hostile}},
	}
	s.advance(c, runner.Step{Ended: []runner.End{{Attempt: a}}, Finish: &runner.Finish{State: runner.Failed, Reason: runner.ReasonError, Message: hostile + "\nmore"}})

	got := s.attempts(c.Run)[0]
	texts := []string{got.Error, got.Hint, got.Result.Summary, s.run(c.Run).Message}
	for name, text := range got.Result.Outputs {
		texts = append(texts, name, text)
	}
	for _, f := range got.Result.Findings {
		texts = append(texts, f.ID, f.Text)
	}
	for _, text := range texts {
		if !utf8.ValidString(text) || strings.ContainsRune(text, 0) || len(text) > 17<<10 {
			t.Errorf("stored text of %d bytes: %.60q", len(text), text)
		}
	}
	const safe = "caf\uFFFD \uFFFD \U0001F4A9 \u2028 ' \" \\ %s ; DROP TABLE runs"
	if got.Hint != safe || got.Result.Summary != "two lines "+safe || !strings.Contains(got.Error, "bytes cut)") {
		t.Errorf("stored as %q, %q, …%q", got.Hint, got.Result.Summary, got.Error[len(got.Error)-40:])
	}
	same(t, "values", map[string]float64{"good": 1, "tiny": math.SmallestNonzeroFloat64, "huge": math.MaxFloat64, safe: 2}, got.Result.Values)
	last := got.Result.Findings[len(got.Result.Findings)-1]
	for _, word := range []string{`"nan" was NaN`, `"inf" was -Inf`, `"catastrophic"`} {
		if last.ID != "upkeep/result-changed" || last.Severity != jobs.Info || !strings.Contains(last.Text, word) {
			t.Errorf("the note %+v does not mention %s", last, word)
		}
	}
	if worst := got.Result.Findings[1].Severity; worst != jobs.Warning {
		t.Errorf("an unknown severity became %q", worst)
	}
}
