package logbook

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

const (
	// fileMode lets the group read the log, such as adm; folderMode lets it look
	// for it.
	fileMode   fs.FileMode = 0o640
	folderMode fs.FileMode = 0o750
	// complainEvery is how often it is said at most that the file cannot be
	// written, or rotated.
	complainEvery = time.Minute
)

// Rotation says when a file of the log makes way for a new one, and what becomes
// of the old ones.
type Rotation struct {
	// Size is how many bytes a file has at most, unless one record alone has
	// more; 0 means any number. Age is how long it is written to; 0 means for
	// ever.
	Size int64
	Age  time.Duration
	// Keep is how many old files stay; 0 means all.
	Keep int
	// Compress makes old files gzip files.
	Compress bool
}

// FileOptions say where a file of the log is and who hears of trouble with it.
type FileOptions struct {
	// Path is the file's. Folders that are missing are made.
	Path     string
	Rotation Rotation
	// Complaints is where trouble with the file is told, a line each, such as
	// standard error.
	Complaints io.Writer
	// Lost is told of every record that could not be written; nil for nobody.
	Lost func()
	// Patient makes a file that cannot be opened at first no error: that is told,
	// and it is tried again with each record.
	Patient bool
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// File is a file of the log that is rotated. Its methods may be called from
// several goroutines. A record is in the file whole or not at all, and when it
// is not, that is told.
type File struct {
	o FileOptions

	mu       sync.Mutex
	rotation Rotation
	file     *os.File
	size     int64
	began    time.Time
	// lost counts records since the file could be written last.
	lost int64
	// complained, stuck and untidy are when trouble with writing, with rotating
	// and with old files was told last.
	complained, stuck, untidy time.Time
	closed                    bool

	// tidying compresses and removes old files; wake holds at most one wish.
	tidying sync.WaitGroup
	wake    chan struct{}
	end     chan struct{}
}

// OpenFile opens a file of the log, to add to it. A line that a crash cut short
// is ended, so that the next one begins in a place of its own.
func OpenFile(o FileOptions) (*File, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Complaints == nil {
		o.Complaints = io.Discard
	}
	f := &File{o: o, rotation: o.Rotation, wake: make(chan struct{}, 1), end: make(chan struct{})}
	if err := f.open(); err != nil {
		if !o.Patient {
			return nil, err
		}
		f.complain(&f.complained, "it cannot be opened", err)
	}
	f.tidying.Go(f.tidy)
	f.wish()
	return f, nil
}

// open opens the file at the path. The caller holds mu, or is alone.
func (f *File) open() error {
	f.size = 0
	if err := os.MkdirAll(filepath.Dir(f.o.Path), folderMode); err != nil {
		return fmt.Errorf("make the folder of the log: %w", err)
	}
	file, err := os.OpenFile(f.o.Path, os.O_RDWR|os.O_APPEND|os.O_CREATE, fileMode)
	if err != nil {
		return fmt.Errorf("open the log: %w", err)
	}
	info, err := file.Stat()
	if err != nil {
		return errors.Join(fmt.Errorf("open the log: %w", err), file.Close())
	}
	if !info.Mode().IsRegular() {
		return errors.Join(fmt.Errorf("open the log: %s is no ordinary file", f.o.Path), file.Close())
	}
	f.file, f.size, f.began = file, info.Size(), f.o.Now()
	if f.size == 0 {
		return nil
	}
	if began, ok := birth(f.o.Path); ok {
		f.began = began
	}
	last := make([]byte, 1)
	if _, err := file.ReadAt(last, f.size-1); err == nil && last[0] != '\n' {
		n, err := file.Write([]byte{'\n'})
		f.size += int64(n)
		if err != nil {
			f.complain(&f.complained, "a line that was cut short could not be ended", err)
		}
	}
	return nil
}

// Write adds one record, which ends with a line feed. It returns an error, and
// says so, when it could not; what came of it before is removed from the file.
func (f *File) Write(record []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return 0, fs.ErrClosed
	}
	if f.due(int64(len(record))) {
		if err := f.rotate(); err != nil {
			f.complain(&f.stuck, "it cannot be rotated, and grows", err)
		}
	}
	if f.file == nil {
		if err := f.open(); err != nil {
			return 0, f.lose(err)
		}
	}
	n, err := f.file.Write(record)
	if err != nil {
		if n > 0 && f.file.Truncate(f.size) != nil {
			f.size += int64(n) // the piece stays; the next record begins behind it
		}
		return 0, f.lose(err)
	}
	f.size += int64(n)
	if f.lost > 0 {
		f.tell("the log %s is written again; %d records are not in it", f.o.Path, f.lost)
		f.lost, f.complained = 0, time.Time{}
	}
	return n, nil
}

// lose notes that a record is not in the file.
func (f *File) lose(err error) error {
	f.lost++
	if f.o.Lost != nil {
		f.o.Lost()
	}
	f.complain(&f.complained, fmt.Sprintf("it cannot be written, %d records are not in it so far", f.lost), err)
	return err
}

// complain tells of trouble, unless it did so a short while ago.
func (f *File) complain(last *time.Time, what string, err error) {
	now := f.o.Now()
	if !last.IsZero() && now.Sub(*last) < complainEvery {
		return
	}
	*last = now
	f.tell("the log %s: %s: %v", f.o.Path, what, err)
}

// tell says something about the file. That nobody hears it is nothing that
// anybody could be told.
func (f *File) tell(format string, args ...any) {
	_, _ = fmt.Fprintf(f.o.Complaints, "upkeep: "+format+"\n", args...)
}

// Reopen closes the file and opens what is at its path now, as after somebody
// else moved it away.
func (f *File) Reopen() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return fs.ErrClosed
	}
	old := f.file
	size := f.size
	f.file = nil
	err := f.open()
	if err != nil {
		f.file, f.size = old, size // better there than nowhere
		return err
	}
	if old != nil {
		err = old.Close()
	}
	f.wish()
	return err
}

// SetRotation changes when the file is rotated.
func (f *File) SetRotation(r Rotation) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rotation = r
	f.wish()
}

// Close closes the file, when what is being compressed is done.
func (f *File) Close() error {
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return nil
	}
	f.closed = true
	close(f.end)
	var err error
	if f.file != nil {
		err = f.file.Close()
	}
	f.mu.Unlock()
	f.tidying.Wait()
	if err != nil {
		return fmt.Errorf("close the log: %w", err)
	}
	return nil
}
