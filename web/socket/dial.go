package socket

import (
	"context"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// Dial connects to the socket at path, which may be of any length. Its error
// is fs.ErrNotExist without a socket, syscall.ECONNREFUSED when nobody listens
// any more, and fs.ErrPermission when it is another user's.
func Dial(ctx context.Context, path string) (net.Conn, error) {
	// An address is at most 107 bytes long (unix(7), sun_path). The link below
	// /proc leads to the socket itself, however long its name.
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "connect to", Path: path, Err: err}
	}
	defer unix.Close(fd) //nolint:errcheck // an O_PATH descriptor has nothing to lose
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", fmt.Sprintf("/proc/self/fd/%d", fd))
	if err != nil {
		return nil, &os.PathError{Op: "connect to", Path: path, Err: plain(err)}
	}
	return conn, nil
}
