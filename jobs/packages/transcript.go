package packages

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ghosteam/upkeep/jobs"
)

// What the installer writes goes into a file, because it may outlive this
// process and a pipe would end it with the first word it says after that.
const (
	transcriptFile = "output"
	copiedFile     = "copied" // how much of it was passed on, in decimal
	followEvery    = 200 * time.Millisecond
	// mostTranscript bounds what is read of it at once.
	mostTranscript = 4 << 20
)

// transcript is that file. After a crash some words may be passed on twice.
type transcript struct {
	env    *jobs.Env
	file   *os.File
	copied int64
}

// openTranscript opens or makes the file, for installers to append to.
func openTranscript(env *jobs.Env) (*transcript, error) {
	file, err := os.OpenFile(filepath.Join(env.WorkDir, transcriptFile), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the file for the installer's output: %w", err)
	}
	t := &transcript{env: env, file: file}
	if text, err := os.ReadFile(filepath.Join(env.WorkDir, copiedFile)); err == nil {
		// Without a number all of it is passed on once more.
		t.copied, _ = strconv.ParseInt(string(text), 10, 64)
	}
	return t, nil
}

// copy passes on what is new.
func (t *transcript) copy() {
	n, err := io.Copy(t.env.Out, io.NewSectionReader(t.file, t.copied, 1<<62))
	t.copied += n
	if err == nil && n > 0 {
		err = os.WriteFile(filepath.Join(t.env.WorkDir, copiedFile), strconv.AppendInt(nil, t.copied, 10), 0o600)
	}
	if err != nil {
		t.env.Log.Debug("pass on the output of the installer", "error", err)
	}
}

// follow passes on what is written until stop is called, which waits.
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

// since is what was written from an offset on, within the bound.
func (t *transcript) since(offset int64) (string, error) {
	var text strings.Builder
	if _, err := io.Copy(&text, io.NewSectionReader(t.file, offset, mostTranscript)); err != nil {
		return "", fmt.Errorf("read the installer's output: %w", err)
	}
	return text.String(), nil
}

// size is how much was written.
func (t *transcript) size() (int64, error) {
	info, err := t.file.Stat()
	if err != nil {
		return 0, fmt.Errorf("measure the installer's output: %w", err)
	}
	return info.Size(), nil
}

// close gives the file back.
func (t *transcript) close() error {
	if err := t.file.Close(); err != nil {
		return fmt.Errorf("close the installer's output: %w", err)
	}
	return nil
}
