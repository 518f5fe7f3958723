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

// fillAlerts records n resolved incidents of 100 fingerprints, one every 30
// seconds, each told to two channels, of which every 20th is open instead and
// waits to be told; and n events.
func fillAlerts(t testing.TB, l *ledger.Ledger, n int) {
	t.Helper()
	words := strings.NewReplacer(
		"{id}", textOf(l, "substr({hex}, 1, 8) || '-' || substr({hex}, 9, 4) || '-7' || {low} || '-8000-' || {serial}"),
		"{micros}", fmt.Sprintf("(%d + i * 30000000)", fillStart().UnixMicro()),
		"{open}", "i % 20 = 3",
	)
	source := series(l, 0, n-1)
	notice := func(channel, action, where string, group int) string {
		turn := map[string]string{"open": "0", "worse": "1", "resolve": "2"}[action]
		id := strings.Replace("{id}", "{id}", "replace({id}, '-8000-', '-8"+fmt.Sprintf("%03d", group)+"-')", 1)
		return `INSERT INTO notices (id, incident, channel, action, combined, subject, text, state, attempts, owner, created_at, next_at, ended_at, receipt, error, seq, turn)
			SELECT ` + id + `, {id}, '` + channel + `', '` + action + `', 0, '', '', CASE WHEN {open} THEN 'pending' ELSE 'sent' END, 0, '', {micros}, {micros},
			CASE WHEN {open} THEN NULL ELSE {micros} END, '', '', 0, ` + turn + ` FROM ` + source + " WHERE " + where
	}
	statements := []string{
		`INSERT INTO incidents (id, fingerprint, workflow, severity, reason, title, run, channels, state, count, opened_at, last_at, resolved_at, resolver)
			SELECT {id}, CASE WHEN {open} THEN 'open/' || i ELSE 'workflow/w-' || (i % 100) END, 'w', 'critical', 'failed', 'w failed', '', '["ops","pager"]',
			CASE WHEN {open} THEN 'open' ELSE 'resolved' END, 1, {micros}, {micros}, CASE WHEN {open} THEN NULL ELSE {micros} END, '' FROM ` + source,
		notice("ops", "open", "1 = 1", 1), notice("pager", "open", "1 = 1", 2),
		notice("ops", "resolve", "NOT ({open})", 3), notice("pager", "resolve", "NOT ({open})", 4),
		notice("ops", "worse", "i % 100 = 3", 5),
		`INSERT INTO entries (incident, at, kind, name, text, made_by) SELECT {id}, {micros}, 'opened', '', 't', '' FROM ` + source,
		`INSERT INTO silences (id, workflow, checked, reason, severity, why, made_by, since, until, ended_at, ended_by)
			SELECT {id}, '', 'x', '', '', 'w', 'b', {micros}, {micros} + 60000000, NULL, '' FROM ` + source,
		`INSERT INTO events (id, kind, subject, text, made_by, at) SELECT {id}, CASE WHEN i % 50 = 0 THEN 'deploy' ELSE 'reload' END, 's', 't', 'b', {micros} FROM ` + source,
	}
	err := l.Transact(t.Context(), func(exec func(string, ...any) error) error {
		for _, statement := range statements {
			if err := exec(words.Replace(statement)); err != nil {
				return fmt.Errorf("%w: %s", err, words.Replace(statement))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if l.Dialect() == "postgres" {
		if _, err := l.Writer().Exec("VACUUM (ANALYZE) incidents, notices, events, entries, silences"); err != nil {
			t.Fatal(err)
		}
	}
}

// alertQuestions are reads that must stay fast with many incidents.
func alertQuestions(t testing.TB, l *ledger.Ledger, n int) []question {
	t.Helper()
	incidents := func(f runner.IncidentFilter) func(testing.TB, *ledger.Ledger) int {
		return func(t testing.TB, l *ledger.Ledger) int {
			list, err := l.Incidents(t.Context(), f)
			if err != nil {
				t.Fatal(err)
			}
			return len(list)
		}
	}
	notices := func(f runner.NoticeFilter) func(testing.TB, *ledger.Ledger) int {
		return func(t testing.TB, l *ledger.Ledger) int {
			list, err := l.Notices(t.Context(), f)
			if err != nil {
				t.Fatal(err)
			}
			return len(list)
		}
	}
	events := func(f runner.HappeningFilter) func(testing.TB, *ledger.Ledger) int {
		return func(t testing.TB, l *ledger.Ledger) int {
			list, err := l.Happenings(t.Context(), f)
			if err != nil {
				t.Fatal(err)
			}
			return len(list)
		}
	}
	all, err := l.Incidents(t.Context(), runner.IncidentFilter{Limit: n})
	if err != nil || len(all) != n {
		t.Fatalf("%d incidents, %v", len(all), err)
	}
	middle := all[n/2]
	at := fillStart().Add(time.Duration(n/2) * 30 * time.Second)
	event, err := l.Happenings(t.Context(), runner.HappeningFilter{Until: at, Limit: 1})
	if err != nil || len(event) != 1 {
		t.Fatalf("%d events, %v", len(event), err)
	}
	open, resolved := []runner.IncidentState{runner.IncidentOpen}, []runner.IncidentState{runner.IncidentResolved}
	owed := []runner.NoticeState{runner.NoticePending, runner.NoticeSending}
	return []question{
		{"last incidents", incidents(runner.IncidentFilter{}), 50},
		{"a page of incidents in the middle", incidents(runner.IncidentFilter{Before: middle.ID}), 50},
		{"open incidents", incidents(runner.IncidentFilter{States: open}), 50},
		{"resolved incidents before", incidents(runner.IncidentFilter{States: resolved, Before: middle.ID}), 50},
		{"incidents of a fingerprint", incidents(runner.IncidentFilter{Fingerprint: "workflow/w-7"}), 50},
		{"the open incident of a fingerprint", incidents(runner.IncidentFilter{Fingerprint: "workflow/w-7", States: open}), 0},
		{"incidents of no fingerprint", incidents(runner.IncidentFilter{Fingerprint: "none"}), 0},
		{"incidents that ended of late", incidents(runner.IncidentFilter{EndedSince: fillStart().Add(time.Duration(n-100) * 30 * time.Second), States: resolved}), 50},
		{"one incident", func(t testing.TB, l *ledger.Ledger) int {
			if _, err := l.Incident(t.Context(), middle.ID[:13]); err != nil {
				t.Fatal(err)
			}
			return 1
		}, 1},
		{"the timeline of an incident", func(t testing.TB, l *ledger.Ledger) int {
			list, err := l.Timeline(t.Context(), middle.ID)
			if err != nil {
				t.Fatal(err)
			}
			return len(list)
		}, 1},
		{"silences that have not ended", func(t testing.TB, l *ledger.Ledger) int {
			list, err := l.Silences(t.Context(), fillStart().Add(time.Duration(n-10)*30*time.Second), false)
			if err != nil {
				t.Fatal(err)
			}
			return len(list)
		}, 10},
		{"last notices", notices(runner.NoticeFilter{}), 50},
		{"notices of an incident", notices(runner.NoticeFilter{Incident: middle.ID}), 2},
		{"notices of a channel", notices(runner.NoticeFilter{Channel: "ops"}), 50},
		{"a page of notices of a channel", notices(runner.NoticeFilter{Channel: "ops", Before: middle.ID}), 50},
		{"notices owed", notices(runner.NoticeFilter{States: owed}), 50},
		{"notices owed to a channel", notices(runner.NoticeFilter{Channel: "ops", States: owed}), 50},
		{"channels owed something", func(t testing.TB, l *ledger.Ledger) int {
			list, err := l.Channels(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return len(list)
		}, 2},
		{"dead notices", notices(runner.NoticeFilter{States: []runner.NoticeState{runner.NoticeDead}}), 0},
		{"last events", events(runner.HappeningFilter{}), 50},
		{"a page of events in the middle", events(runner.HappeningFilter{Before: event[0].ID}), 50},
		{"events of two kinds before", events(runner.HappeningFilter{Kinds: []string{"deploy", "restart"}, Until: at}), 50},
		{"events of no kind", events(runner.HappeningFilter{Kinds: []string{"none"}}), 0},
	}
}

// TestPlans_Alerts asks the databases how they answer each question about
// incidents, notices and events: never by walking through the table.
func TestPlans_Alerts(t *testing.T) {
	t.Parallel()
	for name, dialect := range map[string]struct {
		dsn     func(testing.TB) secret.String
		explain func(*testing.T, *ledger.Ledger, ledger.Recorded) []string
		walks   *regexp.Regexp
	}{
		"sqlite":   {ledgertest.SQLite, explainSQLite, regexp.MustCompile(`^SCAN (incidents|notices|events|entries|silences|n|o)\b`)},
		"postgres": {ledgertest.Postgres, explainPostgres, regexp.MustCompile(`Seq Scan on (incidents|notices|events|entries|silences)|Rows Removed by Filter: \d{3,}`)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := ledgertest.Join(t, dialect.dsn(t), "a", time.Hour)
			// SQLite plans without looking at the data; PostgreSQL needs enough to
			// prefer an index.
			n := 20_000
			if name == "sqlite" {
				n = 6_000
			}
			fillAlerts(t, l, n)
			check := func(what string, recorded []ledger.Recorded, most int) {
				if len(recorded) == 0 || len(recorded) > most {
					t.Errorf("%s takes %d queries", what, len(recorded))
				}
				for _, r := range recorded {
					plan := dialect.explain(t, l, r)
					for _, line := range plan {
						// Sorting a page is no harm, sorting all that is due would be.
						sorts := strings.HasPrefix(what, "take") && regexp.MustCompile(`TEMP B-TREE FOR .*ORDER BY|Sort Key`).MatchString(line)
						if sorts || dialect.walks.MatchString(line) {
							t.Errorf("%s: %s\n%s\n%s", what, line, r.Query, strings.Join(plan, "\n"))
						}
					}
				}
			}
			for _, q := range alertQuestions(t, l, n) {
				rows := 0
				recorded := l.Recorded(func() { rows = q.ask(t, l) })
				if rows < q.want {
					t.Errorf("%s: %d rows, want %d", q.name, rows, q.want)
				}
				check(q.name, recorded, 2)
			}
			for _, channel := range []string{"ops", "none"} {
				due, _, queries, err := l.TakeQueries(t.Context(), channel, time.Now())
				if want := map[string]int{"ops": 50, "none": 0}[channel]; err != nil || due != want {
					t.Errorf("%d notices are due on %s, %v, want %d", due, channel, err, want)
				}
				check("take from "+channel, queries, 3)
			}
		})
	}
}
