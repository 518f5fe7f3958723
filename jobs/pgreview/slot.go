package pgreview

import (
	"context"
	"fmt"

	"github.com/ghosteam/upkeep/jobs"
)

// slot is a replication slot.
type slot struct {
	Name, Kind, Database string
	Active               bool
	// Retained is how much write-ahead log it keeps, in bytes.
	Retained int64
	// Status is that of wal_status, since version 13.
	Status string
	// Age is how many transactions vacuum must leave for it.
	Age int64
}

func (r *review) slotQuery() string {
	status, position := "''", "CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END"
	difference, temporary := "pg_wal_lsn_diff", "NOT temporary"
	if r.conn.Server.Number >= 130000 {
		status = "coalesce(wal_status, '')"
	}
	if r.conn.Server.Number < 100000 {
		position = "CASE WHEN pg_is_in_recovery() THEN pg_last_xlog_replay_location() ELSE pg_current_xlog_location() END"
		difference, temporary = "pg_xlog_location_diff", "true"
	}
	return `SELECT slot_name, slot_type, coalesce(database, '')::text, active, coalesce(greatest(` + difference + `(` + position + `, restart_lsn), 0), 0)::int8,
		` + status + `, coalesce(greatest(age(xmin), age(catalog_xmin)), 0)::int8 FROM pg_replication_slots WHERE ` + temporary
}

// askSlots finds slots that fill the disk or keep vacuum from cleaning.
func askSlots(ctx context.Context, r *review) error {
	all, err := ask[slot](ctx, r, r.slotQuery())
	if err != nil {
		return err
	}
	limits := r.options.Slots
	var retained int64
	for _, s := range all {
		retained += s.Retained
		severity, limit := jobs.Severity(""), ""
		switch {
		case limits.Crit > 0 && s.Retained > limits.Crit.Bytes():
			severity, limit = jobs.Critical, ", limit "+limits.Crit.String()
		case limits.Warn > 0 && s.Retained > limits.Warn.Bytes():
			severity, limit = jobs.Warning, ", limit "+limits.Warn.String()
		case !s.Active:
			severity = jobs.Warning
		}
		statement := ""
		if !s.Active {
			statement = "SELECT pg_drop_replication_slot(" + literal(s.Name) + "); -- only when nobody needs it"
		}
		switch {
		case s.Status == "lost":
			r.add(jobs.Critical, float64(s.Retained), s.Name, fmt.Sprintf("replication slot %s (%s) is lost: its write-ahead log is gone, and who used it must begin anew", s.Name, s.Kind), statement)
		case severity != "" && s.Active:
			r.add(severity, float64(s.Retained), s.Name, fmt.Sprintf("replication slot %s (%s) retains %s of write-ahead log%s: who reads it falls behind", s.Name, s.Kind, size(s.Retained), limit), "")
		case severity != "":
			r.add(severity, float64(s.Retained), s.Name, fmt.Sprintf("nobody reads replication slot %s (%s), which retains %s of write-ahead log%s and keeps vacuum from %d transactions", s.Name, s.Kind, size(s.Retained), limit, s.Age), statement)
		}
	}
	r.values["slot_retained_bytes"] = float64(retained)
	return nil
}
