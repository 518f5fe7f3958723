package main

// What tests need of the program.
type (
	Stdio       = stdio
	LiveDisplay = liveDisplay
)

var (
	Took      = took
	OneLine   = oneLine
	Printable = printable
	CutRune   = cutRune
	ShellWord = shellWord
	Wrap      = wrap
	Number    = number
	WriteJSON = writeJSON
	Moment    = moment
	CodeOf    = codeOf
	LooksLike = looksLikeID
)
