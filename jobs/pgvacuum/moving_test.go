package pgvacuum_test

import (
	"strings"
	"testing"

	"github.com/ghosteam/upkeep/jobs/internal/pg/pgtest"
)

// TestMoving: what others do between the plan and a table's turn is noticed.
func TestMoving(t *testing.T) {
	t.Parallel()
	for label, tt := range map[string]struct {
		// before is done when the first table's turn has come, own when the
		// second one's has, after it was looked at for the last time.
		before, own string
		want        string
		vacuumed    float64
	}{
		"dropped":             {"DROP TABLE second", "", "second: gone: it was dropped meanwhile", 1},
		"dropped late":        {"", "DROP TABLE second", "second: gone: it was dropped meanwhile", 1},
		"schema dropped late": {"ALTER TABLE second SET SCHEMA other", "DROP SCHEMA other CASCADE", "other.second: gone: it was dropped meanwhile", 1},
		"cleaned":             {"VACUUM ANALYZE second", "", "second: clean: nothing is due any more", 1},
		"renamed":             {`ALTER TABLE second RENAME TO "Second Table"`, "", "Second Table: vacuumed and analyzed", 2},
		"another owner":       {"ALTER TABLE second OWNER TO postgres", "", "second: not permitted", 1},
		"another owner late":  {"", "ALTER TABLE second OWNER TO postgres", "second: not permitted: ", 1},
	} {
		t.Run(label, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, append(append(bloated("first", "20000"), bloated("second", "5000")...), "CREATE SCHEMA other")...)
			admin := b.conn()
			var role string
			role, b.url = pgtest.Role(t, b.url)
			pgtest.Exec(t, admin, "ALTER TABLE first OWNER TO "+role, "ALTER TABLE second OWNER TO "+role, "GRANT ALL ON SCHEMA other TO "+role)
			b.hooks.Effect = func(what string) {
				if strings.Contains(what, " first (") && tt.before != "" {
					pgtest.Load(t, admin, tt.before)
				}
				if strings.Contains(strings.ToLower(what), "second") && tt.own != "" {
					pgtest.Load(t, admin, tt.own)
				}
			}
			r := b.good()
			if !strings.Contains(b.out.String(), tt.want) || r.Values["tables_vacuumed"] != tt.vacuumed || r.Values["tables_left"] != 0 {
				t.Errorf("%v\n%s", r.Values, b.out)
			}
			if denied := strings.Contains(tt.want, "permitted"); (finding(r, "denied:").ID != "") != denied || (r.Values["tables_denied"] == 1) != denied {
				t.Errorf("%+v", r)
			}
		})
	}
}

// TestForeignText: what others call their sessions may hold a secret.
func TestForeignText(t *testing.T) {
	t.Parallel()
	b, holder, _ := twoTables(t, "ACCESS EXCLUSIVE")
	pgtest.Exec(t, holder, "SET application_name = 'hunter2\n\x1b[31m'")
	b.options.LockTimeout = 1e6
	b.hooks.Scrub = func(text string) string { return strings.ReplaceAll(text, "hunter2", "***") }
	r := b.good()
	f := finding(r, "locked:")
	if !strings.Contains(f.Text, "application ***") || strings.Contains(b.out.String(), "hunter2") || strings.Contains(b.out.String(), "\x1b") {
		t.Errorf("finding %+v\n%s", f, b.out)
	}
}
