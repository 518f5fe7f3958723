package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// Inspection is what a look at the ledger itself found.
type Inspection struct {
	// Dialect is sqlite or postgres.
	Dialect string
	// Now is the database's clock when it was asked; for SQLite that of this
	// machine.
	Now time.Time
	// Bytes is the size of the database's file, or of its tables on a server.
	Bytes int64
	// Damage is what PRAGMA quick_check found (https://www.sqlite.org/pragma.html),
	// at most ten lines; empty when the file is whole, and for PostgreSQL, which
	// has no such question.
	Damage []string
}

// mostDamage bounds what is told of a damaged file.
const mostDamage = 10

// Now returns the database's clock.
func (r *Reader) Now(ctx context.Context) (time.Time, error) {
	var now int64
	if err := r.reading().row(ctx, "SELECT "+r.d.now).Scan(&now); err != nil {
		return time.Time{}, r.explain(ctx, "ask the ledger for the time", err)
	}
	return time.UnixMicro(now).UTC(), nil
}

// Inspect looks at the ledger itself. Of an SQLite file it reads every page,
// which takes seconds for one of a gigabyte; ctx may end that.
func (r *Reader) Inspect(ctx context.Context) (Inspection, error) {
	i := Inspection{Dialect: r.d.name}
	var err error
	if i.Now, err = r.Now(ctx); err != nil {
		return i, err
	}
	if i.Bytes, err = r.Bytes(ctx); err != nil {
		return i, err
	}
	if !r.d.local {
		return i, nil
	}
	err = r.reading().each(ctx, fmt.Sprintf("PRAGMA quick_check(%d)", mostDamage), nil, func(rows *sql.Rows) error {
		var found string
		if err := rows.Scan(&found); err != nil {
			return err
		}
		if found != "ok" {
			i.Damage = append(i.Damage, cleanLine(found, maxShortText))
		}
		return nil
	})
	return i, r.explain(ctx, "check the ledger", err)
}
