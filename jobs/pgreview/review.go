package pgreview

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg"
)

// review is one review on its way.
type review struct {
	options Options
	env     *jobs.Env
	conn    *pg.Conn
	past    []jobs.Past
	ignore  *regexp.Regexp
	facts   facts
	// indexes are read once for several checks.
	indexes []index

	values   map[string]float64
	outputs  map[string]string
	findings []jobs.Finding
	ignored  int
	// unseen are the checks that could not see everything.
	unseen []string
	// sql is what was suggested, by check.
	sql map[string][]string
	// now are the counters of this run, before those of the newest earlier one.
	now, before counters

	// The check that is being asked, what it found and what it could not see.
	check check
	batch []found
	blind []blindness
}

// found is a finding on its way into the result.
type found struct {
	jobs.Finding
	// weight orders findings of one severity, the heaviest first.
	weight float64
	// sql is what could be done about it; empty for nothing.
	sql string
}

// blindness is something that a check could not see.
type blindness struct {
	severity jobs.Severity
	why      string
}

func newReview(o Options, env *jobs.Env, conn *pg.Conn, past []jobs.Past) *review {
	r := &review{
		options: o, env: env, conn: conn, past: past, ignore: pg.Patterns(o.Ignore),
		values: map[string]float64{}, outputs: map[string]string{}, sql: map[string][]string{},
	}
	r.before = newestCounters(past)
	return r
}

// reading bounds the questions.
func (r *review) reading() pg.Reading {
	return pg.Reading{Statement: r.options.Timeout.Std(), Lock: r.options.LockTimeout.Std(), SearchPath: "pg_catalog"}
}

// run asks one check. Its error ends the review.
func (r *review) run(ctx context.Context, c check) error {
	r.check, r.batch, r.blind = c, nil, nil
	if why := r.ruledOut(c); why != "" {
		r.cannotSee(jobs.Info, "%s", why)
	} else if err := r.conn.ReadOnly(ctx, r.reading(), func(ctx context.Context) error { return c.ask(ctx, r) }); err != nil {
		if ctx.Err() != nil || r.conn.IsClosed() {
			return err
		}
		r.cannotSee(jobs.Warning, "%s", r.whyNot(err))
	}
	r.settle()
	return nil
}

// ruledOut tells why a check makes no sense on this server; empty when it does.
func (r *review) ruledOut(c check) string {
	switch server := r.conn.Server; {
	case server.Number < c.since:
		return fmt.Sprintf("the server is PostgreSQL %s, and this begins with %d", server.Version, c.since/10000)
	case c.primary && server.Standby:
		return "the server is a standby, and only the primary knows it"
	case c.counts && !r.facts.TrackCounts:
		return "the server counts nothing (track_counts is off)"
	}
	return ""
}

// whyNot says for people why a question had no answer.
func (r *review) whyNot(err error) string {
	switch pg.Code(err) {
	case pg.CodeCanceled:
		return fmt.Sprintf("it took longer than %s", r.options.Timeout)
	case pg.CodeLocked:
		return fmt.Sprintf("it waited longer than %s for a lock", r.options.LockTimeout)
	case pg.CodeDenied:
		return r.needs("permission denied")
	}
	return r.env.OneLine(err.Error())
}

// needs says what the role lacks.
func (r *review) needs(what string) string {
	if r.conn.Server.Number < 100000 {
		return fmt.Sprintf("%s: %s is not a superuser", what, r.conn.Server.User)
	}
	return fmt.Sprintf("%s: GRANT pg_monitor TO %s", what, sqlName(r.conn.Server.User))
}

// cannotSee notes that the check could not see something.
func (r *review) cannotSee(s jobs.Severity, format string, args ...any) {
	r.blind = append(r.blind, blindness{severity: s, why: fmt.Sprintf(format, args...)})
}

// add notes a finding about an object, which may be empty for the server or the
// database as a whole. The text says what, the value and the limit; sql what
// could be done.
func (r *review) add(s jobs.Severity, weight float64, object, text, sql string) {
	if given, ok := r.options.Severity[r.check.name]; ok {
		s = given
	}
	id := r.check.name
	if object != "" {
		id = findingID(id, object)
	}
	r.batch = append(r.batch, found{
		Finding: jobs.Finding{ID: id, Severity: s, Text: r.env.OneLine(text)}, weight: weight, sql: sql,
	})
}

// settle moves what the check found into the result.
func (r *review) settle() {
	all := slices.DeleteFunc(r.batch, func(f found) bool { return r.isIgnored(f.ID) })
	slices.SortStableFunc(all, func(a, b found) int {
		return cmp.Or(cmp.Compare(b.Severity.Rank(), a.Severity.Rank()), cmp.Compare(b.weight, a.weight), cmp.Compare(a.ID, b.ID))
	})
	all = merged(all)
	listed := all[:min(len(all), r.options.MaxFindings)]
	for _, f := range listed {
		r.report(f.Finding)
		if f.sql != "" {
			r.sql[r.check.name] = append(r.sql[r.check.name], f.sql)
		}
	}
	if more := all[len(listed):]; len(more) > 0 {
		r.report(jobs.Finding{
			ID: "more:" + r.check.name, Severity: more[0].Severity,
			Text: fmt.Sprintf("%s found %d more that are not listed (max_findings: %d)", r.check.name, len(more), r.options.MaxFindings),
		})
	}
	r.settleBlindness()
	if len(listed) == 0 && len(r.blind) == 0 {
		r.env.Printf("%s: nothing", r.check.name)
	}
}

// merged makes findings of one id, such as several sessions of one program, one:
// the worst, which says how many there are.
func merged(sorted []found) []found {
	var out []found
	more := map[string]int{}
	for _, f := range sorted {
		if more[f.ID]++; more[f.ID] == 1 {
			out = append(out, f)
		}
	}
	for i := range out {
		if n := more[out[i].ID] - 1; n > 0 {
			out[i].Text = jobs.OneLine(fmt.Sprintf("%s (and %d more like it)", out[i].Text, n))
		}
	}
	return out
}

// unseenPrefix begins the id of a finding about what a check could not see.
const unseenPrefix = "unseen:"

func (r *review) settleBlindness() {
	if len(r.blind) == 0 {
		return
	}
	worst, whys := jobs.Info, []string(nil)
	for _, b := range r.blind {
		if b.severity.Rank() > worst.Rank() {
			worst = b.severity
		}
		whys = append(whys, b.why)
	}
	id := unseenPrefix + r.check.name
	if r.isIgnored(id) {
		r.env.Printf("%s: could not see: %s (ignored)", r.check.name, r.env.OneLine(strings.Join(whys, "; ")))
		return
	}
	r.unseen = append(r.unseen, r.check.name)
	r.report(jobs.Finding{ID: id, Severity: worst, Text: r.env.OneLine("could not see " + r.check.name + ": " + strings.Join(whys, "; "))})
}

func (r *review) isIgnored(id string) bool {
	if r.ignore == nil || !r.ignore.MatchString(id) {
		return false
	}
	r.ignored++
	return true
}

func (r *review) report(f jobs.Finding) {
	r.findings = append(r.findings, f)
	r.env.Printf("%s: %s: %s", r.check.name, f.Severity, f.Text)
}

// printSuggestions shows what could be done.
func (r *review) printSuggestions() {
	if len(r.sql) == 0 {
		return
	}
	r.env.Printf("\nSuggested, and not run:")
	for _, c := range checks() {
		for _, statement := range r.sql[c.name] {
			r.env.Printf("  %s", statement)
		}
	}
}

// longestOutput bounds an output, in bytes.
const longestOutput = 4096

// remember puts what later runs and people read back into the outputs.
func (r *review) remember() {
	for name, statements := range r.sql {
		text := ""
		for _, s := range statements {
			if len(text)+len(s)+1 > longestOutput {
				break
			}
			text += s + "\n"
		}
		if text != "" {
			r.outputs["sql."+name] = strings.TrimSuffix(text, "\n")
		}
	}
	r.now.store(r.outputs)
}

// ask runs one question of the current check.
func ask[T any](ctx context.Context, r *review, query string, args ...any) ([]T, error) {
	out, err := pg.Rows[T](ctx, r.conn, query+mark, args...)
	if err != nil && ctx.Err() != nil {
		err = errors.Join(context.Cause(ctx), err)
	}
	return out, err
}

// mark makes our own statements recognizable among those of the server's
// statistics.
const mark = " /* upkeep pgreview */"

// facts are what is known about the server before the checks.
type facts struct {
	// At is the server's time.
	At time.Time
	// Monitor tells that the role sees the statistics of all others.
	Monitor bool
	// TrackCounts tells that the server counts scans and rows.
	TrackCounts bool
	// CountedSince is since when the counters of the database go, as far as
	// that is known.
	CountedSince time.Time
	// BlockSize is the size of a page in bytes, Size that of the database.
	BlockSize, Size int64
	// NewestOID is the highest number of a relation.
	NewestOID int64
	// Connections that ordinary roles may have, and those that are kept back.
	Room, KeptBack int64
}

// look learns the facts. After a crash the server forgets its statistics and
// notes the time in those of the background writer.
func (r *review) look(ctx context.Context) error {
	return r.conn.ReadOnly(ctx, r.reading(), func(ctx context.Context) error {
		all, err := ask[facts](ctx, r, `SELECT clock_timestamp(),
			coalesce((SELECT pg_has_role(current_user, oid, 'USAGE') FROM pg_roles WHERE rolname = 'pg_read_all_stats'), false)
				OR coalesce((SELECT rolsuper FROM pg_roles WHERE rolname = current_user), false),
			current_setting('track_counts')::bool,
			coalesce((SELECT stats_reset FROM pg_stat_database WHERE datname = current_database()),
				(SELECT stats_reset FROM pg_stat_bgwriter), pg_postmaster_start_time()),
			current_setting('block_size')::int8,
			pg_database_size(current_database()),
			(SELECT max(oid::int8) FROM pg_class WHERE relpersistence <> 't'),
			current_setting('max_connections')::int8,
			current_setting('superuser_reserved_connections')::int8
				+ coalesce((SELECT setting::int8 FROM pg_settings WHERE name = 'reserved_connections'), 0)`)
		if err != nil {
			return fmt.Errorf("ask the server about itself: %w", err)
		}
		r.facts = all[0]
		r.facts.Room -= r.facts.KeptBack
		r.values["database_bytes"] = float64(r.facts.Size)
		r.keep()
		return nil
	})
}
