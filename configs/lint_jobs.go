package configs

import (
	"fmt"
	"slices"
	"time"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/ghosteam/upkeep/configs/internal/decode"
	"github.com/ghosteam/upkeep/configs/internal/source"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner/schedule"
)

// The kinds that interrupt what people use, and the one that renews
// certificates.
const (
	packagesKind    = "packages"
	serviceKind     = "service"
	certificateKind = "certificate"
)

// seldomRenewal is the longest time between two looks at a certificate: one
// that lives 90 days is renewed in its last 30, and three chances are the least.
const seldomRenewal = 10 * 24 * time.Hour

// lintJobs looks at what the jobs of all workflows do together.
func (l *loader) lintJobs() {
	l.lintUnsaved()
	seen := map[string]string{}
	for _, b := range l.drafts {
		for i := range b.jobs {
			item, job := &b.jobs[i], &b.out.Jobs[i]
			b.lintTwice(item, job, seen)
			b.lintKeep(item, job)
			b.lintInterruption(item, job)
			b.lintRenewal(item, job)
		}
	}
}

// lintUnsaved looks for databases on which jobs work and of which no job keeps
// a copy: an archive of files is no backup of a database.
func (l *loader) lintUnsaved() {
	var used, saved []string
	for _, b := range l.drafts {
		for i, s := range b.scopes {
			if s.incomplete {
				return // it may save anything
			}
			used = append(used, s.databases...)
			if b.saves(&b.out.Jobs[i]) {
				saved = append(saved, s.databases...)
			}
		}
	}
	for _, item := range l.w.databases {
		if item.Value.Kind == jobs.Postgres && slices.Contains(used, item.Name) && !slices.Contains(saved, item.Name) {
			l.warn(item.At, "unsaved", "databases."+item.Name, fmt.Sprintf("jobs work on the database %s, but none keeps a backup of it", item.Name), "a job of the kind pgbackup does")
		}
	}
}

// saves tells whether a job puts artifacts into stores.
func (b *draft) saves(job *Job) bool {
	kind, ok := b.world.catalog.Kinds.Lookup(job.Kind)
	return ok && kind.Artifacts != nil
}

// lintTwice looks for jobs that do the very same; seen has the places of those
// before, by what they do. Without options a job does something different each
// time, such as asking all checks, and a script on two schedules has two
// workflows.
func (b *draft) lintTwice(item *decode.Item[jobFile], job *Job, seen map[string]string) {
	e, given := item.Node.Get("with")
	if !given || job.Kind == scriptKind || b.out.Schedule.IsZero() {
		return
	}
	what := job.Kind + "\n" + source.Text(e.Value)
	if first, twice := seen[what]; twice {
		b.d.Warn(e.At, "twice", job.path+".with", fmt.Sprintf("the job does the very same as %s", first), "let it do something else, or remove it: the other one's schedule may be enough")
		return
	}
	seen[what] = b.out.Name + "." + job.Name
}

// lintKeep looks for artifacts that pile up until the disk is full.
func (b *draft) lintKeep(item *decode.Item[jobFile], job *Job) {
	if !b.saves(job) || b.out.Schedule.IsZero() {
		return
	}
	if _, given := item.Value.With.Get("keep"); !given {
		b.d.Warn(at(item.Node, "with", item.At), "no-retention", job.path+".with", "every artifact of this job stays for ever, until a store is full", "say which ones stay: keep: {daily: 7, weekly: 4, monthly: 12}")
	}
}

// lintInterruption looks for restarts that may happen while people work.
func (b *draft) lintInterruption(item *decode.Item[jobFile], job *Job) {
	late := b.out.Policy.CatchUp.Run
	if job.Kind != serviceKind && job.Kind != packagesKind || b.out.Schedule.IsZero() || !b.out.Window.IsZero() || late == "" || late == schedule.CatchUpNone {
		return
	}
	b.d.Warn(at(item.Node, "kind", item.At), "no-window", job.path+".kind",
		"a slot that was missed is caught up at any time of the day, and this job interrupts what people use", "give the workflow a window:, or catch_up: {run: none}")
}

// lintRenewal looks for certificates that get too few chances.
func (b *draft) lintRenewal(item *decode.Item[jobFile], job *Job) {
	if job.Kind != certificateKind || b.out.Schedule.IsZero() {
		return
	}
	if distance, known := shortestDistance(b.out.Schedule); known && distance > seldomRenewal {
		b.d.Warn(at(item.Node, "kind", item.At), "seldom", job.path+".kind",
			fmt.Sprintf("certificates are looked at every %s only: one try that fails may be the last before one expires", unit.Duration(distance)),
			"put the job into a daily workflow")
	}
}

// lintQuiet looks for patterns of checks under a key of a node that fit none.
func (b *draft) lintQuiet(n *source.Node, key string, patterns []string, path string, place source.Pos) {
	names := b.world.checkNames()
	for i, pattern := range patterns {
		if slices.ContainsFunc(names, func(name string) bool { return doublestar.MatchUnvalidated(pattern, name) }) {
			continue
		}
		unknown := &UnknownError{Family: "check", Name: pattern, Known: names}
		b.d.Warn(at(n, fmt.Sprintf("%s[%d]", key, i), place), "no-match", path+"."+key, fmt.Sprintf("%q fits no check", pattern), unknown.Hint())
	}
}
