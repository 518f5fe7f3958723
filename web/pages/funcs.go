package pages

import (
	"crypto/rand"
	"fmt"
	"html/template"
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/runner"
)

// funcs are what templates can say. docs of each stand at its function.
func (p *Pages) funcs() template.FuncMap {
	return template.FuncMap{
		"static":  p.files.URL,
		"time":    p.timeElement,
		"seconds": tookSeconds, "bytes": bytesText, "count": count,
		"short": short, "words": words, "path": url.PathEscape, "safe": safe,
		"command": shellCommand, "prose": prose, "once": rand.Text,
	}
}

// timeElement is an instant as an element: in the zone of the schedule, with
// UTC in its title. How it is written depends on the form: "" for as short as
// it can be told today, "ago" for the distance from now, "clock" for the time
// of day, "day" for the date, "full" for everything. Instants that there are
// not become a dash.
func (p *Pages) timeElement(at any, zone *time.Location, form string) template.HTML {
	t, ok := instant(at)
	if !ok {
		return `<span class="muted">–</span>`
	}
	if zone == nil {
		zone = time.UTC
	}
	local := t.In(zone)
	title := local.Format("Mon 2006-01-02 15:04:05 MST") + " = " + t.UTC().Format("15:04:05 UTC")
	return template.HTML(fmt.Sprintf(`<time datetime="%s" title="%s" data-form="%s">%s</time>`, //nolint:gosec // every part is escaped
		t.UTC().Format(time.RFC3339), template.HTMLEscapeString(title), template.HTMLEscapeString(form),
		template.HTMLEscapeString(writeTime(local, p.o.Now(), form))))
}

func instant(at any) (time.Time, bool) {
	switch t := at.(type) {
	case time.Time:
		return t, !t.IsZero()
	case *time.Time:
		if t == nil {
			return time.Time{}, false
		}
		return *t, !t.IsZero()
	}
	return time.Time{}, false
}

// writeTime writes an instant in its zone.
func writeTime(t, now time.Time, form string) string {
	switch form {
	case "ago":
		return ago(now.Sub(t))
	case "clock":
		return t.Format("15:04:05")
	case "day":
		return t.Format("Mon 2 Jan 2006")
	case "full":
		return t.Format("Mon 2 Jan 2006 15:04:05 MST")
	}
	today := midnight(now.In(t.Location()))
	switch day := midnight(t); {
	case day.Equal(today):
		return "today " + t.Format("15:04")
	case day.Equal(today.AddDate(0, 0, -1)):
		return "yesterday " + t.Format("15:04")
	case day.Equal(today.AddDate(0, 0, 1)):
		return "tomorrow " + t.Format("15:04")
	case t.Year() == today.Year():
		return t.Format("Mon 2 Jan 15:04")
	}
	return t.Format("2 Jan 2006 15:04")
}

func midnight(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, t.Location())
}

// ago writes a distance from now, backwards or, when it is negative, forwards.
func ago(d time.Duration) string {
	switch {
	case d < 0:
		return "in " + roughly(-d)
	case d < 2*time.Second:
		return "now"
	}
	return roughly(d) + " ago"
}

// roughly writes a duration with one unit, or two where one says too little.
func roughly(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 10*time.Hour && int(d.Minutes())%60 != 0:
		return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	case d < 2*day:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d/day))
}

// tookSeconds writes how many seconds something took.
func tookSeconds(s float64) string { return unit.Took(time.Duration(s * float64(time.Second))) }

// bytesText writes a number of bytes in binary units.
func bytesText(n int64) string { return humanize.IBytes(uint64(max(n, 0))) }

// number writes a value for people, by the unit that the end of its name tells.
func number(name string, v float64) string {
	const exact = 1 << 53 // https://en.wikipedia.org/wiki/Double-precision_floating-point_format
	switch {
	case strings.HasSuffix(name, "bytes") && v >= 1024:
		return humanize.IBytes(uint64(v))
	case strings.HasSuffix(name, "percent"):
		return strconv.FormatFloat(v, 'f', 1, 64) + " %"
	case strings.HasSuffix(name, "seconds"):
		return tookSeconds(v)
	case v != math.Trunc(v) || math.Abs(v) > exact:
		return strconv.FormatFloat(v, 'g', 4, 64)
	}
	return humanize.Comma(int64(v))
}

// count writes a number with its noun: 1 job, 2 jobs.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// shortID is how many characters of a run's ID are shown: the part that tells
// runs of one second apart comes late in it.
const shortID = 13

// short is the beginning of an ID, as people tell it each other.
func short(id any) string {
	text := fmt.Sprint(id)
	if len(text) > shortID {
		return text[:shortID]
	}
	return text
}

// shellCommand is a command line of upkeep with its words quoted where a shell
// needs that.
func shellCommand(parts ...any) string {
	quoted := []string{"upkeep"}
	for _, part := range parts {
		text := fmt.Sprint(part)
		if id, ok := part.(runner.RunID); ok {
			text = string(id)
		}
		quoted = append(quoted, unit.ShellWord(text))
	}
	return strings.Join(quoted, " ")
}
