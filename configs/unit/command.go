package unit

import (
	"errors"
	"regexp"
	"strings"
)

// Command is a program with its arguments. A list is the argument vector
// itself; a single text is a script that /bin/sh runs.
type Command []string

// UnmarshalText reads the form of a script. A list needs no text form.
func (c *Command) UnmarshalText(text []byte) error {
	if strings.TrimSpace(string(text)) == "" {
		return errors.New("the command is empty")
	}
	*c = Command{"/bin/sh", "-c", string(text)}
	return nil
}

// IsShell tells whether c came from a single text.
func (c Command) IsShell() bool {
	return len(c) == 3 && c[0] == "/bin/sh" && c[1] == "-c"
}

// plainWord matches what a POSIX shell takes as it is: its "Token Recognition"
// and "Quoting" give none of these characters a meaning inside of a word.
var plainWord = regexp.MustCompile(`^[A-Za-z0-9_@%+=:,./-]+$`)

// ShellWord writes word as a POSIX shell reads it as one word: as it is where
// that does, else between single quotes.
func ShellWord(word string) string {
	if plainWord.MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
