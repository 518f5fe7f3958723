package ledgertest

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
)

// silence records a silence of checks from since on, for a while.
func (s *site) silence(check string, since time.Time, lasts time.Duration) string {
	s.t.Helper()
	id, err := s.Silence(s.ctx, runner.Silence{Check: check, Why: "moving", By: "anna", Since: since, Until: since.Add(lasts)})
	if err != nil {
		s.t.Fatalf("Silence: %v", err)
	}
	return id
}

func testSilences(t *testing.T, dsn secret.String) {
	s := join(t, dsn, "a", longLease)
	at := time.Now().UTC().Truncate(time.Microsecond)
	id := s.silence("d?", at, time.Hour)
	s.raise(checkFault("db", jobs.Warning, at, "ops"))
	s.raise(checkFault("api", jobs.Warning, at, "ops"))
	if i := s.newest("check/db"); i.Suppressed != "silence "+id || len(i.Channels) > 0 {
		t.Errorf("silenced: %+v", i)
	}
	s.expect("one of two is silenced", "ops", "open")
	if next := s.settle(at.Add(time.Minute)); !next.Equal(at.Add(time.Hour)) {
		t.Errorf("next is %s, want the end of the silence", next)
	}
	s.raise(checkFault("db", jobs.Critical, at.Add(time.Minute), "pager"))
	s.expect("worse while silenced", "ops", "")
	s.expect("one more channel while silenced", "pager", "")
	if next := s.settle(at.Add(time.Hour)); !next.IsZero() {
		t.Errorf("after the silence next is %s", next)
	}
	if i := s.newest("check/db"); i.Suppressed != "" || strings.Join(i.Channels, " ") != "ops pager" {
		t.Errorf("after the silence: %+v", i)
	}
	s.expect("the silence is over", "ops", "open")
	s.expect("the silence is over", "pager", "open")
	if story := s.story("check/db"); story != "opened suppressed worse released" {
		t.Errorf("the timeline is %q", story)
	}

	// What ends before the silence is never told, the end of what was told is.
	id = s.silence("*", at.Add(2*time.Hour), time.Hour)
	s.settle(at.Add(2 * time.Hour))
	if i := s.newest("check/db"); i.Suppressed != "silence "+id {
		t.Errorf("open when the silence began: %+v", i)
	}
	s.raise(checkFault("new", jobs.Warning, at.Add(2*time.Hour), "ops"))
	s.clear("check/new", at.Add(2*time.Hour+time.Minute))
	s.expect("began and ended within the silence", "ops", "")
	s.clear("check/db", at.Add(2*time.Hour+time.Minute))
	s.expect("told before, ended within the silence", "ops", "resolve")

	// Of what rose meanwhile those who were told before hear.
	s.raise(checkFault("api", jobs.Critical, at.Add(2*time.Hour+2*time.Minute), "ops"))
	s.expect("rose within the silence", "ops", "")
	s.settle(at.Add(3 * time.Hour))
	s.expect("rose within the silence that is over", "ops", "worse")

	// Ended by hand, and for one severity only.
	warnings, err := s.Silence(s.ctx, runner.Silence{Reason: "ch*", Severity: "warning", Why: "x", By: "anna", Until: at.AddDate(1, 0, 0)})
	s.must(err)
	s.raise(checkFault("disk", jobs.Warning, time.Now(), "ops"))
	s.expect("a warning", "ops", "")
	s.raise(checkFault("disk", jobs.Critical, time.Now(), "ops"))
	s.expect("no warning any more", "ops", "open")
	s.raise(checkFault("other", jobs.Warning, time.Now(), "ops"))
	for range 2 {
		s.must(s.EndSilence(s.ctx, warnings, "anna"))
	}
	s.settle(time.Now())
	s.expect("the silence was ended", "ops", "open")
	s.refuseSilences(at)
}

func (s *site) refuseSilences(at time.Time) {
	s.t.Helper()
	if all, err := s.Silences(s.ctx, at.Add(4*time.Hour), true); err != nil || len(all) != 3 || all[0].EndedAt.IsZero() || all[0].By != "anna" {
		s.t.Errorf("all silences: %+v, %v", all, err)
	}
	if some, err := s.Silences(s.ctx, at.Add(time.Minute), false); err != nil || len(some) != 2 {
		s.t.Errorf("silences that have not ended: %+v, %v", some, err)
	}
	if err := s.EndSilence(s.ctx, "00000000-0000-7000-8000-000000000000", "anna"); !errors.Is(err, runner.ErrNotFound) {
		s.t.Errorf("an unknown silence: %v", err)
	}
	for name, change := range map[string]func(*runner.Silence){
		"no pattern":  func(v *runner.Silence) { v.Check = "[a" },
		"backwards":   func(v *runner.Silence) { v.Until = v.Since },
		"nobody":      func(v *runner.Silence) { v.By = "" },
		"no reason":   func(v *runner.Silence) { v.Why = "" },
		"severity":    func(v *runner.Silence) { v.Severity = "bad" },
		"ID":          func(v *runner.Silence) { v.ID = "x" },
		"both":        func(v *runner.Silence) { v.Check, v.Workflow = "a", "b" },
		"unspeakable": func(v *runner.Silence) { v.Reason = "\x00" },
	} {
		v := runner.Silence{Why: "x", By: "anna", Since: at, Until: at.Add(time.Hour)}
		change(&v)
		if _, err := s.Silence(s.ctx, v); err == nil {
			s.t.Errorf("%s: accepted", name)
		}
	}
}

// testParents: of what another fault causes nobody hears, unless it lasts for
// longer.
func testParents(t *testing.T, dsn secret.String) {
	s := join(t, dsn, "a", longLease)
	at := time.Now().UTC().Truncate(time.Microsecond)
	child := checkFault("api", jobs.Critical, at, "ops", "pager")
	child.Parent = "check/db"
	s.raise(checkFault("db", jobs.Critical, at, "ops"))
	s.raise(child)
	s.expect("the cause alone", "ops", "open")
	if i := s.newest("check/api"); i.Suppressed != "parent check/db" || i.Parent != "check/db" {
		t.Errorf("caused: %+v", i)
	}
	if next := s.settle(at.Add(time.Hour)); !next.IsZero() {
		t.Errorf("while the cause lasts next is %s", next)
	}
	s.clear("check/db", at.Add(time.Hour))
	next := s.settle(at.Add(time.Hour))
	if wait := next.Sub(at.Add(time.Hour)); wait <= 0 || wait > 10*time.Minute {
		t.Errorf("after the cause has ended next is %s later", wait)
	}
	s.expect("the cause", "ops", "resolve")
	s.settle(next.Add(-time.Second))
	s.expect("soon after", "pager", "")
	s.settle(next)
	s.expect("it lasts", "pager", "open")
	s.expect("it lasts", "ops", "open")
	s.clear("check/api", next)
	s.expect("its end", "pager", "resolve")

	// Ends soon after its cause: nobody heard of it.
	child.At = next.Add(time.Hour)
	s.raise(checkFault("db", jobs.Critical, child.At))
	s.raise(child)
	s.clear("check/db", child.At.Add(time.Minute))
	s.settle(child.At.Add(time.Minute))
	s.clear("check/api", child.At.Add(2*time.Minute))
	s.settle(child.At.Add(time.Hour))
	s.expect("ended soon after its cause", "pager", "")
	// The cause comes back before it was released.
	child.At = next.Add(3 * time.Hour)
	s.raise(checkFault("db", jobs.Critical, child.At))
	s.raise(child)
	s.clear("check/db", child.At.Add(time.Minute))
	s.settle(child.At.Add(time.Minute))
	s.raise(checkFault("db", jobs.Critical, child.At.Add(2*time.Minute)))
	if next := s.settle(child.At.Add(time.Hour)); !next.IsZero() {
		t.Errorf("the cause is back, and next is %s", next)
	}
	s.expect("the cause is back", "pager", "")
	// A fault without an open parent is told at once.
	alone := checkFault("web", jobs.Critical, at, "chat")
	alone.Parent = "check/gone"
	s.raise(alone)
	s.expect("no cause", "chat", "open")
}

// windows is an alarm with a maintenance window for checks whose names begin
// with d, and with jobs that disturb those whose names begin with web.
type windows struct {
	verdicts

	opens, closes time.Time
	jobs          []runner.Place
}

func (w windows) Window(f runner.Fault, at time.Time) (string, time.Time) {
	if strings.HasPrefix(f.Check, "d") && !at.Before(w.opens) && at.Before(w.closes) {
		return "nightly", w.closes
	}
	return "", time.Time{}
}

// peace finds nothing wrong with any run.
func peace(runner.Run) runner.Verdict { return runner.Verdict{} }

func (w windows) Opens(f runner.Fault, at time.Time) time.Time {
	if strings.HasPrefix(f.Check, "d") && at.Before(w.opens) {
		return w.opens
	}
	return time.Time{}
}

func (w windows) Disturbers(f runner.Fault) []runner.Place {
	if strings.HasPrefix(f.Check, "web") {
		return w.jobs
	}
	return nil
}

func (w windows) Disturbs(p runner.Place) bool { return slices.Contains(w.jobs, p) }

// testWithheld: from the moment at which a silence or a window begins nothing is
// sent of what is owed already. What lasts is told at its end, once; of what does
// not last nobody hears who had not heard of it before.
func testWithheld(t *testing.T, dsn secret.String) {
	s := join(t, dsn, "a", longLease)
	at := time.Now().UTC().Truncate(time.Microsecond)
	for _, name := range []string{"lasts", "ends", "worse", "known"} {
		s.raise(checkFault(name, jobs.Warning, at, "ops", "pager"))
	}
	s.expect("before the silence", "pager", "open open open open")
	// Of one only pager knows; ops is sending another when the silence begins.
	taken, _ := s.take("ops", time.Now().Add(time.Second), 1)
	if len(taken) != 1 {
		t.Fatalf("ops takes %+v", taken)
	}
	s.silence("*", at, time.Hour)
	for _, name := range []string{"lasts", "ends", "worse", "known"} {
		if i := s.newest("check/" + name); i.Suppressed == "" {
			t.Errorf("%s is not suppressed when Silence returns", name)
		}
	}
	s.expect("withheld", "ops", "")
	for _, n := range s.notices(runner.NoticeFilter{Channel: "ops"}) {
		if n.Withheld != (n.State == runner.NoticePending) {
			t.Errorf("%s of %s, %s: withheld %t", n.Action, n.Incident, n.State, n.Withheld)
		}
	}
	s.must(s.Retry(s.ctx, taken[0].ID, "451", time.Now()))
	s.expect("given back and withheld", "ops", "")
	s.raise(checkFault("worse", jobs.Critical, at.Add(time.Minute), "ops"))
	s.expect("rose", "ops", "")
	s.clear("check/ends", at.Add(2*time.Minute))
	s.expect("ended", "ops", "")
	s.expect("ended, and was told", "pager", "resolve")
	if i := s.newest("check/ends"); strings.Join(i.Channels, " ") != "pager" {
		t.Errorf("those told of what ended are %q", i.Channels)
	}
	s.settle(at.Add(time.Hour))
	s.expect("the silence is over", "ops", "open open open")
	s.expect("one rose", "pager", "worse")
	s.clear("check/lasts", at.Add(2*time.Hour))
	s.expect("its end", "ops", "resolve")

	// A window that opens later does the same.
	opens := at.Add(3 * time.Hour)
	s.SetAlarm(windows{opens: opens, closes: opens.Add(time.Hour)})
	s.raise(checkFault("db", jobs.Critical, opens.Add(-time.Minute), "ops"))
	s.raise(checkFault("api", jobs.Critical, opens.Add(-time.Minute), "ops"))
	if next := s.settle(opens.Add(-time.Minute)); !next.Equal(opens) {
		t.Errorf("next is %s, want the opening of the window at %s", next, opens)
	}
	if next := s.settle(opens); !next.Equal(opens.Add(time.Hour)) {
		t.Errorf("next is %s, want the close of the window", next)
	}
	s.expect("one is outside of the window", "ops", "open")
	s.settle(opens.Add(time.Hour))
	s.expect("the window has closed", "ops", "open")
}

// testDisturbed: of what a job makes fail nobody hears while it runs, nor
// shortly after; of what lasts longer people do.
func testDisturbed(t *testing.T, dsn secret.String) {
	rings := 0
	l := Open(t, dsn, func(o *ledger.Options) {
		o.LeaseTTL, o.Owed, o.Flapping = longLease, func() { rings++ }, ledger.Flapping{Changes: -1}
	})
	s := &site{Ledger: l, t: t, ctx: t.Context()}
	s.must(s.Register(s.ctx))
	c := s.running()
	workflow := s.run(c.Run).Spec.Workflow
	s.SetAlarm(windows{verdicts: peace, jobs: []runner.Place{{Workflow: workflow, Job: "restart"}}})
	now := time.Now().UTC().Truncate(time.Microsecond)
	other, restart := Attempt("other", 1), Attempt("restart", 1)
	other.StartedAt, restart.StartedAt = now, now
	s.begin(c, other)
	s.raise(checkFault("web-1", jobs.Critical, now, "ops"))
	s.expect("before the job", "ops", "open")
	s.raise(checkFault("web-2", jobs.Critical, now, "ops"))
	rings = 0
	s.begin(c, restart)
	if rings == 0 {
		t.Error("the ledger says nothing when a job begins that suppresses what is open")
	}
	if next := s.settle(now.Add(time.Second)); !next.Equal(now.Add(30 * time.Minute)) {
		t.Errorf("next is %s, want 30m after the beginning of the job", next)
	}
	s.expect("owed before the job", "ops", "")
	s.raise(checkFault("web-3", jobs.Critical, now.Add(time.Second), "ops"))
	s.raise(checkFault("db", jobs.Critical, now.Add(time.Second), "ops"))
	s.expect("only what it does not disturb", "ops", "open")
	for _, name := range []string{"web-1", "web-2", "web-3"} {
		if i := s.newest("check/" + name); i.Suppressed != "job "+workflow+".restart in run "+string(c.Run) {
			t.Errorf("%s is suppressed by %q", name, i.Suppressed)
		}
	}
	s.clear("check/web-3", now.Add(time.Minute))
	rings = 0
	restart = Ended(restart, runner.Succeeded)
	restart.FinishedAt = now.Add(2 * time.Minute)
	s.advance(c, runner.Step{Ended: []runner.End{{Attempt: restart}}})
	if rings == 0 {
		t.Error("the ledger says nothing when the job has ended")
	}
	s.finish(c, runner.Succeeded)
	if next := s.settle(now.Add(2 * time.Minute)); !next.Equal(now.Add(4 * time.Minute)) {
		t.Errorf("next is %s, want 2m after the end of the job", next)
	}
	s.expect("soon after", "ops", "")
	s.clear("check/web-1", now.Add(3*time.Minute))
	s.expect("told before, and over", "ops", "resolve")
	s.settle(now.Add(4 * time.Minute))
	s.expect("it lasts", "ops", "open")
	if story := s.story("check/web-2"); story != "opened suppressed released" {
		t.Errorf("the timeline is %q", story)
	}

	// A job that takes too long is a fault as well.
	late := s.running()
	s.SetAlarm(windows{verdicts: peace, jobs: []runner.Place{{Workflow: s.run(late.Run).Spec.Workflow, Job: "restart"}}})
	restart = Attempt("restart", 1)
	restart.StartedAt = now
	s.begin(late, restart)
	s.raise(checkFault("web-4", jobs.Critical, now.Add(time.Minute), "ops"))
	s.expect("it runs", "ops", "")
	s.settle(now.Add(30 * time.Minute))
	s.expect("it runs for too long", "ops", "open")
}

// testWindows: what is expected within a maintenance window is told when it
// lasts longer.
func testWindows(t *testing.T, dsn secret.String) {
	s := join(t, dsn, "a", longLease)
	at := time.Now().UTC().Truncate(time.Microsecond)
	closes := at.Add(time.Hour)
	s.SetAlarm(windows{opens: at, closes: closes})
	s.raise(checkFault("db", jobs.Critical, at, "ops"))
	s.raise(checkFault("disk", jobs.Critical, at, "ops"))
	s.raise(checkFault("api", jobs.Critical, at, "ops"))
	if i := s.newest("check/db"); i.Suppressed != "window nightly" {
		t.Errorf("within the window: %+v", i)
	}
	s.expect("one is outside of the window", "ops", "open")
	s.clear("check/disk", at.Add(time.Minute))
	if next := s.settle(at.Add(time.Minute)); !next.Equal(closes) {
		t.Errorf("next is %s, want the close of the window at %s", next, closes)
	}
	s.expect("within", "ops", "")
	if next := s.settle(closes); !next.IsZero() {
		t.Errorf("after the close next is %s", next)
	}
	s.expect("it lasts", "ops", "open")
	s.raise(checkFault("db", jobs.Critical, closes, "ops"))
	s.clear("check/db", closes.Add(time.Minute))
	s.expect("its end", "ops", "resolve")
}

// testFlapping: what comes and goes is told once, and then how it ended up.
func testFlapping(t *testing.T, dsn secret.String) {
	l := Open(t, dsn, func(o *ledger.Options) { o.LeaseTTL, o.Flapping = longLease, ledger.Flapping{} })
	s := &site{Ledger: l, t: t, ctx: t.Context()}
	s.must(s.Register(s.ctx))
	at := time.Now().UTC().Truncate(time.Microsecond)
	minute := func(n int) time.Time { return at.Add(time.Duration(n) * time.Minute) }
	raise := func(name string, n int, severity jobs.Severity) {
		s.raise(checkFault(name, severity, minute(n), "ops"))
	}
	for n := range 2 {
		raise("db", 2*n, jobs.Warning)
		s.clear("check/db", minute(2*n+1))
	}
	s.expect("twice", "ops", "resolve* resolve*")
	raise("db", 4, jobs.Warning)
	if i := s.newest("check/db"); !i.Flapping {
		t.Errorf("after five changes: %+v", i)
	}
	s.expect("it comes and goes", "ops", "open")
	for n := 5; n < 60; n += 2 {
		if s.clear("check/db", minute(n)) {
			t.Fatal("an incident that comes and goes was resolved")
		}
		s.settle(minute(n))
		raise("db", n+1, jobs.Warning)
	}
	s.expect("it goes on", "ops", "")
	s.clear("check/db", minute(61))
	if next := s.settle(minute(70)); !next.Equal(minute(71)) {
		t.Errorf("next is %s, want ten minutes after the last change", next)
	}
	s.settle(minute(71))
	if i := s.newest("check/db"); i.State != runner.IncidentResolved || !i.ResolvedAt.Equal(minute(61)) || i.Flapping {
		t.Errorf("well for ten minutes: %+v", i)
	}
	s.expect("it is well", "ops", "resolve")

	// Ends up bad, and by its severity.
	for n := range 6 {
		raise("api", 2*n, jobs.Warning)
		raise("api", 2*n+1, []jobs.Severity{jobs.Critical, jobs.Warning}[n%2])
	}
	s.expect("a severity that comes and goes", "ops", "open")
	s.settle(minute(30))
	if i := s.newest("check/api"); i.Flapping || i.State != runner.IncidentOpen {
		t.Errorf("bad for ten minutes: %+v", i)
	}
	s.expect("it lasts", "ops", "repeat")
	s.clear("check/api", minute(90))
	s.expect("its end, later", "ops", "resolve")

	// Held open by its fifth change being an end, then resolved by hand.
	for n := range 2 {
		s.raise(checkFault("web", jobs.Warning, minute(2*n), "ops"))
		s.clear("check/web", minute(2*n+1))
	}
	s.raise(checkFault("web", jobs.Warning, minute(20), "ops"))
	s.must(s.Resolve(s.ctx, s.newest("check/web").ID, "anna", "enough"))
	if i := s.newest("check/web"); i.State != runner.IncidentResolved || i.Flapping {
		t.Errorf("resolved by hand: %+v", i)
	}
	// Seldom enough, it is told each time.
	for n := range 4 {
		raise("slow", 20*n, jobs.Warning)
		if !s.clear("check/slow", minute(20*n+1)) {
			t.Error("four changes within an hour keep it open")
		}
	}
}
