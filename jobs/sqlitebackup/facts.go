package sqlitebackup

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"modernc.org/sqlite"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/storage/object"
)

// stream is the one stream of a backup.
const stream = "database.sqlite"

// Details is the backup's part of the manifest: what is in the database,
// counted in the copy itself.
type Details struct {
	// Source is the path that was saved, and Method how.
	Source string `json:"source"`
	Method string `json:"method"`
	// JournalMode is "wal" or "delete": what the restored database will use.
	JournalMode string `json:"journal_mode"`
	// SQLite is the version of the library that made the copy.
	SQLite string `json:"sqlite"`
	Facts
	// ForeignKeys counts the rows that refer to missing ones.
	ForeignKeys int64 `json:"foreign_key_violations"`
}

// Facts are what must be the same in every copy.
type Facts struct {
	PageSize      int64  `json:"page_size"`
	Pages         int64  `json:"pages"`
	UserVersion   int64  `json:"user_version"`
	ApplicationID int64  `json:"application_id"`
	Encoding      string `json:"encoding"`
	// Schema is the SHA-256 of the statements that make the schema.
	Schema string `json:"schema_sha256"`
	// Tables are all tables in the order of their names, with their rows.
	Tables []Table `json:"tables"`
}

// Table is a table and its number of rows.
type Table struct {
	Name string `json:"name"`
	Rows int64  `json:"rows"`
}

// Rows returns the number of rows of all tables.
func (f Facts) Rows() int64 {
	var total int64
	for _, t := range f.Tables {
		total += t.Rows
	}
	return total
}

// DetailsOf returns the backup's part of a manifest.
func DetailsOf(m object.Manifest) (Details, error) {
	var d Details
	if m.Kind != "sqlitebackup" {
		return d, fmt.Errorf("artifact %s is not an SQLite backup but was made by the kind %s", m.ID, m.Kind)
	}
	if err := json.Unmarshal(m.Details, &d); err != nil {
		return d, fmt.Errorf("artifact %s: %w: details: %w", m.ID, object.ErrDamaged, err)
	}
	return d, nil
}

// corruptError says what integrity_check found.
type corruptError struct {
	findings []string
}

func (e *corruptError) Error() string {
	text := e.findings[0]
	if more := len(e.findings) - 1; more > 0 {
		text += fmt.Sprintf(" (and %d more)", more)
	}
	return "the database is corrupt: " + strings.Join(strings.Fields(text), " ")
}

// Hint says what to do.
func (e *corruptError) Hint() string { return hintCorrupt }

// integrity runs integrity_check over the whole file.
func integrity(ctx context.Context, db *sql.DB) error {
	lines, err := texts(ctx, db, "PRAGMA integrity_check(20)")
	if err != nil {
		return advise(fmt.Errorf("check the database: %w", or(ctx, err)))
	}
	switch {
	case len(lines) == 0:
		return &corruptError{findings: []string{"integrity_check said nothing"}}
	case len(lines) > 1 || lines[0] != "ok":
		return &corruptError{findings: lines}
	}
	return nil
}

// examine collects the facts about an intact database.
func examine(ctx context.Context, db *sql.DB) (Facts, error) {
	var f Facts
	for pragma, into := range map[string]any{
		"page_size": &f.PageSize, "page_count": &f.Pages, "user_version": &f.UserVersion,
		"application_id": &f.ApplicationID, "encoding": &f.Encoding,
	} {
		if err := db.QueryRowContext(ctx, "PRAGMA "+pragma).Scan(into); err != nil {
			return f, advise(fmt.Errorf("read %s: %w", pragma, or(ctx, err)))
		}
	}
	schema, err := texts(ctx, db, "SELECT type || char(0) || name || char(0) || tbl_name || char(0) || coalesce(sql, '') FROM sqlite_schema ORDER BY 1")
	if err != nil {
		return f, advise(fmt.Errorf("read the schema: %w", or(ctx, err)))
	}
	sum := sha256.New()
	for _, statement := range schema {
		_, _ = io.WriteString(sum, statement+"\x00") // a hash never fails
	}
	f.Schema = hex.EncodeToString(sum.Sum(nil))
	// Virtual tables are left out: what they hold lies in their shadow tables,
	// and counting them may need an extension that is not built in.
	names, err := texts(ctx, db, "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type IN ('table', 'shadow') AND name <> 'sqlite_schema' ORDER BY name")
	if err != nil {
		return f, advise(fmt.Errorf("list the tables: %w", or(ctx, err)))
	}
	for _, name := range names {
		t := Table{Name: name}
		if err := db.QueryRowContext(ctx, "SELECT count(*) FROM "+quote(name)).Scan(&t.Rows); err != nil {
			return f, advise(fmt.Errorf("count the rows of %s: %w", name, or(ctx, err)))
		}
		f.Tables = append(f.Tables, t)
	}
	return f, nil
}

// quote makes an identifier of SQL from any name.
func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// violations looks for rows that break a foreign key. It returns their number
// and a finding about them, or about why the keys could not be checked.
func violations(ctx context.Context, db *sql.DB) (int64, []jobs.Finding, error) {
	warn := func(text string) []jobs.Finding {
		return []jobs.Finding{{ID: "foreign-keys", Severity: jobs.Warning, Text: strings.Join(strings.Fields(text), " ")}}
	}
	var rows int64
	var tables sql.NullString
	err := db.QueryRowContext(ctx, `SELECT count(*), group_concat(DISTINCT "table") FROM pragma_foreign_key_check`).Scan(&rows, &tables)
	if e, ok := errors.AsType[*sqlite.Error](err); ok && e.Code() == codeError {
		// The schema itself is wrong, which does not keep anybody from using it.
		return 0, warn("the foreign keys cannot be checked: " + e.Error()), nil
	}
	switch {
	case err != nil:
		return 0, nil, advise(fmt.Errorf("check foreign keys: %w", or(ctx, err)))
	case rows > 0:
		return rows, warn(fmt.Sprintf("%d rows refer to rows that do not exist, in %s", rows, tables.String)), nil
	}
	return 0, nil, nil
}

// texts returns the first column of a query.
func texts(ctx context.Context, db *sql.DB, query string) (_ []string, err error) {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	var out []string
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		out = append(out, text)
	}
	return out, rows.Err()
}

// inspect checks and describes the copy that is about to be stored.
func (j *Job) inspect(ctx context.Context, path string) (_ Details, _ []jobs.Finding, err error) {
	d := Details{Source: j.options.Path.String(), Method: j.options.Method, JournalMode: "delete"}
	db, err := openCopy(ctx, path)
	if err != nil {
		return d, nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := integrity(ctx, db); err != nil {
		return d, nil, fmt.Errorf("back up %s: %w", d.Source, err)
	}
	if d.Facts, err = examine(ctx, db); err != nil {
		return d, nil, err
	}
	if err := db.QueryRowContext(ctx, "SELECT sqlite_version()").Scan(&d.SQLite); err != nil {
		return d, nil, fmt.Errorf("read the version of SQLite: %w", or(ctx, err))
	}
	if len(d.Tables) == 0 && !j.options.AllowEmpty {
		return d, nil, jobs.WithHint(fmt.Errorf("back up %s: the database has no tables", d.Source),
			"correct path, or set allow_empty if that is how it should be")
	}
	var findings []jobs.Finding
	if d.ForeignKeys, findings, err = violations(ctx, db); err != nil {
		return d, nil, err
	}
	return d, findings, nil
}
