package pgtest

import (
	"context"
	"net"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"
)

// Lending is how long a pooler lends a connection of the server to a client.
type Lending int

// The ways to lend that poolers know.
const (
	ByTransaction Lending = iota
	BySession
)

// pooler speaks the protocol and lends its few connections out.
type pooler struct {
	doorway
	lending Lending
	free    chan *pgx.Conn
	over    chan struct{}
}

// NewPooler stands in for a connection pooler in front of the server of an
// address, which it asks for three connections, and returns its own address.
func NewPooler(t testing.TB, address string, lending Lending) string {
	t.Helper()
	p := &pooler{lending: lending, free: make(chan *pgx.Conn, 3), over: make(chan struct{})}
	for range cap(p.free) {
		c := Connect(t, Called(t, address, "pooler"))
		p.own(c.PgConn().Conn())
		p.free <- c
	}
	p.open(t, func(_ int, c net.Conn) {
		_ = p.serve(c) // it ends with its client
		_ = c.Close()  // as above
	})
	t.Cleanup(func() { close(p.over) })
	return By(t, address, p.listener.Addr().String())
}

// serve serves one client with whatever connection is free.
func (p *pooler) serve(c net.Conn) error {
	client := pgproto3.NewBackend(c, c)
	if _, err := client.ReceiveStartupMessage(); err != nil {
		return err
	}
	client.Send(&pgproto3.AuthenticationOk{})
	client.Send(&pgproto3.BackendKeyData{ProcessID: 1, SecretKey: []byte{0, 0, 0, 1}})
	client.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	if err := client.Flush(); err != nil {
		return err
	}
	var lent *pgx.Conn
	defer func() {
		if lent != nil {
			p.free <- lent
		}
	}()
	for {
		message, err := client.Receive()
		if err != nil {
			return err
		}
		if _, bye := message.(*pgproto3.Terminate); bye {
			return nil
		}
		if lent == nil {
			select {
			case lent = <-p.free:
			case <-p.over:
				return context.Canceled
			}
		}
		server := lent.PgConn().Frontend()
		server.Send(message)
		_, query := message.(*pgproto3.Query)
		_, sync := message.(*pgproto3.Sync)
		if !query && !sync {
			continue
		}
		idle, err := relay(client, server)
		if err != nil {
			return err
		}
		if idle && p.lending == ByTransaction {
			p.free <- lent
			lent = nil
		}
	}
}

// relay hands the answer of a server to a client, and tells whether no
// transaction is open after it.
func relay(client *pgproto3.Backend, server *pgproto3.Frontend) (idle bool, err error) {
	if err := server.Flush(); err != nil {
		return false, err
	}
	for {
		answer, err := server.Receive()
		if err != nil {
			return false, err
		}
		client.Send(answer)
		if ready, ok := answer.(*pgproto3.ReadyForQuery); ok {
			return ready.TxStatus == 'I', client.Flush()
		}
	}
}
