package certificate

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// sslRequest is the number by which a client of PostgreSQL asks for TLS
// (protocol 3.0, SSLRequest).
const sslRequest = 80877103

// mostLines and mostLine bound what is read of a server before TLS.
const (
	mostLines = 50
	mostLine  = 4096
)

// dial returns the chain that is served at a place. It verifies nothing: the
// judgement names what is wrong more exactly than a failed handshake.
func dial(ctx context.Context, p Place, timeout time.Duration) (_ *chain, err error) {
	limited, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("no certificate within %s", timeout))
	defer cancel()
	defer func() {
		if err == nil {
			return
		}
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		} else if limited.Err() != nil {
			err = context.Cause(limited)
		}
		err = fmt.Errorf("dial %s: %w", p.address(), err)
	}()
	conn, err := (&net.Dialer{}).DialContext(limited, "tcp", p.address())
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(limited, func() { _ = conn.Close() }) // it ends what is under way
	defer func() {
		stop()
		_ = conn.Close() // all that matters has been read
	}()
	if err := begin(conn, p.StartTLS); err != nil {
		return nil, err
	}
	config := &tls.Config{
		ServerName: p.serverName(), MinVersion: tls.VersionTLS10, // an old server has a certificate too
		InsecureSkipVerify: true, //nolint:gosec // what is served is judged here, and nothing is sent
	}
	session := tls.Client(conn, config)
	// A server that demands a certificate of ours has shown its own by then.
	if err := session.HandshakeContext(limited); err != nil && len(session.ConnectionState().PeerCertificates) == 0 {
		return nil, err
	}
	return fromState(session.ConnectionState())
}

// begin asks for TLS in the protocol of the place.
func begin(conn net.Conn, protocol string) error {
	r := bufio.NewReaderSize(io.LimitReader(conn, mostLines*mostLine), mostLine)
	switch protocol {
	case starttlsPostgres:
		request := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, 8), sslRequest)
		if _, err := conn.Write(request); err != nil {
			return err
		}
		answer := make([]byte, 1) // not one byte more: TLS follows
		if _, err := io.ReadFull(conn, answer); err != nil {
			return err
		}
		if answer[0] != 'S' {
			return errors.New("the server does not offer TLS")
		}
	case starttlsSMTP:
		if err := expect(r, "220", "220-"); err != nil {
			return err
		}
		for _, step := range []struct{ say, good string }{{"EHLO upkeep.invalid", "250"}, {"STARTTLS", "220"}} {
			if _, err := io.WriteString(conn, step.say+"\r\n"); err != nil {
				return err
			}
			if err := expect(r, step.good, step.good+"-"); err != nil {
				return err
			}
		}
	case starttlsIMAP:
		if err := expect(r, "* OK", ""); err != nil {
			return err
		}
		if _, err := io.WriteString(conn, "a1 STARTTLS\r\n"); err != nil {
			return err
		}
		return expect(r, "a1 OK", "* ")
	}
	return nil
}

// expect reads lines until one that begins with good; those before may begin
// with more.
func expect(r *bufio.Reader, good, more string) error {
	for range mostLines {
		line, err := r.ReadString('\n')
		if err != nil {
			return err
		}
		switch {
		case more != "" && strings.HasPrefix(line, more):
		case strings.HasPrefix(line, good):
			return nil
		default:
			return fmt.Errorf("the server does not offer TLS: %q", strings.TrimSpace(line))
		}
	}
	return errors.New("the server talks without end")
}
