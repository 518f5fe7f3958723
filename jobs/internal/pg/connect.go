package pg

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/ghosteam/upkeep/jobs"
)

// connectTime bounds a connection attempt to one host when the address does
// not say how long it may take.
const connectTime = 15 * time.Second

// Conn is a connection with what is known about its server. Its methods belong
// to one goroutine.
type Conn struct {
	*pgx.Conn
	// Server is who answered.
	Server Server

	address  Address
	host     hostPort
	password string
	// proxied tells that something stands between us and the server.
	proxied bool
}

// Server is what is known about a server after connecting to it.
type Server struct {
	// Version is the server's own name of its version, such as "15.18"; Number
	// is the same as a number, such as 150018, and Major its first part.
	Version string
	Number  int
	Major   int
	// Host and Port are what was connected to; Host is a folder for a unix
	// socket.
	Host string
	Port int
	// Database and User are those of the session.
	Database, User string
	// Standby tells that the server replays another one's log.
	Standby bool
	// Superuser tells that the user may do everything.
	Superuser bool
	// TLS is the protocol, such as "TLSv1.3"; empty when the connection is not
	// encrypted or the server does not say.
	TLS string
}

// Name names the server for people, such as "db.internal:5432".
func (s Server) Name() string {
	if strings.HasPrefix(s.Host, "/") {
		return fmt.Sprintf("%s port %d", s.Host, s.Port)
	}
	return net.JoinHostPort(s.Host, fmt.Sprint(s.Port))
}

// Connect connects to the first host of a that answers as its parameters
// demand. application is what the server shows its administrator. The caller
// closes the connection. An error carries a hint where there is a known remedy.
func Connect(ctx context.Context, a Address, application string) (*Conn, error) {
	return ConnectNoticing(ctx, a, application, nil)
}

// Notice is what a server says beside its answers. VACUUM and ANALYZE tell only
// by one, of severity WARNING, that they left a table out.
type Notice struct {
	// Severity is the same in every language of the server, such as "WARNING".
	Severity string
	// Code is the SQLSTATE, and Text the message in the server's language.
	Code, Text string
}

// ConnectNoticing is Connect for whoever wants to hear the server's notices.
// notice is called in the goroutine that waits for an answer, before it comes.
func ConnectNoticing(ctx context.Context, a Address, application string, notice func(Notice)) (*Conn, error) {
	return a.connectAny(ctx, application, func(c *pgx.ConnConfig, _ int) {
		if notice == nil {
			return
		}
		c.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
			notice(Notice{Severity: n.SeverityUnlocalized, Code: n.Code, Text: n.Message})
		}
	})
}

// connectAny connects to the first host that answers. prepare may change how,
// knowing how many hosts are left, that one included.
func (a Address) connectAny(ctx context.Context, application string, prepare func(c *pgx.ConnConfig, left int)) (*Conn, error) {
	var errs []error
	for i, host := range a.hosts {
		c, err := a.connect(ctx, host, application, func(c *pgx.ConnConfig) { prepare(c, len(a.hosts)-i) })
		if err == nil {
			return c, nil
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("connect to %s: %w", a.Where(), context.Cause(ctx))
		}
		errs = append(errs, err)
	}
	return nil, Advise(fmt.Errorf("connect to %s: %w", a.Where(), errors.Join(errs...)))
}

func (a Address) connect(ctx context.Context, host hostPort, application string, prepare func(*pgx.ConnConfig)) (*Conn, error) {
	config, err := pgx.ParseConfig(a.text(host))
	if err != nil {
		// Its own text repeats the address; the cause does not.
		if cause := errors.Unwrap(err); cause != nil {
			return nil, cause
		}
		return nil, errAddress
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTime
	}
	config.RuntimeParams["application_name"] = application
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	if prepare != nil {
		prepare(config)
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	c := &Conn{Conn: conn, address: a, host: host, password: config.Password}
	c.Server.Host, c.Server.Port = config.Host, int(config.Port)
	if err := c.look(ctx); err != nil {
		return nil, errors.Join(err, c.Hangup(ctx))
	}
	return c, nil
}

// look asks the server who it is.
func (c *Conn) look(ctx context.Context) error {
	var pid uint32
	err := c.QueryRow(ctx, `SELECT pg_backend_pid(), current_setting('server_version'), current_setting('server_version_num')::int,
		current_database(), current_user, pg_is_in_recovery(), (SELECT rolsuper FROM pg_roles WHERE rolname = current_user),
		coalesce((SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl), '')`).
		Scan(&pid, &c.Server.Version, &c.Server.Number, &c.Server.Database, &c.Server.User, &c.Server.Standby, &c.Server.Superuser, &c.Server.TLS)
	if err != nil {
		return fmt.Errorf("ask the server who it is: %w", err)
	}
	c.Server.Version, _, _ = strings.Cut(c.Server.Version, " ")
	c.Server.Major = c.Server.Number / 10000
	// A server hands out the number of its process; a pooler makes one up.
	c.proxied = c.PgConn().PID() != pid
	return nil
}

// hangupTime bounds how long saying goodbye may take.
const hangupTime = 5 * time.Second

// Hangup closes the connection, also when ctx has ended.
func (c *Conn) Hangup(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), hangupTime)
	defer cancel()
	return c.Close(ctx)
}

// address returns the network address of the server, empty for a unix socket.
func (c *Conn) ip() string {
	if tcp, ok := c.PgConn().Conn().RemoteAddr().(*net.TCPAddr); ok {
		return tcp.IP.String()
	}
	return ""
}

// ClientEnviron returns environ, without what it says about PostgreSQL, with
// what client programs need to reach the very server and database of c. The
// password goes into a file in dir that only its owner can read; remove deletes
// it.
func (c *Conn) ClientEnviron(environ []string, dir string) (env []string, remove func() error, err error) {
	for _, entry := range environ {
		if !strings.HasPrefix(entry, "PG") && !strings.HasPrefix(entry, "LC_") && !strings.HasPrefix(entry, "LANG") {
			env = append(env, entry)
		}
	}
	passfile, err := writePassfile(dir, c.password)
	if err != nil {
		return nil, nil, err
	}
	set := func(name, value string) {
		if value != "" {
			env = append(env, name+"="+value)
		}
	}
	for keyword, name := range variables {
		switch keyword {
		case "user", "dbname", "passfile", "target_session_attrs":
			continue // settled below
		}
		set(name, c.address.keywords[keyword])
	}
	set("PGHOST", c.Server.Host)
	// A name may stand for several servers; the snapshot lives on this one.
	set("PGHOSTADDR", c.ip())
	set("PGPORT", fmt.Sprint(c.Server.Port))
	set("PGUSER", c.Config().User)
	set("PGDATABASE", c.Server.Database)
	set("PGAPPNAME", c.Config().RuntimeParams["application_name"])
	set("PGTZ", "UTC")
	set("LC_ALL", "C.UTF-8")
	set("PGPASSFILE", passfile)
	return env, func() error { return os.Remove(passfile) }, nil
}

// writePassfile writes a password where libpq finds it
// (postgresql.org/docs/current/libpq-pgpass.html).
func writePassfile(dir, password string) (_ string, err error) {
	f, err := os.CreateTemp(dir, "pgpass-") // 0600
	if err != nil {
		return "", fmt.Errorf("write the password file: %w", err)
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			err = errors.Join(fmt.Errorf("write the password file: %w", err), os.Remove(f.Name()))
		}
	}()
	if password == "" {
		return f.Name(), nil
	}
	_, err = f.WriteString("*:*:*:*:" + strings.NewReplacer(`\`, `\\`, `:`, `\:`).Replace(password) + "\n")
	return f.Name(), err
}

// Rows runs a query and returns its rows as structs, column by column in the
// order of the fields.
func Rows[T any](ctx context.Context, c *Conn, query string, args ...any) ([]T, error) {
	rows, err := c.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[T])
}

// Texts runs a query and returns its first column.
func Texts(ctx context.Context, c *Conn, query string, args ...any) ([]string, error) {
	rows, err := c.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// Name quotes the parts of a name, such as a schema and a table.
func Name(parts ...string) string { return pgx.Identifier(parts).Sanitize() }

// The codes of errors that steer us (postgresql.org/docs/current/errcodes-appendix.html).
const (
	CodeCanceled = "57014"
	CodeLocked   = "55P03"
	CodeDenied   = "42501"
)

// Code returns the SQLSTATE of a server's error, or the empty string.
func Code(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}

// Advise adds a hint to an error of a server or of connecting to it that has
// none.
func Advise(err error) error {
	if jobs.HintOf(err) != "" {
		return err
	}
	hint := ""
	switch Code(err) {
	case "28P01", "28000":
		hint = "correct the user or the password in the address, or pg_hba.conf on the server"
	case "3D000":
		hint = "correct the name of the database in the address"
	case CodeDenied:
		hint = "grant the user what it needs to read everything: GRANT pg_read_all_data TO …"
	case "53300":
		hint = "the server has no connection left; raise max_connections, or run when fewer programs are connected"
	case "57P03":
		hint = "the server is starting or stopping; try again"
	case "":
		if dial, ok := errors.AsType[*net.OpError](err); ok && dial.Op == "dial" {
			hint = "is the server running, and are host and port right"
		}
		if errors.Is(err, io.ErrUnexpectedEOF) {
			hint = "the connection to the server was lost: was the server restarted, or the network cut"
		}
	}
	if hint == "" {
		return err
	}
	return jobs.WithHint(err, hint)
}
