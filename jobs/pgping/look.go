package pgping

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"time"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg"
	"github.com/ghosteam/upkeep/jobs/internal/reach"
)

// who notes which server this is.
func (s *survey) who() {
	found := s.conn.Server
	s.report.Values["version_number"] = float64(found.Number)
	s.report.Values["standby"] = flag(found.Standby)
	s.report.Outputs["version"], s.report.Outputs["server"] = found.Version, jobs.OneLine(found.Name())
	switch {
	case s.options.Role == primary && found.Standby:
		s.report.Add("pgping:role", jobs.Critical, "%s is a standby, and must be a primary", found.Name())
	case s.options.Role == standby && !found.Standby:
		s.report.Add("pgping:role", jobs.Critical, "%s is a primary, and must be a standby", found.Name())
	}
}

func flag(v bool) float64 {
	if v {
		return 1
	}
	return 0
}

// look asks how the server is. A question that the server refuses is noted; the
// error says that it can no longer be asked.
func (s *survey) look(ctx context.Context) error {
	questions := []struct {
		name string
		ask  func(context.Context) error
	}{{"read_only", s.writable}, {"connections", s.connections}}
	if s.conn.Server.Standby {
		questions = append(questions, struct {
			name string
			ask  func(context.Context) error
		}{"lag", s.replication})
	}
	for _, q := range questions {
		if err := s.read(ctx, "pg_catalog", q.ask); err != nil {
			if s.lost(ctx) {
				return fmt.Errorf("ask about %s: %w", q.name, err)
			}
			s.report.Unseen(q.name, jobs.Warning, err.Error())
		}
	}
	return s.own(ctx)
}

// lost tells whether no further question makes sense.
func (s *survey) lost(ctx context.Context) bool { return ctx.Err() != nil || s.conn.IsClosed() }

// read asks in a transaction that only reads. The server is given a little less
// time than there is, so that it stops by itself and can say so.
func (s *survey) read(ctx context.Context, path string, ask func(context.Context) error) error {
	r := pg.Reading{SearchPath: path}
	if end, ok := ctx.Deadline(); ok {
		r.Statement = max(time.Millisecond, time.Until(end)*9/10)
		r.Lock = r.Statement
	}
	return s.conn.ReadOnly(ctx, r, ask)
}

// writable asks whether the server takes writes.
func (s *survey) writable(ctx context.Context) error {
	var off bool
	// Our own transaction only reads, whatever the server does.
	if err := s.conn.QueryRow(ctx, "SELECT current_setting('default_transaction_read_only')::bool OR pg_is_in_recovery()").Scan(&off); err != nil {
		return err
	}
	s.report.Values["read_only"] = flag(off)
	if off && s.options.Role == primary && !s.conn.Server.Standby {
		s.report.Add("pgping:read_only", jobs.Critical, "%s takes no writes: default_transaction_read_only is on", s.conn.Server.Name())
	}
	return nil
}

// sessions is what the server says about its sessions.
type sessions struct {
	All, Active, Idle, Stuck int
	// Open are the connections open to everybody.
	Open int
	// LongestStuck and LongestRun are in seconds.
	LongestStuck, LongestRun float64
	StuckBy                  string
	Seen                     bool
}

const sessionsQuery = `WITH s AS (
	SELECT state, pid, usename, application_name, state_change, xact_start FROM pg_stat_activity
	-- Of other users' sessions the type is hidden, and before 10 there was none.
	WHERE coalesce(to_jsonb(pg_stat_activity) ->> 'backend_type', CASE WHEN datid IS NOT NULL AND usesysid IS NOT NULL THEN 'client backend' END) = 'client backend'
)
SELECT count(*), count(*) FILTER (WHERE state IN ('active', 'fastpath function call')), count(*) FILTER (WHERE state = 'idle'),
	count(*) FILTER (WHERE state LIKE 'idle in transaction%'),
	greatest(1, (SELECT sum(CASE name WHEN 'max_connections' THEN setting::int ELSE -setting::int END) FROM pg_settings
		WHERE name IN ('max_connections', 'superuser_reserved_connections', 'reserved_connections')))::int,
	coalesce(extract(epoch FROM max(clock_timestamp() - state_change) FILTER (WHERE state LIKE 'idle in transaction%')), 0)::float8,
	coalesce(extract(epoch FROM max(clock_timestamp() - xact_start) FILTER (WHERE pid <> pg_backend_pid())), 0)::float8,
	coalesce((SELECT format('process %s of %s (%s)', pid, usename, application_name) FROM s WHERE state LIKE 'idle in transaction%' ORDER BY state_change LIMIT 1), ''),
	NOT bool_or(state IS NULL)
FROM s /* upkeep pgping */`

// connections judges how full the server is.
func (s *survey) connections(ctx context.Context) error {
	found, err := pg.Rows[sessions](ctx, s.conn, sessionsQuery)
	if err != nil {
		return err
	}
	if len(found) != 1 {
		return errors.New("the server says nothing about its sessions")
	}
	n := found[0]
	percent := math.Round(float64(n.All)/float64(n.Open)*10000) / 100
	maps.Copy(s.report.Values, map[string]float64{
		"connections": float64(n.All), "max_connections": float64(n.Open), "connections_percent": percent, "connections_active": float64(n.Active),
		"connections_idle": float64(n.Idle), "connections_idle_in_transaction": float64(n.Stuck),
		"longest_idle_in_transaction_seconds": millis(n.LongestStuck), "longest_transaction_seconds": millis(n.LongestRun),
	})
	if !n.Seen {
		s.report.Unseen("sessions", jobs.Info, fmt.Sprintf("the states of other users' sessions are hidden: GRANT pg_monitor TO %s", pg.Name(s.conn.Server.User)))
	}
	limits := s.options.Connections
	text := fmt.Sprintf("%d of %d connections are in use (%.1f %%)", n.All, n.Open, percent)
	switch {
	case percent > float64(limits.Crit) && limits.Crit < 100:
		s.report.Add("pgping:connections", jobs.Critical, "%s, limit %s", text, limits.Crit)
	case percent > float64(limits.Warn) && limits.Warn < 100:
		s.report.Add("pgping:connections", jobs.Warning, "%s, limit %s", text, limits.Warn)
	}
	s.judge("pgping:idle_in_transaction", seconds(n.LongestStuck), s.options.Idle, func(took string) string {
		return fmt.Sprintf("%s is idle in a transaction for %s", n.StuckBy, took)
	})
	return nil
}

func millis(v float64) float64 { return math.Round(max(0, v)*1000) / 1000 }

func seconds(v float64) time.Duration { return time.Duration(max(0, v) * float64(time.Second)) }

// judge compares a time with its limits.
func (s *survey) judge(id string, took time.Duration, l reach.Latency, text func(took string) string) {
	severity, limit := jobs.Severity(""), unit.Duration(0)
	switch {
	case l.Crit > 0 && took > l.Crit.Std():
		severity, limit = jobs.Critical, l.Crit
	case l.Warn > 0 && took > l.Warn.Std():
		severity, limit = jobs.Warning, l.Warn
	default:
		return
	}
	s.report.Add(id, severity, "%s, limit %s", text(reach.Short(took)), limit)
}

// copying is what a standby says about its primary.
type copying struct {
	// Caught tells that all that came has been replayed, Behind how many bytes
	// have not, Age how old the last transaction is that was, in seconds; below
	// 0 when there was none since the start.
	Caught   bool
	Behind   float64
	Age      float64
	Receives bool
	Paused   bool
}

const copyingQuery = `SELECT coalesce(pg_last_wal_receive_lsn() <= pg_last_wal_replay_lsn(), false),
	greatest(0, coalesce(pg_wal_lsn_diff(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()), 0))::float8,
	coalesce(extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()), -1)::float8,
	EXISTS (SELECT FROM pg_stat_wal_receiver WHERE pid IS NOT NULL), pg_is_wal_replay_paused() /* upkeep pgping */`

// replication judges how far a standby is behind.
func (s *survey) replication(ctx context.Context) error {
	found, err := pg.Rows[copying](ctx, s.conn, copyingQuery)
	if err != nil {
		return err
	}
	if len(found) != 1 {
		return errors.New("the server says nothing about its primary")
	}
	c := found[0]
	if c.Paused {
		s.report.Add("pgping:paused", jobs.Warning, "the standby has paused replaying")
	}
	if !c.Receives && s.options.Streaming {
		s.report.Add("pgping:receiver", jobs.Critical, "the standby is not connected to its primary")
	}
	lag := c.Age
	if c.Caught && c.Receives {
		lag = 0
	}
	s.report.Values["lag_bytes"] = c.Behind
	if lag < 0 {
		s.report.Unseen("lag", jobs.Info, "the standby has replayed no transaction since it was started")
		return nil
	}
	s.report.Values["lag_seconds"] = millis(lag)
	s.judge("pgping:lag", seconds(lag), s.options.Lag, func(took string) string { return "the standby is " + took + " behind its primary" })
	return nil
}

// own asks the question of the options.
func (s *survey) own(ctx context.Context) error {
	if s.options.Query == "" {
		return nil
	}
	var answer []byte
	err := s.read(ctx, "", func(ctx context.Context) (err error) {
		answer, err = s.conn.QueryOne(ctx, s.options.Query)
		return err
	})
	if err != nil {
		if s.lost(ctx) {
			return fmt.Errorf("ask the query: %w", err)
		}
		if pg.Code(err) == pg.CodeCanceled {
			s.report.Add("pgping:query", jobs.Critical, "the query has no answer: it took longer than the timeout, %s, leaves it", s.options.Timeout)
			return nil
		}
		s.report.Add("pgping:query", jobs.Critical, "the query has no answer: %s", err)
		return nil
	}
	switch string(answer) {
	case "t", "true", "1":
		return nil
	case "f", "false", "0":
		s.report.Add("pgping:query", jobs.Critical, "the query is answered by false")
	case "":
		s.report.Add("pgping:query", jobs.Critical, "the query has no row, or NULL in it, and must be answered by true")
	default:
		s.report.Add("pgping:query", jobs.Critical, "the query is not answered by true or false: it must return a boolean")
	}
	return nil
}
