package ledger

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/pressly/goose/v3"

	"github.com/ghosteam/upkeep/jobs"
)

//go:embed migrations
var migrations embed.FS

// versionTable records which migrations a database has seen.
const versionTable = "schema_versions"

// SchemaError reports that the tables of a ledger are not those that this
// program works with.
type SchemaError struct {
	// Address names the ledger; Have is its schema and Want this program's.
	Address    string
	Have, Want int64
}

// Error says which side is newer.
func (e *SchemaError) Error() string {
	if e.Have > e.Want {
		return fmt.Sprintf("the ledger %s was written by a newer upkeep: it has schema %d, this program knows %d", e.Address, e.Have, e.Want)
	}
	return fmt.Sprintf("the ledger %s is of an older upkeep: it has schema %d, this program needs %d", e.Address, e.Have, e.Want)
}

// migrationsOf returns the migrations of a dialect and the version of the last.
func migrationsOf(d *dialect) (fs.FS, int64, error) {
	files, err := fs.Sub(migrations, "migrations/"+d.name)
	if err != nil {
		return nil, 0, fmt.Errorf("read the embedded migrations: %w", err)
	}
	entries, err := fs.ReadDir(files, ".")
	if err != nil {
		return nil, 0, fmt.Errorf("read the embedded migrations: %w", err)
	}
	last := int64(0)
	for _, entry := range entries {
		digits, _, _ := strings.Cut(entry.Name(), "_")
		version, err := strconv.ParseInt(digits, 10, 64)
		if err != nil {
			return nil, 0, fmt.Errorf("embedded migration %s: %w", entry.Name(), err)
		}
		last = max(last, version)
	}
	return files, last, nil
}

// schemaOf returns the version of the database's tables, 0 when it has none.
func schemaOf(ctx context.Context, s session) (int64, error) {
	var tables, version int64
	if err := s.row(ctx, s.d.countVersionTables, versionTable).Scan(&tables); err != nil {
		return 0, fmt.Errorf("look for the ledger's tables: %w", err)
	}
	if tables == 0 {
		return 0, nil
	}
	const query = "SELECT COALESCE(MAX(version_id), 0) FROM " + versionTable + " WHERE is_applied"
	if err := s.row(ctx, query).Scan(&version); err != nil {
		return 0, fmt.Errorf("read the ledger's schema: %w", err)
	}
	return version, nil
}

// checkSchema fails unless this program can read the ledger: its tables are
// exactly those of this program, or later ones on a server, where nodes of the
// version before go on after the first new one came, and so must the commands on
// them. ErrMissing when there are no tables.
func checkSchema(ctx context.Context, s session, address string) error {
	_, want, err := migrationsOf(s.d)
	if err != nil {
		return err
	}
	have, err := schemaOf(ctx, s)
	if err != nil {
		return err
	}
	if have == 0 {
		return fmt.Errorf("%w: %s has no tables", ErrMissing, address)
	}
	later := s.d.goose == goose.DialectPostgres && have > want && have != copyingVersion
	if have == want || later {
		return nil
	}
	return schemaMismatch(address, have, want)
}

func schemaMismatch(address string, have, want int64) error {
	if have == copyingVersion {
		return errBeingFilled(address)
	}
	err := &SchemaError{Address: address, Have: have, Want: want}
	if have > want {
		return jobs.WithHint(err, "use the newer upkeep, or give this one a ledger of its own")
	}
	return jobs.WithHint(err, "restart the upkeep service with this version: it brings the ledger up to date when it starts")
}

// migrate applies the migrations that db has not seen. The caller holds a lock
// that keeps other migrators out.
func migrate(ctx context.Context, db *sql.DB, d *dialect) error {
	files, _, err := migrationsOf(d)
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(d.goose, db, files,
		goose.WithTableName(versionTable), goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return fmt.Errorf("prepare the migrations: %w", err)
	}
	// The provider is not closed: that would close db.
	if _, err := provider.Up(ctx); err != nil {
		var partial *goose.PartialError
		if errors.As(err, &partial) && partial.Failed != nil {
			return fmt.Errorf("migration %d: %w", partial.Failed.Source.Version, partial.Err)
		}
		return err
	}
	return nil
}
