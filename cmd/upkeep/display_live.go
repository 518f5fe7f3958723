package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/ghosteam/upkeep/runner"
)

// spinner turns while a job runs.
var spinner = [...]string{"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"} //nolint:gochecknoglobals // a constant that Go cannot spell

// redrawEvery is how often a live display moves.
const redrawEvery = 100 * time.Millisecond

// liveDisplay keeps one line per job on a terminal and redraws them in place.
type liveDisplay struct {
	board

	w     io.Writer
	paint painter
	drawn int
	frame int
	stop  chan struct{}
	done  sync.WaitGroup
}

func newLiveDisplay(w io.Writer, p painter) *liveDisplay {
	d := &liveDisplay{w: w, paint: p, stop: make(chan struct{})}
	d.done.Go(func() {
		tick := time.NewTicker(redrawEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				d.mu.Lock()
				d.frame++
				d.draw()
				d.mu.Unlock()
			case <-d.stop:
				return
			}
		}
	})
	return d
}

// Observe updates the board; the next redraw shows it.
func (d *liveDisplay) Observe(_ context.Context, e runner.Event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.apply(e)
}

// Close draws the last state and leaves it on the screen.
func (d *liveDisplay) Close() {
	close(d.stop)
	d.done.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.draw()
}

// draw writes all lines over the ones it wrote before, in one write so that a
// slow terminal never shows half a board.
func (d *liveDisplay) draw() {
	if len(d.lines) == 0 {
		return
	}
	var b bytes.Buffer
	if d.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", d.drawn)
	}
	nameWidth := 0
	for _, l := range d.lines {
		nameWidth = max(nameWidth, len(l.name))
	}
	width := d.width()
	for _, l := range d.lines {
		elapsed := ""
		if !l.attempt.StartedAt.IsZero() {
			end := l.attempt.FinishedAt
			if end.IsZero() {
				end = time.Now()
			}
			elapsed = took(end.Sub(l.attempt.StartedAt))
		}
		text := oneLine(l.outcome(), max(width-nameWidth-14, 10))
		fmt.Fprintf(&b, "\r\x1b[K%s %-*s  %7s  %s\n", d.glyph(l), nameWidth, l.name, elapsed, text)
	}
	d.drawn = len(d.lines)
	// A terminal that went away must not end the run.
	_, _ = d.w.Write(b.Bytes())
}

func (d *liveDisplay) glyph(l *boardLine) string {
	switch {
	case l.waiting != nil:
		return d.paint.yellow("…")
	case l.attempt.State == runner.Running:
		return spinner[d.frame%len(spinner)]
	case l.attempt.State == runner.Succeeded:
		return d.paint.paint("32", stateGlyph(l.attempt.State))
	case l.attempt.State == runner.Warned:
		return d.paint.yellow(stateGlyph(l.attempt.State))
	case l.attempt.State == runner.Failed, l.attempt.State == runner.Lost:
		return d.paint.red(stateGlyph(l.attempt.State))
	case l.attempt.State == "":
		return d.paint.faint("·")
	}
	return stateGlyph(l.attempt.State)
}

func (d *liveDisplay) width() int {
	w := d.w
	if s, ok := w.(*stream); ok {
		w = s.w
	}
	if f, ok := w.(*os.File); ok {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
			return width
		}
	}
	return 80
}
