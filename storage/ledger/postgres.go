package ledger

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/pressly/goose/v3"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

const (
	defaultSchema = "upkeep"
	// migrationLock is the key of the advisory lock under which one process at
	// a time brings the tables up to date: "upkeepdb" in ASCII.
	migrationLock = 0x75706b6565706462
	// locksLock is the key of the advisory lock of dialect.lockLocks: "upkeeplk"
	// in ASCII.
	locksLock = 0x75706b6565706c6b
	// workflowLock is the class of the advisory locks of dialect.lockWorkflow:
	// "upwf" in ASCII.
	workflowLock = 0x75707766
	// connectTimeout applies when the URL has no connect_timeout.
	connectTimeout = 10 * time.Second
)

// schemaName is what we accept in search_path: a plain name that needs no
// quoting.
var schemaName = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,62}$`)

func postgresDialect() *dialect {
	return &dialect{
		name:               "postgres",
		now:                "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)",
		lockRun:            " FOR NO KEY UPDATE OF r",
		lockLocks:          fmt.Sprintf("SELECT pg_advisory_xact_lock(%d)", locksLock),
		lockWorkflow:       fmt.Sprintf("SELECT pg_advisory_xact_lock(%d, CAST(? AS INTEGER))", workflowLock),
		lockIncident:       "SELECT 1 FROM incidents i WHERE i.id = (SELECT n.incident FROM notices n WHERE n.id = ?) FOR NO KEY UPDATE OF i",
		lockNotice:         " FOR NO KEY UPDATE OF n",
		lockHeld:           " FOR NO KEY UPDATE OF i",
		skipLocked:         " FOR UPDATE OF n SKIP LOCKED",
		numbered:           true,
		isolation:          sql.LevelReadCommitted,
		goose:              goose.DialectPostgres,
		countVersionTables: "SELECT COUNT(*) FROM pg_catalog.pg_tables WHERE schemaname = current_schema() AND tablename = ?",
		conflict: func(err error) bool {
			code := postgresCode(err)
			// serialization_failure, deadlock_detected, and foreign_key_violation:
			// a spec that no run used was deleted while one that does was made.
			return code == "40001" || code == "40P01" || code == "23503"
		},
		rolledBack: func(error) bool { return false },
		explain:    explainPostgres,
	}
}

// openPostgres connects to the server and brings the tables up to date.
func (l *Ledger) openPostgres(ctx context.Context, dsn secret.String) error {
	config, schema, err := postgresConfig(dsn, l.o.Node)
	if err != nil {
		return err
	}
	if l.o.LeaseTTL == 0 {
		l.o.LeaseTTL = DefaultLeaseTTL
	}
	l.wires = newWires()
	pool, err := openPool(ctx, config, l.wires)
	if err != nil {
		return err
	}
	l.write = poolDB(pool)
	l.owner = l.o.Instance
	l.Reader = &Reader{db: l.write, on: l.write, pool: pool, d: postgresDialect(), address: addressOf(config.ConnConfig), live: l.o.Live}
	err = checkServer(ctx, l.write, true)
	if err == nil {
		err = l.upgradePostgres(ctx, schema)
	}
	return l.explain(ctx, "open the ledger "+l.address, err)
}

// openPostgresReader connects to the server in sessions that cannot write.
func openPostgresReader(ctx context.Context, dsn secret.String, o Options) (*Reader, error) {
	config, _, err := postgresConfig(dsn, o.Node)
	if err != nil {
		return nil, err
	}
	config.ConnConfig.RuntimeParams["default_transaction_read_only"] = "on"
	if config.ConnConfig.ValidateConnect != nil {
		// A session that must not write says that it is read-only on any server.
		config.ConnConfig.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsPrimary
	}
	pool, err := openPool(ctx, config, newWires())
	if err != nil {
		return nil, err
	}
	db := poolDB(pool)
	r := &Reader{db: db, on: db, pool: pool, d: postgresDialect(), address: addressOf(config.ConnConfig), live: o.Live}
	err = checkServer(ctx, r.db, false)
	if err == nil {
		err = checkSchema(ctx, r.reading(), r.address)
	}
	if err != nil {
		return nil, errors.Join(r.explain(ctx, "open the ledger "+r.address, err), r.Close())
	}
	return r, nil
}

// postgresConfig returns how to connect and the schema of the tables.
func postgresConfig(dsn secret.String, node string) (*pgxpool.Config, string, error) {
	config, err := pgxpool.ParseConfig(dsn.Reveal())
	if err != nil {
		// The error may quote parts of the URL.
		return nil, "", jobs.WithHint(errors.New("the ledger's address is not a valid PostgreSQL URL"),
			"percent-encode special characters in the user's name and password, and check the names of the parameters")
	}
	params := config.ConnConfig.RuntimeParams
	schema := params["search_path"]
	if schema == "" {
		schema = defaultSchema
	}
	if !schemaName.MatchString(schema) {
		return nil, "", jobs.WithHint(errors.New("search_path of the ledger's address is not one plain schema name"), "use lower-case letters, digits and _")
	}
	params["search_path"] = schema
	for name, value := range sessionParams(node) {
		if params[name] == "" {
			params[name] = value
		}
	}
	if config.ConnConfig.ConnectTimeout == 0 {
		config.ConnConfig.ConnectTimeout = connectTimeout
	}
	if len(hostsOf(config.ConnConfig)) > 1 && config.ConnConfig.ValidateConnect == nil {
		// A standby is of no use, whether the URL says so or not.
		config.ConnConfig.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	fatal := config.ConnConfig.OnPgError
	config.ConnConfig.OnPgError = func(c *pgconn.PgConn, e *pgconn.PgError) bool {
		// read_only_sql_transaction: the server has become a standby, and the next
		// connection may find the one that is no more.
		return e.Code != "25006" && fatal(c, e)
	}
	return config, schema, nil
}

func addressOf(config *pgx.ConnConfig) string {
	return strings.Join(hostsOf(config), ",") + "/" + config.Database
}

// checkServer refuses servers on which the ledger could not work.
func checkServer(ctx context.Context, db *sql.DB, writes bool) error {
	var version int
	var encoding string
	var standby bool
	const query = `SELECT CAST(current_setting('server_version_num') AS INTEGER), current_setting('server_encoding'), pg_is_in_recovery()`
	if err := db.QueryRowContext(ctx, query).Scan(&version, &encoding, &standby); err != nil {
		return err
	}
	switch {
	case version < 120000:
		return fmt.Errorf("PostgreSQL %d is too old: the ledger needs version 12 or newer", version/10000)
	case encoding != "UTF8":
		return jobs.WithHint(fmt.Errorf("the database's encoding is %s", encoding), "create it with ENCODING 'UTF8'")
	case standby && writes:
		return jobs.WithHint(errors.New("the server is a read-only standby"), "name the primary, or add target_session_attrs=read-write to the URL")
	}
	return nil
}

// upgradePostgres creates the schema and applies migrations, one process at a
// time.
func (l *Ledger) upgradePostgres(ctx context.Context, schema string) error {
	_, want, err := migrationsOf(l.d)
	if err != nil {
		return err
	}
	have, err := schemaOf(ctx, l.reading())
	if err != nil || have == want {
		return err
	}
	if have > want {
		return schemaMismatch(l.address, have, want)
	}
	conn, err := l.write.Conn(ctx)
	if err != nil {
		return err
	}
	defer closeSession(ctx, conn)
	for _, statement := range []string{
		"SET lock_timeout = 0",
		fmt.Sprintf("SELECT pg_advisory_lock(%d)", migrationLock),
	} {
		if _, err := conn.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("wait for another process that sets up the ledger: %w", err)
		}
	}
	if have, err = schemaOf(ctx, l.reading()); err != nil || have == want {
		return err
	}
	if have > want {
		return schemaMismatch(l.address, have, want)
	}
	if err := createSchema(ctx, conn, schema); err != nil {
		return err
	}
	if err := migrate(ctx, l.write, l.d); err != nil {
		return err
	}
	l.o.Log.InfoContext(ctx, "ledger tables are up to date", "address", l.address, "from_schema", have, "to_schema", want)
	return nil
}

func createSchema(ctx context.Context, conn *sql.Conn, schema string) error {
	var exists bool
	const query = "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = $1)"
	if err := conn.QueryRowContext(ctx, query, schema).Scan(&exists); err != nil || exists {
		return err
	}
	if _, err := conn.ExecContext(ctx, "CREATE SCHEMA "+schema); err != nil {
		return jobs.WithHint(fmt.Errorf("create the schema %s: %w", schema, err),
			fmt.Sprintf("let the ledger's user create it (GRANT CREATE ON DATABASE), or run CREATE SCHEMA %s AUTHORIZATION user", schema))
	}
	return nil
}

func postgresCode(err error) string {
	if failure, ok := errors.AsType[*pgconn.PgError](err); ok {
		return failure.Code
	}
	return ""
}

// explainPostgres knows the codes of
// https://www.postgresql.org/docs/current/errcodes-appendix.html that pass by
// themselves or that a person can do something about.
func explainPostgres(err error) error {
	code := postgresCode(err)
	switch {
	case code == "53100":
		return jobs.WithHint(fmt.Errorf("%w: %w", runner.ErrNoSpace, err), "free space on the database server's disk")
	case code == "42501":
		return jobs.WithHint(err, "the ledger's user must own the schema and its tables")
	case strings.HasPrefix(code, "28"), code == "3D000":
		return jobs.WithHint(err, "check user, password and database in the ledger's address")
	case strings.HasPrefix(code, "08"), strings.HasPrefix(code, "53"), strings.HasPrefix(code, "57P"),
		code == "55P03", code == "40001", code == "40P01", code == "25P03", code == "25006":
		return jobs.WithHint(fmt.Errorf("%w: %w", runner.ErrUnavailable, err), "try again in a moment")
	case code == "" && broken(err):
		return jobs.WithHint(fmt.Errorf("%w: %w", runner.ErrUnavailable, err), "check that the database server runs and can be reached")
	}
	return err
}

// broken tells whether err is about a connection and not about a statement.
func broken(err error) bool {
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return true
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	for _, sign := range []error{io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, driver.ErrBadConn} {
		if errors.Is(err, sign) {
			return true
		}
	}
	return pgconn.SafeToRetry(err)
}
