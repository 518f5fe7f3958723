package pgvacuum

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"

	"github.com/ghosteam/upkeep/jobs"
)

// residue are the tables of a database that VACUUM could not clean.
type residue struct {
	// rows are dead rows that stay; dirty and old name tables with such rows,
	// and tables whose age did not fall.
	rows       int64
	dirty, old []string
	// catalogs tells that only system catalogs are among them.
	catalogs bool
}

// residue looks at what was vacuumed and is still due.
func (r *run) residue(d *database) residue {
	out := residue{catalogs: true}
	for _, e := range r.entries {
		if e.database != d || e.outcome != done || !e.work.vacuum && !e.work.toast {
			continue
		}
		still := r.job.rules.judge(e.after, d.settings)
		if !still.vacuum && !still.toast {
			continue
		}
		out.catalogs = out.catalogs && e.after.Schema == "pg_catalog"
		if still.aged {
			out.old = append(out.old, fmt.Sprintf("%s (%s)", e.after.label(), humanize.Comma(e.after.oldest())))
		}
		if still.dirty {
			out.rows += e.after.dead()
			out.dirty = append(out.dirty, fmt.Sprintf("%s (%s)", e.after.label(), humanize.Comma(e.after.dead())))
		}
	}
	return out
}

// explain says who holds back what was vacuumed and is still not clean.
func (r *run) explain(ctx context.Context, s *session, d *database) error {
	left := r.residue(d)
	if len(left.dirty)+len(left.old) == 0 {
		return nil
	}
	list, _, err := blockers(ctx, s.control)
	if err != nil {
		return err
	}
	list = slices.DeleteFunc(list, func(b blocker) bool { return b.Kind == "catalog" && !left.catalogs })
	because := "; whoever held them back is gone, or cannot be seen"
	if len(list) > 0 {
		because = ", because of " + list[0].text(r.env)
	}
	if len(left.dirty) > 0 {
		r.warn("not-removable:"+d.name, fmt.Sprintf("database %s keeps %s dead rows that VACUUM could not remove, such as in %s%s",
			d.name, humanize.Comma(left.rows), few(left.dirty), because))
	}
	if len(left.old) > 0 {
		r.warn("not-frozen:"+d.name, fmt.Sprintf("database %s has %s whose oldest transactions VACUUM could not freeze, such as %s%s",
			d.name, count(len(left.old), "table"), few(left.old), because))
	}
	return nil
}

// warn adds a finding and says it.
func (r *run) warn(id, text string) {
	text = r.env.OneLine(text)
	r.env.Printf("%s", text)
	r.findings = append(r.findings, jobs.Finding{ID: jobs.FindingIDFrom(id), Severity: jobs.Warning, Text: text})
}

// few lists the first of some names.
func few(names []string) string { return strings.Join(names[:min(len(names), 3)], ", ") }

// counting reports settings of the server without which nobody knows what is
// due, or without which this job is alone.
func (d *database) counting() {
	for _, v := range []struct{ name, means string }{
		{"track_counts", "nobody counts dead rows and changes, so tables are only due by their age"},
		{"autovacuum", "only this job cleans tables"},
	} {
		if value, ok := d.settings[v.name]; ok && value == 0 {
			d.findings = append(d.findings, jobs.Finding{
				ID: jobs.FindingIDFrom("setting:" + d.name + "/" + v.name), Severity: jobs.Warning,
				Text: jobs.OneLine(fmt.Sprintf("%s is off for database %s: %s", v.name, d.name, v.means)),
			})
		}
	}
}
