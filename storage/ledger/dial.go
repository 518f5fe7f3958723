package ledger

import (
	"context"
	"errors"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// silentFor is how long either side of a connection waits for a sign of life
// from the other: less than the default lease, so that a node which lost the
// network finds out before its lease ends, and the rows that it was working on
// are free when another node takes over.
const silentFor = 10 * time.Second

// sessionParams are what a session asks of the server, unless the address says
// otherwise (https://www.postgresql.org/docs/current/runtime-config-connection.html
// and …/runtime-config-client.html).
func sessionParams(node string) map[string]string {
	return map[string]string{
		"application_name": "upkeep/" + node,
		// Nothing of ours holds a row for long; a session that does, because its
		// node was stopped or cut off, must not stop all nodes. How long a statement
		// may take its caller knows, and not the role.
		"lock_timeout": "30s", "statement_timeout": "0", "idle_in_transaction_session_timeout": silentFor.String(),
		"tcp_user_timeout": silentFor.String(), "tcp_keepalives_idle": "4", "tcp_keepalives_interval": "2", "tcp_keepalives_count": "3",
	}
}

// dial connects so that what is sent into a network that swallows it fails, and
// a server that vanished is noticed by those who wait for it.
func dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 4 * time.Second, Interval: 2 * time.Second, Count: 3},
		Control: func(network, _ string, raw syscall.RawConn) error {
			if network == "unix" {
				return nil
			}
			var failed error
			err := raw.Control(func(fd uintptr) {
				failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(silentFor.Milliseconds()))
			})
			return errors.Join(err, failed)
		},
	}
	return d.DialContext(ctx, network, address)
}
