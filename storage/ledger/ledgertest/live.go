package ledgertest

import (
	"errors"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
)

func testMirror(t *testing.T, dsn secret.String) {
	a, b := join(t, dsn, "a", longLease), join(t, dsn, "b", longLease)
	c := a.running()
	attempt := Attempt("job", 1)
	a.advance(c, runner.Step{Begun: []runner.Start{{Attempt: attempt}}})
	key := runner.AttemptKey{Run: c.Run, Job: "job", Number: 1}
	piece := func(place int64, text string) ledger.LivePiece {
		return ledger.LivePiece{Key: key, Place: place, Bytes: []byte(text)}
	}
	mirror := func(s *site, gaps []ledger.LiveGap, pieces ...ledger.LivePiece) {
		t.Helper()
		if err := s.Mirror(s.ctx, pieces, gaps); err != nil {
			t.Fatalf("Mirror: %v", err)
		}
	}
	look := func(want runner.Output) {
		t.Helper()
		got, err := b.Output(b.ctx, key)
		if err != nil {
			t.Fatalf("Output: %v", err)
		}
		same(t, "output", []string{string(want.Head), string(want.Tail)}, []string{string(got.Head), string(got.Tail)})
		same(t, "bytes left out", want.Cut, got.Cut)
	}
	if _, err := b.Output(b.ctx, key); !errors.Is(err, runner.ErrNotFound) {
		t.Errorf("nothing was written: %v, want ErrNotFound", err)
	}
	mirror(a, nil, piece(0, "he\x00\xff"), piece(4, "llo"))
	mirror(a, nil, piece(4, "again"))
	look(runner.Output{Head: []byte("he\x00\xffllo")})
	mirror(a, nil, piece(20, "tail"), piece(24, "s"))
	look(runner.Output{Head: []byte("he\x00\xffllo"), Cut: 13, Tail: []byte("tails")})
	mirror(a, []ledger.LiveGap{{Key: key, From: 10, To: 40}}, piece(40, "end"))
	look(runner.Output{Head: []byte("he\x00\xffllo"), Cut: 33, Tail: []byte("end")})
	// One that does not hold the run writes nothing.
	mirror(b, nil, piece(43, "false"))
	look(runner.Output{Head: []byte("he\x00\xffllo"), Cut: 33, Tail: []byte("end")})

	a.advance(c, runner.Step{Ended: []runner.End{{Attempt: Ended(attempt, runner.Succeeded), Output: runner.Output{Head: []byte("whole")}}}})
	look(runner.Output{Head: []byte("whole")})
	if n := a.pieces(); n != 0 {
		t.Errorf("%d pieces of an ended attempt", n)
	}
	mirror(a, nil, piece(50, "late"))
	look(runner.Output{Head: []byte("whole")})
	if _, err := a.PruneRuns(a.ctx, runner.Retention{Now: time.Now(), Others: runner.History{Keep: time.Hour}}); err != nil {
		t.Fatal(err)
	}
	if n := a.pieces(); n != 0 {
		t.Errorf("%d late pieces after pruning", n)
	}
}

// testMirrorLost: of an attempt whose process died, what was shown is what is
// known.
func testMirrorLost(t *testing.T, dsn secret.String) {
	a, b := join(t, dsn, "a", longLease), join(t, dsn, "b", longLease)
	c := a.running()
	a.advance(c, runner.Step{Begun: []runner.Start{{Attempt: Attempt("job", 1)}}})
	key := runner.AttemptKey{Run: c.Run, Job: "job", Number: 1}
	if err := a.Mirror(a.ctx, []ledger.LivePiece{{Key: key, Bytes: []byte("last words")}}, nil); err != nil {
		t.Fatal(err)
	}
	if err := a.Leave(a.ctx); err != nil {
		t.Fatal(err)
	}
	taken := b.claim(c.Run)
	if err := a.Mirror(a.ctx, []ledger.LivePiece{{Key: key, Place: 10, Bytes: []byte(" of a stale owner")}}, nil); err != nil && !errors.Is(err, runner.ErrLeaseLost) {
		t.Fatal(err)
	}
	out, err := b.Output(b.ctx, key)
	if err != nil || string(out.Head) != "last words" {
		t.Errorf("output of a lost attempt: %+v, %v", out, err)
	}
	lost := Ended(Attempt("job", 1), runner.Lost)
	lost.Epoch = c.Epoch
	b.advance(taken, runner.Step{Ended: []runner.End{{Attempt: lost, Output: runner.Output{Head: []byte("last words, whole")}}}})
	if out, err = b.Output(b.ctx, key); err != nil || string(out.Head) != "last words, whole" || b.pieces() != 0 {
		t.Errorf("output that was found: %+v, %v, %d pieces", out, err, b.pieces())
	}
}

// pieces is how many pieces of live outputs are on record.
func (s *site) pieces() (n int64) {
	s.t.Helper()
	sizes, err := s.Sizes(s.ctx)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, t := range sizes {
		if t.Name == "live_outputs" {
			n = t.Rows
		}
	}
	return n
}
