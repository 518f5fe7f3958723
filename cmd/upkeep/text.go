package main

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// What jobs say is not trusted: a log line or a summary may hold what moves the
// cursor, retitles the window, hides text or turns its direction around.
// Everything that comes from a job and goes to a terminal passes through here.

// dangerous tells whether a terminal may take r for an order, or show it as
// something that it is not. Line feeds and tabs count too.
func dangerous(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029'
}

// oneLine makes text safe for one line of a terminal: what is dangerous becomes
// a space, and text of more than most characters is cut; 0 means any length.
func oneLine(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if dangerous(r) {
			return ' '
		}
		return r
	}, s)
	s = strings.TrimSpace(s)
	if most > 0 && utf8.RuneCountInString(s) > most {
		s = string([]rune(s)[:most-1]) + "…"
	}
	return s
}

// paragraph makes text of several lines safe for a terminal.
func paragraph(s string) string {
	return string(printable([]byte(strings.TrimSpace(s))))
}

// indent is paragraph with every line but the first moved to the right.
func indent(s, by string) string { return strings.ReplaceAll(paragraph(s), "\n", "\n"+by) }

// printable shows control characters instead of sending them: ^[ for escape,
// \u009b for what has no such form, \xff for what is not UTF-8. Line feeds and
// tabs stay; a carriage return, with which programs overwrite their own line,
// becomes a line feed.
func printable(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		switch {
		case r == utf8.RuneError && size == 1:
			out = fmt.Appendf(out, `\x%02x`, text[0])
		case r == '\r' && len(text) > 1 && text[1] == '\n':
		case r == '\r':
			out = append(out, '\n')
		case r == '\n' || r == '\t' || !dangerous(r):
			out = append(out, text[:size]...)
		case r < 0x80:
			out = append(out, '^', byte(r)^0x40)
		case r <= 0xffff:
			out = fmt.Appendf(out, `\u%04x`, r)
		default:
			out = fmt.Appendf(out, `\U%08x`, r)
		}
		text = text[size:]
	}
	return out
}

// cutRune returns how many bytes at the end of text are the beginning of a
// character whose rest is still to come.
func cutRune(text []byte) int {
	for back := 1; back <= min(utf8.UTFMax-1, len(text)); back++ {
		if rest := text[len(text)-back:]; utf8.RuneStart(rest[0]) {
			if utf8.FullRune(rest) {
				return 0
			}
			return back
		}
	}
	return 0
}

// count writes a number with its noun: 1 job, 2 jobs.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// wrap breaks text into lines of at most width characters, between words where
// it can.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width {
			lines, line = append(lines, line), ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}
