package source

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"github.com/ghosteam/upkeep/configs/internal/problem"
)

// MaxBytes is the size of the largest file that Read accepts.
const MaxBytes = 8 << 20

// Read parses text, the contents of the file called name. The node is nil when
// the file cannot be understood at all, and Null when it is empty.
func Read(name string, text []byte) (*File, *Node, problem.Problems) {
	file := &File{Name: name}
	if len(text) > MaxBytes {
		return file, nil, problem.Problems{Pos{File: file}.Problem(problem.Error, "too-large", "",
			fmt.Sprintf("the file has %d bytes; a configuration has at most %d", len(text), MaxBytes), "")}
	}
	if foreign(text) {
		return file, nil, problem.Problems{Pos{File: file}.Problem(problem.Error, "encoding", "",
			"the file is encoded as UTF-16 or UTF-32", "save it as UTF-8")}
	}
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	plain := strings.ReplaceAll(string(text), "\r\n", "\n")
	file.Lines = strings.Split(plain, "\n")
	if found := file.strayCharacters(plain); len(found) > 0 {
		return file, nil, found
	}
	loader, err := yaml.NewLoader(strings.NewReader(plain))
	if err != nil {
		return file, nil, problem.Problems{file.syntax(err)}
	}
	var document yaml.Node
	if err := loader.Load(&document); err != nil {
		if errors.Is(err, io.EOF) {
			return file, &Node{Kind: Null, Pos: Pos{File: file, Line: 1, Col: 1}}, nil
		}
		return file, nil, problem.Problems{file.syntax(err)}
	}
	var second yaml.Node
	switch err := loader.Load(&second); {
	case errors.Is(err, io.EOF):
	case err != nil:
		return file, nil, problem.Problems{file.syntax(err)}
	default:
		return file, nil, problem.Problems{file.at(second.Line, second.Column).Problem(problem.Error, "documents", "",
			"a second document begins here; a configuration file holds one", "split the file, or put further files into conf.d/")}
	}
	c := converter{file: file, done: map[*yaml.Node]*Node{}, open: map[*yaml.Node]bool{}}
	root := c.convert(&document, 0)
	if len(c.problems.Errors()) > 0 {
		return file, nil, c.problems
	}
	return file, root, c.problems
}

// foreign tells whether text begins like UTF-16 or UTF-32.
func foreign(text []byte) bool {
	return bytes.HasPrefix(text, []byte{0xff, 0xfe}) || bytes.HasPrefix(text, []byte{0xfe, 0xff}) ||
		len(text) >= 4 && (text[0] == 0 && text[1] == 0 || text[1] == 0 && text[3] == 0)
}

// at returns a place that is certainly inside the file.
func (f *File) at(line, col int) Pos {
	if len(f.Lines) == 0 {
		return Pos{File: f}
	}
	line = min(max(line, 1), len(f.Lines))
	col = min(max(col, 1), utf8.RuneCountInString(f.Lines[line-1])+1)
	return Pos{File: f, Line: line, Col: col}
}

// strayCharacters reports bytes that are not text and characters that look
// like nothing or break lines where no editor shows a break. One report per
// line is enough, and a handful for a file.
func (f *File) strayCharacters(text string) problem.Problems {
	var out problem.Problems
	line, col, reported := 1, 1, 0
	for i := 0; i < len(text) && len(out) < 5; {
		r, size := utf8.DecodeRuneInString(text[i:])
		if message, hint := stray(r, size, text[i]); message != "" && reported != line {
			out = append(out, f.at(line, col).Problem(problem.Error, "encoding", "", message, hint))
			reported = line
		}
		i += size
		col++
		if r == '\n' {
			line, col = line+1, 1
		}
	}
	return out
}

func stray(r rune, size int, first byte) (message, hint string) {
	switch {
	case r == utf8.RuneError && size == 1:
		return fmt.Sprintf("byte 0x%02x is not valid UTF-8", first), "save the file as UTF-8"
	case r == '\n', r == '\t':
		return "", ""
	case r == '\r':
		return "a carriage return stands without a line feed", "save the file with Unix line ends"
	case r < ' ', r >= 0x7f && r < 0xa0, r == 0x2028, r == 0x2029, r == 0xfeff:
		return fmt.Sprintf("the control character U+%04X cannot stand in a configuration", r), `write it as an escape in double quotes, such as "\e" or "\u2028", or remove it`
	}
	return "", ""
}

// syntax turns an error of the YAML library into a problem with our words.
func (f *File) syntax(err error) problem.Problem {
	var found *yaml.LoadError
	if !errors.As(err, &found) {
		return f.at(1, 1).Problem(problem.Error, "syntax", "", "not valid YAML: "+err.Error(), "")
	}
	mark := found.Mark
	if found.ContextMark.Line > 0 && strings.TrimSpace(strings.Join(f.Lines[min(max(mark.Line-1, 0), len(f.Lines)):], "")) == "" {
		mark = found.ContextMark // the end of the file says nothing; where the construct began does
	}
	at := f.at(mark.Line, mark.Column)
	for at.Line > 1 && strings.TrimSpace(f.Lines[at.Line-1]) == "" {
		at = f.at(at.Line-1, 1<<30) // the end of the last line that holds something
	}
	message := strings.TrimPrefix(found.Message, "yaml: ")
	if found.ContextMsg != "" {
		message += " " + found.ContextMsg
	}
	rest := []rune(at.rest())
	switch {
	case strings.Contains(found.Message, "cannot start any token") && len(rest) > 0 && rest[0] == '\t',
		strings.Contains(f.Lines[at.Line-1], "\t") && strings.HasPrefix(strings.TrimLeft(f.Lines[at.Line-1], " "), "\t"):
		return at.Problem(problem.Error, "syntax", "", "a tab cannot indent a line in YAML", "use spaces")
	case strings.Contains(found.Message, "cannot start any token") && len(rest) > 0:
		return at.Problem(problem.Error, "syntax", "", fmt.Sprintf("a value cannot begin with %q", rest[0]), "put the value in quotes")
	case strings.Contains(found.Message, "mapping values are not allowed"):
		return at.Problem(problem.Error, "syntax", "", `a ": " cannot stand here`,
			"put the value in quotes when it contains a colon, or check the indentation of this line and the one before")
	case strings.Contains(found.Message, "incompatible YAML"):
		return at.Problem(problem.Error, "syntax", "", "the YAML directive is not supported", "remove the line")
	case strings.Contains(found.Message, "unknown anchor"):
		return at.Problem(problem.Error, "syntax", "", message, "define it as &name before its first use, in the same file")
	}
	return at.Problem(problem.Error, "syntax", "", "not valid YAML: "+message, "")
}

// rest returns the line from p on.
func (p Pos) rest() string {
	runes := []rune(p.File.Lines[p.Line-1])
	return string(runes[min(p.Col-1, len(runes)):])
}
