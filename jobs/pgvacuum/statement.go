package pgvacuum

import (
	"fmt"
	"strings"

	"github.com/ghosteam/upkeep/jobs/internal/pg"
)

// oldest is the oldest version that knows what we go by: rows inserted since
// the last vacuum.
const oldest = 13

// verb says what a statement for w does.
func (w work) verb() string {
	switch {
	case w.full:
		return "rewrite"
	case w.vacuum && w.analyze:
		return "vacuum and analyze"
	case w.vacuum:
		return "vacuum"
	case w.toast && w.analyze:
		return "vacuum the TOAST table of, and analyze"
	case w.toast:
		return "vacuum the TOAST table of"
	}
	return "analyze"
}

// statements returns what has to be said to a server of that major version. skip
// tells that a locked table is left out at once.
// (postgresql.org/docs/current/sql-vacuum.html and sql-analyze.html; the
// versions are those in which their options appeared).
func (o *Options) statements(w work, major int, skip bool) []string {
	var out []string
	analyze := o.analyzeOptions(major, skip)
	name := pg.Name(w.table.Schema, w.table.Name)
	switch {
	case w.full:
		options := append([]string{"FULL", "ANALYZE"}, analyze...)
		if major >= 16 {
			options = append(options, "SKIP_DATABASE_STATS")
		}
		return []string{"VACUUM (" + strings.Join(options, ", ") + ") " + name}
	case w.vacuum:
		options := o.vacuumOptions(w, major, skip)
		if w.analyze {
			options = append(options, "ANALYZE")
		}
		return []string{"VACUUM (" + strings.Join(options, ", ") + ") " + name}
	case w.toast && major >= 16:
		out = append(out, "VACUUM ("+strings.Join(append(o.vacuumOptions(w, major, skip), "PROCESS_MAIN false"), ", ")+") "+name)
	case w.toast:
		out = append(out, "VACUUM ("+strings.Join(o.vacuumOptions(w, major, skip), ", ")+") "+pg.Name("pg_toast", w.table.ToastName))
	}
	if w.analyze {
		if w.table.Kind == "p" && major >= 18 {
			name = "ONLY " + name // its partitions are looked after one by one
		}
		statement := "ANALYZE "
		if len(analyze) > 0 {
			statement += "(" + strings.Join(analyze, ", ") + ") "
		}
		out = append(out, statement+name)
	}
	return out
}

// analyzeOptions are those that ANALYZE knows, too.
func (o *Options) analyzeOptions(major int, skip bool) []string {
	var out []string
	if skip {
		out = append(out, "SKIP_LOCKED")
	}
	if major >= 16 && o.BufferUsageLimit > 0 {
		out = append(out, fmt.Sprintf("BUFFER_USAGE_LIMIT '%dkB'", o.BufferUsageLimit.Bytes()>>10))
	}
	return out
}

func (o *Options) vacuumOptions(w work, major int, skip bool) []string {
	out := o.analyzeOptions(major, skip)
	out = append(out, fmt.Sprintf("TRUNCATE %t", o.Truncate))
	if o.Mode == modeFreeze {
		out = append(out, "FREEZE")
	}
	switch {
	case o.IndexCleanup != "auto":
		out = append(out, "INDEX_CLEANUP "+o.IndexCleanup)
	case major >= 14:
		out = append(out, "INDEX_CLEANUP auto")
	}
	if o.Parallel >= 0 && w.vacuum {
		out = append(out, fmt.Sprintf("PARALLEL %d", o.Parallel))
	}
	if major >= 16 {
		out = append(out, "SKIP_DATABASE_STATS")
	}
	return out
}

// thoroughly are the settings under which the statement for w runs: what is due
// by its age is read in full and frozen far enough not to be due again at once.
func (w work) thoroughly(s settings, due float64) map[string]string {
	out := map[string]string{}
	for _, v := range []struct {
		name  string
		limit float64
	}{{"vacuum_freeze", w.freezeAge}, {"vacuum_multixact_freeze", w.multixactAge}} {
		table, least := s[v.name+"_table_age"], s[v.name+"_min_age"]
		if w.aged {
			table, least = 0, min(least, float64(int64(v.limit*due/2)))
		}
		out[v.name+"_table_age"] = fmt.Sprintf("%.0f", table)
		out[v.name+"_min_age"] = fmt.Sprintf("%.0f", least)
	}
	return out
}
