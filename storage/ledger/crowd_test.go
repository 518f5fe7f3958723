package ledger_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

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
