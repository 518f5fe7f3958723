package doctor

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// mostLog bounds what is read of a log.
const mostLog = 1 << 20

// lastLines reads the last whole lines of a file, at most n.
func lastLines(name string, n int) (text string, err error) {
	// Without O_NONBLOCK a pipe in its place would be waited for.
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return "", reason(err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return "", reason(err)
	}
	if !info.Mode().IsRegular() {
		return "", errors.New("it is not an ordinary file")
	}
	from := max(0, info.Size()-mostLog)
	content, err := io.ReadAll(io.NewSectionReader(f, from, mostLog))
	if err != nil {
		return "", fmt.Errorf("read its end: %w", reason(err))
	}
	text = string(content)
	if from > 0 { // a part of a line could be a part of a secret
		_, text, _ = strings.Cut(text, "\n")
	}
	rows := strings.SplitAfter(text, "\n")
	if rows[len(rows)-1] == "" {
		rows = rows[:len(rows)-1]
	}
	return strings.Join(rows[max(0, len(rows)-n):], ""), nil
}
