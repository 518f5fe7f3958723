package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
	"github.com/ghosteam/upkeep/storage/ledger/ledgertest"
)

// copyRuns is how many runs a ledger to copy has: more than the copy tells of at
// once.
const copyRuns = 12_000

// storedBytes is an output that is no text.
const storedBytes = "begin\x00\xff\xfe\x80 end"

// sourceOf fills an SQLite ledger with something in most tables, and closes it.
func sourceOf(t *testing.T, n int) secret.String {
	t.Helper()
	ctx := t.Context()
	dsn := ledgertest.SQLite(t)
	l, err := ledger.Open(ctx, ledger.Options{DSN: dsn, Exclusive: true, Member: true, Node: "old"})
	if err != nil {
		t.Fatal(err)
	}
	fill(t, l, n)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(l.Register(ctx))
	answers, err := l.Submit(ctx, ledgertest.Request("bytes", ledgertest.Midnight()))
	must(err)
	c, _, err := l.Claim(ctx, answers[0].Run)
	must(err)
	a := ledgertest.Attempt("job", 1)
	_, err = l.Advance(ctx, c, runner.Step{Begun: []runner.Start{{Attempt: a, Locks: []string{"free"}}}})
	must(err)
	end := runner.End{Attempt: ledgertest.Ended(a, runner.Failed), Output: runner.Output{Head: []byte(storedBytes), Tail: []byte(strings.Repeat("z", 5000)), Cut: 7}}
	end.Attempt.Error = "früh \"gestört\"\n\tund \\N mit ☃"
	b := ledgertest.Attempt("other", 1)
	small := runner.End{Attempt: ledgertest.Ended(ledgertest.Attempt("small", 1), runner.Succeeded), Output: runner.Output{Head: []byte("no tail")}}
	_, err = l.Advance(ctx, c, runner.Step{Ended: []runner.End{end, small}, Begun: []runner.Start{{Attempt: b, Locks: []string{"held"}}}})
	must(err)
	_, err = l.Raise(ctx, runner.Fault{Fingerprint: "check/store", Check: "store", Severity: jobs.Critical, Reason: "check", Title: "store", At: time.Now(), Channels: []string{"ops"}, Evidence: []runner.Evidence{{Name: "log", Text: "one\ntwo"}}})
	must(err)
	must(l.Record(ctx, runner.Happening{Kind: "deploy", Subject: "api", Text: "1.2", By: "anna", At: time.Now()}))
	must(l.Observe(ctx, runner.Sample{Series: "accuracy", Value: 0.1, At: time.Now()}, runner.Sample{Series: "whole", Value: 3, At: time.Now()}))
	_, err = l.AddToken(ctx, runner.Token{Name: "ci", Role: runner.RoleViewer, CreatedAt: time.Now()}, runner.TokenDigest{1})
	must(err)
	must(l.Close())
	return dsn
}

// shownLedger is what a ledger has on record, as far as its reader tells.
func shownLedger(t *testing.T, dsn secret.String) []any {
	t.Helper()
	r, err := ledger.OpenReader(t.Context(), ledger.Options{DSN: dsn})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}()
	var all []any
	show := func(v any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, v)
	}
	ctx := t.Context()
	runs, err := r.Runs(ctx, runner.Filter{Limit: 1_000_000})
	show(runs, err)
	ids := make([]runner.RunID, len(runs))
	for i, run := range runs {
		ids[i] = run.ID
	}
	show(r.Attempts(ctx, ids...))
	for _, run := range runs {
		if run.Spec.Workflow == "bytes" {
			show(r.Output(ctx, runner.AttemptKey{Run: run.ID, Job: "job", Number: 1}))
			show(r.Output(ctx, runner.AttemptKey{Run: run.ID, Job: "small", Number: 1}))
		}
	}
	incidents, err := r.Incidents(ctx, runner.IncidentFilter{})
	show(incidents, err)
	show(r.Timeline(ctx, incidents[0].ID))
	show(r.Notices(ctx, runner.NoticeFilter{}))
	show(r.Happenings(ctx, runner.HappeningFilter{}))
	show(r.Samples(ctx, runner.SampleFilter{Series: "accuracy", Limit: 10}))
	show(r.Series(ctx, ""))
	show(r.Tokens(ctx))
	members, err := r.Members(ctx)
	for i := range members {
		members[i].Alive = false
	}
	show(members, err)
	return all
}

func TestCopy(t *testing.T) {
	t.Parallel()
	from, to := sourceOf(t, copyRuns), ledgertest.Postgres(t)
	want := shownLedger(t, from)
	told := map[string]int{}
	o := ledger.CopyOptions{From: from, To: to, Node: "old", Progress: func(p ledger.CopyProgress) { told[p.Step+" "+p.Table]++ }}
	o.DryRun = true
	rehearsed, err := ledger.Copy(t.Context(), o)
	if err != nil || rehearsed.Rows() < 2*copyRuns || rehearsed.Resumed {
		t.Fatalf("rehearsal: %d rows, %v", rehearsed.Rows(), err)
	}
	if _, err := ledger.OpenReader(t.Context(), ledger.Options{DSN: to}); !errors.Is(err, ledger.ErrMissing) {
		t.Errorf("after the rehearsal: %v, want ErrMissing", err)
	}
	o.DryRun = false
	copied, err := ledger.Copy(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if copied.Rows() != rehearsed.Rows() || copied.Resumed || copied.Repaired != 0 || copied.Schema != "upkeep" {
		t.Errorf("copied %d rows of %d: %+v", copied.Rows(), rehearsed.Rows(), copied)
	}
	if told["write runs"] < 2 || told["verify attempts"] < 2 || told["write tokens"] != 1 || told["read runs"] != 0 {
		t.Errorf("told: %v", told)
	}
	for i, got := range shownLedger(t, to) {
		if diff := cmp.Diff(want[i], got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("part %d (-from +to):\n%.2000s", i, diff)
		}
	}
	if diff := cmp.Diff(want, shownLedger(t, from)); diff != "" {
		t.Errorf("the source changed:\n%.2000s", diff)
	}
	refused, is := errors.AsType[*jobs.RefusedError](second(ledger.Copy(t.Context(), o)))
	if !is || refused.Rail != "target" || !strings.Contains(refused.Why, "runs") {
		t.Errorf("a second copy: %v", refused)
	}
	goesOn(t, to)
}

func second[T any](_ T, err error) error { return err }

// goesOn works with a ledger that was copied: what was cut short goes on, and
// what the database numbers has numbers of its own.
func goesOn(t *testing.T, to secret.String) {
	t.Helper()
	l := ledgertest.Join(t, to, "new", time.Hour)
	ctx := t.Context()
	pending, err := l.Pending(ctx, "", 10)
	if err != nil || len(pending) == 0 {
		t.Fatalf("pending: %v, %v", pending, err)
	}
	for _, id := range pending {
		run, err := l.Run(ctx, string(id))
		if err != nil {
			t.Fatal(err)
		}
		if run.Spec.Workflow != "bytes" {
			continue
		}
		c, _, err := l.Claim(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		if blocked, err := l.Advance(ctx, c, runner.Step{Begun: []runner.Start{{Attempt: ledgertest.Attempt("other", 2), Locks: []string{"held"}}}}); err != nil || len(blocked) > 0 {
			t.Errorf("go on: %v, %v", blocked, err)
		}
	}
	open, err := l.Incidents(ctx, runner.IncidentFilter{})
	if err != nil || len(open) != 1 {
		t.Fatalf("incidents: %v, %v", open, err)
	}
	if err := l.Note(ctx, open[0].ID, "anna", "seen"); err != nil {
		t.Errorf("add to a timeline: %v", err)
	}
	if err := l.Observe(ctx, runner.Sample{Series: "new", Value: 1, At: time.Now()}); err != nil {
		t.Errorf("a new series: %v", err)
	}
}

// TestCopy_Repairs: what no ledger writes, but a file may hold.
func TestCopy_Repairs(t *testing.T) {
	t.Parallel()
	from, to := sourceOf(t, 20), ledgertest.Postgres(t)
	l := ledgertest.Open(t, from, nil)
	if _, err := l.Writer().Exec("UPDATE runs SET message = CAST(x'61ff0062' AS TEXT) WHERE workflow = 'bytes'"); err != nil {
		t.Fatal(err)
	}
	copied, err := ledger.Copy(t.Context(), ledger.CopyOptions{From: from, To: to})
	if err != nil || copied.Repaired != 1 {
		t.Fatalf("%+v, %v", copied, err)
	}
	r, err := ledger.OpenReader(t.Context(), ledger.Options{DSN: to})
	if err != nil {
		t.Fatal(err)
	}
	runs, err := r.Runs(t.Context(), runner.Filter{Workflow: "bytes"})
	if err != nil || len(runs) != 1 || runs[0].Message != "a\ufffd\ufffdb" {
		t.Errorf("%+v, %v", runs, err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

func TestCopy_Refuses(t *testing.T) {
	t.Parallel()
	from, to := sourceOf(t, 20), ledgertest.Postgres(t)
	try := func(from, to secret.String) error {
		return second(ledger.Copy(t.Context(), ledger.CopyOptions{From: from, To: to, Node: "n", Command: "upkeep ledger migrate"}))
	}
	held := startChild(t, order{Role: "hold", DSN: from.Reveal()})
	held.line()
	if locked, is := errors.AsType[*ledger.LockedError](try(from, to)); !is || locked.Holder.Command != "upkeep serve" {
		t.Errorf("a ledger that somebody holds: %v", locked)
	}
	held.wait()
	if err := try(ledgertest.SQLite(t), to); !errors.Is(err, ledger.ErrMissing) {
		t.Errorf("no ledger: %v", err)
	}
	if err := try(to, to); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("from PostgreSQL: %v", err)
	}
	if err := try(from, ledgertest.SQLite(t)); err == nil || !strings.Contains(err.Error(), "SQLite file") {
		t.Errorf("to SQLite: %v", err)
	}
	if err := try(from, with(t, to, func(u *url.URL, _ url.Values) { u.User = url.UserPassword("nobody-knows", "hunter2") })); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a wrong password: %v", err)
	}
	// A service ran there once.
	used := ledgertest.Postgres(t)
	l := ledgertest.Open(t, used, nil)
	if err := l.Record(t.Context(), runner.Happening{Kind: "restart", At: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if refused, is := errors.AsType[*jobs.RefusedError](try(from, used)); !is || !strings.Contains(refused.Why, "events") {
		t.Errorf("a target in use: %v", refused)
	}
	if _, err := l.Writer().Exec("DELETE FROM events"); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Writer().Exec("INSERT INTO schema_versions (version_id, is_applied) VALUES (4711, TRUE)"); err != nil {
		t.Fatal(err)
	}
	if newer, is := errors.AsType[*ledger.SchemaError](try(from, used)); !is || newer.Have != 4711 {
		t.Errorf("a newer target: %v", newer)
	}
	if _, err := l.Writer().Exec("DELETE FROM schema_versions WHERE version_id = 4711"); err != nil {
		t.Fatal(err)
	}
	if err := try(from, used); err != nil {
		t.Errorf("an empty ledger: %v", err)
	}
}

// TestCopy_Killed ends copies the hard way in the middle, once while a table is
// written and once while what was written is read back.
func TestCopy_Killed(t *testing.T) {
	t.Parallel()
	from, to := sourceOf(t, copyRuns/4), ledgertest.Postgres(t)
	want := shownLedger(t, from)
	for _, at := range []string{"write attempts", "verify attempts"} {
		c := startChild(t, order{Role: "copy", DSN: from.Reveal(), To: to.Reveal(), At: at})
		if got := c.line(); got != at {
			t.Fatalf("the child is at %q, want %q", got, at)
		}
		c.kill()
		for what, open := range map[string]func() error{
			"Open":       func() error { return second(ledger.Open(t.Context(), ledger.Options{DSN: to})) },
			"OpenReader": func() error { return second(ledger.OpenReader(t.Context(), ledger.Options{DSN: to})) },
		} {
			if err := open(); err == nil || !strings.Contains(err.Error(), "is not complete") || jobs.HintOf(err) == "" {
				t.Errorf("%s of half a copy: %v", what, err)
			}
		}
		rehearsed, err := ledger.Copy(t.Context(), ledger.CopyOptions{From: from, To: to, DryRun: true})
		if err != nil || !rehearsed.Resumed {
			t.Errorf("rehearsal: %+v, %v", rehearsed, err)
		}
	}
	other := sourceOf(t, 5)
	if refused, is := errors.AsType[*jobs.RefusedError](second(ledger.Copy(t.Context(), ledger.CopyOptions{From: other, To: to}))); !is || !strings.Contains(refused.Why, "another ledger") {
		t.Errorf("go on with another ledger: %v", refused)
	}
	copied, err := ledger.Copy(t.Context(), ledger.CopyOptions{From: from, To: to})
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range copied.Tables {
		if !copied.Resumed || table.Name == "runs" && !table.Kept {
			t.Errorf("the copy started anew: %+v", copied)
		}
	}
	for i, got := range shownLedger(t, to) {
		if diff := cmp.Diff(want[i], got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("part %d (-from +to):\n%.2000s", i, diff)
		}
	}
}

// TestCopy_ChangedMeanwhile: after the interruption somebody went on working
// with the source.
func TestCopy_ChangedMeanwhile(t *testing.T) {
	t.Parallel()
	from, to := sourceOf(t, 200), ledgertest.Postgres(t)
	c := startChild(t, order{Role: "copy", DSN: from.Reveal(), To: to.Reveal(), At: "verify runs"})
	c.line()
	c.kill()
	l := ledgertest.Open(t, from, nil)
	if _, err := l.Submit(t.Context(), ledgertest.Request("later", ledgertest.Midnight())); err != nil {
		t.Fatal(err)
	}
	copied, err := ledger.Copy(t.Context(), ledger.CopyOptions{From: from, To: to})
	if err != nil || !copied.Resumed {
		t.Fatalf("%+v, %v", copied, err)
	}
	if diff := cmp.Diff(shownLedger(t, from), shownLedger(t, to), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("(-from +to):\n%s", diff)
	}
}

// childCopy copies a ledger and stays where it is told to.
func childCopy(ctx context.Context, o order) error {
	_, err := ledger.Copy(ctx, ledger.CopyOptions{From: secret.New(o.DSN), To: secret.New(o.To), Progress: func(p ledger.CopyProgress) {
		if at := p.Step + " " + p.Table; at == o.At {
			say("%s", at)
			if err := stay(); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
		}
	}})
	return err
}
