package email

import (
	"errors"
	"fmt"
	"net"
	"net/mail"
	"strconv"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
)

// The ways to protect a connection.
const (
	tlsStart    = "starttls"
	tlsImplicit = "implicit"
	tlsNone     = "none"
)

// longestTimeout is as long as the dispatcher lets one message take.
const longestTimeout = 30 * time.Second

// Options are the settings of an email channel.
type Options struct {
	Server   string        `yaml:"smtp_server" required:"true" doc:"Name or address of the mail server; its certificate must be for this name." example:"smtp.example.com"`
	Port     uint16        `yaml:"smtp_port" doc:"Port of the mail server: 587 with starttls, 465 with implicit, 25 with none, when it is not set." example:"587"`
	From     string        `yaml:"from" required:"true" doc:"Sender, an address or a name and an address." example:"upkeep <upkeep@example.com>"`
	To       unit.Names    `yaml:"to" required:"true" doc:"Recipients, one address or a list." example:"[ops@example.com]"`
	Username string        `yaml:"username" doc:"User to log in as; without it nobody logs in." example:"upkeep"`
	Password secret.String `yaml:"password" doc:"Password of that user." example:"${file:secrets/smtp}"`
	TLS      string        `yaml:"tls" enum:"starttls,implicit,none" doc:"How the connection is protected: starttls requires the upgrade, implicit speaks TLS from the start, none is for a server on this machine."`
	CAFile   unit.Path     `yaml:"ca_file" doc:"PEM file with the certificates of the authorities that are trusted for this server, instead of those of the system." example:"secrets/mail-ca.pem"`
	Timeout  unit.Duration `yaml:"timeout" doc:"How long one mail may take, from the connection to the server's answer, 1s to 30s."`
	Helo     string        `yaml:"helo" doc:"Name by which this machine greets the server; its host name, when it is not set." example:"db-1.example.com"`
}

func defaults() Options {
	return Options{TLS: tlsStart, Timeout: unit.Duration(20 * time.Second)}
}

// Validate implements jobs.Validator.
func (o *Options) Validate() error {
	return errors.Join(o.server(), o.addresses(), o.login(), o.protection(), o.limits())
}

func (o *Options) server() error {
	if o.Server == "" || strings.ContainsFunc(o.Server, notOfName) || strings.Contains(o.Server, "/") {
		return &jobs.FieldError{Field: "smtp_server", Why: fmt.Sprintf("%q is not the name of a server", o.Server), Hint: "write a host name such as smtp.example.com, without smtp://"}
	}
	if host, port, err := net.SplitHostPort(o.Server); err == nil {
		return &jobs.FieldError{Field: "smtp_server", Why: fmt.Sprintf("%q holds a port", o.Server), Hint: fmt.Sprintf("write smtp_server: %s and smtp_port: %s", host, port)}
	}
	if o.Helo != "" && strings.ContainsFunc(o.Helo, notOfName) {
		return jobs.Fieldf("helo", "%q is not a host name", o.Helo)
	}
	return nil
}

// notOfName tells whether c cannot stand in a host name or an address.
func notOfName(c rune) bool { return c <= ' ' || c >= 0x7f }

func (o *Options) addresses() error {
	var errs []error
	check := func(field, text string) {
		if address, err := mail.ParseAddress(text); err != nil {
			errs = append(errs, &jobs.FieldError{Field: field, Why: fmt.Sprintf("%q is not a mail address", text), Hint: "write one address such as ops@example.com or Ops <ops@example.com>"})
		} else if strings.ContainsAny(address.Address, "\r\n") {
			errs = append(errs, jobs.Fieldf(field, "the address holds a line end"))
		}
	}
	check("from", o.From)
	for i, text := range o.To {
		check(fmt.Sprintf("to[%d]", i), text)
	}
	if len(o.To) == 0 {
		errs = append(errs, jobs.Fieldf("to", "nobody would get the mail"))
	}
	return errors.Join(errs...)
}

func (o *Options) login() error {
	switch {
	case o.Username == "" && !o.Password.IsEmpty():
		return jobs.Fieldf("username", "there is a password and no user")
	case o.Username != "" && o.Password.IsEmpty():
		return jobs.Fieldf("password", "there is a user and no password")
	case strings.ContainsAny(o.Username, "\x00\r\n"):
		return jobs.Fieldf("username", "it holds a character that no mail server takes")
	case strings.ContainsAny(o.Password.Reveal(), "\x00\r\n"):
		return &jobs.FieldError{Field: "password", Why: "it holds a line end", Hint: "keep it in a file with one line"}
	}
	return nil
}

func (o *Options) protection() error {
	switch o.TLS {
	case tlsStart, tlsImplicit:
		return nil
	case tlsNone:
	default:
		return jobs.Fieldf("tls", "%q is neither starttls nor implicit nor none", o.TLS)
	}
	if ip := net.ParseIP(o.Server); o.Server != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return &jobs.FieldError{
			Field: "tls", Why: fmt.Sprintf("mail to %s would travel unprotected", o.Server),
			Hint: "use starttls or implicit; none is for localhost, 127.0.0.1 and ::1",
		}
	}
	if o.CAFile != "" {
		return jobs.Fieldf("ca_file", "without TLS there is no certificate to verify")
	}
	return nil
}

func (o *Options) limits() error {
	if t := o.Timeout.Std(); t < time.Second || t > longestTimeout {
		return jobs.Fieldf("timeout", "%s is not between 1s and %s", o.Timeout, unit.Duration(longestTimeout))
	}
	return nil
}

// address returns host:port to dial.
func (o *Options) address() string {
	port := o.Port
	if port == 0 {
		switch o.TLS {
		case tlsImplicit:
			port = 465 // RFC 8314, section 3.3
		case tlsNone:
			port = 25
		default:
			port = 587 // RFC 6409, section 3.1
		}
	}
	return net.JoinHostPort(o.Server, strconv.Itoa(int(port)))
}
