package service

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/dustin/go-humanize"
	"golang.org/x/sys/unix"

	"github.com/ghosteam/upkeep/alerts"
	"github.com/ghosteam/upkeep/storage/ledger"
	"github.com/ghosteam/upkeep/web/api"
)

// spaceEvery is how often the disk is looked at besides the moments in which a
// write found it full.
const spaceEvery = 30 * time.Second

// space keeps the daemon honest on a full disk: the ballast gives way so that
// what runs can be recorded and told, nothing new starts, and when there is
// room again everything goes on by itself.
type space struct {
	d       *Daemon
	ballast *ledger.Ballast

	// mu lets one look end before the next begins.
	mu   sync.Mutex
	full bool
}

// look compares the disk with what is known and acts on a change. found tells
// that a write met a full disk just now.
func (s *space) look(ctx context.Context, found bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	free, low, err := s.ballast.Low(ctx)
	if err != nil {
		return fmt.Errorf("look at the free space beside the ledger: %w", err)
	}
	switch {
	case !s.full && (low || found):
		return s.fill(ctx, free)
	case s.full && !low:
		return s.recover(ctx, free)
	}
	return nil
}

// fill holds everything, gives the ledger room and tells.
func (s *space) fill(ctx context.Context, free int64) error {
	s.full = true
	s.d.gate.shut(holdSpace)
	s.d.o.Log.ErrorContext(ctx, "the disk of the ledger is full: the ballast is released, no new run starts until there is room", "free", humanize.IBytes(uint64(max(free, 0))))
	if err := s.ballast.Release(); err != nil {
		return fmt.Errorf("release the ballast: %w", err)
	}
	_, err := s.d.ledger.Raise(ctx, s.d.Config().Alarm().DiskFull(StateDir(s.d.Config()), time.Now().UTC()))
	return err
}

// recover puts the ballast back and lets things start again. A disk that has
// room, but not for the ballast, stays held: it would be full again at once.
func (s *space) recover(ctx context.Context, free int64) error {
	if err := s.ballast.Restore(ctx); err != nil {
		s.d.o.Log.InfoContext(ctx, "there is some room again, but not enough for the ballast", "cause", err)
		return nil
	}
	s.full = false
	s.d.o.Log.InfoContext(ctx, "there is room on the disk of the ledger again: runs start", "free", humanize.IBytes(uint64(max(free, 0))))
	s.d.gate.open(holdSpace)
	_, err := s.d.ledger.Clear(ctx, alerts.FingerprintDisk, time.Now().UTC())
	return err
}

// status tells how much room there is.
func (s *space) status(ctx context.Context) api.DiskStatus {
	path := StateDir(s.d.Config())
	v := api.DiskStatus{Path: path, BallastBytes: s.d.Config().Ballast, BallastReleased: s.d.gate.has(holdSpace)}
	free, _, err := s.ballast.Low(ctx)
	if err != nil {
		s.d.o.Log.WarnContext(ctx, "look at the free space beside the ledger", "error", err)
	}
	v.FreeBytes = free
	var stat unix.Statfs_t
	if err := unix.Statfs(path, &stat); err == nil {
		v.TotalBytes = int64(stat.Blocks) * stat.Bsize
	}
	return v
}
