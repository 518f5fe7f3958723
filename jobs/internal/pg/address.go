// Package pg is how kinds speak with PostgreSQL: it reads connection URLs,
// connects, knows what sort of server answers, and finds and equips the
// client programs that fit it. It knows nothing of jobs, and refuses to show a
// password to anything but a server and a private file.
package pg

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/ghosteam/upkeep/configs/secret"
)

// Address is where and how to connect: the parameters of libpq
// (postgresql.org/docs/current/libpq-connect.html).
type Address struct {
	hosts    []hostPort
	keywords map[string]string
	password string
}

type hostPort struct{ host, port string }

// errAddress says that a text is no address, without repeating it.
var errAddress = errors.New("the address of the database is not postgres://USER:PASSWORD@HOST:PORT/DATABASE and not a list of KEYWORD=VALUE")

// variables are the keywords that have a variable in the environment of
// clients (libpq-envars). Passwords are not among them.
//
//nolint:gochecknoglobals // a constant that Go cannot spell
var variables = map[string]string{
	"user": "PGUSER", "dbname": "PGDATABASE", "service": "PGSERVICE", "servicefile": "PGSERVICEFILE",
	"sslmode": "PGSSLMODE", "sslrootcert": "PGSSLROOTCERT", "sslcert": "PGSSLCERT", "sslkey": "PGSSLKEY",
	"sslcrl": "PGSSLCRL", "sslcrldir": "PGSSLCRLDIR", "sslsni": "PGSSLSNI", "sslnegotiation": "PGSSLNEGOTIATION",
	"ssl_min_protocol_version": "PGSSLMINPROTOCOLVERSION", "ssl_max_protocol_version": "PGSSLMAXPROTOCOLVERSION",
	"channel_binding": "PGCHANNELBINDING", "require_auth": "PGREQUIREAUTH", "requirepeer": "PGREQUIREPEER",
	"gssencmode": "PGGSSENCMODE", "krbsrvname": "PGKRBSRVNAME", "gsslib": "PGGSSLIB",
	"target_session_attrs": "PGTARGETSESSIONATTRS", "connect_timeout": "PGCONNECT_TIMEOUT", "options": "PGOPTIONS",
	"passfile": "PGPASSFILE",
}

// ParseAddress reads a URL (postgres, postgresql, or either with +driver as
// Python programs write it) or a list of KEYWORD=VALUE. Parameters that only
// other programs understand, such as the size of their pools, are left out.
// Errors never repeat what they could not read.
func ParseAddress(text secret.String) (Address, error) {
	a := Address{keywords: map[string]string{}}
	raw := strings.TrimSpace(text.Reveal())
	var all map[string]string
	var err error
	scheme, rest, isURL := strings.Cut(raw, "://")
	if isURL && !strings.ContainsAny(scheme, " ='") {
		base, _, _ := strings.Cut(scheme, "+")
		if base != "postgres" && base != "postgresql" {
			return a, errAddress
		}
		all, err = parseURL(rest)
	} else {
		all, err = parseKeywords(raw)
	}
	if err != nil {
		return a, err
	}
	return a, a.take(all)
}

// take sorts the parameters.
func (a *Address) take(all map[string]string) error {
	a.password = all["password"]
	hosts, ports := splitList(all["host"]), splitList(all["port"])
	if addr := splitList(all["hostaddr"]); len(hosts) == 0 {
		hosts = addr
	}
	if len(hosts) == 0 {
		hosts = []string{""}
	}
	if len(ports) > 1 && len(ports) != len(hosts) {
		return fmt.Errorf("the address of the database names %d hosts, but %d ports", len(hosts), len(ports))
	}
	for i, host := range hosts {
		hp := hostPort{host: host}
		if len(ports) == 1 {
			hp.port = ports[0]
		} else if len(ports) > 1 {
			hp.port = ports[i]
		}
		a.hosts = append(a.hosts, hp)
	}
	if all["sslpassword"] != "" {
		return errors.New("the address of the database has an sslpassword, which clients would show to everybody: use a key without a password, readable by upkeep alone")
	}
	for keyword, value := range all {
		if _, ok := variables[keyword]; ok && value != "" {
			a.keywords[keyword] = value
		}
	}
	if all["ssl"] == "true" && all["sslmode"] == "" {
		a.keywords["sslmode"] = "require"
	}
	if a.keywords["sslmode"] == "" && a.keywords["service"] == "" {
		// Said expressly, because our driver and the clients would look for it in
		// different places.
		a.keywords["sslmode"] = "prefer"
		if a.keywords["sslrootcert"] != "" { // whoever names an authority wants it to be asked
			a.keywords["sslmode"] = "verify-full"
		}
	}
	return nil
}

func splitList(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, ",")
}

// parseURL reads what follows the scheme.
func parseURL(rest string) (map[string]string, error) {
	all := map[string]string{}
	set := func(keyword, escaped string) error {
		value, err := url.PathUnescape(escaped)
		if err != nil || strings.ContainsRune(value, 0) {
			return errAddress
		}
		if value != "" {
			all[keyword] = value
		}
		return nil
	}
	rest, query, _ := strings.Cut(rest, "?")
	authority, database, _ := strings.Cut(rest, "/")
	errs := []error{set("dbname", database)}
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		user, password, _ := strings.Cut(authority[:at], ":")
		errs = append(errs, set("user", user), set("password", password))
		authority = authority[at+1:]
	}
	var hosts, ports []string
	for part := range strings.SplitSeq(authority, ",") {
		host, port := part, ""
		if closing := strings.IndexByte(part, ']'); strings.HasPrefix(part, "[") && closing > 0 {
			host, port = part[1:closing], strings.TrimPrefix(part[closing+1:], ":")
		} else if at := strings.LastIndexByte(part, ':'); at >= 0 {
			host, port = part[:at], part[at+1:]
		}
		hosts, ports = append(hosts, host), append(ports, port)
	}
	errs = append(errs, set("host", strings.Join(hosts, ",")))
	if strings.Trim(strings.Join(ports, ""), "0123456789") != "" {
		return nil, errAddress
	}
	if strings.Join(ports, "") != "" {
		errs = append(errs, set("port", strings.Join(ports, ",")))
	}
	for pair := range strings.SplitSeq(query, "&") {
		keyword, value, _ := strings.Cut(pair, "=")
		if keyword != "" {
			errs = append(errs, set(keyword, value))
		}
	}
	return all, errors.Join(errs...)
}

// parseKeywords reads KEYWORD=VALUE …, values with spaces in single quotes.
func parseKeywords(text string) (map[string]string, error) {
	all := map[string]string{}
	for {
		text = strings.TrimLeft(text, " \t\r\n")
		if text == "" {
			return all, nil
		}
		keyword, rest, ok := strings.Cut(text, "=")
		keyword = strings.TrimRight(keyword, " \t")
		if !ok || keyword == "" || strings.ContainsAny(keyword, " \t'\\") {
			return nil, errAddress
		}
		value, rest, ok := keywordValue(strings.TrimLeft(rest, " \t"))
		if !ok {
			return nil, errAddress
		}
		all[keyword], text = value, rest
	}
}

func keywordValue(text string) (value, rest string, ok bool) {
	var out strings.Builder
	quoted := strings.HasPrefix(text, "'")
	if quoted {
		text = text[1:]
	}
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && i+1 < len(text):
			i++
			out.WriteByte(text[i])
		case quoted && c == '\'':
			return out.String(), text[i+1:], true
		case !quoted && strings.IndexByte(" \t\r\n", c) >= 0:
			return out.String(), text[i:], true
		default:
			out.WriteByte(c)
		}
	}
	return out.String(), "", !quoted
}

// Database returns the name of the database; empty when the address names
// none.
func (a Address) Database() string { return a.keywords["dbname"] }

// WithDatabase returns the address of another database of the same server.
func (a Address) WithDatabase(name string) Address {
	out := Address{hosts: a.hosts, password: a.password, keywords: map[string]string{"dbname": name}}
	for keyword, value := range a.keywords {
		if keyword != "dbname" {
			out.keywords[keyword] = value
		}
	}
	return out
}

// Where names the server for people, such as "db.internal:5432/shop".
func (a Address) Where() string {
	var hosts []string
	for _, hp := range a.hosts {
		host := hp.host
		if host == "" {
			host = "the default host"
		}
		if hp.port != "" {
			host += ":" + hp.port
		}
		hosts = append(hosts, host)
	}
	text := strings.Join(hosts, ",")
	if a.Database() != "" {
		text += "/" + a.Database()
	}
	return text
}

// understood are the keywords that our own driver knows; the others are for
// clients.
//
//nolint:gochecknoglobals // a constant that Go cannot spell
var understood = []string{
	"user", "dbname", "service", "servicefile", "sslmode", "sslrootcert", "sslcert", "sslkey", "sslsni", "sslnegotiation",
	"krbsrvname", "target_session_attrs", "connect_timeout", "options", "passfile",
}

// text writes the address with one of its hosts for our own driver.
func (a Address) text(hp hostPort) string {
	var out []string
	add := func(keyword, value string) {
		if value != "" {
			out = append(out, keyword+"="+Quote(value))
		}
	}
	add("host", hp.host)
	add("port", hp.port)
	add("password", a.password)
	for keyword, value := range a.keywords {
		if slices.Contains(understood, keyword) {
			add(keyword, value)
		}
	}
	return strings.Join(out, " ")
}

// Quote writes a value for a list of KEYWORD=VALUE.
func Quote(value string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(value) + "'"
}
