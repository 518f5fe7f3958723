package pgbackup

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/ghosteam/upkeep/storage/object"
)

// damage is an error about an artifact that is not what it should be.
func damage(format string, args ...any) error {
	return fmt.Errorf("%w: %w", object.ErrDamaged, fmt.Errorf(format, args...))
}

// entryOf returns the entry whose rows a file of a dump holds, such as 3365 for
// "3365.dat".
func entryOf(name string) (int, bool) {
	text, ok := strings.CutSuffix(name, ".dat")
	if !ok {
		return 0, false
	}
	entry, err := strconv.Atoi(text)
	return entry, err == nil
}

// countFile counts the rows of a table's file, which end as in a script and
// are followed by empty lines only.
func countFile(r io.Reader) (int64, error) {
	s := newScript(r)
	rows, err := s.copy()
	if err != nil {
		return rows, fmt.Errorf("%w: %w", object.ErrDamaged, err)
	}
	for {
		line, err := s.in.ReadSlice('\n')
		switch {
		case strings.TrimSpace(string(line)) != "", errors.Is(err, bufio.ErrBufferFull):
			return rows, damage("there is something behind the last row")
		case errors.Is(err, io.EOF):
			return rows, nil
		case err != nil:
			return rows, damage("tar: %w", err)
		}
	}
}

// tarEndBytes is what a tar ends in: two blocks of zeros (POSIX pax).
const tarEndBytes = 1024

// tarEnd sees a tar pass and knows its end, without which Go's reader is
// content too.
type tarEnd struct {
	last []byte
}

// Write implements io.Writer.
func (e *tarEnd) Write(p []byte) (int, error) {
	e.last = append(e.last, p[max(0, len(p)-tarEndBytes):]...)
	e.last = append(e.last[:0], e.last[max(0, len(e.last)-tarEndBytes):]...)
	return len(p), nil
}

func (e *tarEnd) whole() error {
	if len(e.last) < tarEndBytes || strings.Trim(string(e.last), "\x00") != "" {
		return damage("the tar has no end")
	}
	return nil
}
