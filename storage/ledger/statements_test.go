package ledger_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ghosteam/upkeep/storage/ledger"
)

// keptBy returns how often a connection keeps a statement, and how many it
// keeps in all.
func keptBy(t *testing.T, conn *sql.Conn, query string) (times, all int) {
	t.Helper()
	texts, err := ledger.Kept(conn)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range texts {
		if text == query {
			times++
		}
	}
	return times, len(texts)
}

func writerConn(t *testing.T, l *ledger.Ledger) *sql.Conn {
	t.Helper()
	conn, err := l.Writer().Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil && !errors.Is(err, sql.ErrConnDone) {
			t.Error(err)
		}
	})
	return conn
}

// TestStatements_Kept: a statement is parsed once, as long as that is of use.
func TestStatements_Kept(t *testing.T) {
	t.Parallel()
	l := scratchLedger(t)
	conn := writerConn(t, l)
	for k := range 3 {
		if _, err := conn.ExecContext(t.Context(), "INSERT INTO scratch (k, v) VALUES (?, ?)", k, "v"); err != nil {
			t.Fatal(err)
		}
	}
	for query, want := range map[string]int{
		"SELECT v FROM scratch WHERE k = ?1": 1,
		"PRAGMA page_count":                  0,
		"SELECT '" + strings.Repeat("x", 70_000) + "' FROM scratch WHERE k = ?1": 0,
	} {
		for k := range 3 {
			var v string
			var args []any
			if strings.Contains(query, "?1") {
				args = append(args, k)
			}
			if err := conn.QueryRowContext(t.Context(), query, args...).Scan(&v); err != nil || v == "" {
				t.Errorf("%.40s: %q, %v", query, v, err)
			}
		}
		if got, _ := keptBy(t, conn, query); got != want {
			t.Errorf("%.40s is kept %d times, want %d", query, got, want)
		}
	}
	if got, _ := keptBy(t, conn, "INSERT INTO scratch (k, v) VALUES (?, ?)"); got != 1 {
		t.Errorf("the INSERT is kept %d times", got)
	}
	for n := range 10 {
		var v string
		if err := conn.QueryRowContext(t.Context(), fmt.Sprintf("SELECT '%03000d' FROM scratch", n)).Scan(&v); err != nil {
			t.Fatal(err)
		}
	}
	for n, want := range map[int]int{5: 0, 6: 1, 9: 1} {
		if got, _ := keptBy(t, conn, fmt.Sprintf("SELECT '%03000d' FROM scratch", n)); got != want {
			t.Errorf("the long statement %d of 10 is kept %d times, want %d", n, got, want)
		}
	}
	for n := range 3 * ledger.MaxStatements {
		var v int
		query := fmt.Sprintf("SELECT %d", n)
		if err := conn.QueryRowContext(t.Context(), query).Scan(&v); err != nil || v != n {
			t.Fatalf("%s = %d, %v", query, v, err)
		}
		// What is used time and again stays.
		if _, err := conn.ExecContext(t.Context(), "UPDATE scratch SET v = ?", "w"); err != nil {
			t.Fatal(err)
		}
	}
	for query, want := range map[string]int{
		"UPDATE scratch SET v = ?": 1, "SELECT 0": 0, fmt.Sprintf("SELECT %d", 3*ledger.MaxStatements-1): 1,
	} {
		if got, all := keptBy(t, conn, query); got != want || all != ledger.MaxStatements {
			t.Errorf("%s is kept %d times among %d, want %d among %d", query, got, all, want, ledger.MaxStatements)
		}
	}
}

// TestStatements_Nested: a statement that is in use is not taken by others.
func TestStatements_Nested(t *testing.T) {
	t.Parallel()
	l := scratchLedger(t)
	conn := writerConn(t, l)
	if _, err := conn.ExecContext(t.Context(), "INSERT INTO scratch (k, v) VALUES (1, 'a'), (2, 'b'), (3, 'c')"); err != nil {
		t.Fatal(err)
	}
	const query = "SELECT k FROM scratch WHERE k > ? ORDER BY k"
	var seen []string
	var walk func(path string, from int)
	walk = func(path string, from int) {
		rows, err := conn.QueryContext(t.Context(), query, from)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close() //nolint:errcheck // it is closed twice on purpose
		for rows.Next() {
			var k int
			if err := rows.Scan(&k); err != nil {
				t.Fatal(err)
			}
			next := fmt.Sprint(path, k)
			seen = append(seen, next)
			walk(next, k)
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			t.Fatal(err)
		}
	}
	walk("", 0)
	if want := []string{"1", "12", "123", "13", "2", "23", "3"}; !slices.Equal(seen, want) {
		t.Errorf("walked %v, want %v", seen, want)
	}
}

// TestStatements_Failures: what failed, was cut short, or was prepared for
// other tables does not come back.
func TestStatements_Failures(t *testing.T) {
	t.Parallel()
	l := scratchLedger(t)
	conn := writerConn(t, l)
	const insert = "INSERT INTO scratch (k, v) VALUES (?, ?)"
	for round := range 3 {
		_, err := conn.ExecContext(t.Context(), insert, 1, "v")
		if (err == nil) != (round == 0) {
			t.Errorf("insert %d: %v", round+1, err)
		}
		if kept, _ := keptBy(t, conn, insert); kept != 0 && err != nil {
			t.Error("a statement that failed is kept")
		}
	}
	if _, err := conn.ExecContext(t.Context(), insert, 2, "w"); err != nil {
		t.Errorf("the same statement after a failure: %v", err)
	}
	for _, want := range []int{2, 3} {
		if got := columnsOf(t, conn); got != want {
			t.Errorf("%d columns, want %d", got, want)
		}
		if want == 2 {
			if _, err := conn.ExecContext(t.Context(), "ALTER TABLE scratch ADD COLUMN x TEXT NOT NULL DEFAULT ''"); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	const count = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) SELECT COUNT(*) FROM n"
	for range 3 {
		ctx, cancel := context.WithCancel(t.Context())
		over := make(chan error, 1)
		go func() {
			var n int
			over <- l.Database().QueryRowContext(ctx, count, 1<<40).Scan(&n)
		}()
		cancel()
		if err := <-over; !errors.Is(err, context.Canceled) {
			t.Errorf("a long query ended with %v", err)
		}
		var n int
		if err := l.Database().QueryRowContext(t.Context(), count, 1000).Scan(&n); err != nil || n != 1000 {
			t.Errorf("afterwards it counts %d, %v", n, err)
		}
	}
}

// columnsOf returns how many columns the scratch table has by a statement that
// names none.
func columnsOf(t *testing.T, conn *sql.Conn) int {
	t.Helper()
	rows, err := conn.QueryContext(t.Context(), "SELECT * FROM scratch")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close() //nolint:errcheck // it was only read
	columns, err := rows.Columns()
	if err := errors.Join(err, rows.Err()); err != nil {
		t.Fatal(err)
	}
	return len(columns)
}
