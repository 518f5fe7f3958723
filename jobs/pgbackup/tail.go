package pgbackup

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/ghosteam/upkeep/jobs"
)

// errEnd is the end of what a program wrote.
var errEnd = io.EOF

// headBytes and tailBytes bound what is kept of a program's messages.
const (
	headBytes = 4 << 10
	tailBytes = 12 << 10
)

// tail keeps the beginning and the end of what a program says. The beginning
// is what went wrong first, which pg_dump may follow up with a statement that
// names all tables.
type tail struct {
	mu   sync.Mutex
	head []byte
	text []byte
	cut  bool // something between both was dropped
}

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := min(len(p), headBytes-len(t.head))
	t.head = append(t.head, p[:n]...)
	t.text = append(t.text, p[n:]...)
	if over := len(t.text) - tailBytes; over > 0 {
		t.text = append(t.text[:0], t.text[over:]...)
		t.cut = true
	}
	return len(p), nil
}

// lines returns what was said, line by line.
func (t *tail) lines() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := string(t.head) + string(t.text)
	if t.cut {
		text = string(t.head) + " …\n… " + string(t.text)
	}
	var out []string
	for line := range strings.Lines(strings.ToValidUTF8(text, "?")) {
		if line = strings.TrimSpace(line); line != "" {
			out = append(out, line)
		}
	}
	return out
}

// complaints bounds how many of a program's messages an error repeats.
const complaints = 3

// explain adds the program's own words to its error: the first that call
// themselves an error and what follows, or else the last.
func (t *tail) explain(err error) error {
	lines := t.lines()
	if err == nil || len(lines) == 0 {
		return err
	}
	first := slices.IndexFunc(lines, func(line string) bool { return strings.Contains(line, "error: ") || strings.Contains(line, "fatal: ") })
	if first < 0 {
		first = max(0, len(lines)-complaints)
	}
	lines = lines[first:min(len(lines), first+complaints)]
	return fmt.Errorf("%w: %s", err, jobs.OneLine(strings.Join(lines, "; ")))
}

// unless drops errors of a type that only says what was wanted.
func unless[E error](err error) error {
	if _, ok := errors.AsType[E](err); ok {
		return nil
	}
	return err
}
