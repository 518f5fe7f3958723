package ledger

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/pressly/goose/v3"
	"golang.org/x/sys/unix"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

const (
	// applicationID marks our files; the first migration writes it
	// (https://www.sqlite.org/pragma.html#pragma_application_id).
	applicationID = 0x75706b70
	// busyTimeout is how long a connection waits for another process's write.
	busyTimeout = "5000"
	// maxIdleWAL is the size to which a write-ahead log shrinks again.
	maxIdleWAL = "journal_size_limit(67108864)"
	// readConnections bounds the reads that run at once.
	readConnections = 4
)

// sqliteDialect is the dialect of the file at path.
func sqliteDialect(path string) *dialect {
	return &dialect{
		name:               "sqlite",
		now:                "CAST(unixepoch('subsec') * 1000000 AS INTEGER)",
		local:              true,
		goose:              goose.DialectSQLite3,
		countVersionTables: "SELECT COUNT(*) FROM sqlite_schema WHERE type = 'table' AND name = ?",
		conflict:           func(error) bool { return false },
		rolledBack:         rolledBackSQLite,
		explain:            func(err error) error { return explainSQLite(path, err) },
	}
}

// lockByFile makes SQLite's locks on database files belong to the open file
// instead of to the process. Otherwise any code of this process that opens and
// closes the file, such as a job that archives its folder, would drop them
// without a word (fcntl(2), "advisory record locking").
func lockByFile(log *slog.Logger) {
	if _, err := sqlite.OFDLocking(true); err != nil {
		log.Warn("the ledger's locks do not survive jobs that open its file", "cause", err)
	}
}

// openSQLite opens or creates the file at path.
func (l *Ledger) openSQLite(ctx context.Context, path string) error {
	lockByFile(l.o.Log)
	path, err := preparePath(path, l.o)
	if err != nil {
		return err
	}
	if l.o.StateDir == "" {
		l.o.StateDir = filepath.Dir(path)
	}
	l.lock = newLockFile(path + ".lock")
	if l.o.Exclusive {
		if err := l.Lock(ctx); err != nil {
			return err
		}
	}
	if err := createFile(path); err != nil {
		return fmt.Errorf("create the ledger: %w", err)
	}
	d := sqliteDialect(path)
	l.write, err = openPrepared(sqliteURI(path, "rw", "synchronous(FULL)", "foreign_keys(ON)", "temp_store(MEMORY)", maxIdleWAL))
	if err != nil {
		return fmt.Errorf("open the ledger %s: %w", path, err)
	}
	l.write.SetMaxOpenConns(1)
	l.group = &group{db: l.write, d: d}
	if err := l.setUpSQLite(ctx, d, path); err != nil {
		return fmt.Errorf("open the ledger %s: %w", path, diagnoseSQLite(err, path, unix.R_OK|unix.W_OK))
	}
	if l.Reader, err = connectSQLiteReader(path, d, l.o, ""); err != nil {
		return fmt.Errorf("open the ledger %s: %w", path, err)
	}
	l.owner = l.o.Instance
	return nil
}

// setUpSQLite makes sure that the file is ours, in WAL mode, of the newest
// schema, and opened the way that durability needs.
func (l *Ledger) setUpSQLite(ctx context.Context, d *dialect, path string) error {
	s := session{on: l.write, d: d}
	if err := checkOwnership(ctx, s); err != nil {
		return err
	}
	_, want, err := migrationsOf(d)
	if err != nil {
		return err
	}
	have, err := schemaOf(ctx, s)
	if err != nil {
		return err
	}
	if have != want {
		if err := l.upgradeSQLite(ctx, s, path); err != nil {
			return err
		}
	}
	// An unknown or refused PRAGMA is silently ignored, hence the look back.
	for pragma, wanted := range map[string]string{
		"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": busyTimeout,
	} {
		var got string
		if err := s.row(ctx, "PRAGMA "+pragma).Scan(&got); err != nil {
			return fmt.Errorf("read PRAGMA %s: %w", pragma, err)
		}
		if got != wanted {
			return fmt.Errorf("SQLite works with %s = %s, which is not safe for a ledger: it must be %s", pragma, got, wanted)
		}
	}
	return nil
}

// upgradeSQLite writes what a new or older file lacks. A lock on the folder
// keeps other processes that do the same out and, unlike a lock file, leaves
// nothing behind.
func (l *Ledger) upgradeSQLite(ctx context.Context, s session, path string) error {
	unlock, err := lockFolder(ctx, filepath.Dir(path))
	if err != nil {
		return err
	}
	defer unlock()
	_, want, err := migrationsOf(s.d)
	if err != nil {
		return err
	}
	have, err := schemaOf(ctx, s)
	if err != nil {
		return err
	}
	if have > want || have > 0 && have < want && !l.lock.held() {
		return schemaMismatch(path, have, want)
	}
	if have == 0 {
		// Only an empty file can take this up: space of what is deleted can
		// then be given back (https://www.sqlite.org/pragma.html#pragma_auto_vacuum).
		if _, err := s.exec(ctx, "PRAGMA auto_vacuum = INCREMENTAL"); err != nil {
			return fmt.Errorf("prepare for giving space back: %w", err)
		}
	}
	var mode string
	if err := s.row(ctx, "PRAGMA journal_mode = WAL").Scan(&mode); err != nil {
		return fmt.Errorf("switch to write-ahead logging: %w", err)
	}
	if have == want {
		return nil
	}
	if err := migrate(ctx, l.write, s.d); err != nil {
		return err
	}
	l.o.Log.InfoContext(ctx, "ledger tables are up to date", "path", path, "from_schema", have, "to_schema", want)
	return nil
}

// checkOwnership refuses a database that is not a ledger, such as the one of
// the application that upkeep looks after. It looks once, because another
// process may be setting the ledger up; what the migrator and SQLite make for
// themselves does not count.
func checkOwnership(ctx context.Context, s session) error {
	var id, tables int64
	const query = `SELECT (SELECT application_id FROM pragma_application_id),
		(SELECT COUNT(*) FROM sqlite_schema WHERE tbl_name <> ? AND name NOT LIKE 'sqlite@_%' ESCAPE '@')`
	if err := s.row(ctx, query, versionTable).Scan(&id, &tables); err != nil {
		return err
	}
	if id != applicationID && tables > 0 {
		return jobs.WithHint(errors.New("the file is an SQLite database of another program"),
			"give the ledger a file of its own, such as sqlite:var/upkeep.db")
	}
	return nil
}

// openSQLiteReader opens the file at path without changing it.
func openSQLiteReader(ctx context.Context, path string, o Options) (*Reader, error) {
	lockByFile(o.Log)
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("find the ledger: %w", err)
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w: %w", ErrMissing, err)
	case err != nil:
		return nil, fmt.Errorf("open the ledger: %w", err)
	case info.IsDir():
		return nil, fmt.Errorf("open the ledger: %s is a folder", path)
	case info.Size() == 0:
		return nil, fmt.Errorf("%w: %s is empty", ErrMissing, path)
	}
	extra, err := readOnlyMedium(path)
	if err != nil {
		return nil, fmt.Errorf("open the ledger: %w", err)
	}
	r, err := connectSQLiteReader(path, sqliteDialect(path), o, extra)
	if err != nil {
		return nil, fmt.Errorf("open the ledger %s: %w", path, err)
	}
	err = checkOwnership(ctx, r.reading())
	if err == nil {
		err = checkSchema(ctx, r.reading(), path)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the ledger %s: %w", path, diagnoseSQLite(err, path, unix.R_OK)), r.Close())
	}
	return r, nil
}

func connectSQLiteReader(path string, d *dialect, o Options, extra string) (*Reader, error) {
	db, err := openPrepared(sqliteURI(path, "ro", "query_only(ON)", "temp_store(MEMORY)") + extra)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(readConnections)
	db.SetMaxIdleConns(readConnections)
	return &Reader{db: db, on: db, d: d, address: path, live: o.Live}, nil
}

// sqliteURI names a file the way that SQLite reads URIs, so that no character
// of its path is special (https://www.sqlite.org/uri.html).
func sqliteURI(path, mode string, pragmas ...string) string {
	var b strings.Builder
	b.WriteString((&url.URL{Scheme: "file", Path: path}).String())
	b.WriteString("?mode=" + mode + "&_txlock=immediate&_dqs=0&_pragma=busy_timeout(" + busyTimeout + ")")
	for _, pragma := range pragmas {
		b.WriteString("&_pragma=" + pragma)
	}
	return b.String()
}

// readOnlyMedium returns what a connection to a file on a read-only file
// system needs: nobody can write there, so SQLite may do without its shared
// memory, which it could not create.
func readOnlyMedium(path string) (string, error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(filepath.Dir(path), &stat); err != nil {
		return "", fmt.Errorf("look at the file system of %s: %w", path, err)
	}
	if stat.Flags&unix.ST_RDONLY == 0 {
		return "", nil
	}
	if info, err := os.Stat(path + "-wal"); err == nil && info.Size() > 0 {
		return "", jobs.WithHint(fmt.Errorf("%s has an unmerged write-ahead log and lies on a read-only file system", path),
			"copy the file and its -wal to a writable folder and read the copy")
	}
	return "&immutable=1", nil
}

// diagnoseSQLite adds what SQLite's own words leave out to an error of opening
// a file with the access rights that need names.
func diagnoseSQLite(err error, path string, need uint32) error {
	var failure *sqlite.Error
	if !errors.As(err, &failure) {
		return err
	}
	switch failure.Code() & 0xff {
	case sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM:
		for _, name := range []string{path, path + "-wal", path + "-shm"} {
			if e := unix.Access(name, need); errors.Is(e, unix.EACCES) {
				return jobs.WithHint(fmt.Errorf("no permission for %s: %w", name, err), "run upkeep as the user who owns the ledger, or as root")
			}
		}
		if e := unix.Access(filepath.Dir(path), unix.W_OK); errors.Is(e, unix.EACCES) {
			return jobs.WithHint(fmt.Errorf("no permission to write into %s, where SQLite keeps its files for concurrent reading: %w",
				filepath.Dir(path), err), "run upkeep as the user who owns the ledger, or as root")
		}
	case sqlite3.SQLITE_NOTADB:
		return jobs.WithHint(fmt.Errorf("the file is not an SQLite database: %w", err), "give the ledger a file of its own")
	}
	return explainSQLite(path, err)
}

// rolledBackSQLite: a full disk or an I/O error ends the transaction
// (https://www.sqlite.org/lang_transaction.html, "response to errors within a
// transaction"); SQLite has no code of its own for that.
func rolledBackSQLite(err error) bool {
	var failure *sqlite.Error
	return errors.As(err, &failure) && failure.Code() == sqlite3.SQLITE_ERROR && strings.Contains(failure.Error(), "no transaction is active")
}

// leastFree is how many free bytes make an I/O error one of a full disk: less
// than the shared memory beside the file grows by at once.
const leastFree = 64 << 10

func noSpaceSQLite(err error) error {
	return jobs.WithHint(fmt.Errorf("%w: %w", runner.ErrNoSpace, err), "free space on the file system that holds the ledger")
}

// explainSQLite knows the result codes of https://www.sqlite.org/rescode.html
// that a person can do something about.
func explainSQLite(path string, err error) error {
	var failure *sqlite.Error
	if !errors.As(err, &failure) {
		return err
	}
	switch failure.Code() & 0xff {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return jobs.WithHint(fmt.Errorf("%w: another process is writing: %w", runner.ErrUnavailable, err), "try again in a moment")
	case sqlite3.SQLITE_FULL:
		return noSpaceSQLite(err)
	case sqlite3.SQLITE_IOERR:
		// Not every write tells why it failed, such as one of a quota or one to
		// the shared memory beside the file.
		var stat unix.Statfs_t
		if e := unix.Statfs(filepath.Dir(path), &stat); e == nil && freeOf(stat) < leastFree {
			return noSpaceSQLite(err)
		}
		return jobs.WithHint(fmt.Errorf("%w: %w", runner.ErrUnavailable, err), "look for full disks, quotas and I/O errors in the system's log")
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return jobs.WithHint(fmt.Errorf("the ledger's file is damaged: %w", err),
			"stop upkeep, keep a copy of the file with its -wal and -shm, and restore a backup")
	case sqlite3.SQLITE_READONLY:
		return jobs.WithHint(err, "the ledger or its folder is not writable for this user")
	}
	return err
}
