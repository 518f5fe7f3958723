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

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

// spinner turns while a job runs.
var spinner = [...]string{"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"} //nolint:gochecknoglobals // a constant that Go cannot spell

// redrawEvery is how often a live display moves.
const redrawEvery = 100 * time.Millisecond

// The control functions that the display uses, of ECMA-48 and DEC's private
// modes; every terminal of the last decades knows them. Without wrapping, a
// line that is wider than it looks (wide or combining characters) is cut by the
// terminal and cannot push the board down.
const (
	wrapOff    = "\x1b[?7l"
	wrapOn     = "\x1b[?7h"
	eraseBelow = "\x1b[J"
	cursorUp   = "\x1b[%dA"
)

// liveDisplay keeps one line per job on a terminal and redraws them in place.
// What others write to the terminal meanwhile passes through Write.
type liveDisplay struct {
	board

	w     io.Writer
	paint painter
	// size returns the columns and rows of the terminal.
	size func() (width, height int)
	// atEnd is called by Close; it may be nil.
	atEnd func()
	// drawn are the widths of the lines on the screen, in characters.
	drawn []int
	frame int
	ended bool
	stop  chan struct{}
	done  sync.WaitGroup
}

func newLiveDisplay(w io.Writer, p painter) *liveDisplay {
	return startLiveDisplay(w, p, func() (int, int) { return sizeOf(w) })
}

func startLiveDisplay(w io.Writer, p painter, size func() (width, height int)) *liveDisplay {
	d := &liveDisplay{w: w, paint: p, stop: make(chan struct{}), size: size}
	d.done.Go(func() {
		tick := time.NewTicker(redrawEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				d.mu.Lock()
				d.frame++
				d.draw(nil, false)
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
	if started, ok := e.(runner.RunStarted); ok {
		d.draw([]byte(startLine(started)+"\n"), false)
	}
}

// Write puts lines above the board.
func (d *liveDisplay) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.draw(p, false)
	return len(p), nil
}

// Close draws the last state of all jobs and leaves it on the screen.
func (d *liveDisplay) Close() {
	d.mu.Lock()
	ended := d.ended
	d.ended = true
	d.mu.Unlock()
	if ended {
		return
	}
	close(d.stop)
	d.done.Wait()
	d.mu.Lock()
	d.draw(nil, true)
	d.mu.Unlock()
	if d.atEnd != nil {
		d.atEnd()
	}
}

// draw writes above and then all lines over the ones that it wrote before, in
// one write, so that a slow terminal never shows half a board. The last drawing
// has all lines, also those that do not fit on the screen.
func (d *liveDisplay) draw(above []byte, last bool) {
	width, height := d.size()
	var b bytes.Buffer
	if up := rows(d.drawn, width); up > 0 {
		fmt.Fprintf(&b, cursorUp, up)
	}
	b.WriteString("\r" + eraseBelow)
	b.Write(above)
	if len(above) > 0 && above[len(above)-1] != '\n' {
		b.WriteByte('\n')
	}
	d.drawn = d.drawn[:0]
	b.WriteString(wrapOff)
	shown, hidden := d.lines, 0
	if most := max(height-2, 1); len(shown) > most && !last {
		shown, hidden = d.important(most-1), len(d.lines)-most+1
	}
	nameWidth := 0
	for _, l := range d.lines {
		nameWidth = max(nameWidth, len(l.name))
	}
	for _, l := range shown {
		d.drawn = append(d.drawn, d.drawLine(&b, l, nameWidth, width))
	}
	if hidden > 0 {
		text := oneLine(fmt.Sprintf("… and %s that wait or have ended", count(hidden, "job")), width)
		fmt.Fprintf(&b, "%s\n", d.paint.faint(text))
		d.drawn = append(d.drawn, visible(text))
	}
	b.WriteString(wrapOn)
	// A terminal that went away must not end the run.
	_, _ = d.w.Write(b.Bytes())
}

// drawLine writes the line of one job and returns its width.
func (d *liveDisplay) drawLine(b *bytes.Buffer, l *boardLine, nameWidth, width int) int {
	elapsed := ""
	if at := l.attempt; !at.StartedAt.IsZero() && api.Began(at) {
		end := at.FinishedAt
		if end.IsZero() {
			end = time.Now()
		}
		elapsed = unit.Took(max(0, end.Sub(at.StartedAt)))
	}
	before := fmt.Sprintf(" %-*s  %7s  ", nameWidth, l.name, elapsed)
	text := oneLine(l.outcome(), max(width-visible(before)-1, 1))
	fmt.Fprintf(b, "%s%s%s\n", d.glyph(l), before, text)
	return min(1+visible(before)+visible(text), width)
}

// rows is how many rows of a terminal the lines take that were drawn on it.
// They never take more than one each, unless it has become narrower since.
func rows(drawn []int, width int) int {
	total := 0
	for _, w := range drawn {
		total += max(1, (w+width-1)/width)
	}
	return total
}

// important picks the lines to show when not all fit: what runs or waits for
// something, then what is bad, then what ended last, in the order of the board.
func (d *liveDisplay) important(most int) []*boardLine {
	picked := map[*boardLine]bool{}
	pick := func(wanted func(*boardLine) bool) {
		for i := len(d.lines) - 1; i >= 0 && len(picked) < most; i-- {
			if l := d.lines[i]; wanted(l) {
				picked[l] = true
			}
		}
	}
	pick(func(l *boardLine) bool { return l.attempt.State == runner.Running || l.waiting != nil })
	pick(func(l *boardLine) bool { return l.attempt.State == runner.Failed || l.attempt.State == runner.Lost })
	pick(func(l *boardLine) bool { return l.attempt.State != "" })
	pick(func(*boardLine) bool { return true })
	var out []*boardLine
	for _, l := range d.lines {
		if picked[l] {
			out = append(out, l)
		}
	}
	return out
}

// glyph is one character for what a job does.
func (d *liveDisplay) glyph(l *boardLine) string {
	state := l.attempt.State
	switch {
	case l.waiting != nil:
		return d.paint.yellow("…")
	case state == runner.Running:
		return spinner[d.frame%len(spinner)]
	case state == "":
		return d.paint.faint("·")
	}
	return d.paint.as(state, stateGlyph(state))
}

// sizeOf returns the columns and rows of a terminal, or those of an old one
// when it does not tell.
func sizeOf(w io.Writer) (width, height int) {
	if f, ok := raw(w).(*os.File); ok {
		if width, height, err := term.GetSize(int(f.Fd())); err == nil && width > 0 && height > 0 {
			return width, height
		}
	}
	return 80, 24
}
