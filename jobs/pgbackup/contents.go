package pgbackup

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/ghosteam/upkeep/jobs/internal/child"
	"github.com/ghosteam/upkeep/jobs/internal/pg"
)

// contents is what a dump's own table of contents says it holds.
type contents struct {
	// entries are the entries of tables' rows, by the table's OID.
	entries map[uint32]int
	// objects tells that large objects are in it.
	objects bool
}

// entryLine is an entry of `pg_restore --list`: its number, the OID of its
// catalog, its own OID, and what it is.
var entryLine = regexp.MustCompile(`^(\d+); (\d+) (\d+) (TABLE DATA|BLOBS|BLOB) `)

// tool runs pg_restore for one job.
type tool struct {
	client  pg.Client
	environ []string
	marks   []string
	dir     string
}

func (t tool) command(args ...string) child.Command {
	return child.Command{
		Argv: append([]string{t.client.Program("pg_restore")}, args...),
		Env:  append(clean(t.environ), "LC_ALL=C.UTF-8"), Marks: t.marks, Dir: t.dir,
	}
}

// clean takes what concerns PostgreSQL out of an environment.
func clean(environ []string) []string {
	var out []string
	for _, entry := range environ {
		if !strings.HasPrefix(entry, "PG") && !strings.HasPrefix(entry, "LC_") && !strings.HasPrefix(entry, "LANG") {
			out = append(out, entry)
		}
	}
	return out
}

// list reads the table of contents of a dump: a file, of which only the head
// need be there, or a directory.
func (t tool) list(ctx context.Context, path string) (contents, error) {
	said := &tail{}
	cmd := t.command("--list", path)
	cmd.Stderr = said
	out, err := child.Output(ctx, cmd)
	if err != nil {
		return contents{}, fmt.Errorf("read the table of contents: %w", err)
	}
	defer out.Close() //nolint:errcheck // its end was reached, or the error is on its way
	c := contents{entries: map[uint32]int{}}
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n')
		if m := entryLine.FindStringSubmatch(line); m != nil {
			if m[4] != "TABLE DATA" {
				c.objects = true
			} else if err := c.add(m[1], m[3]); err != nil {
				return contents{}, err
			}
		}
		if err != nil {
			if _, read := lines.Peek(1); errors.Is(read, errEnd) {
				return c, nil
			}
			return contents{}, fmt.Errorf("read the table of contents: %w", said.explain(err))
		}
	}
}

func (c *contents) add(entry, oid string) error {
	number, err := strconv.Atoi(entry)
	if err != nil {
		return fmt.Errorf("read the table of contents: %w", err)
	}
	id, err := strconv.ParseUint(oid, 10, 32)
	if err != nil {
		return fmt.Errorf("read the table of contents: %w", err)
	}
	c.entries[uint32(id)] = number
	return nil
}

const (
	// firstHead is after how many bytes of a dump its table of contents is
	// looked for, and lastHead where that is given up until the dump has ended.
	firstHead = 256 << 10
	lastHead  = 256 << 20
)

// head keeps the beginning of a dump until its table of contents is complete,
// which stands at its front.
type head struct {
	file  *os.File
	bytes int64
	next  int64
	found *contents
	tell  func(contents)
}

func newHead(dir string, tell func(contents)) (*head, error) {
	f, err := os.CreateTemp(dir, "head-*.dump")
	if err != nil {
		return nil, fmt.Errorf("keep the dump's head: %w", err)
	}
	return &head{file: f, next: firstHead, tell: tell}, nil
}

// take looks at the next bytes of the dump.
func (h *head) take(ctx context.Context, t tool, p []byte) error {
	if h.found != nil || h.bytes >= lastHead {
		return nil
	}
	if _, err := h.file.Write(p); err != nil {
		return fmt.Errorf("keep the dump's head: %w", err)
	}
	h.bytes += int64(len(p))
	if h.bytes < h.next {
		return nil
	}
	h.next *= 4
	// As long as the table is not complete, listing it fails.
	if err := h.look(ctx, t); err != nil && ctx.Err() != nil {
		return fmt.Errorf("read the table of contents: %w", context.Cause(ctx))
	}
	return nil
}

func (h *head) look(ctx context.Context, t tool) error {
	c, err := t.list(ctx, h.file.Name())
	if err != nil {
		return err
	}
	h.found = &c
	h.tell(c)
	return nil
}

// end returns the table of contents of the dump, which has ended.
func (h *head) end(ctx context.Context, t tool) (contents, error) {
	if h.found == nil {
		if err := h.look(ctx, t); err != nil {
			return contents{}, err
		}
	}
	return *h.found, nil
}

func (h *head) remove() error {
	return errors.Join(h.file.Close(), os.Remove(filepath.Clean(h.file.Name())))
}
