package ledger

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/ghosteam/upkeep/runner"
)

// BallastName is the name of the ballast's file.
const BallastName = "upkeep.ballast"

const (
	// marginShare is which part of the ballast must be free beside it.
	marginShare = 4
	// bareMargin is how much must be free without a ballast.
	bareMargin = 4 << 20
)

// Ballast is a file beside the ledger that takes up space for nothing, so that
// there is something to give up when the disk is full: then what runs can
// still be recorded and told. It is safe for use by several goroutines.
type Ballast struct {
	dir    *os.File
	path   string
	bytes  int64
	margin int64

	mu sync.Mutex
	// held tells that the file takes up its space; low is what Low said last.
	held, low bool
}

// OpenBallast makes sure that the folder dir, which it makes when it is
// missing, has a ballast of so many bytes; 0 means none. On a disk without room
// for it the ballast counts as released. The caller closes it.
func OpenBallast(ctx context.Context, dir string, bytes int64) (*Ballast, error) {
	if bytes < 0 {
		return nil, fmt.Errorf("a ballast cannot have %d bytes", bytes)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of the ballast: %w", err)
	}
	folder, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("open the folder of the ballast: %w", err)
	}
	b := &Ballast{dir: folder, path: filepath.Join(dir, BallastName), bytes: bytes, margin: bytes / marginShare}
	if bytes == 0 {
		b.margin = bareMargin
		err = b.remove()
	} else {
		err = b.fill(ctx)
	}
	if err != nil && !errors.Is(err, runner.ErrNoSpace) {
		return nil, errors.Join(err, folder.Close())
	}
	return b, nil
}

// Close frees what the ballast needs in this process. The file stays.
func (b *Ballast) Close() error { return b.dir.Close() }

// Low returns how many bytes are free for this user on the ballast's file
// system and whether that is too little to start anything: less than a quarter
// of the ballast while it is there, and less than Restore needs after its
// release. Without a ballast the bounds are 4 and 8 MiB.
func (b *Ballast) Low(ctx context.Context) (free int64, low bool, err error) {
	if err := context.Cause(ctx); err != nil {
		return 0, false, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if free, err = b.free(); err != nil {
		return 0, false, err
	}
	need := b.margin
	switch {
	case b.bytes > 0 && !b.held:
		need = b.bytes + 2*b.margin
	case b.bytes == 0 && b.low:
		need = 2 * b.margin
	}
	b.low = free < need
	return free, b.low, nil
}

// Release gives the space back; again it does nothing.
func (b *Ballast) Release() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.remove()
}

// Restore takes the space again, when there is room for the ballast and half
// of it besides; an error that wraps runner.ErrNoSpace otherwise.
func (b *Ballast) Restore(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.held || b.bytes == 0 {
		return nil
	}
	free, err := b.free()
	if err != nil {
		return err
	}
	if need := b.bytes + 2*b.margin; free < need {
		return fmt.Errorf("restore the ballast %s: %w: %d bytes are free, it needs %d", b.path, runner.ErrNoSpace, free, need)
	}
	return b.fill(ctx)
}

// free returns how many bytes this user may still write. What a file system
// keeps for the superuser counts only for him.
func (b *Ballast) free() (int64, error) {
	var stat unix.Statfs_t
	if err := unix.Fstatfs(int(b.dir.Fd()), &stat); err != nil {
		return 0, fmt.Errorf("look at the file system of %s: %w", b.path, err)
	}
	return freeOf(stat), nil
}

func freeOf(stat unix.Statfs_t) int64 {
	blocks := stat.Bavail
	if os.Geteuid() == 0 {
		blocks = stat.Bfree
	}
	return int64(blocks) * stat.Bsize
}

// fill makes the file and gives it its blocks. What could not be finished is
// removed again.
func (b *Ballast) fill(ctx context.Context) (err error) {
	file, err := os.OpenFile(b.path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return b.explain(err)
	}
	defer func() {
		err = errors.Join(err, file.Close())
		if err != nil {
			err = errors.Join(b.explain(err), b.remove())
			return
		}
		b.held = true
	}()
	info, err := file.Stat()
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is not a regular file", b.path)
	case info.Size() > b.bytes:
		if err := file.Truncate(b.bytes); err != nil {
			return err
		}
	}
	if err := allocate(ctx, file, b.bytes); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	return b.dir.Sync()
}

// allocate gives the first bytes of a file their blocks.
func allocate(ctx context.Context, file *os.File, bytes int64) error {
	for {
		err := unix.Fallocate(int(file.Fd()), 0, 0, bytes)
		switch {
		case errors.Is(err, unix.EINTR):
			if cause := context.Cause(ctx); cause != nil {
				return cause
			}
		case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS):
			return overwrite(ctx, file, bytes)
		case err != nil:
			return fmt.Errorf("allocate %d bytes: %w", bytes, err)
		default:
			return nil
		}
	}
}

// overwrite writes a whole file. Its content is random, because some file
// systems keep no blocks for zeros and few for what they can compress.
func overwrite(ctx context.Context, file *os.File, bytes int64) error {
	source := rand.NewChaCha8([32]byte{})
	block := make([]byte, 1<<20)
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	for left := bytes; left > 0; {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		part := block[:min(left, int64(len(block)))]
		// It never fails (math/rand/v2).
		_, _ = source.Read(part)
		n, err := file.Write(part)
		if err != nil {
			return err
		}
		left -= int64(n)
	}
	return nil
}

// remove deletes the file. It is cut first: that frees its blocks even when a
// reader, such as a backup, has it open.
func (b *Ballast) remove() (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("give up the ballast %s: %w", b.path, err)
		}
	}()
	file, err := os.OpenFile(b.path, os.O_WRONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		b.held = false
		return nil
	}
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("it is not a regular file")
	}
	if err == nil {
		err = file.Truncate(0)
	}
	if err == nil {
		b.held = false
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	if err := os.Remove(b.path); err != nil {
		return err
	}
	return b.dir.Sync()
}

// explain names the file, and recognizes a full disk.
func (b *Ballast) explain(err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return fmt.Errorf("make the ballast %s: %w: %w", b.path, runner.ErrNoSpace, err)
	}
	return fmt.Errorf("make the ballast %s: %w", b.path, err)
}
