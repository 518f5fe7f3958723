package ledgertest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/runner"
)

func testSlots(t *testing.T, dsn secret.String) {
	s := join(t, dsn, "a", longLease)
	// Slots of hours 0 to 9; 3 stands for 3 to 5, and 0 for 0 to 1.
	var list []runner.Request
	for _, i := range []int{7, 3, 0, 9, 8, 2, 6} {
		r := Request("w", hour(i))
		switch i {
		case 0:
			r.State, r.Reason, r.Slots, r.LastSlot = runner.Skipped, runner.ReasonMissed, 2, hour(1)
		case 3:
			r.State, r.Reason, r.Slots, r.LastSlot = runner.Skipped, runner.ReasonMissed, 3, hour(5)
		case 8:
			r.Host = "b"
		}
		list = append(list, r)
	}
	list = append(list, Request("w", hour(8)), Request("other", hour(3)))
	s.submit(list...)
	for _, test := range []struct {
		from, until time.Time
		limit       int
		want        string
	}{
		{hour(0), hour(10), 0, "0 2 3 6 7 8 8b 9"},
		{hour(0), hour(10), 3, "0 2 3"},
		{hour(1), hour(2), 10, "0"},
		{hour(4), hour(5), 10, "3"},
		{hour(5), hour(7), 10, "3 6"},
		{hour(5).Add(1), hour(6), 10, ""},
		{hour(5).Add(time.Microsecond), hour(6), 10, ""},
		{hour(1), hour(8), 2, "0 2"},
		{hour(8), hour(8), 10, ""},
		{hour(9), hour(0), 10, ""},
		{hour(20), hour(30), 10, ""},
	} {
		runs, err := s.Slots(s.ctx, "w", test.from, test.until, test.limit)
		if err != nil {
			t.Fatalf("Slots: %v", err)
		}
		var words []string
		for _, r := range runs {
			words = append(words, fmt.Sprint(int(r.Slot.Sub(Midnight()).Hours()))+r.Host)
		}
		if got := strings.Join(words, " "); got != test.want {
			t.Errorf("Slots(%s, %s, %d) = %q, want %q", test.from, test.until, test.limit, got, test.want)
		}
	}
	if _, err := s.Slots(s.ctx, "w", hour(0), hour(1), -1); err == nil {
		t.Error("a negative limit was accepted")
	}
}

// ended records a run that is over, and returns how long it took.
func (s *site) ended(r runner.Request, state runner.State) (runner.RunID, time.Duration) {
	s.t.Helper()
	c := s.claim(s.submit(r)[0])
	s.finish(c, state)
	run := s.run(c.Run)
	return c.Run, run.FinishedAt.Sub(run.StartedAt)
}

func testUsual(t *testing.T, dsn secret.String) {
	s := join(t, dsn, "a", longLease)
	for i, state := range []runner.State{runner.Succeeded, runner.Failed, runner.Lost} {
		r := Request("part", hour(i))
		r.Jobs = []string{"a"}
		s.ended(r, state)
		r.Jobs, r.Slot, r.DryRun = nil, hour(i+10), true
		s.ended(r, state)
		s.ended(Request("bad", hour(i)), []runner.State{runner.Failed, runner.Canceled, runner.Lost}[i])
	}
	_, first := s.ended(Request("w", hour(0)), runner.Succeeded)
	_, second := s.ended(Request("w", hour(1)), runner.Warned)
	s.ended(Request("w", hour(2)), runner.Failed)
	retried, _ := s.ended(Request("w", hour(3)), runner.Failed)
	if err := s.Reopen(s.ctx, retried, nil, "anna"); err != nil {
		t.Fatalf("Reopen: %v", err)
	}
	s.finish(s.claim(retried), runner.Succeeded)
	s.queued()

	names := []string{"w", "bad", "part", "never", "w"}
	usual, err := s.Usual(s.ctx, names)
	want := map[string]runner.Usual{"w": {Runs: 2, Median: (first + second) / 2, P95: max(first, second), Longest: max(first, second)}}
	if err != nil {
		t.Fatalf("Usual: %v", err)
	}
	same(t, "the usual durations", want, usual)
	// The success of a retry is one.
	ends, err := s.Successes(s.ctx, names)
	if err != nil {
		t.Fatalf("Successes: %v", err)
	}
	same(t, "the successes", map[string]time.Time{"w": s.run(retried).FinishedAt}, ends)
}
