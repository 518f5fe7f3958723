package child

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"time"

	"golang.org/x/sys/unix"
)

// bufferSize is half of what a pipe holds.
const bufferSize = 32 << 10

// streams are the three descriptors of one command: the ends given to the
// child, and what this process does with the other ends.
type streams struct {
	child  [3]*os.File // what the child gets as 0, 1, 2
	mine   []*os.File  // child's ends opened here, closed after the fork
	feed   *feed       // stdin, when it is copied
	drains []*drain    // pipes from the child
	broken chan error  // a *StreamError of any of them; never blocks a sender
	name   string
	pipe   *os.File // stdout for a Reader, not copied
	size   int      // wished for the pipes
}

// feed copies a reader into the stdin of the child.
type feed struct {
	from io.Reader
	to   *os.File
	done chan struct{}
	wide bool // the pipe is large enough to be filled in bursts
}

// drain copies a pipe from the child into a writer. With a nil writer the pipe
// is read by a Reader, and done is closed by nobody.
type drain struct {
	stream string
	pipe   *os.File
	to     io.Writer
	done   chan struct{}
	inode  uint64
}

// openStreams makes the descriptors. With reader set, stdout is a pipe left to
// the caller.
func openStreams(c *Command, reader bool) (s *streams, err error) {
	s = &streams{broken: make(chan error, 3), name: c.name(), size: c.PipeBytes}
	defer func() {
		if err != nil {
			s.abandon()
		}
	}()
	if err := s.openInput(c.Stdin); err != nil {
		return nil, fmt.Errorf("open its stdin: %w", err)
	}
	shared := !reader && sameWriter(c.Stdout, c.Stderr)
	outName := "stdout"
	if shared {
		outName = "output"
	}
	switch {
	case reader:
		s.child[1], s.pipe, err = s.openPipe(outName, nil)
	default:
		s.child[1], err = s.openOutput(outName, c.Stdout)
	}
	if err != nil {
		return nil, fmt.Errorf("open its stdout: %w", err)
	}
	if shared {
		s.child[2] = s.child[1]
		return s, nil
	}
	if s.child[2], err = s.openOutput("stderr", c.Stderr); err != nil {
		return nil, fmt.Errorf("open its stderr: %w", err)
	}
	return s, nil
}

func (s *streams) openInput(from io.Reader) (err error) {
	if file, ok := from.(*os.File); ok {
		s.child[0] = file
		return nil
	}
	if from == nil {
		s.child[0], err = s.own(os.Open(os.DevNull))
		return err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	s.mine = append(s.mine, r)
	s.child[0] = r
	s.feed = &feed{from: from, to: w, done: make(chan struct{})}
	if s.size > 0 {
		widen(w, s.size)
		s.feed.wide = pipeCapacity(w) >= gatherBytes
	}
	return nil
}

func (s *streams) openOutput(stream string, to io.Writer) (*os.File, error) {
	if file, ok := to.(*os.File); ok {
		return file, nil
	}
	if to == nil {
		return s.own(os.OpenFile(os.DevNull, os.O_WRONLY, 0))
	}
	w, _, err := s.openPipe(stream, to)
	return w, err
}

// openPipe makes a pipe from the child: its end, and ours.
func (s *streams) openPipe(stream string, to io.Writer) (theirs, ours *os.File, err error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	s.mine = append(s.mine, w)
	d := &drain{stream: stream, pipe: r, to: to, done: make(chan struct{})}
	s.drains = append(s.drains, d)
	if d.inode, err = pipeInode(r); err != nil {
		return nil, nil, err
	}
	if s.size > 0 {
		widen(r, s.size)
	}
	return w, r, nil
}

func (s *streams) own(f *os.File, err error) (*os.File, error) {
	if err == nil {
		s.mine = append(s.mine, f)
	}
	return f, err
}

// begin starts the copying; the child has its ends, ours of them are closed.
func (s *streams) begin() {
	closeAll(s.mine)
	if s.feed != nil {
		go s.feed.run(s.fail)
	}
	for _, d := range s.drains {
		if d.to != nil {
			go d.run(s.fail)
		}
	}
}

// abandon closes everything after a start that failed.
func (s *streams) abandon() {
	closeAll(s.mine)
	if s.feed != nil {
		closeAll([]*os.File{s.feed.to})
	}
	for _, d := range s.drains {
		closeAll([]*os.File{d.pipe})
	}
}

// held tells whether some process can still write to one of the pipes.
func (s *streams) held() bool {
	for _, d := range s.drains {
		if d.held() {
			return true
		}
	}
	return false
}

// cut makes every pending and later read of a pipe fail with
// os.ErrDeadlineExceeded.
func (s *streams) cut() {
	for _, d := range s.drains {
		// A pipe that was closed already needs no deadline.
		_ = d.pipe.SetReadDeadline(time.Unix(1, 0))
	}
}

// finish waits until every copied byte has been written. A reader that blocks is
// waited for no longer than patience: nobody needs its input any more.
func (s *streams) finish(patience time.Duration) {
	for _, d := range s.drains {
		if d.to != nil {
			<-d.done
		}
	}
	if s.feed != nil {
		closeAll([]*os.File{s.feed.to})
		select {
		case <-s.feed.done:
		case <-time.After(patience):
		}
	}
}

// inodes are the kernel's names of the pipes from the child.
func (s *streams) inodes() []uint64 {
	var all []uint64
	for _, d := range s.drains {
		all = append(all, d.inode)
	}
	return all
}

// descriptors are what the child gets as 0, 1 and 2.
func (s *streams) descriptors() ([]uintptr, error) {
	fds := make([]uintptr, 0, len(s.child))
	for i, file := range s.child {
		fd := file.Fd()
		if fd == ^uintptr(0) {
			return nil, fmt.Errorf("descriptor %d: %w", i, os.ErrClosed)
		}
		fds = append(fds, fd)
	}
	return fds, nil
}

func (s *streams) fail(stream string, err error) {
	select {
	case s.broken <- &StreamError{Name: s.name, Stream: stream, Err: err}:
	default: // the first failure already ends the command
	}
}

// run copies until the reader ends, the reader fails or the child stops reading.
// A failing reader leaves the pipe open until the child is dead and finish closes
// it: the child must not take the cut for the end.
func (f *feed) run(fail func(string, error)) {
	defer close(f.done)
	buf := make([]byte, bufferSize)
	write := f.to.Write
	if f.wide {
		buf, write = make([]byte, gatherBytes/2), f.burst
	}
	for {
		n, err := f.from.Read(buf)
		if n > 0 {
			if _, werr := write(buf[:n]); werr != nil {
				return // the child does not want more, or it has ended
			}
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			closeAll([]*os.File{f.to})
			return
		default:
			fail("stdin", err)
			return
		}
	}
}

func (d *drain) run(fail func(string, error)) {
	defer close(d.done)
	defer closeAll([]*os.File{d.pipe})
	buf := make([]byte, 2<<10) // most commands say little; a full one grows
	for {
		n, err := d.pipe.Read(buf)
		if n > 0 {
			m, werr := d.to.Write(buf[:n])
			if werr == nil && m < n {
				werr = io.ErrShortWrite
			}
			if werr != nil {
				fail(d.stream, werr)
				return
			}
		}
		switch {
		case err == nil && n == len(buf) && n < bufferSize:
			buf = make([]byte, bufferSize)
		case err == nil:
		case errors.Is(err, io.EOF), errors.Is(err, os.ErrDeadlineExceeded):
			return // after a cut Run reports a HeldError
		default:
			fail(d.stream, err)
			return
		}
	}
}

// held asks the kernel whether a writer is left; unread bytes do not matter.
func (d *drain) held() bool {
	conn, err := d.pipe.SyscallConn()
	if err != nil {
		return false
	}
	held := false
	err = conn.Control(func(fd uintptr) {
		fds := []unix.PollFd{{Fd: int32(fd)}}
		for {
			_, err := unix.Poll(fds, 0)
			if !errors.Is(err, unix.EINTR) {
				break
			}
		}
		held = fds[0].Revents&unix.POLLHUP == 0
	})
	return err == nil && held // an error: our end is closed, nothing can be read any more
}

// widen asks for a larger pipe. Without privilege the kernel gives no more than
// fs.pipe-max-size and no user more than fs.pipe-user-pages-soft, and the pipe
// works as it is.
func widen(f *os.File, size int) {
	if conn, err := f.SyscallConn(); err == nil {
		_ = conn.Control(func(fd uintptr) { _, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, size) })
	}
}

func pipeInode(f *os.File) (uint64, error) {
	var st unix.Stat_t
	conn, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	var serr error
	if err := conn.Control(func(fd uintptr) { serr = unix.Fstat(int(fd), &st) }); err != nil {
		return 0, err
	}
	return st.Ino, serr
}

// sameWriter tells whether both are one writer; writers of a type that cannot be
// compared are taken for two.
func sameWriter(a, b io.Writer) bool {
	if a == nil || b == nil {
		return false
	}
	ta, tb := reflect.TypeOf(a), reflect.TypeOf(b)
	return ta == tb && reflect.ValueOf(a).Comparable() && a == b
}

// closeAll closes pipe ends and /dev/null, whose Close has nothing to lose; a
// second Close is harmless.
func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}
