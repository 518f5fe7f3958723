package pgbackup

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/artifact"
	"github.com/ghosteam/upkeep/jobs/internal/pg"
)

// scratchPrefix begins the name of every database that a drill makes.
const scratchPrefix = "upkeep_drill_"

// scratchMark begins the comment on such a database; what follows is a
// scratchNote as JSON. A database without it is not ours, whatever its name.
const scratchMark = "upkeep drill "

// scratchNote says what a scratch database is.
type scratchNote struct {
	Artifact string `json:"artifact"`
	// Made is when, by the server's clock.
	Made time.Time `json:"made"`
	Run  string    `json:"run"`
	Node string    `json:"node"`
	// Process is the drill's, as artifact.Process names it.
	Process string `json:"process,omitempty"`
	// Kept tells that a person wants to look at it: it is never swept.
	Kept bool `json:"kept,omitempty"`
}

// scratch is a database that a drill has made.
type scratch struct {
	admin *pg.Conn
	name  string
	note  scratchNote
	// guard is a connection to it that lasts as long as the drill, by which
	// others see that its drill lives.
	guard *pg.Conn
}

// dropTime bounds how long dropping may take after a drill was canceled.
const dropTime = 2 * time.Minute

// newScratch makes a database like d on the server of admin. The caller drops
// it, also after an error, when it is not nil.
func newScratch(ctx context.Context, env *jobs.Env, admin *pg.Conn, saved string, d *Database) (_ *scratch, warning string, err error) {
	s := &scratch{admin: admin, name: scratchPrefix + strings.ToLower(rand.Text()[:16])}
	s.note = scratchNote{Artifact: saved, Run: env.RunID, Node: env.Node, Process: artifact.Process()}
	if err := admin.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&s.note.Made); err != nil {
		return nil, "", pg.Advise(fmt.Errorf("ask the server's clock: %w", err))
	}
	s.note.Made = s.note.Made.UTC()
	if warning, err = s.create(ctx, d); err != nil {
		if pg.Code(err) == "" { // the server may have made it and not have told
			return s, "", fmt.Errorf("make the scratch database: %w", err)
		}
		return nil, "", makeAdvice(fmt.Errorf("make the scratch database: %w", err))
	}
	if err := s.mark(ctx); err != nil {
		return s, warning, err
	}
	address, err := pg.ParseAddress(s.address())
	if err == nil {
		s.guard, err = pg.Connect(ctx, address, "upkeep drill")
	}
	if err != nil {
		return s, warning, fmt.Errorf("connect to the scratch database: %w", err)
	}
	return s, warning, nil
}

// makeAdvice says what a server wants before it makes a database.
func makeAdvice(err error) error {
	switch pg.Code(err) {
	case pg.CodeDenied:
		return jobs.WithHint(err, "let the user make databases: ALTER ROLE … CREATEDB, or name another database whose user may")
	case "53100":
		return jobs.WithHint(err, "free space on the server")
	}
	return pg.Advise(err)
}

// The codes of a server that does not know a locale.
const (
	codeWrongObject  = "42809"
	codeInvalidValue = "22023"
)

// create makes the database, with the order of texts of C when the server does
// not know the one that was saved.
func (s *scratch) create(ctx context.Context, d *Database) (warning string, err error) {
	base := fmt.Sprintf("CREATE DATABASE %s TEMPLATE template0 ENCODING %s", pg.Name(s.name), sqlText(d.Encoding))
	_, err = s.admin.Exec(ctx, base+locale(d, s.admin.Server.Major))
	if code := pg.Code(err); code == codeWrongObject || code == codeInvalidValue {
		refused := err
		if _, err = s.admin.Exec(ctx, base+" LC_COLLATE 'C' LC_CTYPE 'C'"); err == nil {
			return fmt.Sprintf("the server does not know the locale %s/%s of the saved database (%v): the drill sorts texts as C does", d.Collate, d.CType, refused), nil
		}
	}
	return "", err
}

// firstProvider is the first version whose databases may choose who sorts.
const firstProvider = 15

// locale is the clause of CREATE DATABASE for the order of texts
// (postgresql.org/docs/current/sql-createdatabase.html).
func locale(d *Database, major int) string {
	text := fmt.Sprintf(" LC_COLLATE %s LC_CTYPE %s", sqlText(d.Collate), sqlText(d.CType))
	switch {
	case major < firstProvider:
	case d.LocaleProvider == "i":
		text += fmt.Sprintf(" LOCALE_PROVIDER icu ICU_LOCALE %s", sqlText(d.Locale))
	case d.LocaleProvider == "b" && major > 16:
		text += fmt.Sprintf(" LOCALE_PROVIDER builtin BUILTIN_LOCALE %s", sqlText(d.Locale))
	case d.LocaleProvider == "c":
		text += " LOCALE_PROVIDER libc"
	}
	return text
}

// sqlText quotes a text for SQL, whatever standard_conforming_strings is.
func sqlText(text string) string {
	quoted := "'" + strings.ReplaceAll(text, "'", "''") + "'"
	if strings.Contains(text, `\`) {
		quoted = "E" + strings.ReplaceAll(quoted, `\`, `\\`)
	}
	return quoted
}

// mark writes the comment by which the database is known as ours.
func (s *scratch) mark(ctx context.Context) error {
	text, err := json.Marshal(s.note)
	if err != nil {
		return fmt.Errorf("mark the scratch database: %w", err)
	}
	if _, err := s.admin.Exec(ctx, "COMMENT ON DATABASE "+pg.Name(s.name)+" IS "+sqlText(scratchMark+string(text))); err != nil {
		return pg.Advise(fmt.Errorf("mark the scratch database: %w", err))
	}
	return nil
}

// address leads to the database.
func (s *scratch) address() secret.String { return s.admin.Sibling(s.name) }

// bytes is how much room the database takes.
func (s *scratch) bytes(ctx context.Context) (n int64, err error) {
	if err = s.admin.QueryRow(ctx, "SELECT pg_database_size($1::name)", s.name).Scan(&n); err != nil {
		err = pg.Advise(fmt.Errorf("ask the size of the scratch database: %w", err))
	}
	return n, err
}

// keep leaves the database to a person.
func (s *scratch) keep(ctx context.Context) error {
	s.note.Kept = true
	return errors.Join(s.mark(ctx), s.guard.Hangup(ctx))
}

// firstForce is the first version that ends the sessions of a database which
// is dropped.
const firstForce = 13

// drop removes the database, also when ctx has ended and when the server ended
// our connection.
func (s *scratch) drop(ctx context.Context, env *jobs.Env) error {
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), dropTime, errors.New("it took too long"))
	defer cancel()
	if s.guard != nil {
		_ = s.guard.Hangup(ctx) // the server may have ended it
	}
	err := env.Effect(ctx, fmt.Sprintf("drop the scratch database %s on %s", s.name, s.admin.Server.Name()), func(ctx context.Context) error {
		err := dropDatabase(ctx, s.admin, s.name, true)
		if err == nil || pg.Code(err) != "" && !s.admin.IsClosed() {
			return err
		}
		address, err := pg.ParseAddress(s.admin.Sibling(s.admin.Server.Database))
		if err != nil {
			return err
		}
		again, err := pg.Connect(ctx, address, "upkeep drill")
		if err != nil {
			return err
		}
		return errors.Join(dropDatabase(ctx, again, s.name, true), again.Hangup(ctx))
	})
	if err != nil {
		return jobs.WithHint(fmt.Errorf("the scratch database %s stays on %s: %w", s.name, s.admin.Server.Name(), err),
			"the next drill on that server drops it, when it is an hour old; or drop it by hand")
	}
	return nil
}

// dropDatabase drops a database, and with force ends its sessions before.
func dropDatabase(ctx context.Context, c *pg.Conn, name string, force bool) error {
	statement := "DROP DATABASE IF EXISTS " + pg.Name(name)
	if force && c.Server.Major >= firstForce {
		statement += " WITH (FORCE)"
	}
	_, err := c.Exec(ctx, statement)
	return err
}
