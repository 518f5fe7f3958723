package main_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// openTerminal makes a pseudo-terminal (pty(7)): what is written to program is
// read from user.
func openTerminal(width, height int) (user, program *os.File, err error) {
	user, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, err
	}
	fd := int(user.Fd())
	number, err := unix.IoctlGetUint32(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err == nil {
		err = resize(program, width, height)
	}
	return user, program, err
}

func resize(terminal *os.File, width, height int) error {
	return unix.IoctlSetWinsize(int(terminal.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: uint16(width), Row: uint16(height)})
}

// onTerminal runs a command on a terminal and returns all that it sent there.
func onTerminal(cmd *exec.Cmd, width, height int, within time.Duration) (all []byte, err error) {
	user, program, err := openTerminal(width, height)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, user.Close()) }()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = program, program, program
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, program.Close())
	}
	if err := program.Close(); err != nil {
		return nil, err
	}
	sent := make(chan []byte, 1)
	go func() {
		// A terminal that nobody has open any longer reads as EIO.
		all, _ := io.ReadAll(user)
		sent <- all
	}()
	kill := time.AfterFunc(within, func() { _ = cmd.Process.Kill() })
	defer kill.Stop()
	if _, failed := errors.AsType[*exec.ExitError](cmd.Wait()); failed && cmd.ProcessState.ExitCode() < 0 {
		return <-sent, errors.New("the command did not end by itself")
	}
	return <-sent, nil
}

// screen is a small terminal: it understands what the program sends, wraps
// lines, scrolls, and keeps what scrolled out of sight. It fails on everything
// else, so that a hostile text cannot pass unseen.
type screen struct {
	width, height int
	lines         []line
	// row and col are the place of the cursor; top is the first visible row.
	row, col, top int
	wrap          bool
	// pending tells that the last column is filled and the next character
	// wraps.
	pending bool
	strange []string
}

// line is a row of the screen; it is soft when the text goes on in the next.
type line struct {
	text []rune
	soft bool
}

func newScreen(width, height int) *screen {
	return &screen{width: width, height: height, lines: []line{{}}, wrap: true}
}

var sequence = regexp.MustCompile(`^\x1b\[(\??)([0-9;]*)([A-Za-z])`)

func (s *screen) write(p []byte) {
	text := string(p)
	for text != "" {
		if m := sequence.FindStringSubmatch(text); m != nil {
			s.control(m[0], m[1], m[2], m[3])
			text = text[len(m[0]):]
			continue
		}
		r, size := utf8.DecodeRuneInString(text)
		switch {
		case r == utf8.RuneError && size == 1:
			s.strange = append(s.strange, strconv.Quote(text[:1]))
		case r == '\n':
			s.down()
		case r == '\r':
			s.col, s.pending = 0, false
		case r == '\b' && s.col > 0:
			s.col--
		case r != ' ' && !unicode.IsPrint(r):
			s.strange = append(s.strange, strconv.QuoteRune(r))
		case unicode.Is(unicode.Mn, r): // stands on the one before
		default:
			s.put(r)
			if unicode.Is(unicode.Han, r) { // takes two columns
				s.put(' ')
			}
		}
		text = text[size:]
	}
}

func (s *screen) control(whole, private, parameters, final string) {
	n, err := strconv.Atoi(parameters)
	if err != nil {
		n = 0
	}
	switch private + final {
	case "m": // colors
	case "A":
		s.row, s.pending = max(s.top, s.row-max(n, 1)), false
	case "K":
		s.cut(s.row)
	case "J":
		s.cut(s.row)
		s.lines = s.lines[:s.row+1]
	case "?h", "?l":
		if n != 7 {
			s.strange = append(s.strange, strconv.Quote(whole))
		}
		s.wrap = final == "h"
	default:
		s.strange = append(s.strange, strconv.Quote(whole))
	}
}

func (s *screen) cut(row int) {
	text := s.lines[row].text
	s.lines[row] = line{text: text[:min(s.col, len(text))]}
}

// down is a line feed; the terminal driver has sent a carriage return with it.
func (s *screen) down() {
	s.row++
	s.pending = false
	for len(s.lines) <= s.row {
		s.lines = append(s.lines, line{})
	}
	s.top = max(s.top, s.row-s.height+1)
}

func (s *screen) put(r rune) {
	if s.pending && s.wrap {
		s.lines[s.row].soft = true
		s.down()
		s.col = 0
	}
	row := &s.lines[s.row]
	for len(row.text) <= s.col {
		row.text = append(row.text, ' ')
	}
	row.text[s.col] = r
	if s.pending = s.col == s.width-1; !s.pending {
		s.col++
	}
}

// reflow breaks the lines anew, as most terminals do when their width changes.
// The cursor, in the first column, keeps its place in the text.
func (s *screen) reflow(width, height int) {
	var lines []line
	row, joined := 0, []rune(nil)
	for i, l := range s.lines {
		if i == s.row {
			row = len(lines)
		}
		joined = append(joined, l.text...)
		if l.soft {
			continue
		}
		for len(joined) > width {
			lines = append(lines, line{text: joined[:width:width], soft: true})
			joined = joined[width:]
		}
		lines = append(lines, line{text: joined})
		joined = nil
	}
	s.lines, s.row, s.width, s.height = lines, row, width, height
	s.top = max(0, len(lines)-height)
}

// text is everything that the screen showed, with what scrolled away.
func (s *screen) text() string {
	var b strings.Builder
	for _, l := range s.lines {
		b.WriteString(strings.TrimRight(string(l.text), " ") + "\n")
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}
