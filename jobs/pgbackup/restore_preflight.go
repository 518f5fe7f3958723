package pgbackup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg"
)

// preflight refuses what cannot work or would harm, before anything is read.
func (r *restore) preflight(ctx context.Context) error {
	server := r.conn.Server
	if server.Standby {
		return &jobs.RefusedError{Rail: "the target", Why: fmt.Sprintf("%s is a standby, which cannot be written to", server.Name())}
	}
	_, err := r.conn.Pooled(ctx)
	if refused, ok := errors.AsType[*pg.PoolerError](err); ok {
		return jobs.WithHint(&jobs.RefusedError{Rail: "the connection", Why: refused.Error()}, refused.Hint())
	}
	if err != nil {
		return err
	}
	// An older pg_restore cannot read the dump, or does not know the server.
	r.client, err = pg.FindClient(ctx, r.env.Environ(), "", max(server.Major, r.details.ClientMajor), "pg_restore")
	if err != nil {
		return fmt.Errorf("the dump was made by client %s, and the server is PostgreSQL %s: %w", r.details.Client, server.Version, err)
	}
	if from := r.database.Server.Number / 10000; from > server.Major {
		r.warn("older-server", "the dump comes from PostgreSQL %d, and the target is %d: what is new there cannot be restored", from, server.Major)
	}
	if _, err := pg.Texts(ctx, r.conn, unlimited); err != nil {
		return fmt.Errorf("prepare the session: %w", err)
	}
	for _, check := range []func(context.Context) error{r.empty, r.locale, r.available} {
		if err := check(ctx); err != nil {
			return err
		}
	}
	if len(r.database.Settings) > 0 {
		r.warn("settings", "settings of the database are not part of a dump, set them by ALTER DATABASE: %s", strings.Join(r.database.Settings, "; "))
	}
	return nil
}

func (r *restore) warn(id, format string, args ...any) {
	r.findings = append(r.findings, jobs.Finding{ID: id, Severity: jobs.Warning, Text: jobs.OneLine(fmt.Sprintf(format, args...))})
}

// belongings lists what is in a database beyond what every new one has:
// relations, functions, types, schemas and large objects that belong to no
// extension.
const belongings = `
	WITH mine AS (SELECT oid, nspname FROM pg_namespace WHERE nspname NOT LIKE 'pg\_%' AND nspname <> 'information_schema'),
	extended AS (SELECT classid, objid FROM pg_depend WHERE deptype = 'e')
	SELECT format('relation %I.%I', m.nspname, c.relname) FROM pg_class c JOIN mine m ON m.oid = c.relnamespace
		WHERE NOT EXISTS (SELECT FROM extended e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid)
	UNION ALL SELECT format('function %I.%I', m.nspname, p.proname) FROM pg_proc p JOIN mine m ON m.oid = p.pronamespace
		WHERE NOT EXISTS (SELECT FROM extended e WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid)
	UNION ALL SELECT format('type %I.%I', m.nspname, t.typname) FROM pg_type t JOIN mine m ON m.oid = t.typnamespace
		WHERE t.typtype IN ('e', 'd', 'r') AND NOT EXISTS (SELECT FROM extended e WHERE e.classid = 'pg_type'::regclass AND e.objid = t.oid)
	UNION ALL SELECT format('schema %I', m.nspname) FROM mine m
		WHERE m.nspname <> 'public' AND NOT EXISTS (SELECT FROM extended e WHERE e.classid = 'pg_namespace'::regclass AND e.objid = m.oid)
	UNION ALL SELECT format('large object %s', oid) FROM pg_largeobject_metadata
	LIMIT 1000`

// empty refuses a database that holds anything.
func (r *restore) empty(ctx context.Context) error {
	found, err := pg.Texts(ctx, r.conn, belongings)
	if err != nil {
		return pg.Advise(fmt.Errorf("look whether the target is empty: %w", err))
	}
	if len(found) == 0 {
		return nil
	}
	return jobs.WithHint(&jobs.RefusedError{Rail: "empty target", Why: fmt.Sprintf(
		"the database %s on %s is not empty: it holds %s", r.conn.Server.Database, r.conn.Server.Name(), jobs.OneLine(found[0]))},
		"make a new database (createdb -T template0 NAME), configure it under databases:, and restore there")
}

// locale refuses another encoding, and tells of another order of texts.
func (r *restore) locale(ctx context.Context) error {
	var encoding, collate, ctype string
	err := r.conn.QueryRow(ctx, `SELECT pg_encoding_to_char(encoding), datcollate::text, datctype::text FROM pg_database WHERE datname = current_database()`).
		Scan(&encoding, &collate, &ctype)
	if err != nil {
		return pg.Advise(fmt.Errorf("ask for the encoding: %w", err))
	}
	d := r.database
	if encoding != d.Encoding {
		return jobs.WithHint(&jobs.RefusedError{Rail: "the encoding", Why: fmt.Sprintf("the target is encoded as %s, the backup as %s", encoding, d.Encoding)},
			fmt.Sprintf("make the target with createdb -T template0 -E %s", d.Encoding))
	}
	if collate != d.Collate || ctype != d.CType {
		r.warn("locale", "the target sorts by %s/%s, the saved database by %s/%s: texts may be in another order", collate, ctype, d.Collate, d.CType)
	}
	return nil
}

// available refuses when extensions, roles or tablespaces are missing.
func (r *restore) available(ctx context.Context) error {
	var extensions []string
	for _, e := range r.database.Extensions {
		extensions = append(extensions, e.Name)
	}
	for _, part := range []struct {
		what, query, hint string
		wanted            []string
	}{
		{"extensions", `SELECT name::text FROM pg_available_extensions`, "install their packages on the server of the target", extensions},
		{"roles", `SELECT rolname::text FROM pg_roles`, "create them first: the stream globals.sql of the backup does", r.database.Roles},
		{"tablespaces", `SELECT spcname::text FROM pg_tablespace`, "create them first", r.database.Tablespaces},
	} {
		there, err := pg.Texts(ctx, r.conn, part.query)
		if err != nil {
			return pg.Advise(fmt.Errorf("look for %s: %w", part.what, err))
		}
		var missing []string
		for _, name := range part.wanted {
			if !slices.Contains(there, name) {
				missing = append(missing, name)
			}
		}
		if len(missing) > 0 {
			return jobs.WithHint(&jobs.RefusedError{Rail: "the server", Why: fmt.Sprintf("it lacks %s: %s", part.what, jobs.OneLine(strings.Join(missing, ", ")))}, part.hint)
		}
	}
	return nil
}

// count compares the rows of every table that was counted with its snapshot.
func (r *restore) count(ctx context.Context) error {
	for i := range r.database.Tables {
		t := &r.database.Tables[i]
		if !t.Dumped || !t.Exact {
			continue
		}
		var rows int64
		if err := r.conn.QueryRow(ctx, "SELECT count(*) FROM ONLY "+pg.Name(t.Schema, t.Name)).Scan(&rows); err != nil {
			return pg.Advise(fmt.Errorf("count %s: %w", pg.Name(t.Schema, t.Name), err))
		}
		if rows != t.Rows {
			return fmt.Errorf("table %s has %d rows, but had %d in its snapshot", pg.Name(t.Schema, t.Name), rows, t.Rows)
		}
	}
	return nil
}
