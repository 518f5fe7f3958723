package pgreview

import (
	"context"
	"fmt"
	"math"

	"github.com/dustin/go-humanize"

	"github.com/ghosteam/upkeep/jobs"
)

// idSpace is how many transaction or multixact ids may be in use before the
// server refuses to hand out more: half of the 2^32 that there are
// (postgresql.org/docs/current/routine-vacuuming.html#VACUUM-FOR-WRAPAROUND).
const idSpace = 1 << 31

// frozen is the age of the oldest id in a database or a table.
type frozen struct {
	Schema, Name string
	IDs, Multi   int64
}

// askWraparound judges how old the oldest ids are, of all databases, and names
// the tables of this one.
func askWraparound(ctx context.Context, r *review) error {
	databases, err := ask[frozen](ctx, r, `SELECT '', datname, age(datfrozenxid)::int8, mxid_age(datminmxid)::int8 FROM pg_database`)
	if err != nil {
		return err
	}
	worst, here := 0.0, false
	for _, d := range databases {
		worst = max(worst, share(max(d.IDs, d.Multi), idSpace))
		s := r.tooOld("database:"+d.Name, "database "+d.Name, d, "")
		here = here || s && d.Name == r.conn.Server.Database
	}
	r.values["wraparound_percent"] = rounded(worst)
	if !here {
		return nil
	}
	tables, err := ask[frozen](ctx, r, `SELECT n.nspname, c.relname, age(c.relfrozenxid)::int8, mxid_age(c.relminmxid)::int8
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'm', 't') AND c.relfrozenxid <> '0'
		ORDER BY greatest(age(c.relfrozenxid), mxid_age(c.relminmxid)) DESC LIMIT 10`)
	if err != nil {
		return err
	}
	for _, t := range tables {
		r.tooOld(dotted(t.Schema, t.Name), "table "+dotted(t.Schema, t.Name), t, "VACUUM (FREEZE, VERBOSE) "+sqlName(t.Schema, t.Name)+";")
	}
	return nil
}

func (r *review) tooOld(object, what string, f frozen, statement string) bool {
	kind, ids := "transaction", f.IDs
	if f.Multi > f.IDs {
		kind, ids = "multixact", f.Multi
	}
	percent := share(ids, idSpace)
	s, limit := r.options.Wraparound.judged(percent)
	if s == "" {
		return false
	}
	r.add(s, percent, object, fmt.Sprintf("the oldest %s id of %s is %s old, %.0f %% of what the server bears, limit %s: it must be vacuumed, and what keeps vacuum from it ended", kind, what, humanize.Comma(ids), percent, limit), statement)
	return true
}

// sequence is a sequence with the column that it feeds, if any.
type sequence struct {
	Schema, Name  string
	Last          *int64
	Max           int64
	Min           int64
	Step          int64
	Cycle         bool
	Table, Column string
	// Width is the size of the column in bytes; 0 when there is none, or it is
	// no integer.
	Width int64
}

// askSequences judges how far sequences are. One that counts down is judged
// against its least value.
func askSequences(ctx context.Context, r *review) error {
	all, err := ask[sequence](ctx, r, `SELECT s.schemaname, s.sequencename, s.last_value, s.max_value, s.min_value, s.increment_by, s.cycle,
			coalesce(tn.nspname || '.' || t.relname, ''), coalesce(a.attname, '')::text,
			coalesce(CASE WHEN a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype) THEN a.attlen::int8 END, 0)::int8
		FROM pg_sequences s JOIN pg_namespace n ON n.nspname = s.schemaname
			JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = s.sequencename AND c.relkind = 'S'
			LEFT JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.refclassid = 'pg_class'::regclass
				AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i')
			LEFT JOIN pg_class t ON t.oid = d.refobjid LEFT JOIN pg_namespace tn ON tn.oid = t.relnamespace
			LEFT JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid`)
	if err != nil {
		return err
	}
	hidden, err := ask[struct{ N int64 }](ctx, r, `SELECT count(*) FROM pg_class c WHERE c.relpersistence <> 't'
		AND CASE WHEN c.relkind = 'S' THEN NOT has_sequence_privilege(c.oid, 'USAGE, SELECT') ELSE false END`)
	if err != nil {
		return err
	}
	if hidden[0].N > 0 {
		r.cannotSee(jobs.Warning, "how far %d sequences are: GRANT SELECT ON ALL SEQUENCES IN SCHEMA … TO %s", hidden[0].N, sqlName(r.conn.Server.User))
	}
	for _, s := range all {
		if s.Last != nil {
			r.judgeSequence(s)
		}
	}
	return nil
}

func (r *review) judgeSequence(s sequence) {
	end := s.Max
	column := limitOf(s.Width)
	if column > 0 && s.Step > 0 {
		end = min(end, column)
	}
	percent := share(*s.Last, end)
	if s.Step < 0 {
		if column > 0 {
			s.Min = max(s.Min, -column-1)
		}
		end = s.Min
		percent = 100 * float64(*s.Last) / float64(min(end, -1))
	}
	if s.Cycle && end == s.Max { // it begins anew
		return
	}
	severity, limit := r.options.Keys.judged(percent)
	if severity == "" {
		return
	}
	feeds := ""
	if s.Table != "" {
		feeds = fmt.Sprintf(", which feeds %s.%s,", s.Table, s.Column)
	}
	r.add(severity, percent, dotted(s.Schema, s.Name), fmt.Sprintf("sequence %s.%s%s is at %s of %s (%.1f %%), limit %s: inserts fail at its end", s.Schema, s.Name, feeds, humanize.Comma(*s.Last), humanize.Comma(end), percent, limit), "")
}

// limitOf is the largest integer of a width in bytes; 0 for no such type.
func limitOf(width int64) int64 {
	switch width {
	case 2:
		return math.MaxInt16
	case 4:
		return math.MaxInt32
	case 8:
		return math.MaxInt64
	}
	return 0
}

// integerKey is a column of a small integer type that an index begins with, so
// that its largest value is found at once.
type integerKey struct {
	Schema, Table, Column string
	Width                 int64
	Readable              bool
	// Target is the column that a foreign key of it refers to, and TargetWidth
	// that one's size in bytes; empty and 0 for none.
	Target      string
	TargetWidth int64
}

// mostKeys bounds how many columns are asked for their largest value, those of
// the largest tables first.
const mostKeys = 200

// askIntegerKeys judges how large the values of small integer keys are.
func askIntegerKeys(ctx context.Context, r *review) error {
	all, err := ask[integerKey](ctx, r, `SELECT n.nspname, t.relname, a.attname, a.attlen::int8, has_column_privilege(t.oid, a.attnum, 'SELECT'),
			coalesce(max(fn.nspname || '.' || ft.relname || '.' || fa.attname), ''), coalesce(max(fa.attlen), 0)::int8
		FROM (SELECT DISTINCT i.indrelid, i.indkey[0] AS num FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am m ON m.oid = x.relam
				WHERE m.amname = 'btree' AND i.indisvalid AND i.indpred IS NULL) k
			JOIN pg_class t ON t.oid = k.indrelid AND t.relkind = 'r' AND t.relpersistence <> 't' JOIN pg_namespace n ON n.oid = t.relnamespace
			JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.num AND a.atttypid IN ('int2'::regtype, 'int4'::regtype)
			LEFT JOIN pg_constraint f ON f.contype = 'f' AND f.conrelid = t.oid AND f.conkey = ARRAY[a.attnum]
			LEFT JOIN pg_class ft ON ft.oid = f.confrelid LEFT JOIN pg_namespace fn ON fn.oid = ft.relnamespace
			LEFT JOIN pg_attribute fa ON fa.attrelid = f.confrelid AND fa.attnum = f.confkey[1] AND fa.attlen IN (2, 4, 8)
		WHERE n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
		GROUP BY 1, 2, 3, 4, 5, t.relpages, t.oid, a.attnum ORDER BY t.relpages DESC, t.oid, a.attnum LIMIT $1`, int64(mostKeys+1))
	if err != nil {
		return err
	}
	if len(all) > mostKeys {
		all = all[:mostKeys]
		r.cannotSee(jobs.Info, "only the keys of the largest tables are looked at, %d", mostKeys)
	}
	denied := 0
	for _, k := range all {
		if k.TargetWidth > k.Width {
			r.add(jobs.Warning, 0, dotted(k.Schema, k.Table, k.Column)+":type",
				fmt.Sprintf("%s.%s.%s has %d bytes, but refers to %s, which has %d: one day its values do not fit", k.Schema, k.Table, k.Column, k.Width, k.Target, k.TargetWidth), "")
		}
		if !k.Readable {
			denied++
			continue
		}
		if err := r.largestKey(ctx, k); err != nil {
			return err
		}
	}
	if denied > 0 {
		r.cannotSee(jobs.Warning, "%d columns that %s may not read", denied, sqlName(r.conn.Server.User))
	}
	return nil
}

func (r *review) largestKey(ctx context.Context, k integerKey) error {
	column := sqlName(k.Column)
	largest, err := ask[struct{ N *int64 }](ctx, r, "SELECT max("+column+")::int8 FROM "+sqlName(k.Schema, k.Table))
	if err != nil {
		return fmt.Errorf("largest %s.%s.%s: %w", k.Schema, k.Table, k.Column, err)
	}
	if largest[0].N == nil {
		return nil
	}
	percent := share(*largest[0].N, limitOf(k.Width))
	if s, limit := r.options.Keys.judged(percent); s != "" {
		r.add(s, percent, dotted(k.Schema, k.Table, k.Column), fmt.Sprintf("the largest %s.%s.%s is %s, %.1f %% of what %d bytes hold, limit %s", k.Schema, k.Table, k.Column, humanize.Comma(*largest[0].N), percent, k.Width, limit), "")
	}
	return nil
}
