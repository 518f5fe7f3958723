package pgbackup

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
)

// rowsOf are the rows of tables, by schema and name.
type rowsOf map[[2]string]int64

// script reads the data section of what `pg_restore --file=-` writes: SQL
// statements, and after each COPY … FROM stdin the rows of a table, one line
// each, up to a line that holds a backslash and a full stop (the text format of
// postgresql.org/docs/current/sql-copy.html).
type script struct {
	in      *bufio.Reader
	rows    rowsOf
	objects int64 // large objects that were opened
}

const (
	// lineBytes is how much of the script is read at once.
	lineBytes = 1 << 20
	// statementBytes bounds what is kept of a statement; names are 63 bytes at
	// most, so what steers us fits.
	statementBytes = 1 << 20
)

func newScript(r io.Reader) *script {
	return &script{in: bufio.NewReaderSize(r, lineBytes), rows: rowsOf{}}
}

// read reads the script to its end, which is whatever r says it is.
func (s *script) read() error {
	for {
		statement, err := s.statement()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch {
		case strings.HasPrefix(statement, "COPY "):
			table, err := copied(statement)
			if err != nil {
				return err
			}
			n, err := s.copy()
			if err != nil {
				return fmt.Errorf("rows of %s.%s: %w", table[0], table[1], err)
			}
			s.rows[table] += n
		case strings.HasPrefix(statement, "SELECT pg_catalog.lo_open("):
			s.objects++
		}
	}
}

// statement returns the beginning of the next statement, at most
// statementBytes of it, without the final semicolon. Comments and commands of
// psql are skipped. io.EOF is returned only between statements.
func (s *script) statement() (string, error) {
	var out []byte
	q := quotes{}
	for {
		line, err := s.in.ReadSlice('\n')
		begun := len(out) > 0 || q.open()
		if !begun && err == nil && skipped(line) {
			continue
		}
		if !begun && len(bytes.TrimSpace(line)) == 0 && errors.Is(err, io.EOF) {
			return "", io.EOF
		}
		if room := statementBytes - len(out); room > 0 {
			out = append(out, line[:min(room, len(line))]...)
		}
		if q.ends(line) && err == nil {
			return strings.TrimRight(string(out), "; \r\n"), nil
		}
		switch {
		case err == nil, errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF):
			return "", fmt.Errorf("a statement has no end: %w", io.ErrUnexpectedEOF)
		default:
			return "", err
		}
	}
}

// skipped tells whether a line between statements says nothing.
func skipped(line []byte) bool {
	return len(bytes.TrimSpace(line)) == 0 || bytes.HasPrefix(line, []byte("--")) || line[0] == '\\'
}

// quotes follows the quoted parts of a statement.
type quotes struct {
	in byte // the quote that is open, or 0
	// last is the last byte outside of quotes that is no white space.
	last byte
}

func (q *quotes) open() bool { return q.in != 0 }

// ends takes the next bytes and tells whether they end the statement.
func (q *quotes) ends(p []byte) bool {
	for len(p) > 0 {
		if q.in != 0 {
			// A doubled quote closes and opens again, which is the same.
			at := bytes.IndexByte(p, q.in)
			if at < 0 {
				return false
			}
			q.in, q.last = 0, '\''
			p = p[at+1:]
			continue
		}
		switch c := p[0]; c {
		case '\'', '"':
			q.in = c
		case ' ', '\t', '\r', '\n':
		default:
			q.last = c
		}
		p = p[1:]
	}
	return q.in == 0 && q.last == ';'
}

// copied returns the table of a COPY statement.
func copied(statement string) ([2]string, error) {
	bad := func() ([2]string, error) {
		return [2]string{}, fmt.Errorf("a statement is no COPY of a table: %.60q", statement)
	}
	rest := strings.TrimPrefix(statement, "COPY ")
	schema, rest, ok := identifier(rest)
	if !ok || !strings.HasPrefix(rest, ".") {
		return bad()
	}
	name, rest, ok := identifier(rest[1:])
	if !ok || !strings.HasPrefix(rest, " ") || !strings.HasSuffix(rest, " FROM stdin") {
		return bad()
	}
	return [2]string{schema, name}, nil
}

// identifier reads a name, quoted or not.
func identifier(text string) (name, rest string, ok bool) {
	if !strings.HasPrefix(text, `"`) {
		at := strings.IndexAny(text, `." (`)
		if at <= 0 {
			return "", "", false
		}
		return text[:at], text[at:], true
	}
	var out strings.Builder
	for text = text[1:]; ; {
		at := strings.IndexByte(text, '"')
		if at < 0 {
			return "", "", false
		}
		out.WriteString(text[:at])
		text = text[at+1:]
		if !strings.HasPrefix(text, `"`) {
			return out.String(), text, true
		}
		out.WriteByte('"')
		text = text[1:]
	}
}

// copy counts the rows up to the line that ends them.
func (s *script) copy() (rows int64, err error) {
	whole := true // the line begins here
	for {
		line, err := s.in.ReadSlice('\n')
		switch {
		case err == nil && whole && string(line) == "\\.\n":
			return rows, nil
		case err == nil:
			rows++
			whole = true
		case errors.Is(err, bufio.ErrBufferFull):
			whole = false
		case errors.Is(err, io.EOF):
			return rows, fmt.Errorf("they have no end: %w", io.ErrUnexpectedEOF)
		default:
			return rows, err
		}
	}
}
