package ledger

import (
	"context"
	"database/sql"
	"slices"
	"strings"
)

// TableSize is how many rows a table has.
type TableSize struct {
	Name string
	Rows int64
}

// Sizes returns how many rows each of the ledger's tables has, by name. It
// counts them, which takes seconds where there are millions.
func (r *Reader) Sizes(ctx context.Context) ([]TableSize, error) {
	query := "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name"
	if !r.d.local {
		query = "SELECT tablename::text FROM pg_catalog.pg_tables WHERE schemaname = current_schema() ORDER BY 1"
	}
	var names []string
	err := r.reading().each(ctx, query, nil, func(rows *sql.Rows) error {
		var name string
		err := rows.Scan(&name)
		names = append(names, name)
		return err
	})
	if err != nil {
		return nil, r.explain(ctx, "list the tables", err)
	}
	names = slices.DeleteFunc(names, func(name string) bool {
		return name == versionTable || name == copyTableName || strings.HasPrefix(name, "sqlite_") || strings.HasPrefix(name, "river_")
	})
	slices.Sort(names)
	list := make([]TableSize, len(names))
	for i, name := range names {
		list[i].Name = name
		if err := r.reading().row(ctx, "SELECT COUNT(*) FROM "+name).Scan(&list[i].Rows); err != nil {
			return nil, r.explain(ctx, "count table "+name, err)
		}
	}
	return list, nil
}

// Schema returns the version of the ledger's tables.
func (r *Reader) Schema(ctx context.Context) (int64, error) {
	version, err := schemaOf(ctx, r.reading())
	return version, r.explain(ctx, "read the schema", err)
}

// Bytes returns the size of the database's file, or of its tables on a server.
func (r *Reader) Bytes(ctx context.Context) (int64, error) {
	size := "SELECT COALESCE(SUM(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = current_schema() AND c.relkind = 'r'"
	if r.d.local {
		size = "SELECT (SELECT page_count FROM pragma_page_count) * (SELECT page_size FROM pragma_page_size)"
	}
	var bytes int64
	err := r.reading().row(ctx, size).Scan(&bytes)
	return bytes, r.explain(ctx, "measure the ledger", err)
}
