package jobs

import (
	"os"
	"syscall"
)

// inode identifies a file or folder on this machine.
type inode struct{ device, number uint64 }

// IsOwn tells whether a file or folder, known by its device and inode numbers,
// belongs to upkeep itself: the ledger and what lies beside it. Kinds that open
// whatever they find must leave those alone. Opening and closing a file drops
// the locks that this process holds on it (POSIX, fcntl(2)), and with them the
// ledger's protection; besides, a copy of a live database is no backup.
func (e *Env) IsOwn(device, number uint64) bool {
	return e.own != nil && e.own()[inode{device, number}]
}

// inodesOf looks paths up. What does not exist is nobody's.
func inodesOf(paths []string) map[inode]bool {
	out := map[inode]bool{}
	for _, path := range paths {
		info, err := os.Lstat(path)
		if err != nil {
			continue
		}
		if stat, ok := info.Sys().(*syscall.Stat_t); ok {
			out[inode{stat.Dev, stat.Ino}] = true
		}
	}
	return out
}

// DatabaseIdentity is the query that tells which database of which PostgreSQL
// server a session is in: the identifier that the server got when it was made,
// and the number of the database there.
const DatabaseIdentity = "SELECT (SELECT c.system_identifier FROM pg_control_system() c) || '/' || (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())"

// OwnDatabase identifies the database in which upkeep keeps its own record, as
// the answer to DatabaseIdentity; empty when that is no PostgreSQL database.
// Kinds refuse what would shut it out or replace it.
func (e *Env) OwnDatabase() string { return e.hooks.OwnDatabase }
