package alertstest

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/mail"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// Certificate says which certificate a server shows.
type Certificate int

// The certificates. All but Untrusted are signed by the authority in the
// server's CAFile.
const (
	Trusted   Certificate = iota
	Untrusted             // signed by itself
	Expired
	OtherName // for mail.example.org
)

// Step is a point of an SMTP conversation at which a server can misbehave.
type Step string

// The steps, in their order.
const (
	AtGreeting  Step = "greeting"
	AtLogin     Step = "login"
	AtSender    Step = "sender"
	AtRecipient Step = "recipient"
	AtContent   Step = "content" // when the mail begins
	AtEnd       Step = "end"     // the mail is stored, the answer is owed
)

// Script says how a server behaves. The zero Script takes every mail of whoever
// logs in after STARTTLS.
type Script struct {
	// Implicit speaks TLS from the start, Plain not at all.
	Implicit, Plain bool
	Certificate     Certificate
	// Open lets anybody submit without a login. Unencrypted offers the login
	// without TLS.
	Open, Unencrypted bool
	// Mechanisms are what it offers for logging in: PLAIN (default), LOGIN.
	Mechanisms []string
	// Answers are what it says instead of yes.
	Answers map[Step]*smtp.SMTPError
	// Refused are what it says to single recipients.
	Refused map[string]*smtp.SMTPError
	// Stall is where it falls silent, Drop where it closes the connection.
	Stall, Drop Step
}

// Mail is what a server stored.
type Mail struct {
	From string
	To   []string
	// Raw is the text, Header its header.
	Raw    []byte
	Header mail.Header
	// Body is what stands below the header, not decoded.
	Body []byte
	// Encrypted tells that it came over TLS, User who was logged in.
	Encrypted bool
	User      string
}

// SMTP is a mail server inside the test.
type SMTP struct {
	Host           string
	Port           uint16
	CAFile         string
	User, Password string

	mu     sync.Mutex
	script Script
	mails  []Mail
	met    map[Step]int
	closed chan struct{}
}

// NewSMTP starts a server that behaves as script says and ends with the test.
func NewSMTP(t testing.TB, script Script) *SMTP {
	t.Helper()
	authority := newAuthority(t)
	s := &SMTP{
		Host: "127.0.0.1", CAFile: authority.file, User: "upkeep", Password: "pass-word-5e1f2c",
		script: script, met: map[Step]int{}, closed: make(chan struct{}),
	}
	config := &tls.Config{Certificates: []tls.Certificate{authority.certificate(t, script.Certificate)}, MinVersion: tls.VersionTLS12}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Port = uint16(listener.Addr().(*net.TCPAddr).Port)
	server := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) { return s.session(c) }))
	server.Domain = "alertstest.example.org"
	server.EnableSMTPUTF8 = true
	server.AllowInsecureAuth = script.Unencrypted
	server.ErrorLog = log.New(io.Discard, "", 0)
	accepting := net.Listener(&gate{Listener: listener, server: s})
	switch {
	case script.Implicit:
		accepting = tls.NewListener(accepting, config)
	case !script.Plain:
		server.TLSConfig = config
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(accepting) // ends with Close
	}()
	t.Cleanup(func() {
		close(s.closed)
		_ = listener.Close() // Serve may not have begun, and then Close does not know it
		_ = server.Close()
		<-served
	})
	return s
}

// Mails returns what was stored so far.
func (s *SMTP) Mails() []Mail {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.mails)
}

// Met tells how often a conversation reached a step.
func (s *SMTP) Met(step Step) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.met[step]
}

// Change makes the server behave differently in what follows. How connections
// are encrypted does not change.
func (s *SMTP) Change(script Script) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script = script
}

// errDropped is what a session returns after it closed its connection.
var errDropped = errors.New("the connection was dropped")

// reach does what the script says about a step.
func (s *SMTP) reach(step Step, conn net.Conn) error {
	s.mu.Lock()
	s.met[step]++
	script := s.script
	s.mu.Unlock()
	if script.Stall == step {
		<-s.closed
		return errDropped
	}
	if script.Drop == step {
		_ = conn.Close()
		return errDropped
	}
	if answer := script.Answers[step]; answer != nil {
		return answer
	}
	return nil
}

// gate lets a greeting go wrong.
type gate struct {
	net.Listener
	server *SMTP
}

// Accept implements net.Listener.
func (g *gate) Accept() (net.Conn, error) {
	for {
		conn, err := g.Listener.Accept()
		if err != nil {
			return nil, err
		}
		g.server.mu.Lock()
		g.server.met[AtGreeting]++
		script := g.server.script
		g.server.mu.Unlock()
		switch {
		case script.Drop == AtGreeting:
			_ = conn.Close()
		case script.Answers[AtGreeting] != nil:
			_, _ = io.WriteString(conn, script.Answers[AtGreeting].Error()[len("SMTP error "):]+"\r\n")
			_ = conn.Close()
		case script.Stall == AtGreeting:
			go func() {
				<-g.server.closed
				_ = conn.Close()
			}()
		default:
			return conn, nil
		}
	}
}

type session struct {
	server *SMTP
	conn   *smtp.Conn
	user   string
	from   string
	to     []string
}

func (s *SMTP) session(c *smtp.Conn) (smtp.Session, error) { return &session{server: s, conn: c}, nil }

func (s *session) reach(step Step) error { return s.server.reach(step, s.conn.Conn()) }

// AuthMechanisms implements smtp.AuthSession.
func (s *session) AuthMechanisms() []string {
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	if len(s.server.script.Mechanisms) > 0 {
		return s.server.script.Mechanisms
	}
	return []string{sasl.Plain}
}

// Auth implements smtp.AuthSession.
func (s *session) Auth(mechanism string) (sasl.Server, error) {
	check := func(user, password string) error {
		if err := s.reach(AtLogin); err != nil {
			return err
		}
		if user != s.server.User || password != s.server.Password {
			return smtp.ErrAuthFailed
		}
		s.user = user
		return nil
	}
	switch mechanism {
	case sasl.Plain:
		return sasl.NewPlainServer(func(_, user, password string) error { return check(user, password) }), nil
	case sasl.Login:
		return &loginServer{check: check}, nil
	}
	return nil, smtp.ErrAuthUnknownMechanism
}

// loginServer is the server's side of LOGIN, as Microsoft's MS-XLOGIN has it.
type loginServer struct {
	check func(user, password string) error
	user  *string
}

// Next implements sasl.Server.
func (l *loginServer) Next(response []byte) (challenge []byte, done bool, err error) {
	switch {
	case l.user == nil && len(response) == 0:
		return []byte("Username:"), false, nil
	case l.user == nil:
		user := string(response)
		l.user = &user
		return []byte("Password:"), false, nil
	}
	return nil, true, l.check(*l.user, string(response))
}

// Reset implements smtp.Session.
func (s *session) Reset() { s.from, s.to = "", nil }

// Logout implements smtp.Session.
func (s *session) Logout() error { return nil }

// Mail implements smtp.Session.
func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	s.server.mu.Lock()
	open := s.server.script.Open
	s.server.mu.Unlock()
	if s.user == "" && !open {
		return &smtp.SMTPError{Code: 530, EnhancedCode: smtp.EnhancedCode{5, 7, 0}, Message: "Authentication required"}
	}
	s.from = from
	return s.reach(AtSender)
}

// Rcpt implements smtp.Session.
func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	if err := s.reach(AtRecipient); err != nil {
		return err
	}
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	if answer := s.server.script.Refused[to]; answer != nil {
		return answer
	}
	s.to = append(s.to, to)
	return nil
}

// Data implements smtp.Session.
func (s *session) Data(r io.Reader) error {
	if err := s.reach(AtContent); err != nil {
		return err
	}
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	stored := Mail{From: s.from, To: slices.Clone(s.to), Raw: raw, User: s.user}
	_, stored.Encrypted = s.conn.TLSConnectionState()
	parsed, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return &smtp.SMTPError{Code: 554, EnhancedCode: smtp.EnhancedCode{5, 6, 0}, Message: "not a mail: " + strings.ReplaceAll(err.Error(), "\n", " ")}
	}
	stored.Header = parsed.Header
	if stored.Body, err = io.ReadAll(parsed.Body); err != nil {
		return err
	}
	s.server.mu.Lock()
	rejected := s.server.script.Answers[AtEnd] != nil
	if !rejected {
		s.server.mails = append(s.server.mails, stored)
	}
	s.server.mu.Unlock()
	return s.reach(AtEnd)
}
