package pgvacuum

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"
)

// work is what one table needs, and why.
type work struct {
	table table
	// vacuum, toast and analyze tell what is due: the table with its TOAST
	// table, the TOAST table alone, the planner's statistics.
	vacuum, toast, analyze bool
	// dirty tells that it is due by its dead rows.
	dirty bool
	// aged tells that it is due by its age, and freezeAge and multixactAge
	// are its own limits.
	aged                    bool
	freezeAge, multixactAge float64
	// full tells that the table is to be rewritten, and gain the share that
	// it is estimated to shrink by.
	full bool
	gain float64
	// score is the largest share of a threshold that was reached; past tells
	// that a freeze limit was.
	score float64
	past  bool
	// reasons say so for people, the largest share first.
	reasons []string
}

// none tells that nothing is to be done.
func (w work) none() bool { return !w.vacuum && !w.toast && !w.analyze }

// urgency orders work: tables past their freeze limit first, then by score.
// Parents of partitions come after what only has to be analyzed once when the
// partitions are clean.
func urgency(a, b work) int {
	return cmp.Or(-compareBool(a.past, b.past), compareBool(a.table.Kind == "p", b.table.Kind == "p"),
		-cmp.Compare(a.score, b.score), -cmp.Compare(a.table.Bytes, b.table.Bytes), strings.Compare(a.table.label(), b.table.label()))
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// judge tells what a table needs by the options and the settings of its
// server.
func (r rules) judge(t table, s settings) work {
	w := work{table: t}
	if !r.chosen(t) {
		return w
	}
	j := judgement{work: w, settings: s, due: r.due}
	if t.Kind != "p" && r.mode != modeAnalyze {
		j.ages(t)
		if r.mode == modeVacuum {
			j.dirt(t)
		}
	}
	if r.mode == modeAnalyze || r.mode == modeVacuum && r.analyze {
		j.stale(t)
	}
	w = j.work
	if t.Bytes < r.minSize && t.Kind != "p" && !w.past {
		return work{table: t}
	}
	slices.SortStableFunc(j.shares, func(a, b share) int { return -cmp.Compare(a.of, b.of) })
	for _, s := range j.shares {
		w.score = max(w.score, s.of)
		w.reasons = append(w.reasons, s.why)
	}
	return w
}

// share is how much of one threshold a table has reached.
type share struct {
	of  float64
	why string
}

// judgement adds up the reasons for one table.
type judgement struct {
	work     work
	settings settings
	due      float64
	shares   []share
}

// reaches notes a reason when value is large enough against limit.
func (j *judgement) reaches(value, limit float64, why string) bool {
	of := value / max(limit, 1)
	if value <= 0 || of < j.due {
		return false
	}
	j.shares = append(j.shares, share{of: of, why: fmt.Sprintf("%s, limit %s", why, humanize.Comma(int64(math.Round(limit))))})
	return true
}

// threshold is base + scale × rows, as autovacuum computes it
// (postgresql.org/docs/current/routine-vacuuming.html#AUTOVACUUM); ok is false
// when it is turned off.
func (j *judgement) threshold(options []string, what string, rows float64) (limit float64, ok bool) {
	base, ok := j.settings.of(options, "autovacuum_"+what+"_threshold")
	if !ok || base < 0 {
		return 0, false
	}
	scale, _ := j.settings.of(options, "autovacuum_"+what+"_scale_factor")
	limit = base + scale*max(rows, 0)
	if most, ok := j.settings.of(options, "autovacuum_"+what+"_max_threshold"); ok && most >= 0 {
		limit = min(limit, most)
	}
	return limit, true
}

// dirt judges dead and inserted rows.
func (j *judgement) dirt(t table) {
	for _, heap := range []struct {
		rows          float64
		dead, inserts int64
		options       []string
		of            string
		due           *bool
	}{
		{t.Rows, t.Dead, t.Inserts, t.Options, "", &j.work.vacuum},
		{t.ToastRows, t.ToastDead, t.ToastInserts, t.ToastOptions, " of TOAST", &j.work.toast},
	} {
		if limit, ok := j.threshold(heap.options, "vacuum", heap.rows); ok && j.reaches(float64(heap.dead), limit, humanize.Comma(heap.dead)+" dead rows"+heap.of) {
			*heap.due, j.work.dirty = true, true
		}
		if limit, ok := j.threshold(heap.options, "vacuum_insert", heap.rows); ok && j.reaches(float64(heap.inserts), limit, humanize.Comma(heap.inserts)+" rows"+heap.of+" inserted since the last vacuum") {
			*heap.due = true
		}
	}
}

// ages judges how old the oldest transactions and multixacts are.
func (j *judgement) ages(t table) {
	freeze, multi := j.limits(t.Options)
	j.work.freezeAge, j.work.multixactAge = freeze, multi
	if j.old(t.Age, freeze, "") || j.oldMulti(t.MXIDAge, multi, "") {
		j.work.vacuum, j.work.aged = true, true
	}
	freeze, multi = j.limits(t.ToastOptions)
	if j.old(t.ToastAge, freeze, " of TOAST") || j.oldMulti(t.ToastMXIDAge, multi, " of TOAST") {
		j.work.toast, j.work.aged = true, true
		j.work.freezeAge, j.work.multixactAge = min(j.work.freezeAge, freeze), min(j.work.multixactAge, multi)
	}
}

func (j *judgement) old(age int64, limit float64, of string) bool {
	j.work.past = j.work.past || float64(age) >= limit
	return j.reaches(float64(age), limit, "oldest transaction"+of+" "+humanize.Comma(age)+" back")
}

func (j *judgement) oldMulti(age int64, limit float64, of string) bool {
	j.work.past = j.work.past || float64(age) >= limit
	return j.reaches(float64(age), limit, "oldest multixact"+of+" "+humanize.Comma(age)+" back")
}

// limits are a table's own freeze limits: a storage parameter can only lower
// those of the server.
func (j *judgement) limits(options []string) (freeze, multixact float64) {
	limit := func(name string) float64 {
		own, ok := j.settings.of(options, name)
		general, there := j.settings[name]
		if !ok || !there {
			return math.MaxInt32
		}
		return min(own, general)
	}
	return limit("autovacuum_freeze_max_age"), limit("autovacuum_multixact_freeze_max_age")
}

// stale judges the planner's statistics.
func (j *judgement) stale(t table) {
	if t.Schema == "pg_catalog" && t.Name == "pg_statistic" {
		return // which ANALYZE passes over in silence
	}
	rows, mods := t.Rows, t.Mods
	if t.Kind == "p" {
		rows, mods = t.PartRows, t.PartMods
		if t.PartNewer && t.Analyzed {
			j.work.analyze = true
			j.shares = append(j.shares, share{of: j.due, why: "a partition was analyzed long after its parent"})
		}
	}
	if !t.Analyzed && (t.Live > 0 || t.Bytes > 0 || mods > 0 || rows > 0) {
		j.work.analyze = true
		j.shares = append(j.shares, share{of: 1, why: "never analyzed"})
		return
	}
	if limit, ok := j.threshold(t.Options, "analyze", rows); ok && j.reaches(float64(mods), limit, humanize.Comma(mods)+" rows changed since the last analyze") {
		j.work.analyze = true
	}
}

// system tells that a table is one of the server's own.
func (t table) system() bool { return t.Schema == "pg_catalog" || t.Schema == "information_schema" }

// label names a table for people, values and findings.
func (t table) label() string {
	if t.Schema == "public" {
		return t.Name
	}
	return t.Schema + "." + t.Name
}
