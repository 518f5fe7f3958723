package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/dustin/go-humanize"
	"golang.org/x/sys/unix"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/storage/object"
)

// meter counts what was read from a store.
type meter struct{ bytes atomic.Int64 }

// meteredStore is a store whose readers are counted.
type meteredStore struct {
	object.Store
	meter *meter
}

// Get opens an object whose bytes count.
func (s *meteredStore) Get(ctx context.Context, key string) (io.ReadCloser, object.Info, error) {
	body, info, err := s.Store.Get(ctx, key)
	if err != nil {
		return nil, info, err
	}
	return &meteredBody{ReadCloser: body, meter: s.meter}, info, nil
}

type meteredBody struct {
	io.ReadCloser
	meter *meter
}

// Read counts what it reads.
func (b *meteredBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.meter.bytes.Add(int64(n))
	return n, err
}

// watch shows on a terminal how much of total was read, how fast, and when it
// will be done, until stop is called.
func (a *app) watch(m *meter, what string, total int64) (stop func()) {
	if !isTerminal(a.std.Err) || a.dumb() {
		return func() {}
	}
	began, from := time.Now(), m.bytes.Load()
	ended, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(redrawEvery)
		defer tick.Stop()
		for {
			select {
			case <-ended:
				fmt.Fprint(a.std.Err, "\r"+eraseBelow)
				return
			case <-tick.C:
				line := progressLine(what, m.bytes.Load()-from, total, time.Since(began))
				width, _ := sizeOf(a.std.Err)
				fmt.Fprint(a.std.Err, "\r"+wrapOff+oneLine(line, width)+eraseBelow+wrapOn)
			}
		}
	}()
	return func() {
		close(ended)
		<-done
	}
}

// progressLine says how far something is.
func progressLine(what string, read, total int64, since time.Duration) string {
	rate := float64(read) / max(since.Seconds(), 0.001)
	line := fmt.Sprintf("%s  %s of %s, %s/s", what, humanize.IBytes(uint64(max(read, 0))), humanize.IBytes(uint64(max(total, 0))), humanize.IBytes(uint64(max(rate, 0))))
	if left := total - read; left > 0 && rate >= 1 {
		line += ", " + unit.Took(time.Duration(float64(left)/rate*1e9).Round(time.Second)) + " left"
	}
	return line
}

// scratchPrefix begins the names of the folders in which artifacts are laid
// down while they are proven; scratchSettled is how old one must be before its
// owner surely holds its lock.
const (
	scratchPrefix  = "upkeep-backup-"
	scratchSettled = time.Minute
)

// inScratch gives do a private folder (0700), which is removed afterwards. It
// first removes those of processes that died.
func inScratch(do func(dir string) error) (err error) {
	if err := sweepScratch(os.TempDir()); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", scratchPrefix+"*")
	if err != nil {
		return fmt.Errorf("make a working directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	lock, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("lock the working directory: %w", err)
	}
	defer lock.Close() //nolint:errcheck // only a lock, which ends with it
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("lock the working directory: %w", err)
	}
	return do(dir)
}

// sweepScratch removes the folders of this user whose owner is dead: the lock
// that it held as long as it lived is free.
func sweepScratch(parent string) error {
	found, err := filepath.Glob(filepath.Join(parent, scratchPrefix+"*"))
	if err != nil {
		return fmt.Errorf("look for old working directories: %w", err)
	}
	for _, dir := range found {
		if err := sweepOne(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove the working directory of a dead process: %w", err)
		}
	}
	return nil
}

func sweepOne(dir string) error {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil //nolint:nilerr // not a folder of ours, or gone
	}
	defer unix.Close(fd) //nolint:errcheck // it only holds a lock
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return err
	}
	if int(stat.Uid) != os.Getuid() || stat.Mode&0o777 != 0o700 || time.Since(time.Unix(stat.Mtim.Unix())) < scratchSettled {
		return nil
	}
	if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil //nolint:nilerr // its owner lives
	}
	return os.RemoveAll(dir)
}
