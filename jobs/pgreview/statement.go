package pgreview

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg"
)

// statement is what one normalized statement took in a span of time.
type statement struct {
	id    int64
	calls int64
	total float64 // milliseconds
	// was is its mean time before the span, in milliseconds; 0 when it is new.
	was  float64
	text string
}

func (s statement) mean() float64 { return s.total / float64(max(s.calls, 1)) }

// name identifies a statement in ids.
func (s statement) name() string { return strconv.FormatUint(uint64(s.id), 16) }

// byTotal lists the ids of statements, those with most time first.
func byTotal(all map[int64]statementCount) []int64 {
	return slices.SortedFunc(maps.Keys(all), func(a, b int64) int {
		return cmp.Or(cmp.Compare(all[b].total, all[a].total), cmp.Compare(a, b))
	})
}

// extension is where pg_stat_statements is, and what it calls things.
type extension struct {
	Schema string
	// Time is the column with the total time; it got another name in 1.8.
	Time string
	// Info tells that it says since when it counts (1.9 and later).
	Info bool
}

func (e extension) name(object string) string { return sqlName(e.Schema, object) }

// findExtension looks for pg_stat_statements; nil when it is not there.
func (r *review) findExtension(ctx context.Context) (*extension, error) {
	all, err := ask[extension](ctx, r, `SELECT n.nspname,
			coalesce((SELECT a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
				WHERE c.relname = 'pg_stat_statements' AND c.relnamespace = n.oid AND a.attname IN ('total_exec_time', 'total_time')), '')::text,
			EXISTS (SELECT FROM pg_class c WHERE c.relname = 'pg_stat_statements_info' AND c.relnamespace = n.oid)
		FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'pg_stat_statements'`)
	if err != nil || len(all) == 0 || all[0].Time == "" {
		return nil, err
	}
	return &all[0], nil
}

// notLoaded is the code of the error of a library that is not in
// shared_preload_libraries.
const notLoaded = "55000"

// askStatements judges statements by the time they took since the run before.
func askStatements(ctx context.Context, r *review) error {
	e, err := r.findExtension(ctx)
	if err != nil {
		return err
	}
	if e == nil {
		r.cannotSee(jobs.Info, "the extension pg_stat_statements is not installed in this database")
		return nil
	}
	if err := r.countStatements(ctx, *e); err != nil {
		if pg.Code(err) == notLoaded {
			r.cannotSee(jobs.Info, "pg_stat_statements is installed, but not in shared_preload_libraries")
			return nil
		}
		return err
	}
	all, from := r.taken()
	var total float64
	for _, s := range all {
		total += s.total
	}
	if days := r.facts.At.Sub(from).Hours() / 24; !from.IsZero() && days > 0 {
		r.values["statement_seconds_per_day"] = math.Round(total/1000/days*1000) / 1000
	}
	top, slow := r.rank(all)
	if err := r.readTexts(ctx, *e, top, slow); err != nil {
		return err
	}
	r.printStatements(fmt.Sprintf("statements with most time since %s", day(from)), top, total)
	r.printStatements("statements with the highest mean time", slow, total)
	r.judgeStatements(append(top, slow...), from)
	return nil
}

// countStatements reads the counters of all statements, without their texts.
func (r *review) countStatements(ctx context.Context, e extension) error {
	all, err := ask[struct {
		ID    int64
		Calls int64
		Total float64
	}](ctx, r, `SELECT queryid, sum(calls)::int8, sum(`+e.Time+`)::float8 FROM `+e.name("pg_stat_statements")+`(false)
		WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND queryid IS NOT NULL GROUP BY 1`)
	if err != nil {
		return err
	}
	hidden, err := ask[struct{ N int64 }](ctx, r, `SELECT count(*) FROM `+e.name("pg_stat_statements")+`(false)
		WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND queryid IS NULL`)
	if err != nil {
		return err
	}
	if hidden[0].N > 0 {
		r.cannotSee(jobs.Warning, "%s", r.needs(fmt.Sprintf("%d statements of other roles", hidden[0].N)))
	}
	r.now.statements = map[int64]statementCount{}
	for _, s := range all {
		r.now.statements[s.ID] = statementCount{calls: s.Calls, total: s.Total}
	}
	if !e.Info {
		return nil
	}
	reset, err := ask[struct{ At *time.Time }](ctx, r, "SELECT stats_reset FROM "+e.name("pg_stat_statements_info"))
	if err == nil && len(reset) > 0 && reset[0].At != nil {
		r.now.StatementsReset = *reset[0].At
	}
	return err
}

// taken is what each statement took since from: the run before, or the reset of
// the statistics since then. A version that does not tell when it was reset
// betrays it by a number that shrank.
func (r *review) taken() (all []statement, from time.Time) {
	b := r.before
	known := b.has && len(b.statements) > 0 && b.StatementsReset.Equal(r.now.StatementsReset)
	if known && r.now.StatementsReset.IsZero() {
		for id, s := range r.now.statements {
			known = known && b.statements[id].calls <= s.calls
		}
	}
	from = r.now.StatementsReset
	if known {
		from = b.At
	}
	for _, id := range byTotal(r.now.statements) {
		now, s := r.now.statements[id], statement{id: id}
		s.calls, s.total = now.calls, now.total
		if known {
			was, kept := b.statements[id]
			switch {
			case kept && was.calls <= now.calls:
				s.calls, s.total = now.calls-was.calls, max(0, now.total-was.total)
				s.was = was.total / float64(max(was.calls, 1))
			case !kept && b.Floor > 0: // it had less than those that were kept
				s.total = max(0, now.total-b.Floor)
			}
		}
		if s.calls > 0 {
			all = append(all, s)
		}
	}
	return all, from
}

// rank picks the statements to show: by total and by mean time.
func (r *review) rank(all []statement) (top, slow []statement) {
	limits := r.options.Statements
	top = slices.Clone(all)
	slices.SortStableFunc(top, func(a, b statement) int { return cmp.Compare(b.total, a.total) })
	slow = slices.DeleteFunc(slices.Clone(all), func(s statement) bool { return s.calls < limits.MinCalls })
	slices.SortStableFunc(slow, func(a, b statement) int { return cmp.Compare(b.mean(), a.mean()) })
	// Some more, because our own are not shown.
	return top[:min(len(top), 2*limits.Top+mostOwn)], slow[:min(len(slow), 2*limits.Top+mostOwn)]
}

// ours begins the comment in our own statements.
const ours = "/* upkeep"

// mostOwn is how many of our own statements may be among those that
// take most time.
const mostOwn = 40

// longestRead is how much of a statement's text is read, in characters.
const longestRead = 20_000

// readTexts gives statements their texts, and removes our own.
func (r *review) readTexts(ctx context.Context, e extension, lists ...[]statement) error {
	var ids []int64
	for _, list := range lists {
		for _, s := range list {
			ids = append(ids, s.id)
		}
	}
	texts, err := ask[struct {
		ID   int64
		Text string
	}](ctx, r, `SELECT queryid, CASE WHEN position($3::text IN min(query)) > 0 THEN $3::text ELSE left(min(query), $2::int4) END FROM `+e.name("pg_stat_statements")+`(true)
		WHERE queryid = ANY ($1) AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) GROUP BY 1`, ids, longestRead, ours)
	if err != nil {
		return err
	}
	byID := map[int64]string{}
	for _, t := range texts {
		byID[t.ID] = t.Text
		if !isOwn(t.Text) {
			byID[t.ID] = jobs.OneLine(withoutValues(r.env.Scrub(t.Text)))
		}
	}
	for _, list := range lists {
		for i := range list {
			list[i].text = byID[list[i].id]
		}
	}
	return nil
}

// isOwn tells whether a statement is one of ours.
func isOwn(text string) bool { return strings.Contains(text, ours) }

// printStatements shows a list.
func (r *review) printStatements(title string, list []statement, total float64) {
	r.env.Printf("%s:", title)
	shown := 0
	for _, s := range list {
		if isOwn(s.text) || s.text == "" || shown == r.options.Statements.Top {
			continue
		}
		shown++
		r.env.Printf("  %10s %5.1f %%  %9d calls  mean %9s  %s  %s", milliseconds(s.total), share(int64(s.total*1000), int64(total*1000)), s.calls, milliseconds(s.mean()), s.name(), s.text)
	}
	if shown == 0 {
		r.env.Printf("  none")
	}
}

// maintenance are statements that are slow by nature.
var maintenance = regexp.MustCompile(`(?i)^\(?(analyze|vacuum|create|alter|drop|reindex|cluster|refresh|copy|truncate|checkpoint|lock|begin|start|commit|rollback|end|savepoint|release|set|reset|show|listen|notify|declare|fetch|close|do|call|explain|load|comment|grant|revoke|discard|deallocate|prepare|execute)\b`)

// judgeStatements reports those that are slow and those that have become
// slower.
func (r *review) judgeStatements(shown []statement, from time.Time) {
	limits := r.options.Statements
	seen := map[int64]bool{}
	for _, s := range shown {
		if seen[s.id] || isOwn(s.text) || s.text == "" || s.calls < limits.MinCalls || maintenance.MatchString(s.text) {
			continue
		}
		seen[s.id] = true
		mean := s.mean()
		if limits.Mean > 0 && mean > milli(limits.Mean.Std()) {
			r.add(jobs.Warning, s.total, s.name(), fmt.Sprintf("a statement takes %s on average (%d calls since %s), limit %s: %s", milliseconds(mean), s.calls, day(from), limits.Mean, s.text), "")
		} else if limits.Slower > 0 && s.was > 0 && mean > limits.Slower*s.was && mean >= milli(limits.Floor.Std()) {
			r.add(jobs.Warning, s.total, s.name(), fmt.Sprintf("a statement takes %s on average, %.1f times as long as before (%d calls since %s): %s", milliseconds(mean), mean/s.was, s.calls, day(from), s.text), "")
		}
	}
}

func milli(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// milliseconds writes a time for people.
func milliseconds(ms float64) string {
	switch d := time.Duration(ms * float64(time.Millisecond)); {
	case d < time.Second:
		return fmt.Sprintf("%.3g ms", ms)
	case d < time.Hour:
		return fmt.Sprintf("%.1f s", d.Seconds())
	default:
		return fmt.Sprintf("%.1f h", d.Hours())
	}
}
