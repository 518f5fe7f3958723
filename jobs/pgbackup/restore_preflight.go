package pgbackup

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/artifact"
	"github.com/ghosteam/upkeep/jobs/internal/pg"
)

// preflight refuses what cannot work or would harm, before anything is read.
func (r *restore) preflight(ctx context.Context) error {
	for _, check := range []func(context.Context) error{r.serves, r.empty, r.locale, r.available, r.space} {
		if err := check(ctx); err != nil {
			return err
		}
	}
	r.tellSettings(r.database.Settings)
	if r.database.Granted && !r.target.NoPrivileges {
		r.tell("privileges", "privileges on the database itself are not part of a dump: %s", grantees(r.database.Grants))
	}
	return r.room()
}

// serves refuses a server that cannot take the backup, or no client fits.
func (r *restore) serves(ctx context.Context) error {
	if err := writable(ctx, r.conn); err != nil {
		return err
	}
	var err error
	server := r.conn.Server
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
	return nil
}

// writable refuses what is not the server itself, or does not let us write.
func writable(ctx context.Context, c *pg.Conn) error {
	if c.Server.Standby {
		return &jobs.RefusedError{Rail: "the target", Why: fmt.Sprintf("%s is a standby, which cannot be written to", c.Server.Name())}
	}
	_, err := c.Pooled(ctx)
	if refused, ok := errors.AsType[*pg.PoolerError](err); ok {
		return jobs.WithHint(&jobs.RefusedError{Rail: "the connection", Why: refused.Error()}, refused.Hint())
	}
	if err != nil {
		return err
	}
	var readOnly string
	if err := c.QueryRow(ctx, "SELECT current_setting('transaction_read_only')").Scan(&readOnly); err != nil {
		return pg.Advise(fmt.Errorf("ask whether the target may be written to: %w", err))
	}
	if readOnly == "on" {
		return jobs.WithHint(&jobs.RefusedError{Rail: "the target", Why: fmt.Sprintf("sessions of %s on %s may only read", c.Server.User, c.Server.Name())},
			"see default_transaction_read_only of the server, the database and the role")
	}
	return nil
}

// tellSettings tells of settings that nothing restores.
func (r *restore) tellSettings(left []string) {
	if len(left) > 0 {
		r.warn("settings", "settings of the database are not part of a dump, set them by ALTER DATABASE: %s", strings.Join(left, "; "))
	}
}

func (r *restore) tell(id, format string, args ...any) {
	r.findings = append(r.findings, jobs.Finding{ID: id, Severity: jobs.Info, Text: jobs.OneLine(fmt.Sprintf(format, args...))})
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
		"restore into a new database (--create), or put the backup in the place of this one (--replace), which is kept beside it")
}

// locale refuses another encoding, and tells of another order of texts.
func (r *restore) locale(ctx context.Context) error {
	var encoding, collate, ctype, version string
	actual := "''"
	if r.conn.Server.Major >= 15 {
		actual = "coalesce(pg_database_collation_actual_version(oid), '')"
	}
	err := r.conn.QueryRow(ctx, `SELECT pg_encoding_to_char(encoding), datcollate::text, datctype::text, `+actual+` FROM pg_database WHERE datname = current_database()`).
		Scan(&encoding, &collate, &ctype, &version)
	if err != nil {
		return pg.Advise(fmt.Errorf("ask for the encoding: %w", err))
	}
	d := r.database
	if encoding != d.Encoding {
		return jobs.WithHint(&jobs.RefusedError{Rail: "the encoding", Why: fmt.Sprintf("the target is encoded as %s, the backup as %s", encoding, d.Encoding)},
			fmt.Sprintf("make the target with createdb -T template0 -E %s, or let --create do it", d.Encoding))
	}
	switch {
	case collate != d.Collate || ctype != d.CType:
		r.warn("locale", "the target sorts by %s/%s, the saved database by %s/%s: texts may be in another order", collate, ctype, d.Collate, d.CType)
	case version != "" && d.CollationVersion != "" && version != d.CollationVersion:
		r.warn("collation-version", "the operating system of the target sorts %s by version %s of its rules, that of the saved database by %s: texts may be in another order",
			collate, version, d.CollationVersion)
	}
	return nil
}

// available refuses when extensions, roles or tablespaces are missing.
func (r *restore) available(ctx context.Context) error {
	if err := r.extensions(ctx); err != nil {
		return err
	}
	for _, part := range []struct {
		what, query, hint string
		wanted            []string
	}{
		{
			"roles", `SELECT rolname::text FROM pg_roles`,
			"create them from the backup with --globals, or leave them out with --no-owner and --no-privileges; by hand: the stream globals.sql", r.database.Roles,
		},
		{"tablespaces", `SELECT spcname::text FROM pg_tablespace`, "make them first, or let --globals do it", r.database.Tablespaces},
	} {
		there, err := pg.Texts(ctx, r.conn, part.query)
		if err != nil {
			return pg.Advise(fmt.Errorf("look for %s: %w", part.what, err))
		}
		var missing []string
		for _, name := range part.wanted {
			if !slices.Contains(there, name) && !slices.Contains(r.promised, part.what+" "+name) {
				missing = append(missing, name)
			}
		}
		names := jobs.OneLine(strings.Join(missing, ", "))
		switch {
		case len(missing) == 0:
		case part.what == "roles" && (r.target.NoOwner || r.target.NoPrivileges || len(r.tables) > 0):
			// Which of them are needed then cannot be told; one that is makes
			// pg_restore fail, and nothing of its transaction stays.
			r.tell("roles", "the server lacks roles of the backup: %s", names)
		default:
			return jobs.WithHint(&jobs.RefusedError{Rail: "the server", Why: fmt.Sprintf("it lacks %s: %s", part.what, names)}, part.hint)
		}
	}
	return nil
}

// extensions refuses when some are missing, and tells of other versions: a dump
// does not say which it wants.
func (r *restore) extensions(ctx context.Context) error {
	there, err := pg.Rows[struct{ Name, Version string }](ctx, r.conn, `SELECT name::text, coalesce(default_version, '') FROM pg_available_extensions`)
	if err != nil {
		return pg.Advise(fmt.Errorf("look for extensions: %w", err))
	}
	versions := map[string]string{}
	for _, e := range there {
		versions[e.Name] = e.Version
	}
	var missing []string
	for _, e := range r.database.Extensions {
		switch version, ok := versions[e.Name]; {
		case !ok:
			missing = append(missing, e.Name+" "+e.Version)
		case version != e.Version:
			r.tell("extension:"+jobs.FindingIDFrom(e.Name), "the extension %s is installed as %s, which is the server's, and was %s", e.Name, version, e.Version)
		}
	}
	if len(missing) > 0 {
		return jobs.WithHint(&jobs.RefusedError{Rail: "the server", Why: "it lacks extensions: " + jobs.OneLine(strings.Join(missing, ", "))},
			"install their packages on the server of the target")
	}
	return nil
}

// space refuses when the server's disk cannot hold the database, where that can
// be known: the server must be this machine's, and its folder readable.
func (r *restore) space(ctx context.Context) error {
	host := r.conn.Server.Host
	ip := net.ParseIP(host)
	if !strings.HasPrefix(host, "/") && host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil
	}
	var dir string
	if err := r.conn.QueryRow(ctx, "SELECT coalesce(current_setting('data_directory', true), '')").Scan(&dir); err != nil {
		return unlessDenied(err)
	}
	// A folder of that name may be somebody else's, when the port is forwarded.
	text, err := os.ReadFile(filepath.Join(dir, "postmaster.pid"))
	lines := strings.Split(string(text), "\n")
	if dir == "" || err != nil || len(lines) < 4 || lines[1] != dir || lines[3] != fmt.Sprint(r.conn.Server.Port) {
		return nil
	}
	free, err := artifact.FreeBytes(dir)
	if err != nil {
		return err
	}
	if free < r.database.Bytes && len(r.tables) == 0 {
		return jobs.WithHint(&jobs.RefusedError{Rail: "free space", Why: fmt.Sprintf("the server's disk has %s free, but the database takes about %s",
			artifact.Bytes(free), artifact.Bytes(r.database.Bytes))}, "free space there")
	}
	return nil
}

// unlessDenied drops the error of a question that may not be asked everywhere.
func unlessDenied(err error) error {
	if pg.Code(err) == pg.CodeDenied {
		return nil
	}
	return pg.Advise(err)
}

// count compares the rows of every table that was counted with its snapshot.
func (r *restore) count(ctx context.Context) error {
	tables := r.tables
	if len(tables) == 0 {
		tables = r.database.Tables
	}
	for i := range tables {
		t := &tables[i]
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
