package main

import (
	"io"
	"log/slog"
)

// What tests need of the program.
type (
	Stdio       = stdio
	LiveDisplay = liveDisplay
)

var (
	OneLine   = oneLine
	Printable = printable
	CutRune   = cutRune
	Wrap      = wrap
	Number    = number
	WriteJSON = writeJSON
	Moment    = moment
	CodeOf    = codeOf
	LooksLike = looksLikeID
)

// NewLiveDisplay makes a display that draws on w, a terminal of the given size.
func NewLiveDisplay(w io.Writer, size func() (int, int)) *liveDisplay {
	return startLiveDisplay(w, painter{}, size)
}

// Redraw draws the board as its clock does.
func (d *liveDisplay) Redraw() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.draw(nil, false)
}

// NewPlainDisplay makes a display for pipes and logs.
func NewPlainDisplay(w io.Writer) display { return &plainDisplay{w: w} }

// NewLog is the log of the program on w.
func NewLog(w io.Writer) *slog.Logger { return slog.New(&noteHandler{w: w}) }
