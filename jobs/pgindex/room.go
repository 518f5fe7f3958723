package pgindex

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/ghosteam/upkeep/jobs/internal/pg"
)

// requireRoom refuses a build for which there is no room, where that can be
// seen from here.
func (r *run) requireRoom(ctx context.Context, title string, need int64) error {
	free, known := r.free(ctx)
	if !known {
		r.env.Printf("%s: the free space of the server's disk is not known here", title)
		return nil
	}
	if least := r.job.options.MinFree.Bytes(); free-need < least {
		return refused("min_free", "%s may take %s, and of the %s that the server's disk has free %s must stay", title, size(need), size(free), size(least))
	}
	return nil
}

// free is the free space of the disk that holds the server's data. It is known
// only when the directory that the server names is one on this machine in which
// a server runs that listens on the port that we are connected to.
func (r *run) free(ctx context.Context) (bytes int64, known bool) {
	c := r.session.control
	host := c.Server.Host
	if ip := net.ParseIP(host); !strings.HasPrefix(host, "/") && host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return 0, false
	}
	// A role that may not know where the data is gets an error.
	dirs, err := pg.Texts(ctx, c, "SELECT current_setting('data_directory')")
	if err != nil || len(dirs) != 1 {
		return 0, false
	}
	// postmaster.pid has the port in its fourth line
	// (src/include/utils/pidfile.h).
	text, err := os.ReadFile(filepath.Join(dirs[0], "postmaster.pid"))
	lines := strings.Split(string(text), "\n")
	if err != nil || len(lines) < 4 || lines[3] != strconv.Itoa(c.Server.Port) {
		return 0, false
	}
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dirs[0], &fs); err != nil {
		return 0, false
	}
	return int64(fs.Bavail) * int64(fs.Bsize), true
}
