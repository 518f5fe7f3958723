package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

const (
	// copyTableName is the table that remembers how far a copy is. It is there
	// only until the copy is complete.
	copyTableName = "ledger_copy"
	// copyingVersion stands among the applied migrations while a copy is not
	// complete, so that no version of upkeep takes what is there for a ledger.
	copyingVersion = 9_000_000_000
)

// copyTarget is the PostgreSQL ledger into which another is copied. Its session
// holds the lock under which one process at a time sets a ledger up.
type copyTarget struct {
	address, schema string
	d               *dialect
	pool            *pgxpool.Pool
	conn            *pgxpool.Conn
	db              *sql.DB
}

func openCopyTarget(ctx context.Context, o CopyOptions) (to *copyTarget, err error) {
	at, err := parseDSN(o.To)
	if err != nil {
		return nil, err
	}
	if at.path != "" {
		return nil, jobs.WithHint(errors.New("the target is an SQLite file"), "name a PostgreSQL database: postgres://USER@HOST/DATABASE")
	}
	config, schema, err := postgresConfig(at.server, o.Node)
	if err != nil {
		return nil, err
	}
	to = &copyTarget{address: addressOf(config.ConnConfig), schema: schema, d: postgresDialect()}
	defer func() {
		if err != nil {
			err = errors.Join(to.explain(ctx, "open the ledger "+to.address, err), to.close(context.WithoutCancel(ctx)))
			to = nil
		}
	}()
	if to.pool, err = openPool(ctx, config, newWires()); err != nil {
		return to, err
	}
	to.db = poolDB(to.pool)
	if err = checkServer(ctx, to.db, !o.DryRun); err != nil {
		return to, err
	}
	if to.conn, err = to.pool.Acquire(ctx); err != nil {
		return to, err
	}
	// The server's own limits are for short statements.
	if _, err = to.conn.Exec(ctx, "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0"); err != nil {
		return to, err
	}
	return to, to.alone(ctx)
}

// alone takes the lock of those who set a ledger up. The session of a process
// that was killed may hold it for a while yet.
func (to *copyTarget) alone(ctx context.Context) error {
	for began := time.Now(); ; {
		var got bool
		err := to.conn.QueryRow(ctx, "SELECT pg_try_advisory_lock($1)", int64(migrationLock)).Scan(&got)
		if err != nil || got {
			return err
		}
		if time.Since(began) > copyWait {
			return jobs.WithHint(fmt.Errorf("%w: another process sets it up or copies into it", runner.ErrUnavailable), "wait for it, or try again in a moment")
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(copyWait / 100):
		}
	}
}

func (to *copyTarget) explain(ctx context.Context, what string, err error) error {
	return (&Reader{d: to.d}).explain(ctx, what, err)
}

// close ends the session, and with it the lock.
func (to *copyTarget) close(ctx context.Context) error {
	var errs []error
	if to.conn != nil {
		errs = append(errs, to.conn.Conn().Close(ctx))
		to.conn.Release()
	}
	if to.db != nil {
		errs = append(errs, to.db.Close())
	}
	errs = append(errs, closePool(to.pool))
	return errors.Join(errs...)
}

// texts returns the first column of a query.
func (to *copyTarget) texts(ctx context.Context, query string, args ...any) ([]string, error) {
	rows, err := to.conn.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// schemaNow is the schema of the target: 0 when there is none, and whether a
// copy into it is not complete.
func (to *copyTarget) schemaNow(ctx context.Context) (version int64, copying bool, err error) {
	s := session{on: to.db, d: to.d}
	version, err = schemaOf(ctx, s)
	if err != nil || version != copyingVersion {
		return version, false, err
	}
	err = to.conn.QueryRow(ctx, "SELECT COALESCE(MAX(version_id), 0) FROM "+versionTable+" WHERE is_applied AND version_id < $1", int64(copyingVersion)).Scan(&version)
	return version, true, err
}

// fit tells whether the target can take the copy, without changing it, and
// whether it is the beginning of one.
func (to *copyTarget) fit(ctx context.Context, identity string) (resumed bool, err error) {
	_, want, err := migrationsOf(to.d)
	if err != nil {
		return false, err
	}
	have, copying, err := to.schemaNow(ctx)
	switch {
	case err != nil:
		return false, err
	case have == 0:
		return false, nil
	case have != want:
		return false, schemaMismatch(to.address, have, want)
	case !copying:
		return false, to.mustBeEmpty(ctx)
	}
	var source string
	err = to.conn.QueryRow(ctx, "SELECT digest FROM "+copyTableName+" WHERE name = ''").Scan(&source)
	if err != nil {
		return true, fmt.Errorf("read how far the copy is: %w", err)
	}
	if source != identity {
		return true, to.refused(fmt.Sprintf("a copy of another ledger (%s) into it was interrupted", source))
	}
	return true, nil
}

// refused says why the target is not taken.
func (to *copyTarget) refused(why string) error {
	return jobs.WithHint(&jobs.RefusedError{Rail: "target", Why: "the target " + to.address + " is not empty: " + why},
		fmt.Sprintf("name an empty database, or another schema by search_path in the URL; if nothing in it is needed: DROP SCHEMA %s CASCADE", to.schema))
}

// mustBeEmpty refuses a ledger that has anything on record.
func (to *copyTarget) mustBeEmpty(ctx context.Context) error {
	all, err := to.texts(ctx, "SELECT tablename::text FROM pg_catalog.pg_tables WHERE schemaname = current_schema() ORDER BY 1")
	if err != nil {
		return err
	}
	var filled []string
	for _, name := range all {
		if name == versionTable || name == copyTableName || strings.HasPrefix(name, "river_") {
			continue
		}
		var found bool
		if err := to.conn.QueryRow(ctx, "SELECT EXISTS (SELECT 1 FROM "+pgx.Identifier{name}.Sanitize()+")").Scan(&found); err != nil {
			return err
		}
		if found {
			filled = append(filled, name)
		}
	}
	if len(filled) > 0 {
		return to.refused("it has rows in " + strings.Join(filled, ", "))
	}
	return nil
}

// begin makes the target ready for a copy, and tells whether it is the beginning
// of one. From then on nobody takes it for a ledger.
func (to *copyTarget) begin(ctx context.Context, identity string) (resumed bool, err error) {
	if resumed, err = to.fit(ctx, identity); err != nil || resumed {
		return resumed, err
	}
	if err := to.makeTables(ctx); err != nil {
		return false, err
	}
	err = pgx.BeginFunc(ctx, to.conn, func(tx pgx.Tx) error {
		for _, statement := range []string{
			"CREATE TABLE " + copyTableName + " (name TEXT NOT NULL PRIMARY KEY, digest TEXT NOT NULL, at TIMESTAMPTZ NOT NULL DEFAULT now())",
			fmt.Sprintf("INSERT INTO %s (version_id, is_applied) VALUES (%d, TRUE)", versionTable, int64(copyingVersion)),
		} {
			if _, err := tx.Exec(ctx, statement); err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, "INSERT INTO "+copyTableName+" (name, digest) VALUES ('', $1)", identity)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("begin the copy: %w", err)
	}
	// A service may have started between the two looks.
	if err := to.mustBeEmpty(ctx); err != nil {
		return false, errors.Join(err, to.unmark(ctx))
	}
	return false, nil
}

// makeTables creates what an empty database lacks.
func (to *copyTarget) makeTables(ctx context.Context) error {
	conn, err := to.db.Conn(ctx)
	if err != nil {
		return err
	}
	err = createSchema(ctx, conn, to.schema)
	if err = errors.Join(err, conn.Close()); err != nil {
		return err
	}
	return migrate(ctx, to.db, to.d)
}

// unmark makes the target an ordinary ledger.
func (to *copyTarget) unmark(ctx context.Context) error {
	return pgx.BeginFunc(ctx, to.conn, func(tx pgx.Tx) error { return unmark(ctx, tx) })
}

func unmark(ctx context.Context, tx pgx.Tx) error {
	if _, err := tx.Exec(ctx, "DROP TABLE "+copyTableName); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, "DELETE FROM "+versionTable+" WHERE version_id = $1", int64(copyingVersion))
	return err
}

// tables returns the names of the tables to copy, sorted.
func (to *copyTarget) tables(ctx context.Context) ([]string, error) {
	all, err := to.texts(ctx, "SELECT tablename::text FROM pg_catalog.pg_tables WHERE schemaname = current_schema()")
	all = slices.DeleteFunc(all, notCopied)
	slices.Sort(all)
	return all, err
}

// columns returns the columns of a table.
func (to *copyTarget) columns(ctx context.Context, table string) ([]copyColumn, error) {
	rows, err := to.conn.Query(ctx, `SELECT column_name::text, data_type::text FROM information_schema.columns
		WHERE table_schema = current_schema() AND table_name = $1 ORDER BY ordinal_position`, table)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (copyColumn, error) {
		var c copyColumn
		var typeName string
		if err := row.Scan(&c.name, &typeName); err != nil {
			return c, err
		}
		c.kind, err = kindOfColumn(typeName)
		return c, err
	})
}

// parents returns to which tables each refers.
func (to *copyTarget) parents(ctx context.Context) (map[string][]string, error) {
	rows, err := to.conn.Query(ctx, `SELECT c.relname::text, p.relname::text FROM pg_constraint f JOIN pg_class c ON c.oid = f.conrelid
		JOIN pg_class p ON p.oid = f.confrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE f.contype = 'f' AND n.nspname = current_schema() ORDER BY 1, 2`)
	if err != nil {
		return nil, err
	}
	parents := map[string][]string{}
	var child, parent string
	_, err = pgx.ForEachRow(rows, []any{&child, &parent}, func() error {
		parents[child] = append(parents[child], parent)
		return nil
	})
	return parents, err
}

// done returns the digests of the tables that are there.
func (to *copyTarget) done(ctx context.Context) (map[string]string, error) {
	rows, err := to.conn.Query(ctx, "SELECT name, digest FROM "+copyTableName+" WHERE name <> ''")
	if err != nil {
		return nil, err
	}
	done := map[string]string{}
	var name, digest string
	_, err = pgx.ForEachRow(rows, []any{&name, &digest}, func() error {
		done[name] = digest
		return nil
	})
	return done, err
}
