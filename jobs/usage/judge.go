package usage

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
)

const (
	// pastRuns is how far back growth looks.
	pastRuns = 32
	// shortest is the least age of a run that growth is computed from: over
	// shorter spans a single burst would be taken for a trend.
	shortest = time.Hour
	// aim is the age of the run that growth is preferably computed from, so
	// that the hours of the day cancel out.
	aim = 7 * 24 * time.Hour
)

// judgement compares sizes with limits and with earlier runs.
type judgement struct {
	options  Options
	past     []jobs.Past
	now      time.Time
	values   map[string]float64
	findings []jobs.Finding
	worst    []string
}

func (j *judgement) target(env *jobs.Env, p Target, s size) {
	name := p.name()
	j.values["bytes."+name] = float64(s.bytes)
	j.values["files."+name] = float64(s.files)
	j.values["free_bytes."+name] = float64(s.free)
	j.limit("size:"+name, fmt.Sprintf("%s takes %s", p.Path, humanize.IBytes(uint64(s.bytes))), s.bytes, p.Warn, p.Crit)
	if s.room > 0 {
		free := 100 * float64(s.free) / float64(s.room)
		j.values["free_percent."+name] = math.Round(free*100) / 100
		j.free(name, p, s, free)
	}
	if s.unreadable > 0 {
		text := fmt.Sprintf("%s: %d entries could not be read, so its size is too small: %s", p.Path, s.unreadable, strings.Join(strings.Fields(s.firstError.Error()), " "))
		j.add("unreadable:"+name, jobs.Warning, text)
	}
	growth, ok := j.growth(name, float64(s.bytes))
	if !ok {
		env.Printf("  growth: unknown until a run that is at least %s old is on record", shortest)
		return
	}
	j.values["growth_bytes_per_day."+name] = math.Round(growth)
	env.Printf("  growth: %s a day", signed(growth))
	if p.Growth > 0 && growth > float64(p.Growth) {
		j.add("growth:"+name, jobs.Warning, fmt.Sprintf("%s grows by %s a day, limit %s", p.Path, signed(growth), p.Growth))
	}
	j.full(name, p, s, growth)
}

func (j *judgement) limit(id, text string, bytes int64, warn, crit unit.Size) {
	switch {
	case crit > 0 && bytes > int64(crit):
		j.add(id, jobs.Critical, fmt.Sprintf("%s, limit %s", text, crit))
	case warn > 0 && bytes > int64(warn):
		j.add(id, jobs.Warning, fmt.Sprintf("%s, limit %s", text, warn))
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

// growth is the change per day against the past run whose age is nearest to
// aim among those older than shortest.
func (j *judgement) growth(name string, bytes float64) (perDay float64, ok bool) {
	var best time.Duration
	for _, p := range j.past {
		age := j.now.Sub(p.Finished)
		before, known := p.Result.Values["bytes."+name]
		if !known || age < shortest || ok && (age-aim).Abs() >= (best-aim).Abs() {
			continue
		}
		best, ok = age, true
		perDay = (bytes - before) / (age.Hours() / 24)
	}
	return perDay, ok
}

// full judges when the file system will be full if the path goes on growing.
func (j *judgement) full(name string, p Target, s size, growth float64) {
	if growth < 1 {
		return
	}
	days := float64(s.free) / growth
	j.values["days_to_full."+name] = math.Round(days*10) / 10
	text := fmt.Sprintf("at %s a day the file system of %s is full in %.1f days", signed(growth), p.Path, days)
	switch {
	case days < j.options.Full.Crit.Std().Hours()/24:
		j.add("full:"+name, jobs.Critical, text)
	case days < j.options.Full.Warn.Std().Hours()/24:
		j.add("full:"+name, jobs.Warning, text)
	}
}

func (j *judgement) add(id string, s jobs.Severity, text string) {
	text = strings.ToValidUTF8(strings.ReplaceAll(text, "\n", " "), "?")
	j.findings = append(j.findings, jobs.Finding{ID: id, Severity: s, Text: text})
	j.worst = append(j.worst, text)
}

func signed(bytes float64) string {
	if bytes < 0 {
		return "-" + humanize.IBytes(uint64(-bytes))
	}
	return humanize.IBytes(uint64(bytes))
}
