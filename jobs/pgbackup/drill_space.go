package pgbackup

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/artifact"
	"github.com/ghosteam/upkeep/jobs/internal/pg"
)

// hasRoom refuses a server that has less room than the database took when it
// was saved, as far as that can be known from here: the server is on this
// machine and lets its user know where its files are. Otherwise it says so.
func (r *drill) hasRoom(ctx context.Context, admin *pg.Conn, d *Database) error {
	free, why, err := roomOf(ctx, admin)
	if err != nil {
		return err
	}
	if why != "" {
		r.note("drill-space", jobs.Info, "how much room %s has left is not known from here (%s); %s may need %s", admin.Server.Name(), why, d.Name, artifact.Bytes(d.Bytes))
		return nil
	}
	if free < d.Bytes {
		return jobs.WithHint(&jobs.RefusedError{Rail: "free space", Why: fmt.Sprintf("%s has %s free, but %s took %s when it was saved",
			admin.Server.Name(), artifact.Bytes(free), d.Name, artifact.Bytes(d.Bytes))}, "free space there, or drill on another server with --database")
	}
	return nil
}

// roomOf returns how many bytes are free where a server keeps its files, or why
// that is not known.
func roomOf(ctx context.Context, admin *pg.Conn) (free int64, why string, err error) {
	if !onThisMachine(admin) {
		return 0, "it is another machine", nil
	}
	var dir string
	if err := admin.QueryRow(ctx, "SELECT coalesce(current_setting('data_directory', true), '')").Scan(&dir); err != nil {
		if pg.Code(err) == "" {
			return 0, "", fmt.Errorf("ask where the server keeps its files: %w", err)
		}
		dir = ""
	}
	if dir == "" {
		return 0, "its user may not know where its files are", nil
	}
	free, err = artifact.FreeBytes(dir)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
		return 0, "its files are out of sight", nil
	}
	return free, "", err
}

// onThisMachine tells whether a server is reached without a network.
func onThisMachine(c *pg.Conn) bool {
	if strings.HasPrefix(c.Server.Host, "/") {
		return true
	}
	host, _, err := net.SplitHostPort(c.PgConn().Conn().RemoteAddr().String())
	ip := net.ParseIP(host)
	return err == nil && ip != nil && ip.IsLoopback()
}
