package executor

import (
	"io"
	"log/slog"

	"github.com/ghosteam/upkeep/runner"
)

// Capture is a capture with a mirror, for tests from outside.
type Capture struct{ c *capture }

// NewCapture keeps head and tail bytes of key and mirrors them below dir.
// fail, when not nil, is asked before each write to the mirror.
func NewCapture(dir string, key runner.AttemptKey, head, tail int, log *slog.Logger, fail func() error) Capture {
	l := newLive(dir, key, head, tail, log)
	if fail != nil {
		l.create = func(path string) (segmentFile, error) {
			f, err := createSegment(path)
			return failing{f, fail}, err
		}
	}
	return Capture{newCapture(head, tail, l)}
}

func (c Capture) Write(p []byte) (int, error) { return c.c.Write(p) }
func (c Capture) Output() runner.Output       { return c.c.output() }
func (c Capture) Discard() error              { return c.c.live.discard() }

type failing struct {
	segmentFile
	fail func() error
}

func (f failing) Write(p []byte) (int, error) {
	if err := f.fail(); err != nil {
		return 0, err
	}
	return f.segmentFile.Write(p)
}

var _ io.Writer = Capture{}
