package email

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/mail"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/wneessen/go-mail/smtp"

	"github.com/ghosteam/upkeep/alerts"
	"github.com/ghosteam/upkeep/jobs"
)

const (
	// mostAnswer bounds what a server may send during one session, in bytes:
	// the replies of an honest one are a few KiB, its certificates included.
	mostAnswer = 1 << 20
	// farewell is how long a server may take to answer the goodbye.
	farewell = 2 * time.Second
)

// session is one conversation with the server, up to the point at which mail
// may be submitted.
type session struct {
	client *smtp.Client
	conn   net.Conn
	stop   func() bool
}

// boundedConn ends a conversation in which the server says too much.
type boundedConn struct {
	net.Conn
	rest int64
}

func (b *boundedConn) Read(p []byte) (int, error) {
	if b.rest <= 0 {
		return 0, errors.New("the server sent more than a mail server has to say")
	}
	n, err := b.Conn.Read(p[:min(int64(len(p)), b.rest)])
	b.rest -= int64(n)
	return n, err
}

// connect dials, encrypts and logs in. Everything it opened ends with ctx.
func (c *Channel) connect(ctx context.Context) (_ *session, err error) {
	var dialer net.Dialer
	raw, err := dialer.DialContext(ctx, "tcp", c.o.address())
	if err != nil {
		return nil, at(stageConnect, err)
	}
	conn := net.Conn(&boundedConn{Conn: raw, rest: mostAnswer})
	s := &session{conn: conn, stop: context.AfterFunc(ctx, func() { _ = raw.Close() })} // a closed connection ends every read and write
	defer func() {
		if err != nil {
			s.drop()
		}
	}()
	var config *tls.Config
	if c.o.TLS == tlsNone {
		// The name localhost may mean anything.
		if peer, ok := raw.RemoteAddr().(*net.TCPAddr); !ok || !peer.IP.IsLoopback() {
			return nil, at(stageConnect, fmt.Errorf("%s is not on this machine, and the mail would travel unprotected", raw.RemoteAddr()))
		}
	} else if config, err = c.tlsConfig(); err != nil {
		return nil, at(stageTLS, err)
	}
	if c.o.TLS == tlsImplicit {
		secured := tls.Client(conn, config)
		if err := secured.HandshakeContext(ctx); err != nil {
			return nil, at(stageTLS, err)
		}
		s.conn = secured
	}
	if s.client, err = smtp.NewClient(s.conn, c.o.Server); err != nil {
		return nil, at(stageGreet, err)
	}
	if err := s.client.Hello(c.helo()); err != nil {
		return nil, at(stageGreet, err)
	}
	if c.o.TLS == tlsStart {
		if err := s.startTLS(config); err != nil {
			return nil, at(stageTLS, err)
		}
	}
	if err := c.login(s.client); err != nil {
		return nil, at(stageLogin, err)
	}
	return s, nil
}

func (s *session) startTLS(config *tls.Config) error {
	if offered, _ := s.client.Extension("STARTTLS"); !offered {
		return jobs.WithHint(errors.New("the server does not offer STARTTLS, and without it the mail would travel unprotected"),
			"use the server's submission port, usually 587, or tls: implicit with port 465")
	}
	if err := s.client.StartTLS(config); err != nil {
		return err
	}
	if state, ok := s.client.TLSConnectionState(); !ok || !state.HandshakeComplete {
		return errors.New("the connection is not encrypted after STARTTLS")
	}
	return nil
}

func (c *Channel) tlsConfig() (*tls.Config, error) {
	config := &tls.Config{ServerName: c.o.Server, MinVersion: tls.VersionTLS12}
	if c.o.CAFile == "" {
		return config, nil
	}
	pem, err := os.ReadFile(c.o.CAFile.String())
	if err != nil {
		return nil, fmt.Errorf("read ca_file: %w", err)
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("ca_file %s holds no certificate in PEM form", c.o.CAFile)
	}
	return config, nil
}

func (c *Channel) helo() string {
	if c.o.Helo != "" {
		return c.o.Helo
	}
	if name, err := os.Hostname(); err == nil && name != "" && !strings.ContainsFunc(name, notOfName) {
		return name
	}
	return "localhost"
}

// login uses the best mechanism that both sides know: one that does not show
// the password first. The connection is encrypted or does not leave this
// machine, so the others are no secret lost.
func (c *Channel) login(client *smtp.Client) error {
	if c.o.Username == "" {
		return nil
	}
	user, password := c.o.Username, c.o.Password.Reveal()
	_, line := client.Extension("AUTH")
	offered := strings.Fields(strings.ToUpper(line))
	for _, m := range []struct {
		name string
		auth smtp.Auth
	}{
		{"SCRAM-SHA-256", smtp.ScramSHA256Auth(user, password)},
		{"SCRAM-SHA-1", smtp.ScramSHA1Auth(user, password)},
		{"PLAIN", smtp.PlainAuth("", user, password, c.o.Server, c.o.TLS == tlsNone)},
		{"LOGIN", smtp.LoginAuth(user, password, c.o.Server, c.o.TLS == tlsNone)},
		{"CRAM-MD5", smtp.CRAMMD5Auth(user, password)},
	} {
		if slices.Contains(offered, m.name) {
			return client.Auth(m.auth)
		}
	}
	if len(offered) == 0 {
		return errors.New("the server does not let users log in here")
	}
	return fmt.Errorf("the server offers no way to log in that upkeep knows: %s", jobs.OneLine(line))
}

// submit hands text over for all recipients that the server takes.
func (s *session) submit(from string, to []*mail.Address, text io.WriterTo) (string, error) {
	s.client.SkipSMTPUTF8(ascii(from, to))
	if err := s.client.Mail("<" + from + ">"); err != nil {
		return "", at(stageSender, err)
	}
	var refused []error
	for _, recipient := range to {
		if err := s.client.Rcpt("<" + recipient.Address + ">"); err != nil {
			refused = append(refused, at(stageRecipient, fmt.Errorf("%s: %w", recipient.Address, err)))
			if !isReply(err) {
				return "", refused[len(refused)-1] // the connection is gone
			}
		}
	}
	if len(refused) == len(to) {
		return "", errors.Join(refused...)
	}
	w, err := s.client.Data()
	if err != nil {
		return "", at(stageData, err)
	}
	if _, err := text.WriteTo(w); err != nil {
		return "", at(stageData, err)
	}
	if err := w.Close(); err != nil {
		return "", at(stageData, err)
	}
	receipt := "accepted"
	if answer, ok := w.(*smtp.DataCloser); ok && answer.ServerResponse() != "" {
		receipt = jobs.OneLine(answer.ServerResponse())
	}
	if len(refused) > 0 {
		return "", &alerts.PartialError{Receipt: receipt, Err: errors.Join(refused...)}
	}
	return receipt, nil
}

// ascii tells whether no address needs the extension SMTPUTF8, which not every
// server on the way to the mailbox may have.
func ascii(from string, to []*mail.Address) bool {
	foreign := func(address string) bool {
		return strings.ContainsFunc(address, func(c rune) bool { return c >= 0x80 })
	}
	return !foreign(from) && !slices.ContainsFunc(to, func(a *mail.Address) bool { return foreign(a.Address) })
}

// end says goodbye, briefly: the mail is accepted, or refused, already.
func (s *session) end() {
	_ = s.conn.SetDeadline(time.Now().Add(farewell)) // without it the context ends the wait
	_ = s.client.Quit()                              // nothing depends on the answer
	s.drop()
}

func (s *session) drop() {
	s.stop()
	_ = s.conn.Close() // all that had to be written was answered
}
