package ledger_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
	"github.com/ghosteam/upkeep/storage/ledger/ledgertest"
)

// TestPlans asks the databases how they answer each question: never by
// walking through the table.
func TestPlans(t *testing.T) {
	t.Parallel()
	for name, dialect := range map[string]struct {
		dsn     func(testing.TB) secret.String
		explain func(*testing.T, *ledger.Ledger, ledger.Recorded) []string
		walks   *regexp.Regexp
	}{
		// Walking an index backwards from its end until the limit is no harm.
		"sqlite":   {ledgertest.SQLite, explainSQLite, regexp.MustCompile(`^SCAN (runs|r|attempts|a|specs|s|locks|k)\b(?: USING (?:COVERING )?INDEX sqlite_autoindex_runs_1)?`)},
		"postgres": {ledgertest.Postgres, explainPostgres, regexp.MustCompile(`Seq Scan on (runs|attempts|artifacts)|Rows Removed by Filter: \d{3,}`)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := ledgertest.Open(t, dialect.dsn(t), nil)
			const n = 20_000
			fill(t, l, n)
			for _, q := range questions(t, l, n) {
				rows := 0
				recorded := l.Recorded(func() { rows = q.ask(t, l) })
				if rows < q.want {
					t.Errorf("%s: %d rows, want %d", q.name, rows, q.want)
				}
				if len(recorded) == 0 || len(recorded) > 3 {
					t.Errorf("%s takes %d queries", q.name, len(recorded))
				}
				for _, r := range recorded {
					plan := dialect.explain(t, l, r)
					for _, line := range plan {
						if strings.Contains(line, "sqlite_autoindex_runs_1") && strings.Contains(r.Query, "LIMIT") {
							continue
						}
						if dialect.walks.MatchString(line) {
							t.Errorf("%s: %s\n%s\n%s", q.name, line, r.Query, strings.Join(plan, "\n"))
						}
					}
				}
			}
		})
	}
}

// TestPlans_Prune: what may go is found by as few looks at what stays as the
// limits allow.
func TestPlans_Prune(t *testing.T) {
	t.Parallel()
	for name, dsn := range dialects() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := ledgertest.Open(t, dsn(t), nil)
			const n = 20_000
			fill(t, l, n)
			fillOutputs(t, l)
			retention := runner.Retention{
				Now: fillStart().Add(n * 30 * time.Second), Rest: time.Hour, DryRun: true,
				Others: runner.History{Keep: 150 * time.Hour, Runs: 950, Bytes: 1 << 20, AtLeast: time.Hour},
			}
			var pruned runner.Pruned
			recorded := l.Recorded(func() {
				var err error
				if pruned, err = l.PruneRuns(t.Context(), retention); err != nil {
					t.Fatal(err)
				}
			})
			if total := pruned.Total(); total < 1500 || total > 4000 {
				t.Errorf("%d runs would go", total)
			}
			for _, r := range recorded {
				plan := map[string]func(*testing.T, *ledger.Ledger, ledger.Recorded) []string{"sqlite": explainSQLite, "postgres": explainPostgres}[name](t, l, r)
				for _, line := range plan {
					if prunes.MatchString(line) {
						t.Errorf("%s\n%s\n%s", line, r.Query, strings.Join(plan, "\n"))
					}
				}
			}
		})
	}
}

// prunes is what no query of PruneRuns does.
var prunes = regexp.MustCompile(`^SCAN (?:runs|r|attempts|outputs)$|Seq Scan on (?:runs|attempts|outputs)|Rows Removed by Filter: \d{3,}`)

// fillOutputs makes the ledger hold runs with outputs, too.
func fillOutputs(t *testing.T, l *ledger.Ledger) {
	t.Helper()
	statements := []string{"UPDATE runs SET bytes = 1000 WHERE workflow = 'w-3'"}
	if l.Dialect() == "postgres" {
		statements = append(statements, "VACUUM (ANALYZE) runs")
	}
	for _, statement := range statements {
		if _, err := l.Writer().Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
}

func explainSQLite(t *testing.T, l *ledger.Ledger, r ledger.Recorded) []string {
	t.Helper()
	rows, err := l.Database().Query("EXPLAIN QUERY PLAN "+r.Query, r.Args...)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	var plan []string
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			t.Fatal(err)
		}
		plan = append(plan, detail)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return plan
}

// explainPostgres runs the query too: the plan tells how many rows were read
// in vain and how many pages were touched.
func explainPostgres(t *testing.T, l *ledger.Ledger, r ledger.Recorded) []string {
	t.Helper()
	rows, err := l.Database().Query("EXPLAIN (ANALYZE, BUFFERS) "+r.Query, r.Args...)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	var plan []string
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			t.Fatal(err)
		}
		plan = append(plan, line)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	var hit, read int
	for _, line := range plan {
		if _, found := strings.CutPrefix(strings.TrimSpace(line), "Buffers: "); found {
			// The first such line is the whole query's.
			_, _ = fmt.Sscanf(strings.TrimSpace(line), "Buffers: shared hit=%d read=%d", &hit, &read)
			break
		}
	}
	if hit+read > 1000 {
		t.Errorf("the query touches %d pages:\n%s\n%s", hit+read, r.Query, strings.Join(plan, "\n"))
	}
	return plan
}
