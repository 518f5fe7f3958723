package usage

import (
	"fmt"
	"math"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
)

const (
	// pastRuns is how many earlier runs growth looks at.
	pastRuns = 400
	// shortest is the least age of a run that growth is computed from: over
	// shorter spans a single burst would be taken for a trend. A forecast
	// needs a whole day, because most machines have hours that they write in.
	shortest, forecast = time.Hour, 24 * time.Hour
	// aim is the age of the run that growth is preferably computed from, so
	// that the hours of the day and the days of the week cancel out.
	aim = 7 * 24 * time.Hour
)

// judgement compares sizes with limits and with earlier runs.
type judgement struct {
	options  Options
	past     []jobs.Past
	now      time.Time
	values   map[string]float64
	findings []jobs.Finding
	measured int
	// judged holds the devices whose free space was judged.
	judged map[uint64]bool
}

func (j *judgement) target(env *jobs.Env, p Target, s size) {
	name := p.name()
	j.measured++
	j.values["bytes."+name] = float64(s.bytes)
	j.values["files."+name] = float64(s.files)
	j.limit("size:"+name, fmt.Sprintf("%s takes %s", p.Path, humanize.IBytes(uint64(s.bytes))), s.bytes, p.Warn, p.Crit)
	if s.unreadable > 0 {
		j.add("unreadable:"+name, jobs.Warning,
			fmt.Sprintf("%s: %d entries could not be read, so its size is too small: %s", p.Path, s.unreadable, s.firstError))
	}
	j.growth(env, p, s)
	j.fileSystem(env, p, s)
}

func (j *judgement) limit(id, text string, bytes int64, warn, crit unit.Size) {
	switch {
	case crit > 0 && bytes > int64(crit):
		j.add(id, jobs.Critical, fmt.Sprintf("%s, limit %s", text, crit))
	case warn > 0 && bytes > int64(warn):
		j.add(id, jobs.Warning, fmt.Sprintf("%s, limit %s", text, warn))
	}
}

// growth judges how fast a path grows.
func (j *judgement) growth(env *jobs.Env, p Target, s size) {
	name := p.name()
	growth, ok := j.change("bytes."+name, float64(s.bytes), shortest)
	if !ok {
		env.Printf("  growth: unknown until a run that is at least %s old is on record", unit.Duration(shortest))
		return
	}
	j.values["growth_bytes_per_day."+name] = math.Round(growth)
	env.Printf("  growth: %s a day", signed(growth))
	if p.Growth > 0 && growth > float64(p.Growth) {
		j.add("growth:"+name, jobs.Warning, fmt.Sprintf("%s grows by %s a day, limit %s", p.Path, signed(growth), p.Growth))
	}
}

// fileSystem judges the free space where a path lies, once for each file
// system, and when none will be left.
func (j *judgement) fileSystem(env *jobs.Env, p Target, s size) {
	if s.room == 0 {
		return
	}
	name := p.name()
	percent := 100 * float64(s.free) / float64(s.room)
	j.values["free_bytes."+name] = float64(s.free)
	j.values["free_percent."+name] = math.Round(percent*100) / 100
	first := !j.judged[s.device]
	j.judged[s.device] = true
	if first {
		j.free(name, p, s, percent)
	}
	change, ok := j.change("free_bytes."+name, float64(s.free), forecast)
	if !ok || change > -1 {
		return
	}
	days := float64(s.free) / -change
	j.values["days_to_full."+name] = math.Round(days*10) / 10
	text := fmt.Sprintf("the file system of %s loses %s a day and is full in %.1f days", p.Path, humanize.IBytes(uint64(-change)), days)
	env.Printf("  %s", text)
	if first {
		j.full("full:"+name, text, days)
	}
}

func (j *judgement) free(name string, p Target, s size, percent float64) {
	text := fmt.Sprintf("the file system of %s has %s free (%.1f %%)", p.Path, humanize.IBytes(s.free), percent)
	switch {
	case percent < float64(j.options.Free.Crit):
		j.add("free:"+name, jobs.Critical, fmt.Sprintf("%s, limit %s", text, j.options.Free.Crit))
	case percent < float64(j.options.Free.Warn):
		j.add("free:"+name, jobs.Warning, fmt.Sprintf("%s, limit %s", text, j.options.Free.Warn))
	}
}

func (j *judgement) full(id, text string, days float64) {
	switch crit, warn := j.options.Full.Crit, j.options.Full.Warn; {
	case days < crit.Std().Hours()/24:
		j.add(id, jobs.Critical, fmt.Sprintf("%s, limit %s", text, crit))
	case days < warn.Std().Hours()/24:
		j.add(id, jobs.Warning, fmt.Sprintf("%s, limit %s", text, warn))
	}
}

// change is how a value changes in a day, against the past run whose age is
// nearest to aim among those that are at least so old.
func (j *judgement) change(value string, now float64, least time.Duration) (perDay float64, ok bool) {
	var best time.Duration
	for _, p := range j.past {
		age := j.now.Sub(p.Finished)
		before, known := p.Result.Values[value]
		if !known || age < least || ok && (age-aim).Abs() >= (best-aim).Abs() {
			continue
		}
		best, ok = age, true
		perDay = (now - before) / (age.Hours() / 24)
	}
	return perDay, ok
}

func (j *judgement) add(id string, s jobs.Severity, text string) {
	j.findings = append(j.findings, jobs.Finding{ID: id, Severity: s, Text: jobs.OneLine(text)})
}

// plain is the summary when nothing is wrong.
func (j *judgement) plain(bytes int64) string {
	what := fmt.Sprintf("%d paths take ", j.measured)
	if j.measured == 1 {
		what = "1 path takes "
	}
	what += humanize.IBytes(uint64(bytes))
	if missing := len(j.options.Paths) - j.measured; missing > 0 {
		what += fmt.Sprintf(", %d not there", missing)
	}
	return what
}

func signed(bytes float64) string {
	if bytes < 0 {
		return "-" + humanize.IBytes(uint64(-bytes))
	}
	return humanize.IBytes(uint64(bytes))
}
