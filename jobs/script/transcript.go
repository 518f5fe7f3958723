package script

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/answer"
)

// The output of a program that outlives upkeep goes into a file, because a pipe
// would break with the first word it says after upkeep's end.
const (
	transcriptFile = "output"
	copiedFile     = "copied" // how much of it was passed on, in decimal
	followEvery    = 200 * time.Millisecond
)

// transcript is that file, and how much of it was passed on to Env.Out. After a
// crash between the two, some words are passed on twice.
type transcript struct {
	env    *jobs.Env
	file   *os.File
	said   *answer.Tail
	copied int64
}

// createTranscript makes the file, for the program to append to.
func createTranscript(env *jobs.Env) (*transcript, error) {
	file, err := os.OpenFile(filepath.Join(env.WorkDir, transcriptFile), os.O_CREATE|os.O_EXCL|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make the file for the output: %w", err)
	}
	return &transcript{env: env, file: file, said: &answer.Tail{Limit: saidBytes}}, nil
}

// openTranscript opens the file that an earlier process made; without one there
// is nothing to pass on.
func openTranscript(env *jobs.Env) (*transcript, error) {
	t := &transcript{env: env, said: &answer.Tail{Limit: saidBytes}}
	file, err := os.Open(filepath.Join(env.WorkDir, transcriptFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return t, nil
	case err != nil:
		return nil, fmt.Errorf("open what the program wrote: %w", err)
	}
	t.file = file
	if text, err := os.ReadFile(filepath.Join(env.WorkDir, copiedFile)); err == nil {
		// Without a number all of it is passed on once more.
		t.copied, _ = strconv.ParseInt(string(text), 10, 64)
	}
	return t, nil
}

// copy passes on what is new.
func (t *transcript) copy() {
	if t.file == nil {
		return
	}
	n, err := io.Copy(io.MultiWriter(t.env.Out, t.said), io.NewSectionReader(t.file, t.copied, 1<<62))
	t.copied += n
	if err == nil && n > 0 {
		err = os.WriteFile(filepath.Join(t.env.WorkDir, copiedFile), strconv.AppendInt(nil, t.copied, 10), 0o600)
	}
	if err != nil {
		t.env.Log.Debug("pass on the output of the program", "error", err)
	}
}

// follow passes on what the program writes until stop is called, which waits.
func (t *transcript) follow() (stop func()) {
	over := make(chan struct{})
	var loop sync.WaitGroup
	loop.Go(func() {
		tick := time.NewTicker(followEvery)
		defer tick.Stop()
		for {
			select {
			case <-over:
				t.copy()
				return
			case <-tick.C:
				t.copy()
			}
		}
	})
	return func() {
		close(over)
		loop.Wait()
	}
}

// close gives the file back.
func (t *transcript) close() error {
	if t.file == nil {
		return nil
	}
	if err := t.file.Close(); err != nil {
		return fmt.Errorf("close what the program wrote: %w", err)
	}
	return nil
}
