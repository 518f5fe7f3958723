// Package redisurl reads the URLs of Redis servers as the configuration holds
// them. It knows how to reach a server and how to verify it, and refuses to
// repeat a URL, to switch verification off, and to connect.
package redisurl

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/ghosteam/upkeep/configs/secret"
)

// Address is where and how to connect.
type Address struct {
	// Network is tcp or unix; Server the HOST:PORT or the path.
	Network, Server string
	// Username is empty for the default user, Password for none.
	Username, Password string
	database           int
	// verified is the name that the certificate must hold; empty without TLS.
	verified string
	// ca, cert and key are paths of PEM files; empty for none.
	ca, cert, key string
}

// errAddress says that a text is no address, without repeating it.
var errAddress = errors.New("the address of the database is not redis://USER:PASSWORD@HOST:PORT/NUMBER, rediss:// with TLS, or unix://PATH?db=NUMBER")

// defaultPort is where a server listens that was not told otherwise.
const defaultPort = "6379"

// Parse reads a URL of the scheme redis, rediss (with TLS) or unix. The
// parameters db, and with TLS ssl_ca_certs, ssl_certfile, ssl_keyfile (paths of
// PEM files) and server_name, are understood; others are for other programs,
// such as the size of their pools, and left out. Switching verification off is
// refused. Errors never repeat what they could not read.
func Parse(text secret.String) (Address, error) {
	u, err := url.Parse(strings.TrimSpace(text.Reveal()))
	if err != nil {
		return Address{}, errAddress
	}
	a := Address{Network: "tcp"}
	a.Username = u.User.Username()
	a.Password, _ = u.User.Password()
	if a.Username != "" && a.Password == "" {
		// The older form of these URLs has a password only: redis://PASSWORD@HOST.
		a.Username, a.Password = "", a.Username
	}
	number := strings.Trim(u.Path, "/")
	switch u.Scheme {
	case "unix":
		a.Network, a.Server, number = "unix", u.Path, ""
		if u.Host != "" || u.Path == "" {
			return Address{}, errAddress
		}
	case "redis", "rediss":
		host, port := u.Hostname(), u.Port()
		if host == "" {
			host = "localhost"
		}
		if port == "" {
			port = defaultPort
		}
		a.Server = net.JoinHostPort(host, port)
		if u.Scheme == "rediss" {
			a.verified = host
		}
	default:
		return Address{}, errAddress
	}
	return a, a.parameters(u.Query(), number)
}

func (a *Address) parameters(query url.Values, number string) error {
	if text := query.Get("db"); text != "" {
		number = text
	}
	if number != "" {
		n, err := strconv.Atoi(number)
		if err != nil || n < 0 {
			return errors.New("the number of the database in its address is not a number from 0")
		}
		a.database = n
	}
	if query.Get("ssl_cert_reqs") == "none" || query.Get("skip_verify") == "true" {
		return errors.New("the address of the database switches the verification of certificates off: name the authority by ssl_ca_certs=PATH")
	}
	if a.verified == "" {
		return nil
	}
	a.ca, a.cert, a.key = query.Get("ssl_ca_certs"), query.Get("ssl_certfile"), query.Get("ssl_keyfile")
	if (a.cert == "") != (a.key == "") {
		return errors.New("in the address of the database, ssl_certfile and ssl_keyfile go together")
	}
	if name := query.Get("server_name"); name != "" {
		a.verified = name
	}
	return nil
}

// Database returns the number of the database.
func (a Address) Database() int { return a.database }

// WithDatabase returns the address of another database of the same server.
func (a Address) WithDatabase(number int) Address {
	a.database = number
	return a
}

// Where names the server and database for people, such as "cache:6379/0".
func (a Address) Where() string { return fmt.Sprintf("%s/%d", a.Server, a.database) }

// TLS returns how to speak TLS, with the files that the address names; nil
// without.
func (a Address) TLS() (*tls.Config, error) {
	if a.verified == "" {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: a.verified}
	if a.ca != "" {
		text, err := os.ReadFile(a.ca)
		if err != nil {
			return nil, fmt.Errorf("read ssl_ca_certs: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("read ssl_ca_certs: %s holds no certificate", a.ca)
		}
	}
	if a.cert != "" {
		pair, err := tls.LoadX509KeyPair(a.cert, a.key)
		if err != nil {
			return nil, fmt.Errorf("read ssl_certfile: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}
