package service_test

import (
	"bytes"
	"context"
	"testing"

	"github.com/ghosteam/upkeep/cmd/upkeep/service"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
)

// shelf is where a mirror writes, as a ledger would keep it.
type shelf struct {
	writes, bytes int
	pieces        map[int64][]byte
}

func (s *shelf) write(_ context.Context, pieces []ledger.LivePiece, gaps []ledger.LiveGap) error {
	s.writes++
	for _, p := range pieces {
		s.bytes += len(p.Bytes)
		s.pieces[p.Place] = bytes.Clone(p.Bytes)
	}
	for _, g := range gaps {
		for place := range s.pieces {
			if place >= g.From && place < g.To {
				delete(s.pieces, place)
			}
		}
	}
	return nil
}

func (s *shelf) kept() (n int) {
	for _, p := range s.pieces {
		n += len(p)
	}
	return n
}

func TestMirror(t *testing.T) {
	t.Parallel()
	s := &shelf{pieces: map[int64][]byte{}}
	m := service.NewMirror(s.write)
	key := runner.AttemptKey{Run: "r", Job: "j", Number: 1}
	m.Flush(t.Context())
	if s.writes != 0 {
		t.Error("nothing was written, and yet something was shown")
	}
	m.Wrote(key, 0, []byte("hello "))
	m.Wrote(key, 6, []byte("world"))
	m.Flush(t.Context())
	m.Flush(t.Context())
	if s.writes != 1 || string(s.pieces[0]) != "hello world" {
		t.Errorf("%d writes: %v", s.writes, s.pieces)
	}
	// A megabyte between two writes: the first bytes and the latest ones.
	at := int64(11)
	for range 10 {
		for range 256 {
			m.Wrote(key, at, bytes.Repeat([]byte{byte(at)}, 4096))
			at += 4096
		}
		before := s.bytes
		m.Flush(t.Context())
		if n := s.bytes - before; n > 128<<10 {
			t.Errorf("one write of %d bytes", n)
		}
		if n := s.kept(); n > 384<<10 {
			t.Errorf("%d bytes are kept", n)
		}
	}
	if n := len(s.pieces[11]); n != 64<<10-11 {
		t.Errorf("the second piece has %d bytes, want the rest of the head", n)
	}
	if last := s.pieces[at-64<<10]; len(last) != 64<<10 {
		t.Errorf("the latest bytes are %d", len(last))
	}
	// Slow enough: no gaps, and old pieces go.
	for range 12 {
		m.Wrote(key, at, make([]byte, 60_000))
		at += 60_000
		m.Flush(t.Context())
	}
	end := at
	for range 4 {
		if end -= 60_000; len(s.pieces[end]) != 60_000 {
			t.Errorf("the piece at %d is missing", end)
		}
	}
	if n := s.kept(); n > 384<<10 {
		t.Errorf("%d bytes are kept", n)
	}
	// Nothing of an attempt that has ended is shown any more.
	m.Wrote(key, at, []byte("late"))
	m.Observe(t.Context(), runner.AttemptEnded{Attempt: runner.Attempt{Run: "r", Job: "j", Number: 1}})
	writes := s.writes
	m.Flush(t.Context())
	if s.writes != writes {
		t.Error("an ended attempt was shown")
	}
}
