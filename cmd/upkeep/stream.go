package main

import (
	"io"
	"sync"
)

// stream is the standard output of the command. It remembers the first error,
// such as a full disk behind a redirection, so that nobody takes a cut list for
// a whole one: the command ends with exit code 1.
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

// under returns the writer behind the stream.
func (s *stream) under() io.Writer { return s.w }

// notes is the standard error of the command. While a live display is drawn on
// the same terminal, what is written passes through it, so that neither
// overwrites the other.
type notes struct {
	w io.Writer

	mu      sync.Mutex
	display io.Writer
}

// Write passes p on.
func (n *notes) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.display != nil {
		return n.display.Write(p)
	}
	return n.w.Write(p)
}

// divert sends what is written to a display; nil ends that.
func (n *notes) divert(to io.Writer) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.display = to
}

// under returns the writer behind the notes.
func (n *notes) under() io.Writer { return n.w }

// raw returns the writer behind the wrappers of this file.
func raw(w io.Writer) io.Writer {
	if wrapped, ok := w.(interface{ under() io.Writer }); ok {
		return wrapped.under()
	}
	return w
}
