package pgbackup

import (
	"context"
	"fmt"

	"github.com/ghosteam/upkeep/jobs/internal/pg"
)

// describe collects the facts about a database that take no locks.
func (s *snapshot) describe(ctx context.Context, src source) (Database, error) {
	d := Database{
		Name: src.name, Configured: src.configured, Stream: src.stream, Snapshot: s.taken.UTC(), LSN: s.lsn,
		Server: Server{
			Address: s.Server.Name(), Version: s.Server.Version, Number: s.Server.Number, User: s.Server.User, TLS: s.Server.TLS,
			Standby: s.Server.Standby,
		},
	}
	err := s.QueryRow(ctx, `SELECT pg_get_userbyid(datdba), pg_encoding_to_char(encoding), datcollate::text, datctype::text,
			coalesce(to_jsonb(d) ->> 'datlocprovider', ''), coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale', ''),
			coalesce(to_jsonb(d) ->> 'datcollversion', ''), (SELECT spcname::text FROM pg_tablespace t WHERE t.oid = d.dattablespace),
			datconnlimit, pg_database_size(d.oid),
			coalesce(CASE WHEN pg_is_in_recovery() THEN extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) END, 0)::float8,
			(SELECT count(*) FROM pg_largeobject_metadata)
		FROM pg_database d WHERE datname = current_database()`).
		Scan(&d.Owner, &d.Encoding, &d.Collate, &d.CType, &d.LocaleProvider, &d.Locale, &d.CollationVersion, &d.Tablespace,
			&d.ConnectionLimit, &d.Bytes, &d.Server.LagSeconds, &d.LargeObjects)
	if err != nil {
		return d, pg.Advise(fmt.Errorf("describe the database: %w", err))
	}
	if err := s.needs(ctx, &d); err != nil {
		return d, pg.Advise(fmt.Errorf("describe what the database needs: %w", err))
	}
	// Who the cluster is may be asked almost everywhere, and is no reason to fail.
	err = s.attempt(ctx, func() error {
		return s.QueryRow(ctx, `SELECT system_identifier::text FROM pg_control_system()`).Scan(&d.Server.SystemID)
	})
	if pg.Code(err) != "" {
		err = nil
	}
	return d, err
}

// needs collects what must be there before the dump can be restored.
func (s *snapshot) needs(ctx context.Context, d *Database) (err error) {
	d.Extensions, err = pg.Rows[Extension](ctx, s.Conn, `SELECT extname::text, extversion, nspname::text
		FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace ORDER BY 1`)
	if err != nil {
		return err
	}
	d.Roles, err = pg.Texts(ctx, s.Conn, `SELECT rolname::text FROM pg_roles r
		WHERE rolname = $1 OR r.oid IN (SELECT refobjid FROM pg_shdepend
			WHERE refclassid = 'pg_authid'::regclass AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database()))
		ORDER BY 1`, d.Owner)
	if err != nil {
		return err
	}
	d.Tablespaces, err = pg.Texts(ctx, s.Conn, `SELECT DISTINCT spcname::text FROM pg_tablespace t JOIN pg_class c ON c.reltablespace = t.oid
		WHERE spcname NOT IN ('pg_default', 'pg_global') ORDER BY 1`)
	if err != nil {
		return err
	}
	// Settings of applications, which have a dot in their names, may be secrets.
	d.Settings, err = pg.Texts(ctx, s.Conn, `SELECT CASE WHEN setrole = 0 THEN '' ELSE quote_ident(pg_get_userbyid(setrole)) || ': ' END
			|| CASE WHEN split_part(setting, '=', 1) LIKE '%.%' THEN split_part(setting, '=', 1) || '=…' ELSE setting END
		FROM pg_db_role_setting, unnest(setconfig) setting
		WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database()) ORDER BY 1`)
	if err != nil {
		return err
	}
	err = s.QueryRow(ctx, `SELECT datacl IS NOT NULL FROM pg_database WHERE datname = current_database()`).Scan(&d.Granted)
	if err != nil {
		return err
	}
	if d.Granted {
		if d.Grants, err = grantsOn(ctx, s.Conn, s.Server.Database); err != nil {
			return err
		}
	}
	type setting struct{ Name, Value string }
	settings, err := pg.Rows[setting](ctx, s.Conn, `SELECT name, setting FROM pg_settings WHERE name IN ('block_size', 'data_checksums',
		'default_tablespace', 'default_table_access_method', 'default_toast_compression', 'default_text_search_config',
		'integer_datetimes', 'max_identifier_length', 'max_locks_per_transaction', 'shared_preload_libraries', 'TimeZone', 'wal_level')`)
	d.Server.Settings = map[string]string{}
	for _, v := range settings {
		d.Server.Settings[v.Name] = v.Value
	}
	return err
}

// listed is a table as the catalog knows it.
type listed struct {
	OID          uint32
	Schema, Name string
	Rows         int64
	Bytes        int64
	// Condition says which rows of an extension's table are dumped.
	Condition string
	// Expected tells that a dump without filters must hold its rows: those of
	// most extensions' tables come with the extension, and those of unlogged
	// tables do not exist on a standby.
	Expected bool
}

// list returns the tables that hold rows. Sizes are estimates: asking for the
// true ones would wait for locks.
func (s *snapshot) list(ctx context.Context) ([]listed, error) {
	tables, err := pg.Rows[listed](ctx, s.Conn, `SELECT c.oid, n.nspname::text, c.relname::text, greatest(c.reltuples, 0)::bigint,
			(c.relpages + coalesce((SELECT relpages FROM pg_class t WHERE t.oid = c.reltoastrelid), 0))::bigint * current_setting('block_size')::bigint,
			coalesce((SELECT e.extcondition[array_position(e.extconfig, c.oid)] FROM pg_extension e WHERE c.oid = ANY (e.extconfig) LIMIT 1), ''),
			(c.relpersistence <> 'u' OR NOT pg_is_in_recovery()) AND (
				NOT EXISTS (SELECT FROM pg_depend m WHERE m.classid = 'pg_class'::regclass AND m.objid = c.oid AND m.deptype = 'e')
				OR EXISTS (SELECT FROM pg_extension e WHERE c.oid = ANY (e.extconfig)))
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
		ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C"`)
	if err != nil {
		return nil, fmt.Errorf("list the tables: %w", err)
	}
	return tables, nil
}
