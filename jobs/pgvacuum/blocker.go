package pgvacuum

import (
	"context"
	"fmt"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg"
)

// distant is how many transactions a slot or a standby may hold back before
// that is reported; unlike sessions they show no time.
const distant = 1_000_000

// blocker is somebody who keeps the server from removing dead rows.
type blocker struct {
	// Kind is transaction, prepared, slot, catalog or standby.
	Kind string
	// Name is stable over runs where there is such a thing.
	Name string
	Who  string
	// Seconds is for how long; negative when nobody knows.
	Seconds float64
	// Age is how many transactions are held back.
	Age int64
}

// blocking asks who holds back dead rows of this database, the worst first.
// Vacuum's own sessions hold back nothing, and sessions in other databases only
// what is shared.
// (postgresql.org/docs/current/routine-vacuuming.html#VACUUM-FOR-SPACE-RECOVERY).
const blocking = `SELECT * FROM (
	SELECT 'transaction' AS kind, '' AS name, ` + person + ` AS who, coalesce(extract(epoch FROM clock_timestamp() - a.xact_start), -1)::float8 AS seconds,
		greatest(age(a.backend_xmin), age(a.backend_xid))::bigint AS held
	FROM pg_stat_activity a WHERE (a.backend_xmin IS NOT NULL OR a.backend_xid IS NOT NULL) AND a.pid <> pg_backend_pid()
		AND a.datname = current_database() AND a.backend_type NOT IN ('walsender', 'autovacuum worker')
		AND NOT starts_with(a.application_name, 'upkeep vacuum ') AND NOT EXISTS (SELECT FROM pg_stat_progress_vacuum v WHERE v.pid = a.pid)
	UNION ALL
	SELECT 'prepared', gid, format('prepared transaction %s of user %s', gid, owner), extract(epoch FROM clock_timestamp() - prepared), age(transaction)
	FROM pg_prepared_xacts WHERE database = current_database()
	UNION ALL
	SELECT 'slot', slot_name, format('%s replication slot %s (%s)', slot_type, slot_name, CASE WHEN active THEN 'active' ELSE 'not active' END), -1, age(xmin)
	FROM pg_replication_slots WHERE xmin IS NOT NULL
	UNION ALL
	SELECT 'catalog', slot_name, format('%s replication slot %s (%s), of the system catalogs', slot_type, slot_name, CASE WHEN active THEN 'active' ELSE 'not active' END), -1, age(catalog_xmin)
	FROM pg_replication_slots WHERE xmin IS NULL AND catalog_xmin IS NOT NULL
	UNION ALL
	SELECT 'standby', application_name, format('standby %s%s by hot_standby_feedback', application_name, coalesce(' at ' || host(client_addr), '')), -1, age(backend_xmin)
	FROM pg_stat_replication r WHERE backend_xmin IS NOT NULL AND NOT EXISTS (SELECT FROM pg_replication_slots WHERE active_pid = r.pid AND xmin IS NOT NULL)
) AS all_of_them ORDER BY held DESC, seconds DESC LIMIT 20`

// blockers lists who holds back dead rows in the database of c, and says
// whether sessions of others could be seen.
func blockers(ctx context.Context, c *pg.Conn) (list []blocker, blind bool, err error) {
	list, err = pg.Rows[blocker](ctx, c, blocking)
	if err != nil {
		return nil, false, pg.Advise(fmt.Errorf("ask who holds back dead rows: %w", err))
	}
	err = c.QueryRow(ctx, "SELECT NOT pg_has_role('pg_read_all_stats', 'USAGE')").Scan(&blind)
	if err != nil {
		return nil, false, pg.Advise(fmt.Errorf("ask what may be seen: %w", err))
	}
	return list, blind && !c.Server.Superuser, nil
}

// text says who, for how long and over how many transactions.
func (b blocker) text(env *jobs.Env) string {
	held := humanize.Comma(b.Age) + " transactions"
	if b.Seconds >= 0 {
		held = unit.Duration(time.Duration(b.Seconds*float64(time.Second)).Round(time.Second)).String() + " and " + held
	}
	return env.OneLine(b.Who) + ", for " + held
}

// effect says what is held back.
func (b blocker) effect() string {
	if b.Kind == "catalog" {
		return "what was deleted since from the system catalogs"
	}
	return "what was deleted since from tables"
}

// severe tells whether a blocker is reported whatever was cleaned.
func (b blocker) severe(old time.Duration) bool {
	if b.Seconds >= 0 {
		return b.Seconds >= old.Seconds()
	}
	return b.Age >= distant
}

// id is a finding's.
func (b blocker) id(d *database) string {
	id := "blocker:" + d.name + "/" + b.Kind
	if b.Name != "" {
		id += "/" + b.Name
	}
	return jobs.FindingIDFrom(id)
}

// reportBlockers makes findings for those who hold back dead rows for long, one for each
// kind and name: the worst.
func (d *database) reportBlockers(env *jobs.Env, old time.Duration) []jobs.Finding {
	var out []jobs.Finding
	seen := map[string]bool{}
	for _, b := range d.blockers {
		if !b.severe(old) || seen[b.id(d)] {
			continue
		}
		seen[b.id(d)] = true
		out = append(out, jobs.Finding{
			ID: b.id(d), Severity: jobs.Warning,
			Text: jobs.OneLine(b.effect() + " of database " + d.name + " cannot be cleaned: " + b.text(env)),
		})
	}
	if d.blind {
		out = append(out, jobs.Finding{
			ID: jobs.FindingIDFrom("blind:" + d.name), Severity: jobs.Info,
			Text: jobs.OneLine("sessions of other users cannot be seen in database " + d.name + ", so who blocks cleaning may be missing: GRANT pg_monitor TO " + pg.Name(d.server.User)),
		})
	}
	return out
}
