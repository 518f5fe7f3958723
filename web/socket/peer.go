package socket

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// Peer is the process at the other end of a connection, as the kernel knows
// it.
type Peer struct{ UID, PID int }

// PeerOf returns who is at the other end of a connection over a unix socket.
func PeerOf(conn net.Conn) (Peer, error) {
	raw, ok := conn.(syscall.Conn)
	if !ok {
		return Peer{}, fmt.Errorf("a %T has no peer", conn)
	}
	rc, err := raw.SyscallConn()
	if err != nil {
		return Peer{}, fmt.Errorf("ask for the peer: %w", err)
	}
	var cred *unix.Ucred
	var failed error
	err = rc.Control(func(fd uintptr) {
		cred, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err := errors.Join(err, failed); err != nil {
		return Peer{}, fmt.Errorf("ask for the peer: %w", err)
	}
	return Peer{UID: int(cred.Uid), PID: int(cred.Pid)}, nil
}

// Trusted tells whether the peer is root or runs as the same user as this
// process.
func (p Peer) Trusted() bool { return p.UID == 0 || p.UID == os.Geteuid() }

// Name returns the peer's user name, or "uid N" when it has none.
func (p Peer) Name() string {
	if u, err := user.LookupId(strconv.Itoa(p.UID)); err == nil && u.Username != "" {
		return u.Username
	}
	return "uid " + strconv.Itoa(p.UID)
}

// plain takes the address of our own making off a network error.
func plain(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Err
	}
	return err
}
