package pgreview

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// longestText bounds the text of a statement, in characters.
const longestText = 160

// withoutValues makes the text of a statement fit for showing: literal values
// become ?, lists of them one, comments go, white space is one space, and the
// rest is cut. pg_stat_statements does not replace what stands in statements
// that are not queries, such as the password in ALTER ROLE.
func withoutValues(text string) string {
	out := normalized(text)
	if secretive.MatchString(out) {
		out = cutWords(out, 3) + " …"
	}
	if utf8.RuneCountInString(out) > longestText {
		out = string([]rune(out)[:longestText-1]) + "…"
	}
	return out
}

// normalized is withoutValues without the cut: two texts of one statement have
// it in common.
func normalized(text string) string {
	var s sqlText
	s.read(strings.ToValidUTF8(text, "?"))
	return placeholders.ReplaceAllString(strings.TrimSpace(s.out.String()), "${1}…")
}

var (
	// placeholders are two or more in a row.
	placeholders = regexp.MustCompile(`((?:\?|\$[0-9]+) ?, ?)(?:(?:\?|\$[0-9]+) ?, ?)*(?:\?|\$[0-9]+)`)
	// secretive are statements that may hold a secret where nobody expects it.
	secretive = regexp.MustCompile(`(?i)\b(password|secret|passfile|sslkey|user mapping|conninfo|connection)\b`)
)

// cutWords keeps the first words of a text.
func cutWords(text string, n int) string {
	words := strings.Fields(text)
	return strings.Join(words[:min(n, len(words))], " ")
}

// sqlText reads a statement piece by piece
// (postgresql.org/docs/current/sql-syntax-lexical.html).
type sqlText struct {
	out strings.Builder
}

func (s *sqlText) read(text string) {
	for text != "" {
		c, width := utf8.DecodeRuneInString(text)
		rest := text[width:]
		switch {
		case unicode.IsSpace(c) || !unicode.IsGraphic(c):
			s.space()
			text = rest
		case strings.HasPrefix(text, "--"):
			s.space()
			text = after(text, "\n")
		case strings.HasPrefix(text, "/*"):
			s.space()
			text = afterComment(text)
		case c == '\'':
			s.out.WriteByte('?')
			text = afterQuoted(rest, s.escapes())
		case c == '"':
			end := len(text) - len(afterQuotedName(rest))
			s.out.WriteString(text[:end])
			text = text[end:]
		case c == '$':
			text = s.dollar(text)
		case isDigit(c):
			s.out.WriteByte('?')
			text = strings.TrimLeft(rest, "0123456789abcdefABCDEFxXoO._")
		case isWord(c):
			word := text[:len(text)-len(strings.TrimLeftFunc(text, isWordPart))]
			s.word(word, text[len(word):])
			text = text[len(word):]
		default:
			s.out.WriteRune(c)
			text = rest
		}
	}
}

// space writes one space, unless one stands there.
func (s *sqlText) space() {
	if out := s.out.String(); out != "" && !strings.HasSuffix(out, " ") {
		s.out.WriteByte(' ')
	}
}

// word writes a word, without the letter that stands before a literal.
func (s *sqlText) word(word, next string) {
	if strings.HasPrefix(next, "'") && len(word) == 1 && strings.Contains("eEbBxXnN", word) {
		if word == "e" || word == "E" {
			s.out.WriteString("E")
		}
		return
	}
	s.out.WriteString(word)
}

// escapes tells whether a backslash escapes in the literal that begins now,
// and takes back the letter that said so.
func (s *sqlText) escapes() bool {
	out := strings.TrimSuffix(s.out.String(), "?")
	if !strings.HasSuffix(out, "E") {
		return false
	}
	before, _ := utf8.DecodeLastRuneInString(strings.TrimSuffix(out, "E"))
	if len(out) > 1 && isWordPart(before) {
		return false
	}
	s.out.Reset()
	s.out.WriteString(strings.TrimSuffix(out, "E") + "?")
	return true
}

// dollar reads a parameter, $1, or a literal between dollars, $tag$…$tag$.
func (s *sqlText) dollar(text string) string {
	rest := text[1:]
	if digits := rest[:len(rest)-len(strings.TrimLeft(rest, "0123456789"))]; digits != "" {
		s.out.WriteString("$" + digits)
		return rest[len(digits):]
	}
	end := strings.IndexByte(rest, '$')
	if end < 0 || strings.IndexFunc(rest[:end], func(c rune) bool { return !isWordPart(c) || c == '$' }) >= 0 {
		s.out.WriteByte('$')
		return rest
	}
	s.out.WriteByte('?')
	return after(rest[end+1:], text[:end+2])
}

// after is what follows the first end in text; empty when there is none.
func after(text, end string) string {
	_, rest, _ := strings.Cut(text, end)
	return rest
}

// afterComment is what follows a comment, which may hold others.
func afterComment(text string) string {
	depth := 0
	for text != "" {
		switch {
		case strings.HasPrefix(text, "/*"):
			depth++
			text = text[2:]
		case strings.HasPrefix(text, "*/"):
			depth--
			text = text[2:]
		default:
			text = text[1:]
		}
		if depth == 0 {
			return text
		}
	}
	return ""
}

// afterQuoted is what follows a literal whose first quote was read.
func afterQuoted(text string, escapes bool) string {
	for i := 0; i < len(text); i++ {
		switch {
		case escapes && text[i] == '\\':
			i++
		case text[i] == '\'' && i+1 < len(text) && text[i+1] == '\'':
			i++
		case text[i] == '\'':
			return text[i+1:]
		}
	}
	return ""
}

// afterQuotedName is what follows a name whose first quote was read.
func afterQuotedName(text string) string {
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '"' && i+1 < len(text) && text[i+1] == '"':
			i++
		case text[i] == '"':
			return text[i+1:]
		}
	}
	return ""
}

func isDigit(c rune) bool { return c >= '0' && c <= '9' }

func isWord(c rune) bool { return c == '_' || unicode.IsLetter(c) }

func isWordPart(c rune) bool { return isWord(c) || isDigit(c) || c == '$' }
