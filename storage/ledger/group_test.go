package ledger_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
	"github.com/ghosteam/upkeep/storage/ledger/ledgertest"
)

// writer runs a statement within the transaction of a writer.
type writer func(query string, args ...any) error

// crowd are writers that wait for one another, in a known order.
type crowd struct {
	t    rapid.TB
	l    *ledger.Ledger
	held *sql.Conn
	size int
	over []chan error
}

// newCrowd keeps everybody from writing until release.
func newCrowd(t rapid.TB, l *ledger.Ledger) *crowd {
	t.Helper()
	held, err := l.Writer().Conn(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return &crowd{t: t, l: l, held: held}
}

// add makes one more writer wait. A panic of do is an error.
func (c *crowd) add(ctx context.Context, do func(writer) error) {
	c.t.Helper()
	over := make(chan error, 1)
	c.over = append(c.over, over)
	go func() {
		err := errors.New("it panicked")
		defer func() {
			if reason := recover(); reason != nil {
				err = fmt.Errorf("it panicked: %v", reason)
			}
			over <- err
		}()
		err = c.l.Transact(ctx, func(exec func(string, ...any) error) error { return do(exec) })
	}()
	c.size++
	c.await(c.size)
}

// await waits until so many writers wait.
func (c *crowd) await(size int) {
	c.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); c.l.Waiting() != size; time.Sleep(50 * time.Microsecond) {
		if time.Now().After(deadline) {
			c.t.Fatalf("%d writers wait, want %d", c.l.Waiting(), size)
		}
	}
}

// release lets them write and returns how each one ended.
func (c *crowd) release() []error {
	c.t.Helper()
	if err := c.held.Close(); err != nil {
		c.t.Fatal(err)
	}
	var errs []error
	for _, over := range c.over {
		errs = append(errs, <-over)
	}
	return errs
}

// scratchLedger is a ledger with one more table.
func scratchLedger(t testing.TB) *ledger.Ledger {
	t.Helper()
	l := ledgertest.Open(t, ledgertest.SQLite(t), nil)
	if _, err := l.Writer().Exec("CREATE TABLE scratch (k INTEGER PRIMARY KEY, v TEXT NOT NULL)"); err != nil {
		t.Fatal(err)
	}
	return l
}

func scratch(t rapid.TB, l *ledger.Ledger) map[int]string {
	t.Helper()
	rows, err := l.Database().Query("SELECT k, v FROM scratch")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close() //nolint:errcheck // it was only read
	found := map[int]string{}
	for rows.Next() {
		var k int
		var v string
		if err := rows.Scan(&k, &v); err != nil {
			t.Fatal(err)
		}
		found[k] = v
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return found
}

func put(k int, v string) func(writer) error {
	return func(exec writer) error { return exec("INSERT INTO scratch (k, v) VALUES (?, ?)", k, v) }
}

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
	cause := errors.New("enough")
	for at := range 3 {
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
	if rows := scratch(t, l); len(rows) != 9 {
		t.Errorf("on record: %v", rows)
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

// deed is what a random writer does.
type deed struct {
	Verb string
	K    int
	V    string
}

func (d deed) run(exec writer) error {
	switch d.Verb {
	case "insert":
		return put(d.K, d.V)(exec)
	case "append":
		return exec("UPDATE scratch SET v = v || ?", d.V)
	case "delete":
		return exec("DELETE FROM scratch WHERE k = ?", d.K)
	case "panic":
		panic(d.V)
	case "rollback":
		return errors.Join(exec("ROLLBACK"), errors.New("rolled back"))
	}
	return errors.New("refused")
}

// model does the same to a copy of the rows; nil when it fails.
func (d deed) model(rows map[int]string) map[int]string {
	switch _, taken := rows[d.K]; {
	case d.Verb == "insert" && !taken:
		rows[d.K] = d.V
	case d.Verb == "append":
		for k := range rows {
			rows[k] += d.V
		}
	case d.Verb == "delete":
		delete(rows, d.K)
	default:
		return nil
	}
	return rows
}

// TestGroup_Serial: writers that share transactions leave what they would have
// left one after the other.
func TestGroup_Serial(t *testing.T) {
	t.Parallel()
	l := scratchLedger(t)
	verbs := []string{"insert", "insert", "insert", "append", "append", "delete", "refuse", "panic", "rollback"}
	deeds := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) deed {
		return deed{Verb: rapid.SampledFrom(verbs).Draw(t, "verb"), K: rapid.IntRange(0, 5).Draw(t, "k"), V: rapid.StringMatching("[a-z]").Draw(t, "v")}
	}), 1, 3)
	rapid.Check(t, func(t *rapid.T) {
		if _, err := l.Writer().Exec("DELETE FROM scratch"); err != nil {
			t.Fatal(err)
		}
		writers := rapid.SliceOfN(deeds, 1, 100).Draw(t, "writers")
		want := map[int]string{}
		var fails []bool
		c := newCrowd(t, l)
		for _, list := range writers {
			c.add(context.Background(), func(exec writer) error {
				for _, d := range list {
					if err := d.run(exec); err != nil {
						return err
					}
				}
				return nil
			})
			after := maps.Clone(want)
			for _, d := range list {
				if after = d.model(after); after == nil {
					break
				}
			}
			if fails = append(fails, after == nil); after != nil {
				want = after
			}
		}
		for i, err := range c.release() {
			if (err != nil) != fails[i] {
				t.Fatalf("writer %d, %+v: %v, want an error: %t", i, writers[i], err, fails[i])
			}
		}
		if diff := cmp.Diff(want, scratch(t, l)); diff != "" {
			t.Fatalf("one after the other (-) and together (+):\n%s", diff)
		}
	})
}
