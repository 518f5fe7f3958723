package executor

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"github.com/ghosteam/upkeep/runner"
)

// spareFolders bounds how many empty folders are kept for later attempts.
const spareFolders = 64

// sparePrefix begins the names of folders that belong to no attempt.
const sparePrefix = "upkeep-spare-"

// spares are empty private folders. An attempt that leaves its folder as it got
// it hands it on, because to make and to remove a folder is the most expensive
// thing that a short attempt does on a journaling file system: ext4 looks for
// inodes that were not freed in the last seconds (recently_deleted in
// fs/ext4/ialloc.c), at some hundred microseconds each when many attempts come
// and go.
type spares struct {
	// dir is where they lie; empty when none are kept.
	dir string

	mu    sync.Mutex
	found bool // those that an earlier process kept were looked for
	paths []string
	seq   int
}

// take makes one of the folders that of an attempt and returns its path, or
// the empty text when there is none.
func (s *spares) take(key runner.AttemptKey) string {
	if s.dir == "" {
		return ""
	}
	for {
		from, number := s.pop()
		if from == "" {
			return ""
		}
		to := filepath.Join(s.dir, fmt.Sprintf("%s%d-%d", attemptPrefix(key), os.Getpid(), number))
		if os.Rename(from, to) == nil {
			return to
		}
		// Another process, or whoever cleans up here, has taken it.
	}
}

func (s *spares) pop() (path string, number int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.found {
		s.found = true
		s.find()
	}
	s.seq++
	if last := len(s.paths) - 1; last >= 0 {
		path, s.paths = s.paths[last], s.paths[:last]
	}
	return path, s.seq
}

// find looks for what an earlier process kept. The caller holds mu.
func (s *spares) find() {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return // it is not there yet
	}
	for _, entry := range entries {
		path := filepath.Join(s.dir, entry.Name())
		if strings.HasPrefix(entry.Name(), sparePrefix) && len(s.paths) < spareFolders && pristine(path) {
			s.paths = append(s.paths, path)
		}
	}
}

// give takes a folder back from an attempt and tells whether it could.
func (s *spares) give(path string) bool {
	if s.dir == "" || !pristine(path) {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.paths) >= spareFolders {
		return false
	}
	s.seq++
	to := filepath.Join(s.dir, fmt.Sprintf("%s%d-%d", sparePrefix, os.Getpid(), s.seq))
	if os.Rename(path, to) != nil {
		return false
	}
	s.paths = append(s.paths, to)
	return true
}

// pristine tells whether path is an empty folder that is ours alone, as a new
// one would be.
func pristine(path string) bool {
	info, err := os.Lstat(path)
	if err != nil || !info.IsDir() || info.Mode() != os.ModeDir|0o700 {
		return false
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); !ok || int(stat.Uid) != os.Geteuid() {
		return false
	}
	entries, err := os.ReadDir(path)
	return err == nil && len(entries) == 0
}
