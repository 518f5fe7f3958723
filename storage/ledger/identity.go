package ledger

import (
	"context"

	"github.com/ghosteam/upkeep/jobs"
)

// Identity identifies the database of the ledger on its PostgreSQL server, as
// the answer to jobs.DatabaseIdentity; empty for SQLite.
func (r *Reader) Identity(ctx context.Context) (string, error) {
	if r.d.local {
		return "", nil
	}
	var identity string
	err := r.reading().row(ctx, jobs.DatabaseIdentity).Scan(&identity)
	return identity, r.explain(ctx, "identify the database of the ledger", err)
}
