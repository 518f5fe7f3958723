package service

import (
	"context"
	"errors"
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
const spaceEvery = 5 * time.Second

// space keeps the daemon honest on a full disk: the ballast gives way so that
// what runs can be recorded and told, nothing new starts, and when there is
// room again everything goes on by itself.
type space struct {
	d       *Daemon
	ballast *ledger.Ballast

	// mu lets one look end before the next begins.
	mu   sync.Mutex
	full bool
	// owed puts on record what changed last; nil when it is.
	owed func(ctx context.Context) error
}

// look compares the disk with what is known and acts on a change. found tells
// that a write met a full disk just now. What could not be put on record about
// a change is tried again at the next look.
func (s *space) look(ctx context.Context, found bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	free, low, err := s.ballast.Low(ctx)
	if err != nil {
		return fmt.Errorf("look at the free space beside the ledger: %w", err)
	}
	switch {
	case !s.full && (low || found):
		err = s.fill(ctx, free)
	case s.full && !low:
		s.recover(ctx, free)
	}
	if s.owed == nil {
		return err
	}
	if told := s.owed(ctx); told != nil {
		return errors.Join(err, told)
	}
	s.owed = nil
	return err
}

// fill holds everything and gives the ledger room.
func (s *space) fill(ctx context.Context, free int64) error {
	s.full, s.owed = true, s.raise
	s.d.gate.shut(holdSpace)
	s.d.o.Log.ErrorContext(ctx, "the disk of the ledger is full: the ballast is released, no new run starts until there is room", "free", humanize.IBytes(uint64(max(free, 0))))
	if err := s.ballast.Release(); err != nil {
		return fmt.Errorf("release the ballast: %w", err)
	}
	return nil
}

// recover puts the ballast back and lets things start again. A disk that has
// room, but not for the ballast, stays held: it would be full again at once.
func (s *space) recover(ctx context.Context, free int64) {
	if err := s.ballast.Restore(ctx); err != nil {
		s.d.o.Log.InfoContext(ctx, "there is some room again, but not enough for the ballast", "cause", err)
		return
	}
	s.full, s.owed = false, s.clear
	s.d.o.Log.InfoContext(ctx, "there is room on the disk of the ledger again: runs start", "free", humanize.IBytes(uint64(max(free, 0))))
	s.d.gate.open(holdSpace)
}

// raise tells that the disk is full.
func (s *space) raise(ctx context.Context) error {
	_, err := s.d.raiseOwn(ctx, s.d.Config().Alarm().DiskFull(StateDir(s.d.Config()), time.Now().UTC()))
	return err
}

// clear tells that there is room again.
func (s *space) clear(ctx context.Context) error {
	_, err := s.d.ledger.Clear(ctx, s.d.ownFault(alerts.FingerprintDisk), time.Now().UTC())
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
