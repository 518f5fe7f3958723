package pgreview

import (
	"context"
	"fmt"
	"math"
	"strings"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
)

// judged returns how bad a share is; empty when it breaks no limit.
func (l Limits) judged(percent float64) (s jobs.Severity, limit unit.Share) {
	switch {
	case l.Crit > 0 && percent > float64(l.Crit):
		return jobs.Critical, l.Crit
	case l.Warn > 0 && percent > float64(l.Warn):
		return jobs.Warning, l.Warn
	}
	return "", 0
}

// judged returns how bad a time is; empty when it breaks no limit.
func (l DurationLimits) judged(seconds float64) (s jobs.Severity, limit unit.Duration) {
	switch {
	case l.Crit > 0 && seconds > l.Crit.Std().Seconds():
		return jobs.Critical, l.Crit
	case l.Warn > 0 && seconds > l.Warn.Std().Seconds():
		return jobs.Warning, l.Warn
	}
	return "", 0
}

// share is a part of a whole in percent.
func share(part, whole int64) float64 {
	if whole <= 0 {
		return 0
	}
	return 100 * float64(part) / float64(whole)
}

// rounded is what a share is as a value.
func rounded(percent float64) float64 { return math.Round(percent*100) / 100 }

// usage is how many connections of a limited number are used.
type usage struct {
	What, Name  string
	Used, Limit int64
}

// clientSessions selects the sessions of clients: since version 10 the view
// also shows the server's own processes, which have no database.
const clientSessions = "pg_stat_activity WHERE datid IS NOT NULL AND usesysid IS NOT NULL"

// askConnections compares the connections with their limits.
func askConnections(ctx context.Context, r *review) error {
	all, err := ask[usage](ctx, r, `WITH session AS (SELECT datid, usesysid FROM `+clientSessions+`)
		SELECT 'server', '', count(*), 0::int8 FROM session
		UNION ALL SELECT 'database', d.datname, (SELECT count(*) FROM session WHERE datid = d.oid), d.datconnlimit::int8 FROM pg_database d WHERE d.datconnlimit > 0
		UNION ALL SELECT 'role', a.rolname, (SELECT count(*) FROM session WHERE usesysid = a.oid), a.rolconnlimit::int8 FROM pg_roles a WHERE a.rolconnlimit > 0`)
	if err != nil {
		return err
	}
	for _, u := range all {
		object, what := "", fmt.Sprintf("of the %s %s", u.What, u.Name)
		if u.What == "server" {
			u.Limit = r.facts.Room
			what = "that ordinary roles may have"
			r.values["connections"], r.values["connections_percent"] = float64(u.Used), rounded(share(u.Used, u.Limit))
		} else {
			object = u.What + ":" + u.Name
		}
		percent := share(u.Used, u.Limit)
		if s, limit := r.options.Connections.judged(percent); s != "" {
			r.add(s, percent, object, fmt.Sprintf("%d of %d connections %s are used (%.0f %%), limit %s", u.Used, u.Limit, what, percent, limit), "")
		}
	}
	return nil
}

// askPools compares the configured pools with the room of the server.
func askPools(ctx context.Context, r *review) error {
	if len(r.options.Pools) == 0 {
		return nil
	}
	var sum int64
	var parts []string
	for _, p := range r.options.Pools {
		sum += int64(p.total())
		parts = append(parts, fmt.Sprintf("%s %d", p.Name, p.total()))
	}
	r.values["pool_connections"] = float64(sum)
	if room := r.facts.Room - int64(r.options.Reserve); sum > room {
		r.add(jobs.Warning, 0, "", fmt.Sprintf("the pools may open %d connections (%s), but the server has room for %d (max_connections %d - %d kept back - reserve %d): make them smaller, or put a pooler in between",
			sum, strings.Join(parts, " + "), room, r.facts.Room+r.facts.KeptBack, r.facts.KeptBack, r.options.Reserve), "")
	}
	counts, err := ask[struct {
		Application string
		N           int64
	}](ctx, r, "SELECT application_name, count(*) FROM "+clientSessions+" GROUP BY 1")
	if err != nil {
		return err
	}
	byName := map[string]int64{}
	for _, c := range counts {
		byName[c.Application] = c.N
	}
	for _, p := range r.options.Pools {
		if n := byName[p.Application]; p.Application != "" && n > int64(p.total()) {
			r.add(jobs.Warning, float64(n), p.Name, fmt.Sprintf("%s has %d connections, but its pools are configured for %d", p.Application, n, p.total()), "")
		}
	}
	return nil
}

// session is a session with an age, in seconds.
type session struct {
	PID                         int64
	User, Database, Application string
	IdleFor, OpenFor, UnusedFor float64
	Own, Hidden                 bool
}

func (s session) name() string {
	name := fmt.Sprintf("process %d of %s", s.PID, s.User)
	if s.Application != "" {
		name += " (" + s.Application + ")"
	}
	return name + " in " + s.Database
}

// object identifies a session across runs by who it is, not by its number.
func (s session) object(kind string) string {
	return kind + ":" + dotted(s.Database, s.User, s.Application)
}

// askTransactions finds sessions that keep others waiting or vacuum from
// cleaning, and those that do nothing. Their statements are not shown, because
// they hold values.
func askTransactions(ctx context.Context, r *review) error {
	sessions, err := ask[session](ctx, r, `SELECT pid::int8, coalesce(usename, '?')::text, coalesce(datname, '?')::text, coalesce(application_name, ''),
			coalesce(CASE WHEN state LIKE 'idle in transaction%' THEN extract(epoch FROM clock_timestamp() - state_change) END, 0)::float8,
			coalesce(extract(epoch FROM clock_timestamp() - xact_start), 0)::float8,
			coalesce(CASE WHEN state = 'idle' THEN extract(epoch FROM clock_timestamp() - state_change) END, 0)::float8,
			pid = pg_backend_pid(), state IS NULL AND query = '<insufficient privilege>'
		FROM `+clientSessions+` ORDER BY pid`)
	if err != nil {
		return err
	}
	limits, hidden, unused, longest := r.options.Transactions, 0, 0, 0.0
	for _, s := range sessions {
		switch {
		case s.Own:
			continue
		case s.Hidden:
			hidden++
			continue
		}
		longest = max(longest, s.OpenFor)
		if limits.Unused > 0 && s.UnusedFor > limits.Unused.Std().Seconds() {
			unused++
		}
		if severity, limit := limits.Idle.judged(s.IdleFor); severity != "" {
			r.add(severity, s.IdleFor, s.object("idle"), fmt.Sprintf("%s is idle in a transaction for %s, limit %s: it keeps its locks, and vacuum from cleaning", s.name(), ago(s.IdleFor), limit),
				fmt.Sprintf("SELECT pg_terminate_backend(%d);", s.PID))
		} else if severity, limit := limits.Open.judged(s.OpenFor); severity != "" {
			r.add(severity, s.OpenFor, s.object("open"), fmt.Sprintf("%s has a transaction open for %s, limit %s: vacuum cannot clean what it may still see", s.name(), ago(s.OpenFor), limit), "")
		}
	}
	if unused > 0 {
		r.add(jobs.Info, 0, "unused", fmt.Sprintf("%d sessions have done nothing for more than %s: pools may be larger than needed", unused, limits.Unused), "")
	}
	r.values["longest_transaction_seconds"] = math.Round(longest)
	if hidden > 0 {
		r.cannotSee(jobs.Warning, "%s", r.needs(fmt.Sprintf("what %d sessions of other roles do", hidden)))
	}
	return r.prepared(ctx)
}

// prepared finds transactions that were prepared and forgotten.
func (r *review) prepared(ctx context.Context) error {
	all, err := ask[struct {
		ID, Owner, Database string
		Age                 float64
	}](ctx, r, `SELECT gid, owner, database, extract(epoch FROM clock_timestamp() - prepared)::float8 FROM pg_prepared_xacts`)
	if err != nil {
		return err
	}
	for _, p := range all {
		if severity, limit := r.options.Transactions.Prepared.judged(p.Age); severity != "" {
			r.add(severity, p.Age, "prepared:"+p.ID, fmt.Sprintf("transaction %s of %s in %s is prepared for %s and not ended, limit %s: it keeps its locks, and vacuum from cleaning", p.ID, p.Owner, p.Database, ago(p.Age), limit),
				"ROLLBACK PREPARED "+literal(p.ID)+"; -- in database "+jobs.OneLine(p.Database))
		}
	}
	return nil
}
