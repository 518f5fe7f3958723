package pages

import (
	"bytes"
	"cmp"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

// logView is what one attempt wrote.
type logView struct {
	Job    string
	Try    int
	Text   string
	Live   bool
	Events string // the stream of it
	Raw    string // all that was kept
	Next   int64  // the place behind Text
	Note   string // what is missing
	Tabs   []logTab
	Empty  bool
}

// logTab leads to what another attempt wrote.
type logTab struct {
	Text, Href string
	State      badge
	Current    bool
}

// shownLog bounds how much of a log is part of the page, in bytes.
const shownLog = 32 << 10

// attemptName is an attempt in an address.
func attemptName(job string, number int) string {
	return url.QueryEscape(job + "." + strconv.Itoa(number))
}

// log reads what the attempt wrote that the address names, or that matters
// most; nil when none has begun.
func (v *visit) log(d api.RunDetail) (*logView, error) {
	var began []api.AttemptRecord
	for _, a := range d.Attempts {
		if a.StartedAt != nil {
			began = append(began, a)
		}
	}
	if len(began) == 0 {
		return nil, nil
	}
	a := chosenAttempt(began, v.query("log"))
	view := &logView{Job: a.Job, Try: a.Number, Live: a.State == runner.Running, Raw: outputPath(d.Run.ID, a), Events: outputPath(d.Run.ID, a) + "/events"}
	for _, other := range began {
		text := other.Job
		if other.Number > 1 || severalTries(began, other.Job) {
			text += ", try " + strconv.Itoa(other.Number)
		}
		view.Tabs = append(view.Tabs, logTab{Text: text, Href: logHref(d.Run.ID, other), State: badgeOf(other.State), Current: other.Job == a.Job && other.Number == a.Number})
	}
	output, err := v.api.Output(v.ctx, runner.AttemptKey{Run: d.Run.ID, Job: a.Job, Number: a.Number})
	if err != nil && !errors.Is(err, runner.ErrNotFound) {
		return nil, err
	}
	view.fill(output)
	return view, nil
}

// fill takes the end of what was written.
func (l *logView) fill(o runner.Output) {
	l.Next = int64(len(o.Head)) + o.Cut + int64(len(o.Tail))
	text := slices.Concat(o.Head, o.Tail)
	if o.Cut > 0 {
		l.Note = bytesText(o.Cut) + " in between were not kept. "
	}
	if len(text) > shownLog {
		l.Note += "These are the last " + bytesText(shownLog) + " of " + bytesText(int64(len(text))) + "."
		text = text[len(text)-shownLog:]
		if line := bytes.IndexByte(text, '\n'); line >= 0 && line < shownLog/2 {
			text = text[line+1:]
		}
	}
	if l.Live { // what is still to come may end a character that has begun
		for back := 1; back < utf8.UTFMax && back <= len(text); back++ {
			if rest := text[len(text)-back:]; utf8.RuneStart(rest[0]) {
				if !utf8.FullRune(rest) {
					l.Next, text = l.Next-int64(back), text[:len(text)-back]
				}
				break
			}
		}
	}
	l.Text, l.Empty = safe(text), len(text) == 0
}

// chosenAttempt is the one that the address names, else one that runs, else one
// that failed, else the last.
func chosenAttempt(list []api.AttemptRecord, asked string) api.AttemptRecord {
	job, number, ok := strings.Cut(asked, ".")
	for _, a := range list {
		if ok && a.Job == job && strconv.Itoa(a.Number) == number {
			return a
		}
	}
	interest := func(a api.AttemptRecord) int {
		switch {
		case a.State == runner.Running:
			return 3
		case bad(a.State) && !a.Superseded:
			return 2
		case a.OutputBytes > 0:
			return 1
		}
		return 0
	}
	return slices.MaxFunc(list, func(a, b api.AttemptRecord) int { return cmp.Compare(interest(a), interest(b)) })
}

func severalTries(list []api.AttemptRecord, job string) bool {
	n := 0
	for _, a := range list {
		if a.Job == job {
			n++
		}
	}
	return n > 1
}

// outputPath is where the API has what an attempt wrote.
func outputPath(id runner.RunID, a api.AttemptRecord) string {
	return "/api/v1/runs/" + url.PathEscape(string(id)) + "/attempts/" + url.PathEscape(a.Job) + "/" + strconv.Itoa(a.Number) + "/output"
}
