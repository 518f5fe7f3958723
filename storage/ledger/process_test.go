package ledger_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger/ledgertest"
)

// TestSQLite_DeadProcess: without lock and lease, the owner's process tells.
func TestSQLite_DeadProcess(t *testing.T) {
	t.Parallel()
	dsn := ledgertest.SQLite(t)
	l := ledgertest.Open(t, dsn, nil)
	if err := l.Register(t.Context()); err != nil {
		t.Fatal(err)
	}
	answers, err := l.Submit(t.Context(), ledgertest.Request("w", ledgertest.Midnight()))
	if err != nil {
		t.Fatal(err)
	}
	id := answers[0].Run
	c := startChild(t, order{Role: "join", DSN: dsn.Reveal(), Run: id})
	c.line()
	if _, _, err := l.Claim(t.Context(), id); !errors.Is(err, runner.ErrNotClaimable) {
		t.Errorf("Claim while the owner lives: %v, want ErrNotClaimable", err)
	}
	if err := c.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	// Dead is dead, also while its parent has not looked yet.
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		claim, _, err := l.Claim(t.Context(), id)
		if err == nil {
			if claim.Epoch != 2 {
				t.Errorf("claimed under epoch %d, want 2", claim.Epoch)
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the owner was killed, but: %v", err)
		}
	}
	c.reap()
}

// TestSQLite_FirstOpen: several processes create the same ledger at once.
func TestSQLite_FirstOpen(t *testing.T) {
	t.Parallel()
	testFirstOpen(t, ledgertest.SQLite(t))
}

func testFirstOpen(t *testing.T, dsn secret.String) {
	t.Helper()
	var children []*child
	for range 4 {
		children = append(children, startChild(t, order{Role: "open", DSN: dsn.Reveal()}))
	}
	for _, c := range children {
		c.line()
	}
	for _, c := range children {
		if err := c.stdin.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range children {
		if err := c.cmd.Wait(); err != nil {
			t.Errorf("one of them failed: %v\n%s", err, c.stderr)
		}
	}
	ledgertest.Open(t, dsn, nil)
}

func TestSQLite_RacingProcesses(t *testing.T) {
	t.Parallel()
	testRacingProcesses(t, ledgertest.SQLite(t))
}

// testRacingProcesses: two processes submit the same 200 slots and claim every
// run that they can.
func testRacingProcesses(t *testing.T, dsn secret.String) {
	t.Helper()
	ledgertest.Open(t, dsn, nil)
	children := []*child{
		startChild(t, order{Role: "race", DSN: dsn.Reveal()}),
		startChild(t, order{Role: "race", DSN: dsn.Reveal()}),
	}
	for _, c := range children {
		c.line()
	}
	for _, c := range children {
		if err := c.stdin.Close(); err != nil {
			t.Fatal(err)
		}
	}
	fresh, won := map[runner.RunID]int{}, map[runner.RunID]int{}
	for _, c := range children {
		var answer [][]runner.RunID
		if err := json.Unmarshal([]byte(c.line()), &answer); err != nil {
			t.Fatal(err)
		}
		if len(answer[0]) == 0 || len(answer[0]) == 200 {
			t.Errorf("a process recorded %d of 200 runs: there was no race", len(answer[0]))
		}
		for _, id := range answer[0] {
			fresh[id]++
		}
		for _, id := range answer[1] {
			won[id]++
		}
	}
	for _, c := range children {
		if err := c.cmd.Wait(); err != nil {
			t.Errorf("a racer failed: %v\n%s", err, c.stderr)
		}
	}
	if len(fresh) != 200 || len(won) != 200 {
		t.Errorf("%d runs were recorded and %d claimed, want 200", len(fresh), len(won))
	}
	for id := range fresh {
		if fresh[id] != 1 || won[id] != 1 {
			t.Errorf("run %s was recorded %d times and claimed %d times", id, fresh[id], won[id])
		}
	}
}
