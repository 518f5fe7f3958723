package child

import (
	"context"
	"errors"
	"io"
	"os"
)

// errClosed ends a command whose reader was closed before its end.
var errClosed = errors.New("its output was closed before its end")

// Reader is the output of a running command. It must be read to its end or
// closed; reading is for one goroutine at a time, Close may come from another.
type Reader struct {
	run    *running
	pipe   *os.File
	gather gather
	cancel context.CancelCauseFunc
	over   error         // what Read found at its end, and gives for ever
	done   chan struct{} // closed when exit and err are valid
	exit   Exit
	err    error
}

// Output starts a command and returns its standard output; c.Stdout must be nil.
// Read gives io.EOF only after the command ended with status 0, its output was
// complete and nothing of it was left; else it gives the error that Run would
// return, or a *HeldError when processes that still held the output had to be
// ended. So a copy that saw io.EOF is whole. A reader that is slow holds the
// command up, not ctx: when that ends, the command is ended and Read fails.
func Output(ctx context.Context, c Command) (*Reader, error) {
	if c.Stdout != nil {
		return nil, &StartError{Name: c.name(), Err: errors.New("its standard output is wanted twice")}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	r, err := start(ctx, c, true)
	if err != nil {
		cancel(err)
		return nil, err
	}
	out := &Reader{run: r, pipe: r.streams.pipe, cancel: cancel, done: make(chan struct{})}
	if c.PipeBytes > 0 {
		out.gather.capacity = pipeCapacity(out.pipe)
	}
	go func() {
		defer close(out.done)
		defer cancel(nil)
		r.supervise(ctx)
		out.exit, out.err = r.exit, r.verdict(true)
	}()
	return out, nil
}

// Read reads what the command wrote. From a large pipe it takes much at once
// rather than each bit as it comes; see Command.PipeBytes.
func (r *Reader) Read(p []byte) (int, error) {
	if r.over != nil {
		return 0, r.over
	}
	r.gather.await()
	n, err := r.pipe.Read(p)
	r.gather.note(n)
	if n > 0 || err == nil {
		return n, nil
	}
	r.over = r.conclude(err)
	_ = r.pipe.Close()
	return 0, r.over
}

// conclude turns the end of the pipe into the end of the command.
func (r *Reader) conclude(err error) error {
	switch {
	case errors.Is(err, os.ErrClosed):
		return err
	case errors.Is(err, io.EOF), errors.Is(err, os.ErrDeadlineExceeded): // or a cut, see finish
	default:
		r.cancel(err)
	}
	<-r.done
	if r.err != nil {
		return r.err
	}
	return err
}

// Close ends a command that still runs, as the end of its context would, and waits
// until nothing of it is left. Before the end that is what the caller wants, so it
// is no error then; a *LeftoverError is one always. Further calls do nothing more.
func (r *Reader) Close() error {
	r.cancel(errClosed)
	_ = r.pipe.Close() // the command meets a broken pipe
	<-r.done
	if left, ok := errors.AsType[*LeftoverError](r.err); ok {
		return left
	}
	return nil
}

// Exit waits for the end of the command and tells how it ended. It must follow an
// error of Read (io.EOF included) or a Close, else it may wait for ever.
func (r *Reader) Exit() Exit {
	<-r.done
	return r.exit
}
