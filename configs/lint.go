package configs

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/configs/internal/decode"
	"github.com/ghosteam/upkeep/configs/internal/expand"
	"github.com/ghosteam/upkeep/configs/internal/source"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/schedule"
)

// busySchedule is the interval below which a schedule deserves a second look.
const busySchedule = 10 * time.Second

// lint looks for what is legal and contradicts itself or does nothing. It runs
// on a configuration without errors.
func (l *loader) lint() {
	l.lintFiles()
	l.lintUnused()
	l.lintChecks()
	l.lintAlerts()
	l.lintJobs()
	l.lintKPIs()
	l.lintWeb()
	c := newCalendars()
	for _, b := range l.drafts {
		b.lintCalendar()
		l.lintPlace(b.node, b.at, b.child("runs_on"), "the workflow never runs", b.out.RunsOn)
		b.lintTrigger()
		b.lintFresh(c)
		b.lintPast()
		b.lintParams()
		if e, given := b.node.Get("window"); given {
			b.lintQuiet(e.Value, "quiet", b.out.Quiet, b.child("window"), e.At)
		}
		for i := range b.jobs {
			b.lintJob(&b.jobs[i], &b.out.Jobs[i])
			b.lintQuiet(b.jobs[i].Node, "quiets", b.out.Jobs[i].Quiets, b.out.Jobs[i].path, b.jobs[i].At)
		}
	}
}

func (l *loader) warn(place source.Pos, rule, path, message, hint string) {
	l.d.Warn(place, rule, path, message, hint)
}

// lintFiles looks at who may change or read the files.
func (l *loader) lintFiles() {
	for _, path := range l.config.Files {
		info, err := os.Stat(path)
		if err == nil && info.Mode().Perm()&0o002 != 0 {
			l.warn(source.Pos{File: &source.File{Name: path}}, "writable", "", "everybody on this machine may change this file, and with it what upkeep runs", "chmod o-w "+path)
		}
	}
	for _, literal := range l.d.Literals {
		l.warn(literal.At, "literal-secret", literal.Path, "a secret stands in the file itself", "put it into a file or a variable and write ${file:PATH} or ${env:NAME}")
	}
	if e, given := l.node.Get("ledger"); given && expand.HasPassword(e.Value.Text) && !strings.Contains(e.Value.Text, "${") {
		l.warn(e.Value.Pos, "literal-secret", "ledger", "a password stands in the file itself", "put the URL into a variable and write ${env:NAME}")
	}
}

// lintUnused looks for stores and databases that nothing refers to.
func (l *loader) lintUnused() {
	var stores, databases []string
	for _, b := range l.drafts {
		for _, s := range b.scopes {
			if s.incomplete {
				return // it may use anything
			}
			stores, databases = append(stores, s.stores...), append(databases, s.databases...)
		}
	}
	for i := range l.w.checks {
		s := &scope{world: l.w, decoder: &decode.Decoder{Resolver: l.w.resolver()}, check: l.w.checks[i].Name}
		_, _, _ = l.w.probe(&decode.Decoder{Resolver: l.w.resolver()}, &l.w.checks[i], s)
		stores, databases = append(stores, s.stores...), append(databases, s.databases...)
	}
	for _, r := range l.config.Resources {
		databases = append(databases, r.In)
	}
	for _, item := range l.w.stores {
		if !slices.Contains(stores, item.Name) {
			l.warn(item.At, "unused", "stores."+item.Name, fmt.Sprintf("no job uses the store %s", item.Name), "")
		}
	}
	for _, item := range l.w.databases {
		if !slices.Contains(databases, item.Name) {
			l.warn(item.At, "unused", "databases."+item.Name, fmt.Sprintf("no job and no check uses the database %s", item.Name), "")
		}
	}
}

// lintCalendar looks at the schedule and what belongs to it.
func (b *draft) lintCalendar() {
	w := b.out
	if w.Schedule.IsZero() {
		for _, key := range []string{"dst", "jitter", "catch_up", "overlap", "window", "start_deadline", "mode"} {
			started := w.Trigger != nil && (key == "window" || key == "mode") || key == "window" && len(w.Quiet) > 0
			if e, given := b.node.Get(key); given && !started {
				b.d.Warn(e.At, "no-effect", b.child(key), key+" has no effect: the workflow has no schedule", "add one, or remove the line")
			}
		}
		return
	}
	rule := w.Schedule.Rule()
	if e, given := b.node.Get("dst"); given && rule.Every > 0 {
		b.d.Warn(e.At, "no-effect", b.child("dst"), "dst has no effect on every:, which does not follow the clock on the wall", "remove the line")
	}
	if rule.Every > 0 && rule.Every < busySchedule {
		b.d.Warn(at(b.node, "schedule.every", b.at), "busy", b.child("schedule.every"),
			fmt.Sprintf("every %s makes %d runs a day, each on record", unit.Duration(rule.Every), int64(24*time.Hour/rule.Every)), "a check suits what is only looked at")
	}
	distance, known := shortestDistance(w.Schedule)
	if !known {
		return
	}
	if e, given := b.node.Get("jitter"); given && w.Jitter >= distance {
		b.d.Warn(e.At, "jitter", b.child("jitter"), fmt.Sprintf("a start may be delayed by %s, which is not less than the time between two slots", unit.Duration(w.Jitter)), "make it shorter")
	}
	b.lintOverlap(distance)
	catchUp := w.Policy.CatchUp
	if catchUp.Run == schedule.CatchUpLast && catchUp.Within > distance {
		b.d.Warn(at(b.node, "catch_up.within", b.at), "no-effect", b.child("catch_up.within"),
			fmt.Sprintf("within is longer than the time between two slots (%s), and only the last one is caught up", unit.Duration(distance)), "leave it out, or make it shorter")
	}
	if (catchUp.Run == "" || catchUp.Run == schedule.CatchUpNone) && (catchUp.Within > 0 || catchUp.Max > 0) {
		b.d.Warn(at(b.node, "catch_up", b.at), "no-effect", b.child("catch_up"), "within and max have no effect with run: none", "remove them")
	}
	if b.neverInWindow() {
		b.d.Warn(at(b.node, "window", b.at), "window", b.child("window"), "none of the next 400 slots lies in the window", "move the schedule or the window")
	}
}

// shortestDistance returns the shortest time between two of the next slots.
func shortestDistance(s schedule.Schedule) (shortest time.Duration, known bool) {
	previous, ok := s.Next(time.Now())
	for range 60 {
		next, more := s.Next(previous)
		if !ok || !more {
			break
		}
		if d := next.Sub(previous); !known || d < shortest {
			shortest, known = d, true
		}
		previous = next
	}
	return shortest, known
}

func (b *draft) neverInWindow() bool {
	if b.out.Window.IsZero() {
		return false
	}
	slot := time.Now()
	for range 400 {
		next, ok := b.out.Schedule.Next(slot)
		if !ok {
			break
		}
		if b.out.Window.Open(next) {
			return false
		}
		slot = next
	}
	return true
}

// lintParams looks for parameters that nothing uses.
func (b *draft) lintParams() {
	for _, item := range b.file.Params {
		if strings.Contains(b.out.Spec.Text, "${param:"+item.Name+"}") {
			continue
		}
		inCondition := func(job decode.Item[jobFile]) bool { return strings.Contains(job.Value.If, item.Name) }
		if !slices.ContainsFunc(b.jobs, inCondition) {
			b.d.Warn(item.At, "unused", b.child("params")+"."+item.Name, fmt.Sprintf("no job uses the parameter %s", item.Name), fmt.Sprintf("write ${param:%s} where it belongs", item.Name))
		}
	}
}

// lintJob looks at one job.
func (b *draft) lintJob(item *decode.Item[jobFile], job *Job) {
	warn := func(key, rule, message, hint string) {
		b.d.Warn(at(item.Node, key, item.At), rule, job.path+"."+key, message, hint)
	}
	total := b.out.Timeout
	if total > 0 && job.Timeout > total {
		warn("timeout", "timeout-order", fmt.Sprintf("the job may take %s, but its workflow ends after %s", unit.Duration(job.Timeout), unit.Duration(total)), "make the workflow's timeout longer")
	}
	if item.Value.Retry != nil {
		b.lintRetry(item, job, warn)
	}
	if job.When == runner.OnFailure && len(job.Needs) == 0 && len(b.waitsFor(item)) == 0 {
		warn("when", "no-effect", "no job stands before this one, so none can have failed: it never runs", "name the jobs that it looks at: needs: [...]")
	}
	if job.ContinueOnError && job.FailOn != "" {
		warn("fail_on", "no-effect", "fail_on has no effect with continue_on_error: findings warn either way", "remove one of the two")
	}
	if job.Kind == "prune" {
		b.lintPrune(item, warn)
	}
}

func (b *draft) lintRetry(item *decode.Item[jobFile], job *Job, warn func(key, rule, message, hint string)) {
	backoff := job.Retry.Backoff
	switch {
	case job.Retry.Max == 0 && len(item.Value.Retry.OnExitCodes)+int(backoff.Max) > 0:
		warn("retry", "no-effect", "with max: 0 nothing is tried again", "give max a number, or remove retry")
	case b.out.Timeout > 0 && backoff.Min > b.out.Timeout:
		warn("retry.backoff", "timeout-order", fmt.Sprintf("the wait before the next attempt, %s, is longer than the workflow may take", unit.Duration(backoff.Min)), "make it shorter")
	case job.OnCrash == runner.Never && len(job.RetryExitCodes) == 0 && job.Retry.Max > 0:
		warn("on_crash", "contradiction", "the job must not be repeated after a crash, but it is after an error", "name the exit codes after which it may: retry: {on_exit_codes: [...]}")
	}
}

// lintPrune looks whether files would be deleted that upkeep itself keeps.
func (b *draft) lintPrune(item *decode.Item[jobFile], warn func(key, rule, message, hint string)) {
	e, _ := item.Value.With.Get("root")
	if e.Value == nil || e.Value.Kind != source.Scalar || strings.Contains(e.Value.Text, "${") {
		return
	}
	root := e.Value.Text
	if !filepath.IsAbs(root) {
		root = filepath.Join(b.world.root, root)
	}
	for name, dir := range b.world.housed() {
		if within(dir, root) || within(root, dir) {
			warn("with.root", "prune-store", fmt.Sprintf("the store %s keeps its artifacts in %s, where this job deletes files", name, dir), "prune another folder; the store's own keep: rules remove old artifacts")
		}
	}
	if b.world.ledger != "" && within(b.world.ledger, root) {
		warn("with.root", "prune-ledger", fmt.Sprintf("the ledger %s lies in the folder where this job deletes files", b.world.ledger), "prune another folder")
	}
}

// within tells whether path is dir or lies below it.
func within(path, dir string) bool {
	relative, err := filepath.Rel(dir, path)
	return err == nil && relative != ".." && !strings.HasPrefix(relative, "../")
}
