package main_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ghosteam/upkeep/alerts/alertstest"
)

// gateway is the way to a mail server: closed until somebody opens it, which
// is as if the server were down.
type gateway struct {
	port     int
	to       string
	fd       int
	mu       sync.Mutex
	listener net.Listener
}

// newGateway takes a port at which nobody listens.
func newGateway(t *testing.T, to string) *gateway {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	at, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	g := &gateway{port: at.(*unix.SockaddrInet4).Port, to: to, fd: fd}
	t.Cleanup(func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.listener != nil {
			_ = g.listener.Close()
			return
		}
		_ = unix.Close(g.fd)
	})
	return g
}

// open lets connections through from now on.
func (g *gateway) open(t *testing.T) {
	t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := unix.Listen(g.fd, 16); err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(g.fd), "gateway")
	listener, err := net.FileListener(file)
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
	g.listener = listener
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go g.pass(conn)
		}
	}()
}

// pass connects a client with the server.
func (g *gateway) pass(client net.Conn) {
	defer func() { _ = client.Close() }()
	server, err := net.Dial("tcp", g.to)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	go func() {
		_, _ = io.Copy(server, client)
		_ = server.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(client, server)
}

// letter is a mail as its reader sees it.
type letter struct {
	mail.Header

	subject, text, html string
	raw                 []byte
}

// mailbox is where the mails of one channel arrive.
type mailbox interface {
	// channel is its configuration, in one line.
	channel() string
	// open lets mails in, which a new mailbox does not.
	open(t *testing.T)
	// letters are those that arrived.
	letters(t *testing.T) []letter
}

// inProcess is a mailbox of a server inside the test.
type inProcess struct {
	*gateway

	server *alertstest.SMTP
}

func newMailbox(t *testing.T) *inProcess {
	t.Helper()
	server := alertstest.NewSMTP(t, alertstest.Script{})
	return &inProcess{server: server, gateway: newGateway(t, fmt.Sprintf("%s:%d", server.Host, server.Port))}
}

func (m *inProcess) channel() string {
	return fmt.Sprintf("{kind: email, smtp_server: 127.0.0.1, smtp_port: %d, ca_file: %q, username: %s, password: \"${env:SMTP_PASSWORD}\", from: upkeep <upkeep@example.org>, to: ops@example.org}",
		m.port, m.server.CAFile, m.server.User)
}

func (m *inProcess) letters(t *testing.T) []letter {
	t.Helper()
	var list []letter
	for _, at := range m.server.Mails() {
		if !at.Encrypted || at.User != m.server.User {
			t.Errorf("a mail came without TLS or a login: %v", at.Header)
		}
		list = append(list, readLetter(t, at.Raw))
	}
	return list
}

// postfix is a mailbox of the real server of scripts/dev/servers.sh.
type postfix struct {
	*gateway

	to, user, ca, maildir string
}

func newPostfix(t *testing.T) (box *postfix, password string) {
	t.Helper()
	variable := func(name string) string {
		value := os.Getenv("UPKEEP_TEST_SMTP_" + name)
		if value == "" {
			t.Fatalf("UPKEEP_TEST_SMTP_%s is not set: this test needs a mail server.\nhint: scripts/dev/servers.sh run -- go test ./cmd/upkeep, as root", name)
		}
		return value
	}
	_, domain, _ := strings.Cut(variable("TO"), "@")
	return &postfix{
		gateway: newGateway(t, net.JoinHostPort(variable("HOST"), variable("PORT"))),
		to:      fmt.Sprintf("e%d@%s", time.Now().UnixNano(), domain), // a recipient of its own, all in one mailbox
		user:    variable("USER"), ca: variable("CA"), maildir: variable("MAILDIR"),
	}, variable("PASSWORD")
}

func (m *postfix) channel() string {
	return fmt.Sprintf("{kind: email, smtp_server: 127.0.0.1, smtp_port: %d, ca_file: %q, username: %s, password: \"${env:SMTP_PASSWORD}\", from: upkeep@example.org, to: %s}",
		m.port, m.ca, m.user, m.to)
}

func (m *postfix) letters(t *testing.T) []letter {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(m.maildir, "new", "*"))
	if err != nil {
		t.Fatal(err)
	}
	var list []letter
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if l := readLetter(t, raw); l.Get("X-Original-To") == m.to {
			list = append(list, l)
		}
	}
	return list
}

// readLetter decodes a mail.
func readLetter(t *testing.T, raw []byte) letter {
	t.Helper()
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	l := letter{Header: m.Header, raw: raw}
	if l.subject, err = new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject")); err != nil {
		t.Fatal(err)
	}
	_, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	parts := multipart.NewReader(m.Body, params["boundary"])
	for {
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			return l
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(quotedprintable.NewReader(part))
		if err != nil {
			t.Fatal(err)
		}
		if text := strings.ReplaceAll(string(body), "\r\n", "\n"); strings.HasPrefix(part.Header.Get("Content-Type"), "text/plain") {
			l.text = text
		} else {
			l.html = text
		}
	}
}

// arrived waits until so many letters are there.
func arrived(t *testing.T, box mailbox, count int) []letter {
	t.Helper()
	var list []letter
	eventually(t, fmt.Sprintf("%d mails arrived", count), func() (bool, string) {
		list = box.letters(t)
		var b strings.Builder
		for _, l := range list {
			fmt.Fprintf(&b, "%s\n%s\n", l.subject, l.text)
		}
		return len(list) >= count, b.String()
	})
	return list
}
