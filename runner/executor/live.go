package executor

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/ghosteam/upkeep/runner"
)

// Live output is a row of segments, files that only grow:
//
//	<LiveDir>/<run>/<job>.<attempt>.<offset>
//
// offset is the place of the segment's first byte in all that the attempt
// wrote, in decimal. The segment at 0 is the head. The others are shorter than
// the tail; when a new one begins, those that the tail no longer needs are
// removed. A reader needs no lock: whatever prefix of a segment it sees is
// right, and a segment that vanished is part of what was cut. An attempt that
// writes nothing has no files.

// tailSegments is into how many segments the tail is divided. One more than
// these is on disk.
const tailSegments = 4

// segmentFile is what live needs of an open segment.
type segmentFile interface {
	io.Writer
	io.Closer
}

// createSegment makes a new segment that nobody else can read.
func createSegment(path string) (segmentFile, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
}

// live mirrors one attempt's output. It is a convenience: when the disk is
// full or the folder unusable it says so once and stops, and the attempt goes
// on.
type live struct {
	dir, prefix string
	head, rest  int64 // sizes of the first and of the other segments
	log         *slog.Logger
	create      func(path string) (segmentFile, error)

	// full is called when the disk has no room.
	full func()

	file    segmentFile
	offset  int64   // next byte
	end     int64   // of the current segment
	offsets []int64 // of the segments on disk
	broken  bool
}

// newLive prepares the mirror of an attempt below dir and touches nothing.
func newLive(dir string, key runner.AttemptKey, head, tail int, log *slog.Logger) *live {
	return &live{
		dir: filepath.Join(dir, string(key.Run)), prefix: segmentPrefix(key),
		head: int64(head), rest: int64(max(1, (tail+tailSegments-1)/tailSegments)),
		log: log, create: createSegment, full: func() {},
	}
}

func segmentPrefix(key runner.AttemptKey) string {
	return key.Job + "." + strconv.Itoa(key.Number) + "."
}

func (l *live) path(offset int64) string {
	return filepath.Join(l.dir, l.prefix+strconv.FormatInt(offset, 10))
}

// write appends p.
func (l *live) write(p []byte) {
	for len(p) > 0 && !l.broken {
		if err := l.some(&p); err != nil {
			l.broken = true
			if noSpace(err) {
				l.full()
			}
			l.log.Warn("the output of the attempt cannot be followed while it runs; it is still recorded at its end", "error", err)
		}
	}
}

// some appends as much of p as fits into one segment and takes it off p.
func (l *live) some(p *[]byte) error {
	if l.offset == l.end {
		if err := l.roll(); err != nil {
			return err
		}
	}
	n := min(int64(len(*p)), l.end-l.offset)
	if _, err := l.file.Write((*p)[:n]); err != nil {
		return fmt.Errorf("write live output: %w", err)
	}
	l.offset += n
	*p = (*p)[n:]
	return nil
}

// roll begins the next segment and removes what the tail no longer needs.
func (l *live) roll() error {
	if len(l.offsets) == 0 {
		if err := os.MkdirAll(l.dir, 0o700); err != nil {
			return fmt.Errorf("make folder for live output: %w", err)
		}
		l.end = l.head
	} else {
		if err := l.closeFile(); err != nil {
			return fmt.Errorf("close live output: %w", err)
		}
		l.end = l.offset + l.rest
	}
	file, err := l.create(l.path(l.offset))
	if err != nil {
		return fmt.Errorf("create live output: %w", err)
	}
	l.file = file
	l.offsets = append(l.offsets, l.offset)
	if len(l.offsets) > 2+tailSegments {
		if err := os.Remove(l.path(l.offsets[1])); err != nil {
			return fmt.Errorf("remove old live output: %w", err)
		}
		l.offsets = slices.Delete(l.offsets, 1, 2)
	}
	return nil
}

// resume continues what a dead process wrote, with the next segment.
func (l *live) resume(offsets []int64, end int64) {
	l.offsets, l.offset, l.end = offsets, end, end
}

// closeFile closes the present segment, if there is one.
func (l *live) closeFile() error {
	file := l.file
	l.file = nil
	if file == nil {
		return nil
	}
	return file.Close()
}

// discard removes the files, because what they hold is on record or belongs to
// nobody.
func (l *live) discard() error {
	if len(l.offsets) == 0 {
		return nil
	}
	errs := []error{l.closeFile()}
	paths := make([]string, len(l.offsets), len(l.offsets)+1)
	for i, offset := range l.offsets {
		paths[i] = l.path(offset)
	}
	// The folder goes with the last attempt that is in it. A later owner of the
	// run may have removed everything.
	for _, path := range append(paths, l.dir) {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTEMPTY) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// ReadLive returns what the running attempt key of this machine has written so
// far to the executor whose LiveDir is dir. It may be called from another
// process at any time; it returns false when there is nothing to read. Its
// Tail may be somewhat longer than what will be kept in the end.
func ReadLive(dir string, key runner.AttemptKey) (runner.Output, bool, error) {
	out, offsets, _, err := readLive(dir, key)
	return out, len(offsets) > 0, err
}

// readLive also returns where segments begin and where the last one ends.
func readLive(dir string, key runner.AttemptKey) (out runner.Output, offsets []int64, end int64, err error) {
	folder := filepath.Join(dir, string(key.Run))
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return out, nil, 0, nil
	}
	if err != nil {
		return out, nil, 0, fmt.Errorf("read live output: %w", err)
	}
	for _, entry := range entries {
		if digits, ok := strings.CutPrefix(entry.Name(), segmentPrefix(key)); ok {
			if offset, err := strconv.ParseInt(digits, 10, 64); err == nil && offset >= 0 {
				offsets = append(offsets, offset)
			}
		}
	}
	slices.Sort(offsets)
	for _, offset := range offsets {
		content, err := os.ReadFile(filepath.Join(folder, segmentPrefix(key)+strconv.FormatInt(offset, 10)))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			// Removed since the folder was read: it is part of the cut.
			continue
		case err != nil:
			return runner.Output{}, nil, 0, fmt.Errorf("read live output: %w", err)
		case offset == 0:
			out.Head = content
		case offset != end:
			out.Tail = content
		default:
			out.Tail = append(out.Tail, content...)
		}
		end = offset + int64(len(content))
	}
	out.Cut = end - int64(len(out.Head)) - int64(len(out.Tail))
	if end == 0 {
		offsets = nil // nothing was written
	}
	return out, offsets, end, nil
}

// discardLive removes the live output of a run below dir, except for that of
// the attempts in keep.
func discardLive(dir string, id runner.RunID, keep []runner.AttemptKey) error {
	folder := filepath.Join(dir, string(id))
	if len(keep) == 0 {
		if err := os.RemoveAll(folder); err != nil {
			return fmt.Errorf("remove live output of run %s: %w", id, err)
		}
		return nil
	}
	entries, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove live output of run %s: %w", id, err)
	}
	for _, entry := range entries {
		kept := func(key runner.AttemptKey) bool { return strings.HasPrefix(entry.Name(), segmentPrefix(key)) }
		if slices.ContainsFunc(keep, kept) {
			continue
		}
		if err := os.Remove(filepath.Join(folder, entry.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove live output of run %s: %w", id, err)
		}
	}
	return nil
}
