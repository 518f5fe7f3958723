package main

import (
	"io"
	"sync"
)

// stream is an output of the command. It remembers the first error, such as a
// full disk behind a redirection, so that nobody takes a cut list for a whole
// one: the command ends with exit code 1.
type stream struct {
	w io.Writer

	mu  sync.Mutex
	err error
}

// Write passes p on until a write has failed.
func (s *stream) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.w.Write(p)
	s.err = err
	return n, err
}

// failure returns the first error of the stream.
func (s *stream) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}
