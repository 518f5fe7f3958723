package pg

import (
	"context"
	"math"
)

// Bloat is the estimated empty room of a table or a B-tree index.
type Bloat struct {
	OID int64
	// Schema, Table and Index name it; Index is empty for a table.
	Schema, Table, Index string
	// Bytes is its size as of the catalog, Expected what the same rows would
	// take if they were written anew.
	Bytes, Expected int64
	// Known tells that there were statistics to estimate from.
	Known bool
}

// Wasted is the empty room in bytes, at least 0.
func (b Bloat) Wasted() int64 { return max(0, b.Bytes-b.Expected) }

// Percent is the share of the size that is empty room, 0 to 100.
func (b Bloat) Percent() float64 {
	if b.Bytes <= 0 {
		return 0
	}
	return 100 * float64(b.Wasted()) / float64(b.Bytes)
}

// Sizes of PostgreSQL's pages and rows in bytes: of tables
// (postgresql.org/docs/current/storage-page-layout.html: page header, line
// pointer, row header, and the alignment of 64-bit machines), and of B-trees
// (src/include/access/itup.h, nbtree.h: header of an entry, what ends a page,
// and how full leaves and other pages are made).
const (
	pageHeader     = 24
	linePointer    = 4
	rowHeader      = 23
	alignment      = 8
	entryHeader    = 8
	entryHeaderNul = 16
	pageEnd        = 16
	tableFill      = 100
	leafFill       = 90
	innerFill      = 70
	// longHeader is the width from which on a value of variable width has a
	// header of four bytes and is aligned to four.
	longHeader = 127
)

// column is a column of a table or an index, as the planner knows it.
type column struct {
	OID                  int64
	Schema, Table, Index string
	Rows                 float64
	Pages, PageSize      int64
	Fill                 int64
	// Length is the width of a type of fixed width, else negative; Align is its
	// alignment: c, s, i or d.
	Length int64
	Align  string
	// Width is the average width of a value, Null the share of NULLs; nil when
	// there are no statistics that the role may see.
	Width, Null *float64
}

// TableBloat estimates the empty room of the tables, materialized views
// included, that take at least so many bytes, the largest first, at most limit
// of them. The estimate comes from the statistics of the last ANALYZE and
// leaves values in TOAST tables out. Dead rows count as empty room.
func TableBloat(ctx context.Context, c *Conn, least int64, limit int) ([]Bloat, error) {
	columns, err := Rows[column](ctx, c, `WITH t AS (
			SELECT c.oid, n.nspname, c.relname, c.reltuples, c.relpages, c.reloptions FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
			WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't' AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
				AND c.relpages::int8 * current_setting('block_size')::int8 >= $1 AND c.relpages > 1
			ORDER BY c.relpages DESC, c.oid LIMIT $2)
		SELECT t.oid::int8, t.nspname, t.relname, '', t.reltuples::float8, t.relpages::int8, current_setting('block_size')::int8,
			coalesce((SELECT option_value::int8 FROM pg_options_to_table(t.reloptions) WHERE option_name = 'fillfactor'), $3),
			a.attlen::int8, a.attalign::text, s.avg_width::float8, s.null_frac::float8
		FROM t JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
			LEFT JOIN pg_stats s ON s.schemaname = t.nspname AND s.tablename = t.relname AND s.attname = a.attname AND NOT s.inherited
		ORDER BY t.relpages DESC, t.oid, a.attnum`, least, int64(limit), int64(tableFill))
	if err != nil {
		return nil, err
	}
	return estimateAll(columns), nil
}

// IndexBloat does for B-tree indexes what TableBloat does for tables. Entries
// that the server has deduplicated (13 and later) take less than is expected
// here, so that bloat is missed rather than invented.
func IndexBloat(ctx context.Context, c *Conn, least int64, limit int) ([]Bloat, error) {
	columns, err := Rows[column](ctx, c, `WITH x AS (
			SELECT c.oid, n.nspname, t.relname AS tab, c.relname, c.reltuples, c.relpages, c.reloptions, i.indrelid, i.indkey
			FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid
				JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_am m ON m.oid = c.relam
			WHERE m.amname = 'btree' AND c.relkind = 'i' AND i.indisvalid AND c.relpersistence <> 't' AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
				AND c.relpages::int8 * current_setting('block_size')::int8 >= $1 AND c.relpages > 2
			ORDER BY c.relpages DESC, c.oid LIMIT $2)
		SELECT x.oid::int8, x.nspname, x.tab, x.relname, x.reltuples::float8, x.relpages::int8, current_setting('block_size')::int8,
			coalesce((SELECT option_value::int8 FROM pg_options_to_table(x.reloptions) WHERE option_name = 'fillfactor'), $3),
			a.attlen::int8, a.attalign::text, s.avg_width::float8, s.null_frac::float8
		FROM x JOIN pg_attribute a ON a.attrelid = x.oid
			LEFT JOIN pg_attribute ta ON ta.attrelid = x.indrelid AND ta.attnum = x.indkey[a.attnum - 1] AND x.indkey[a.attnum - 1] <> 0
			LEFT JOIN pg_stats s ON s.schemaname = x.nspname AND NOT s.inherited
				AND s.tablename = CASE WHEN ta.attname IS NULL THEN x.relname ELSE x.tab END AND s.attname = coalesce(ta.attname, a.attname)
		ORDER BY x.relpages DESC, x.oid, a.attnum`, least, int64(limit), int64(leafFill))
	if err != nil {
		return nil, err
	}
	return estimateAll(columns), nil
}

// estimateAll estimates each relation from its columns, which follow each
// other.
func estimateAll(columns []column) []Bloat {
	var out []Bloat
	for from := 0; from < len(columns); {
		to := from
		for to < len(columns) && columns[to].OID == columns[from].OID {
			to++
		}
		out = append(out, estimate(columns[from:to]))
		from = to
	}
	return out
}

func estimate(columns []column) Bloat {
	c := columns[0]
	b := Bloat{OID: c.OID, Schema: c.Schema, Table: c.Table, Index: c.Index, Bytes: c.Pages * c.PageSize, Known: c.Rows >= 0}
	complete := 1.0 // the share of rows without any NULL
	for _, col := range columns {
		if c.Rows > 0 && (col.Width == nil || col.Null == nil) {
			b.Known = false
			return b
		}
		if c.Rows > 0 {
			complete *= 1 - *col.Null
		}
	}
	if !b.Known || c.Rows == 0 {
		return b
	}
	if c.Index != "" {
		header := complete*entryHeader + (1-complete)*entryHeaderNul
		b.Expected = int64(indexPages(c, header+dataWidth(columns))) * c.PageSize
		return b
	}
	bitmap := math.Ceil(float64(len(columns)) / 8)
	header := complete*alignUp(rowHeader, alignment) + (1-complete)*alignUp(rowHeader+bitmap, alignment)
	row := header + dataWidth(columns) + linePointer
	room := float64(c.PageSize-pageHeader) - float64(c.PageSize)*(1-float64(c.Fill)/100)
	b.Expected = int64(math.Ceil(c.Rows/perPage(room, row))) * c.PageSize
	return b
}

// indexPages is how many pages a B-tree of entries of that width takes: its
// leaves, what points at them, and the page that describes it.
func indexPages(c column, entry float64) float64 {
	entry += linePointer
	room := float64(c.PageSize - pageHeader - pageEnd)
	leaves := math.Ceil(c.Rows / perPage(room*float64(c.Fill)/100, entry))
	all := leaves + 1
	for level := leaves; level > 1; {
		level = math.Ceil(level / max(2, perPage(room*innerFill/100, entry)))
		all += level
	}
	return all
}

// perPage is how many rows fit into the room of a page, at least one.
func perPage(room, row float64) float64 { return max(1, math.Floor(room/row)) }

// dataWidth is the average width of the values of a row, with what their
// alignment costs: exactly as long as only values of fixed width came before,
// on average after that.
func dataWidth(columns []column) float64 {
	offset, exact := 0.0, true
	for _, c := range columns {
		width, present := *c.Width, 1-*c.Null
		step := alignOf(c.Align)
		if c.Length < 0 && width < longHeader {
			step = 1
		}
		switch {
		case step == 1:
		case exact:
			offset += present * (alignUp(offset, step) - offset)
		default:
			offset += present * (step - 1) / 2
		}
		if c.Length < 0 || *c.Null > 0 {
			exact = false
		}
		offset += width * present
	}
	if exact {
		return alignUp(offset, alignment)
	}
	return offset + (alignment-1)/2.0
}

func alignUp(n, to float64) float64 { return math.Ceil(n/to) * to }

// alignOf reads typalign (postgresql.org/docs/current/catalog-pg-type.html).
func alignOf(word string) float64 {
	switch word {
	case "s":
		return 2
	case "i":
		return 4
	case "d":
		return 8
	}
	return 1
}
