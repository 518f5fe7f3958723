package sqlitebackup

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"modernc.org/sqlite"

	"github.com/ghosteam/upkeep/jobs"
)

// magic begins every SQLite 3 database (www.sqlite.org/fileformat.html §1.3).
const magic = "SQLite format 3\x00"

// headerBytes is the length of the database header; walVersion is the value of
// its byte 18 in WAL mode.
const (
	headerBytes = 100
	walVersion  = 2
)

// errNotDatabase says that a file has the wrong form.
var errNotDatabase = errors.New("the file is not an SQLite database")

// source is the database file as it is found.
type source struct {
	// path is the file itself, links resolved; bytes is its length together
	// with its write-ahead log.
	path  string
	bytes int64
	wal   bool
}

// look examines the file without opening it as a database, which would leave
// traces beside it.
func (j *Job) look() (source, error) {
	configured := j.options.Path.String()
	fail := func(err error, hint string) (source, error) {
		return source{}, jobs.WithHint(fmt.Errorf("back up %s: %w", configured, err), hint)
	}
	path, err := filepath.EvalSymlinks(configured)
	if errors.Is(err, fs.ErrNotExist) {
		return fail(errors.New("there is no such file"), "correct path, or let the program make its database first")
	}
	if err != nil {
		return fail(err, "correct path, or its permissions")
	}
	info, err := os.Stat(path)
	if err != nil {
		return fail(err, "")
	}
	if !info.Mode().IsRegular() {
		return fail(errors.New("it is not a regular file"), "path names the database file itself")
	}
	s := source{path: path, bytes: info.Size()}
	if wal, err := os.Stat(path + "-wal"); err == nil {
		s.bytes += wal.Size()
	}
	f, err := os.Open(path)
	if err != nil {
		return fail(err, "let the user that runs upkeep read the file")
	}
	defer f.Close() //nolint:errcheck // only read
	head := make([]byte, headerBytes)
	switch _, err := io.ReadFull(f, head); {
	case errors.Is(err, io.EOF): // an empty file is an empty database
	case err != nil && !errors.Is(err, io.ErrUnexpectedEOF):
		return fail(err, "check the disk")
	case err != nil || string(head[:len(magic)]) != magic:
		return fail(errNotDatabase, "correct path; other files are saved by the kind archive")
	default:
		s.wal = head[18] == walVersion
	}
	return s, nil
}

// uri returns the name by which SQLite opens a file.
func uri(path string, parameters ...string) string {
	u := url.URL{Scheme: "file", OmitHost: true, Path: path}
	return u.String() + "?" + strings.Join(parameters, "&")
}

// open opens a database file that nobody else uses, or a database in use, read
// only. It makes no file.
func open(ctx context.Context, path string, parameters ...string) (*sql.DB, error) {
	db, err := sql.Open("sqlite", uri(path, append([]string{"mode=ro"}, parameters...)...))
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	db.SetMaxOpenConns(1)
	var tables int
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&tables); err != nil {
		return nil, errors.Join(advise(fmt.Errorf("open %s: %w", path, or(ctx, err))), db.Close())
	}
	return db, nil
}

// openCopy opens a file that nothing else can be writing to.
func openCopy(ctx context.Context, path string) (*sql.DB, error) {
	return open(ctx, path, "immutable=1")
}

// openLive opens the database in use. tidy must be called after it was closed:
// a reader of a database in WAL mode makes two files beside it, which only a
// writer may remove, so that they would be left when no program uses it.
func openLive(ctx context.Context, s source, wait time.Duration) (db *sql.DB, tidy func() error, err error) {
	pragma := "_pragma=busy_timeout(" + strconv.FormatInt(wait.Milliseconds(), 10) + ")"
	alone := s.wal && missing(s.path+"-wal") && missing(s.path+"-shm")
	tidy = func() error {
		if !alone {
			return nil
		}
		return removeEmptyLog(context.WithoutCancel(ctx), s.path, pragma)
	}
	db, err = open(ctx, s.path, pragma)
	if err != nil {
		return nil, nil, errors.Join(err, tidy())
	}
	return db, tidy, nil
}

func missing(path string) bool {
	_, err := os.Lstat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// removeEmptyLog lets SQLite itself remove the empty log that our reading made:
// the last writer's connection does so under its own locks. It does nothing
// when another program has begun to use the database, and cannot where we may
// not write.
func removeEmptyLog(ctx context.Context, path, pragma string) error {
	if info, err := os.Stat(path + "-wal"); err != nil || info.Size() > 0 {
		return nil // no log of ours is left
	}
	db, err := sql.Open("sqlite", uri(path, "mode=rw", pragma))
	if err != nil {
		return fmt.Errorf("remove the empty log: %w", err)
	}
	var tables int
	// A file or directory that we may not write to keeps its empty log.
	_ = db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&tables)
	if err := db.Close(); err != nil {
		return fmt.Errorf("remove the empty log: %w", err)
	}
	return nil
}

// The primary result codes of SQLite that have a known cause
// (www.sqlite.org/rescode.html).
const (
	codeError    = 1
	codeBusy     = 5
	codeLocked   = 6
	codeReadonly = 8
	codeIOErr    = 10
	codeCorrupt  = 11
	codeFull     = 13
	codeCantOpen = 14
	codeNotADB   = 26
)

// advise adds a hint to an error of SQLite.
func advise(err error) error {
	e, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		return err
	}
	switch e.Code() & 0xff {
	case codeBusy, codeLocked:
		return jobs.WithHint(err, "a program holds the database locked; raise wait, or run when it is idle")
	case codeReadonly, codeCantOpen:
		return jobs.WithHint(err, "let the user that runs upkeep write to the database's directory: reading in WAL mode, or after a crash, needs it")
	case codeCorrupt:
		return jobs.WithHint(err, hintCorrupt)
	case codeFull, codeIOErr:
		return jobs.WithHint(err, "check the free space of the working directory, and the disk")
	case codeNotADB:
		return jobs.WithHint(err, "correct path, or the database is encrypted or damaged")
	}
	return err
}

const hintCorrupt = "restore the last good backup, or rescue what can be read with: sqlite3 FILE .recover; older backups were kept"
