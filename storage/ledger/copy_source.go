package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/ghosteam/upkeep/jobs"
)

// copySource is the SQLite ledger that is copied. It holds the lock of those who
// execute runs, and SQLite's own lock of those who write.
type copySource struct {
	path string
	// identity tells this file from others.
	identity string
	lock     *lockFile
	db       *sql.DB
	tx       *sql.Tx
	s        session
}

func openCopySource(ctx context.Context, o CopyOptions) (*copySource, error) {
	at, err := parseDSN(o.From)
	if err != nil {
		return nil, err
	}
	if at.path == "" {
		return nil, jobs.WithHint(errors.New("the ledger is on a PostgreSQL server already"), "only an SQLite ledger can be copied, and only to PostgreSQL")
	}
	lockByFile(o.Log)
	path, err := filepath.Abs(at.path)
	if err != nil {
		return nil, fmt.Errorf("find the ledger: %w", err)
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && info.Size() == 0:
		return nil, fmt.Errorf("%w: %s has nothing on record", ErrMissing, path)
	case err != nil:
		return nil, fmt.Errorf("open the ledger: %w", err)
	}
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("find the host's name: %w", err)
	}
	from := &copySource{path: path, identity: host + ":" + path, lock: newLockFile(path + ".lock")}
	holder := &Ledger{o: Options{Node: o.Node, Command: o.Command}, lock: from.lock}
	if err := holder.Lock(ctx); err != nil {
		return nil, err
	}
	if err := from.begin(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open the ledger %s: %w", path, explainSQLite(path, err)), from.close())
	}
	return from, nil
}

// begin keeps everybody from writing, and makes sure that the file is a ledger
// of this program's schema.
func (from *copySource) begin(ctx context.Context) error {
	d := sqliteDialect(from.path)
	var err error
	if from.db, err = openPrepared(sqliteURI(from.path, "rw", "temp_store(MEMORY)", fmt.Sprintf("busy_timeout(%d)", copyWait.Milliseconds()))); err != nil {
		return err
	}
	from.db.SetMaxOpenConns(1)
	// The URI makes this BEGIN IMMEDIATE.
	if from.tx, err = from.db.BeginTx(ctx, nil); err != nil {
		return err
	}
	from.s = session{on: from.tx, d: d}
	if err := checkOwnership(ctx, from.s); err != nil {
		return err
	}
	return checkSchema(ctx, from.s, from.path)
}

// close lets others write again.
func (from *copySource) close() error {
	var errs []error
	if from.tx != nil {
		if err := from.tx.Rollback(); err != nil && !errors.Is(err, sql.ErrTxDone) {
			errs = append(errs, err)
		}
	}
	if from.db != nil {
		errs = append(errs, from.db.Close())
	}
	errs = append(errs, from.lock.release())
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close the ledger %s: %w", from.path, err)
	}
	return nil
}

// tables returns the names of the tables to copy, sorted.
func (from *copySource) tables(ctx context.Context) ([]string, error) {
	var names []string
	err := from.s.each(ctx, "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name", nil, func(rows *sql.Rows) error {
		var name string
		err := rows.Scan(&name)
		if !notCopied(name) {
			names = append(names, name)
		}
		return err
	})
	return names, err
}

// columns returns the names of a table's columns, and those of its primary key
// in its order.
func (from *copySource) columns(ctx context.Context, table string) (names, keys []string, err error) {
	type key struct {
		name  string
		place int
	}
	var ordered []key
	err = from.s.each(ctx, "SELECT name, pk FROM pragma_table_info(?)", []any{table}, func(rows *sql.Rows) error {
		var name string
		var place int
		err := rows.Scan(&name, &place)
		names = append(names, name)
		if place > 0 {
			ordered = append(ordered, key{name, place})
		}
		return err
	})
	keys = make([]string, len(ordered))
	for _, k := range ordered {
		keys[k.place-1] = k.name
	}
	return names, keys, err
}

func (from *copySource) count(ctx context.Context, table string) (n int64, err error) {
	err = from.s.row(ctx, "SELECT COUNT(*) FROM "+table).Scan(&n)
	return n, err
}

// feed reads the rows of a table in the order of its key. The caller closes it.
func (from *copySource) feed(ctx context.Context, t copyTable, tell func(int64)) (*rowFeed, error) {
	query := fmt.Sprintf("SELECT %s FROM %s", strings.Join(t.columnNames(), ", "), t.name) // #nosec G201 -- names of the schema
	if len(t.keys) > 0 {
		query += " ORDER BY " + strings.Join(t.keys, ", ")
	}
	rows, err := from.tx.QueryContext(ctx, query) //nolint:rowserrcheck // rowFeed.Err does
	if err != nil {
		return nil, err
	}
	f := &rowFeed{t: t, rows: rows, tell: tell, values: make([]any, len(t.columns)), into: make([]any, len(t.columns))}
	for i := range f.into {
		f.into[i] = &f.values[i]
	}
	return f, nil
}

// rowFeed is the rows of a table as they are to be stored, one after the other.
type rowFeed struct {
	t    copyTable
	rows *sql.Rows
	tell func(int64)
	// values are those of the present row.
	values, into []any
	// sum is the digest so far, repaired how many texts were.
	sum      rowDigest
	repaired int64
	err      error
}

var _ pgx.CopyFromSource = (*rowFeed)(nil)

// Next implements pgx.CopyFromSource.
func (f *rowFeed) Next() bool {
	if f.err != nil || !f.rows.Next() {
		return false
	}
	f.err = f.take()
	return f.err == nil
}

func (f *rowFeed) take() error {
	if err := f.rows.Scan(f.into...); err != nil {
		return err
	}
	for i, c := range f.t.columns {
		v, repaired, err := c.stored(f.values[i])
		if err != nil {
			return fmt.Errorf("row %d, column %s: %w", f.sum.rows+1, c.name, err)
		}
		if f.values[i] = v; repaired {
			f.repaired++
		}
	}
	f.sum.add(f.values)
	f.tell(f.sum.rows)
	return nil
}

// Values implements pgx.CopyFromSource. They are good until the next call of
// Next.
func (f *rowFeed) Values() ([]any, error) { return f.values, nil }

// Err implements pgx.CopyFromSource.
func (f *rowFeed) Err() error { return errors.Join(f.err, f.rows.Err()) }

// close ends the reading.
func (f *rowFeed) close() error {
	f.tell(-f.sum.rows)
	return f.rows.Close()
}
