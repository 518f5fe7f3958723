package pgreview

import (
	"context"
	"fmt"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg"
)

// mostRelations bounds how many tables, and how many indexes, are estimated,
// the largest first.
const mostRelations = 500

// askBloat estimates empty room.
func askBloat(ctx context.Context, r *review) error {
	limits := r.options.Bloat
	least := max(limits.Size.Bytes(), 1)
	tables, err := pg.TableBloat(ctx, r.conn, least, mostRelations)
	if err != nil {
		return err
	}
	indexes, err := pg.IndexBloat(ctx, r.conn, least, mostRelations)
	if err != nil {
		return err
	}
	var wasted int64
	unknown := 0
	for _, b := range append(tables, indexes...) {
		if !b.Known {
			unknown++
			continue
		}
		if b.Wasted() < limits.Size.Bytes() || b.Percent() < float64(limits.Share) {
			continue
		}
		wasted += b.Wasted()
		amount := fmt.Sprintf("about %.0f %% of %s is empty room (limits %s and %s)", b.Percent(), size(b.Bytes), limits.Share, limits.Size)
		if b.Index != "" {
			r.add(jobs.Warning, float64(b.Wasted()), dotted(b.Schema, b.Index), fmt.Sprintf("index %s.%s: %s", b.Schema, b.Index, amount), "REINDEX INDEX CONCURRENTLY "+sqlName(b.Schema, b.Index)+";")
			continue
		}
		r.add(jobs.Warning, float64(b.Wasted()), dotted(b.Schema, b.Table), fmt.Sprintf("table %s.%s: %s; VACUUM FULL or pg_repack would give it back", b.Schema, b.Table, amount), "")
	}
	r.values["bloat_bytes"] = float64(wasted)
	if unknown > 0 {
		r.cannotSee(jobs.Warning, "%d tables and indexes of which %s sees no statistics: ANALYZE them, or grant SELECT on the tables", unknown, sqlName(r.conn.Server.User))
	}
	return nil
}
