package system

import (
	"errors"
	"sync"
)

// errSilent says that a mount has not answered an earlier question yet.
var errSilent = errors.New("no answer to an earlier question")

// answer is what a mount said.
type answer struct {
	space space
	err   error
}

// silence remembers the mounts that owe an answer, across the probes of a
// process. A dead share blocks the system call for good, and with it a thread
// of the process: asking it again every minute would use all of them up.
type silence struct {
	mu    sync.Mutex
	owing map[string]bool
}

func newSilence() *silence { return &silence{owing: map[string]bool{}} }

// ask puts the question in a goroutine of its own, which is left behind when
// nobody answers, and ends when somebody does or the process ends.
func (s *silence) ask(path string, question func() (space, error)) <-chan answer {
	out := make(chan answer, 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.owing[path] {
		out <- answer{err: errSilent}
		return out
	}
	s.owing[path] = true
	go func() {
		found, err := question()
		s.mu.Lock()
		delete(s.owing, path)
		s.mu.Unlock()
		out <- answer{found, err}
	}()
	return out
}
