package logbook

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// stampForm is the form of the instant in the names of old files: names in their
// order are files in theirs.
const stampForm = "20060102T150405.000000000Z"

// old matches what stands between the name of the log and its ending.
var old = regexp.MustCompile(`^-\d{8}T\d{6}\.\d{9}Z$`)

const (
	zipped = ".gz"
	// part ends the names of files that are being made.
	part = ".part"
)

// due tells whether the file makes way before that many more bytes. The caller
// holds mu.
func (f *File) due(more int64) bool {
	r := f.rotation
	if f.size == 0 || f.file == nil {
		return false
	}
	return r.Size > 0 && f.size+more > r.Size || r.Age > 0 && f.o.Now().Sub(f.began) >= r.Age
}

// rotate gives the file another name and opens a new one. The caller holds mu.
// When it fails the file stays what it is.
func (f *File) rotate() error {
	name, err := f.spare()
	if err != nil {
		return err
	}
	if err := os.Rename(f.o.Path, name); err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		// Somebody moved it away: what they have is theirs.
	}
	was, size := f.file, f.size
	f.file = nil
	if err := f.open(); err != nil {
		// The old one is still there under its new name.
		f.file, f.size = was, size
		return err
	}
	f.stuck = time.Time{}
	f.wish()
	return was.Close()
}

// spare returns a name for the file that no other one has.
func (f *File) spare() (string, error) {
	stem, ending := f.parts()
	for at := f.o.Now().UTC(); ; at = at.Add(time.Nanosecond) {
		name := stem + "-" + at.Format(stampForm) + ending
		taken := false
		for _, other := range []string{name, name + zipped} {
			switch _, err := os.Lstat(other); {
			case err == nil:
				taken = true
			case !errors.Is(err, fs.ErrNotExist):
				return "", err
			}
		}
		if !taken {
			return name, nil
		}
	}
}

// parts splits the path before its ending.
func (f *File) parts() (stem, ending string) {
	ending = filepath.Ext(f.o.Path)
	return strings.TrimSuffix(f.o.Path, ending), ending
}

// wish makes the tidying look again.
func (f *File) wish() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// tidy compresses and removes old files until the end.
func (f *File) tidy() {
	for {
		select {
		case <-f.end:
			return
		case <-f.wake:
		}
		f.mu.Lock()
		r := f.rotation
		f.mu.Unlock()
		if err := f.tidyOnce(r); err != nil {
			f.mu.Lock()
			f.complain(&f.untidy, "its old files cannot be tidied", err)
			f.mu.Unlock()
		}
	}
}

// tidyOnce brings the old files into the state that r wants, whatever a crash
// left half done.
func (f *File) tidyOnce(r Rotation) error {
	plain, half, err := f.past()
	if err != nil {
		return err
	}
	var errs []error
	for _, path := range half {
		errs = append(errs, remove(path))
	}
	if r.Keep > 0 && len(plain) > r.Keep {
		for _, path := range plain[:len(plain)-r.Keep] {
			errs = append(errs, remove(path), remove(path+zipped))
		}
		plain = plain[len(plain)-r.Keep:]
	}
	if r.Compress {
		for _, path := range plain {
			if _, err := os.Lstat(path); err == nil {
				errs = append(errs, f.compress(path))
			}
		}
	}
	return errors.Join(errs...)
}

// past returns the old files without the ending of compressed ones, the oldest
// first, and the files that were being made when a process died. Only names
// that this package makes are among them, and ordinary files.
func (f *File) past() (plain, half []string, err error) {
	stem, ending := f.parts()
	entries, err := os.ReadDir(filepath.Dir(f.o.Path))
	if err != nil {
		return nil, nil, fmt.Errorf("look for old files of the log: %w", err)
	}
	for _, e := range entries {
		rest, ours := strings.CutPrefix(filepath.Join(filepath.Dir(f.o.Path), e.Name()), stem)
		if !ours || !e.Type().IsRegular() {
			continue
		}
		rest, unfinished := strings.CutSuffix(rest, zipped+part)
		rest = strings.TrimSuffix(rest, zipped)
		rest, ours = strings.CutSuffix(rest, ending)
		switch {
		case !ours || !old.MatchString(rest):
		case unfinished:
			half = append(half, stem+rest+ending+zipped+part)
		case !slices.Contains(plain, stem+rest+ending):
			plain = append(plain, stem+rest+ending)
		}
	}
	slices.Sort(plain)
	return plain, half, nil
}

func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove an old file of the log: %w", err)
	}
	return nil
}

// compress makes a gzip file beside an old file and removes that once the other
// is durable. It may be repeated at any point. Close interrupts it.
func (f *File) compress(path string) (err error) {
	from, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("compress an old file of the log: %w", err)
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	to, err := os.OpenFile(path+zipped+part, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fileMode)
	if err != nil {
		return fmt.Errorf("compress an old file of the log: %w", err)
	}
	zip := gzip.NewWriter(to)
	_, err = io.Copy(zip, &untilEnd{from, f.end})
	err = errors.Join(err, zip.Close())
	if err == nil {
		err = to.Sync()
	}
	if err = errors.Join(err, to.Close()); err != nil {
		err = errors.Join(err, remove(path+zipped+part))
		if errors.Is(err, errEnding) {
			return nil // the next process does it
		}
		return fmt.Errorf("compress an old file of the log: %w", err)
	}
	if err := os.Rename(path+zipped+part, path+zipped); err != nil {
		return fmt.Errorf("compress an old file of the log: %w", err)
	}
	if err := syncFolder(filepath.Dir(path)); err != nil {
		return fmt.Errorf("compress an old file of the log: %w", err)
	}
	return remove(path)
}

// errEnding interrupts what the next process can do as well.
var errEnding = errors.New("upkeep ends")

// untilEnd reads until the end of the program.
type untilEnd struct {
	io.Reader

	end <-chan struct{}
}

// Read reads, or fails at the end of the program.
func (u *untilEnd) Read(p []byte) (int, error) {
	select {
	case <-u.end:
		return 0, errEnding
	default:
		return u.Reader.Read(p)
	}
}

// syncFolder makes the names in a folder durable.
func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// birth returns when a file was made, where its file system knows (statx(2)).
func birth(path string) (time.Time, bool) {
	var s unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, 0, unix.STATX_BTIME, &s); err != nil || s.Mask&unix.STATX_BTIME == 0 {
		return time.Time{}, false
	}
	return time.Unix(s.Btime.Sec, int64(s.Btime.Nsec)), true
}
