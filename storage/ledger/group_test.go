package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
	"github.com/ghosteam/upkeep/storage/ledger/ledgertest"
)

// TestGroup_SharesCommits: those that wait at the same time share commits.
func TestGroup_SharesCommits(t *testing.T) {
	t.Parallel()
	l := scratchLedger(t)
	commits := 0
	if err := l.OnCommit(t.Context(), func() { commits++ }); err != nil {
		t.Fatal(err)
	}
	const writers = 3 * ledger.MaxMembers
	c := newCrowd(t, l)
	for k := range writers {
		c.add(t.Context(), put(k, "v"))
	}
	if err := errors.Join(c.release()...); err != nil {
		t.Fatal(err)
	}
	if n := len(scratch(t, l)); n != writers {
		t.Errorf("%d rows of %d writers", n, writers)
	}
	if commits < 3 || commits > writers/4 {
		t.Errorf("%d writers took %d commits", writers, commits)
	}
	t.Logf("%d writers, %d commits", writers, commits)
}

// TestGroup_Alone: whoever writes alone has a commit of its own.
func TestGroup_Alone(t *testing.T) {
	t.Parallel()
	l := scratchLedger(t)
	commits := 0
	if err := l.OnCommit(t.Context(), func() { commits++ }); err != nil {
		t.Fatal(err)
	}
	for k := range 5 {
		err := l.Transact(t.Context(), func(exec func(string, ...any) error) error { return put(k, "v")(exec) })
		if err != nil || commits != k+1 {
			t.Errorf("after %d writes: %d commits, %v", k+1, commits, err)
		}
	}
}

// TestGroup_Faults: what befalls one writer is of no concern to the others,
// whichever place it has among them.
func TestGroup_Faults(t *testing.T) {
	t.Parallel()
	refused := errors.New("refused")
	for name, fault := range map[string]struct {
		do   func(writer) error
		want string
	}{
		"refuses":              {func(writer) error { return refused }, "refused"},
		"fails after a write":  {func(exec writer) error { return errors.Join(put(1000, "half")(exec), refused) }, "refused"},
		"breaks a rule":        {func(exec writer) error { return errors.Join(put(1000, "half")(exec), put(1000, "again")(exec)) }, "UNIQUE"},
		"panics":               {func(exec writer) error { panic(put(1000, "half")(exec)) }, "it panicked"},
		"ends the transaction": {func(exec writer) error { return errors.Join(put(1000, "half")(exec), exec("ROLLBACK"), refused) }, "refused"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := scratchLedger(t)
			for at := range 4 {
				c := newCrowd(t, l)
				for place := range 4 {
					if place == at {
						c.add(t.Context(), fault.do)
					} else {
						c.add(t.Context(), put(10*at+place, "v"))
					}
				}
				for place, err := range c.release() {
					if place == at && (err == nil || !strings.Contains(err.Error(), fault.want)) || place != at && err != nil {
						t.Errorf("the fault of %d: %d ended with %v", at, place, err)
					}
				}
			}
			if got := len(scratch(t, l)); got != 12 {
				t.Errorf("on record: %v", scratch(t, l))
			}
		})
	}
}

// TestGroup_CommitFails: nobody is told that what is not on record is.
func TestGroup_CommitFails(t *testing.T) {
	t.Parallel()
	l := scratchLedger(t)
	refused, refuse := 0, true
	if err := l.OnCommitAsk(t.Context(), func() bool {
		if refuse {
			refused++
		}
		return !refuse
	}); err != nil {
		t.Fatal(err)
	}
	const writers = 20
	c := newCrowd(t, l)
	for k := range writers {
		c.add(t.Context(), put(k, "v"))
	}
	for k, err := range c.release() {
		if err == nil || !strings.Contains(err.Error(), "commit") {
			t.Errorf("writer %d ended with %v", k, err)
		}
	}
	if rows := scratch(t, l); len(rows) > 0 {
		t.Errorf("on record without a commit: %v", rows)
	}
	if refused == 0 || refused > writers/2 {
		t.Errorf("%d commits of %d writers were refused", refused, writers)
	}
	refuse = false
	if err := l.Transact(t.Context(), func(exec func(string, ...any) error) error { return put(0, "v")(exec) }); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// TestGroup_Contexts: a context ends the waiting of its own writer only, and
// the statement of nobody.
func TestGroup_Contexts(t *testing.T) {
	t.Parallel()
	l := scratchLedger(t)
	for at := range 3 {
		contextsEnd(t, l, at)
	}
	if rows := scratch(t, l); len(rows) != 9 {
		t.Errorf("on record: %v", rows)
	}
}

// contextsEnd lets four writers in, of whom one has a context that ends while it
// works and one another that ends while it waits.
func contextsEnd(t *testing.T, l *ledger.Ledger, at int) {
	t.Helper()
	cause := errors.New("enough")
	waits, endWaiting := context.WithCancelCause(t.Context())
	works, endWork := context.WithCancelCause(t.Context())
	defer endWaiting(nil)
	defer endWork(nil)
	c := newCrowd(t, l)
	for place := range 3 {
		if place == at {
			c.add(works, func(exec writer) error {
				if err := put(1000+at, "half")(exec); err != nil {
					return err
				}
				endWork(cause)
				return put(2000+at, "half")(exec)
			})
			c.add(waits, put(3000+at, "never"))
		}
		c.add(t.Context(), put(10*at+place, "v"))
	}
	endWaiting(cause)
	if err := <-c.over[at+1]; !errors.Is(err, cause) {
		t.Errorf("who waited ended with %v", err)
	}
	c.over = slices.Delete(c.over, at+1, at+2)
	c.await(c.size - 1)
	for place, err := range c.release() {
		if place == at && !errors.Is(err, cause) || place != at && err != nil {
			t.Errorf("the end of %d: %d ended with %v", at, place, err)
		}
	}
}

// TestGroup_FullDisk: who has room writes, also beside somebody who has none.
func TestGroup_FullDisk(t *testing.T) {
	t.Parallel()
	l := scratchLedger(t)
	var pages int
	if err := l.Writer().QueryRow("PRAGMA page_count").Scan(&pages); err != nil {
		t.Fatal(err)
	}
	if err := l.Writer().QueryRow(fmt.Sprintf("PRAGMA max_page_count = %d", pages+30)).Scan(&pages); err != nil {
		t.Fatal(err)
	}
	c := newCrowd(t, l)
	for k := range 5 {
		text := "v"
		if k == 2 {
			text = strings.Repeat("x", 1<<20)
		}
		c.add(t.Context(), put(k, text))
	}
	for k, err := range c.release() {
		if k == 2 && !errors.Is(err, runner.ErrNoSpace) || k != 2 && err != nil {
			t.Errorf("writer %d ended with %v", k, err)
		}
	}
	if got := slices.Sorted(maps.Keys(scratch(t, l))); !slices.Equal(got, []int{0, 1, 3, 4}) {
		t.Errorf("on record: %v", got)
	}
}

// TestGroup_Busy: when another process writes for too long, those that waited
// for it hear that, and the others get their turn.
func TestGroup_Busy(t *testing.T) {
	t.Parallel()
	l := scratchLedger(t)
	if _, err := l.Writer().Exec("PRAGMA busy_timeout = 100"); err != nil {
		t.Fatal(err)
	}
	other := ledgertest.Open(t, sqliteDSN(l.Address()), nil)
	tx, err := other.Writer().BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	c := newCrowd(t, l)
	for k := range 5 {
		c.add(t.Context(), put(k, "v"))
	}
	for k, err := range c.release() {
		if !errors.Is(err, runner.ErrUnavailable) {
			t.Errorf("writer %d ended with %v", k, err)
		}
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := l.Transact(t.Context(), func(exec func(string, ...any) error) error { return put(0, "v")(exec) }); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}
