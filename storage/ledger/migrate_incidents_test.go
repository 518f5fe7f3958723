package ledger_test

import (
	"database/sql"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
	"github.com/ghosteam/upkeep/storage/ledger/ledgertest"
)

// oldIncidents are what an upkeep with the third schema left: an incident that
// is open and told to one of two channels, one that has ended and whose end
// waits behind its opening, and a reminder.
const oldIncidents = `
INSERT INTO incidents (id, fingerprint, workflow, severity, reason, title, run, channels, state, count, opened_at, last_at, resolved_at, resolver) VALUES
	('0199aaaa-0000-7000-8000-000000000001', 'workflow/daily', 'daily', 'warning', 'failed', 'daily failed', 'r1', '["ops","pager"]', 'open', 2, 1000000, 2000000, NULL, ''),
	('0199aaaa-0000-7000-8000-000000000002', 'workflow/weekly', 'weekly', 'critical', 'lost', 'weekly was lost', 'r2', '["ops"]', 'resolved', 1, 3000000, 3000000, 4000000, 'r3');
INSERT INTO notices (id, incident, channel, action, combined, subject, text, state, attempts, owner, created_at, next_at, ended_at, receipt, error) VALUES
	('0199aaaa-0000-7000-8000-000000000011', '0199aaaa-0000-7000-8000-000000000001', 'ops', 'open', 0, '', '', 'sent', 1, 'o', 1000000, 1000000, 1500000, '250', ''),
	('0199aaaa-0000-7000-8000-000000000012', '0199aaaa-0000-7000-8000-000000000001', 'pager', 'open', 0, '', '', 'pending', 1, 'o', 1000000, 1000000, NULL, '', '451'),
	('0199aaaa-0000-7000-8000-000000000013', '0199aaaa-0000-7000-8000-000000000002', 'ops', 'open', 0, '', '', 'pending', 0, '', 3000000, 9000000, NULL, '', ''),
	('0199aaaa-0000-7000-8000-000000000014', '0199aaaa-0000-7000-8000-000000000002', 'ops', 'resolve', 0, '', '', 'pending', 0, '', 4000000, 4000000, NULL, '', ''),
	('0199aaaa-0000-7000-8000-000000000015', NULL, 'ops', 'remind', 0, 'paused', 'text', 'dead', 3, 'o', 5000000, 5000000, 6000000, '', '550');
`

func TestSQLite_UpgradeIncidents(t *testing.T) {
	t.Parallel()
	dsn := ledgertest.SQLite(t)
	path := strings.TrimPrefix(dsn.Reveal(), "sqlite:")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=foreign_keys(1)")
	if err != nil {
		t.Fatal(err)
	}
	upgradeIncidents(t, dsn, db, "sqlite")
}

func TestPostgres_UpgradeIncidents(t *testing.T) {
	t.Parallel()
	dsn := ledgertest.Postgres(t)
	db, err := sql.Open("pgx", with(t, dsn, func(_ *url.URL, query url.Values) { query.Set("search_path", "upkeep") }).Reveal())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("CREATE SCHEMA upkeep"); err != nil {
		t.Fatal(err)
	}
	upgradeIncidents(t, dsn, db, "postgres")
}

// upgradeIncidents opens a ledger of the third schema and goes on with the
// incidents and notices that it holds.
func upgradeIncidents(t *testing.T, dsn secret.String, db *sql.DB, dialect string) {
	t.Helper()
	if err := ledger.MigrateTo(t.Context(), db, dialect, 3); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(oldIncidents); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	l := ledgertest.Open(t, dsn, func(o *ledger.Options) { o.Exclusive, o.LeaseTTL = true, time.Hour })
	if err := l.Register(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, err := l.Incidents(t.Context(), runner.IncidentFilter{})
	if err != nil {
		t.Fatal(err)
	}
	second := func(n int64) time.Time { return time.Unix(n, 0).UTC() }
	want := []runner.Incident{{
		ID: "0199aaaa-0000-7000-8000-000000000002", State: runner.IncidentResolved, Count: 1, OpenedAt: second(3), LastAt: second(3), ResolvedAt: second(4), Resolver: "r3",
		Fault: runner.Fault{Fingerprint: "workflow/weekly", Workflow: "weekly", Severity: jobs.Critical, Reason: "lost", Title: "weekly was lost", Run: "r2", At: second(3), Channels: []string{"ops"}},
	}, {
		ID: "0199aaaa-0000-7000-8000-000000000001", State: runner.IncidentOpen, Count: 2, OpenedAt: second(1), LastAt: second(2),
		Fault: runner.Fault{Fingerprint: "workflow/daily", Workflow: "daily", Severity: jobs.Warning, Reason: "failed", Title: "daily failed", Run: "r1", At: second(2), Channels: []string{"ops", "pager"}},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the old incidents are read as (-want +got):\n%s", diff)
	}
	timeline, err := l.Timeline(t.Context(), want[0].ID)
	if diff := cmp.Diff([]runner.Entry{{At: second(3), Kind: runner.EntryOpened, Text: "weekly was lost"}, {At: second(4), Kind: runner.EntryResolved}}, timeline); err != nil || diff != "" {
		t.Errorf("its timeline (-want +got):\n%s%v", diff, err)
	}
	all, err := l.Notices(t.Context(), runner.NoticeFilter{})
	if err != nil || len(all) != 5 || all[0].Subject != "paused" || all[0].State != runner.NoticeDead || all[4].Receipt != "250" {
		t.Errorf("the old notices: %+v, %v", all, err)
	}
	// The end still waits for the opening; what is open gets worse and ends.
	if taken, _, err := l.Take(t.Context(), "ops", second(8), time.Second, 10); err != nil || len(taken) != 0 {
		t.Errorf("taken before the opening: %+v, %v", taken, err)
	}
	if _, err := l.Raise(t.Context(), runner.Fault{Fingerprint: "workflow/daily", Workflow: "daily", Severity: jobs.Critical, Reason: "failed", Title: "again", At: second(9), Channels: []string{"ops", "pager"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Clear(t.Context(), "workflow/daily", second(10)); err != nil {
		t.Fatal(err)
	}
	var heard []string
	for at := time.Now().Add(time.Hour); ; at = at.Add(time.Hour) {
		taken, next, err := l.Take(t.Context(), "ops", at, time.Second, 10)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range taken {
			heard = append(heard, n.Incident[len(n.Incident)-1:]+" "+string(n.Action))
			if err := l.Sent(t.Context(), n.ID, "ok"); err != nil {
				t.Fatal(err)
			}
		}
		if len(taken) == 0 && next.IsZero() {
			break
		}
	}
	if got := strings.Join(heard, ", "); got != "2 open, 1 resolve, 2 resolve" && got != "2 open, 2 resolve, 1 resolve" {
		t.Errorf("ops hears %q", got)
	}
}
