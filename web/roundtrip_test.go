package web_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/object"
	"github.com/ghosteam/upkeep/web"
	"github.com/ghosteam/upkeep/web/api"
)

// texts are what people and programs write, hostile ones included.
func texts() *rapid.Generator[string] {
	return rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{
		"", "daily", "<script>alert(1)</script>", "a\nb\r\n\ndata: forged\n\n", "ü\u2028\x01\x7f", `"quoted" \back`, strings.Repeat("long ", 200),
	}))
}

// times are instants to the microsecond, as the ledger keeps them, and none.
func times() *rapid.Generator[time.Time] {
	return rapid.Custom(func(t *rapid.T) time.Time {
		if rapid.Bool().Draw(t, "none") {
			return time.Time{}
		}
		return time.UnixMicro(rapid.Int64Range(0, 4e15).Draw(t, "at")).UTC()
	})
}

func pick[E any](t *rapid.T, name string, of ...E) E { return rapid.SampledFrom(of).Draw(t, name) }

func anyRun(id runner.RunID) *rapid.Generator[runner.Run] {
	return rapid.Custom(func(t *rapid.T) runner.Run {
		text := func(name string) string { return texts().Draw(t, name) }
		at := func(name string) time.Time { return times().Draw(t, name) }
		return runner.Run{
			ID: id,
			Request: runner.Request{
				Spec: runner.Spec{Workflow: text("workflow"), Text: text("text"), Digest: text("digest")},
				Slot: at("slot"), Host: text("host"), Trigger: pick(t, "trigger", runner.Triggers()...),
				Params: rapid.MapOfN(texts(), texts(), 0, 3).Draw(t, "params"), Jobs: rapid.SliceOfN(texts(), 0, 3).Draw(t, "jobs"),
				DryRun: rapid.Bool().Draw(t, "dry"), By: text("by"),
				Overlap:  pick(t, "overlap", "", runner.OverlapSkip, runner.OverlapQueue, runner.OverlapAllow),
				Approval: rapid.Bool().Draw(t, "approval"), Alert: rapid.Bool().Draw(t, "alert"),
				Slots: rapid.Int64Range(0, 1<<40).Draw(t, "slots"), LastSlot: at("last slot"),
			},
			State: pick(t, "state", runner.States()...), Reason: runner.Reason(text("reason")), Message: text("message"),
			ApprovedBy: text("approved"), Owner: text("owner"), Node: text("node"), Epoch: rapid.Int64Range(0, 1<<50).Draw(t, "epoch"),
			CanceledBy: text("canceled"), ReopenedBy: text("reopened"),
			QueuedAt: at("queued"), StartedAt: at("started"), FinishedAt: at("finished"),
		}
	})
}

func anyAttempt() *rapid.Generator[runner.Attempt] {
	return rapid.Custom(func(t *rapid.T) runner.Attempt {
		text := func(name string) string { return texts().Draw(t, name) }
		finding := rapid.Custom(func(t *rapid.T) jobs.Finding {
			return jobs.Finding{ID: texts().Draw(t, "id"), Severity: pick(t, "severity", jobs.Info, jobs.Warning, jobs.Critical), Text: texts().Draw(t, "text")}
		})
		artifact := rapid.Custom(func(t *rapid.T) object.Info {
			return object.Info{Store: texts().Draw(t, "store"), Key: texts().Draw(t, "key"), Bytes: rapid.Int64().Draw(t, "bytes"), SHA256: texts().Draw(t, "sum"), Modified: times().Draw(t, "modified")}
		})
		return runner.Attempt{
			Job: text("job"), Kind: text("kind"), Number: rapid.IntRange(0, 1000).Draw(t, "number"),
			Epoch: rapid.Int64Range(0, 1<<50).Draw(t, "epoch"), State: pick(t, "state", runner.States()[1:]...),
			Reason: runner.Reason(text("reason")), Error: text("error"), Hint: text("hint"),
			ExitCode: rapid.IntRange(-1, 255).Draw(t, "exit"), StartedAt: times().Draw(t, "started"), FinishedAt: times().Draw(t, "finished"),
			Planned: text("planned"), Superseded: rapid.Bool().Draw(t, "superseded"),
			OutputBytes: rapid.Int64Range(0, 1<<60).Draw(t, "bytes"), OutputCut: rapid.Int64Range(0, 1<<60).Draw(t, "cut"),
			Result: jobs.Result{
				Summary: text("summary"), Values: rapid.MapOfN(texts(), rapid.Float64(), 0, 3).Draw(t, "values"),
				Outputs: rapid.MapOfN(texts(), texts(), 0, 3).Draw(t, "outputs"), Findings: rapid.SliceOfN(finding, 0, 3).Draw(t, "findings"),
				Artifacts: rapid.SliceOfN(artifact, 0, 3).Draw(t, "artifacts"),
			},
		}
	})
}

func same(want, got any) string { return cmp.Diff(want, got, cmpopts.EquateEmpty()) }

// TestRoundTrip_Run shows that everything a run and its attempts hold survives
// the way through the API.
func TestRoundTrip_Run(t *testing.T) {
	t.Parallel()
	d := start(t, newFake())
	const id = runner.RunID("019ab000-0000-7000-8000-000000000001")
	rapid.Check(t, func(r *rapid.T) {
		run := anyRun(id).Draw(r, "run")
		attempts := rapid.SliceOfN(anyAttempt(), 0, 3).Draw(r, "attempts")
		output := runner.Output{
			Head: rapid.SliceOfN(rapid.Byte(), 0, 50).Draw(r, "head"), Tail: rapid.SliceOfN(rapid.Byte(), 0, 50).Draw(r, "tail"),
			Cut: rapid.Int64Range(0, 1<<50).Draw(r, "cut"),
		}
		d.put(run, attempts...)
		key := runner.AttemptKey{Run: id, Job: "backup", Number: 1}
		d.mu.Lock()
		d.outputs[key] = output
		d.mu.Unlock()

		got, err := d.client.Run(t.Context(), string(id))
		if err != nil {
			r.Fatal(err)
		}
		if diff := same(run, got); diff != "" {
			r.Errorf("run (-want +got):\n%s", diff)
		}
		runs, err := d.client.Runs(t.Context(), runner.Filter{Limit: 1})
		if err != nil {
			r.Fatal(err)
		}
		if diff := same([]runner.Run{run}, runs); diff != "" {
			r.Errorf("runs (-want +got):\n%s", diff)
		}
		gotAttempts, err := d.client.Attempts(t.Context(), id)
		if err != nil {
			r.Fatal(err)
		}
		if diff := same(attempts, gotAttempts); diff != "" {
			r.Errorf("attempts (-want +got):\n%s", diff)
		}
		gotOutput, err := d.client.Output(t.Context(), key)
		if err != nil {
			r.Fatal(err)
		}
		if diff := same(output, gotOutput); diff != "" {
			r.Errorf("output (-want +got):\n%s", diff)
		}
	})
}

// stocked is a fake with some of everything.
func stocked() *fake {
	f := newFake()
	f.workflows = []web.Workflow{
		{Name: "daily", Description: "every night", Schedule: "daily at 02:30", Zone: "Europe/Berlin", Next: day(20), Jobs: []string{"backup", "prune"}, FreshWithin: 26 * time.Hour},
		{Name: "manual", Schedule: "on request", Zone: "UTC"},
	}
	for i := range 5 {
		run := runner.Run{
			ID:      runner.RunID(fmt.Sprintf("019ab%03d-0000-7000-8000-000000000000", i)),
			Request: runner.Request{Spec: runner.Spec{Workflow: "daily", Text: "jobs: {}", Digest: "d"}, Slot: day(i + 1), Trigger: runner.BySchedule, By: "cron"},
			State:   runner.Succeeded, Owner: "i-1", Node: "db-1", Epoch: 1, QueuedAt: day(i + 1), StartedAt: day(i + 1), FinishedAt: day(i + 1).Add(time.Minute),
		}
		backup := runner.Attempt{Job: "backup", Kind: "sqlitebackup", Number: 1, Epoch: 1, State: runner.Succeeded, ExitCode: -1, StartedAt: day(i + 1), FinishedAt: day(i + 1).Add(time.Minute), Result: jobs.Result{Summary: "done"}}
		switch i {
		case 3:
			run.State, run.Trigger, run.Owner, run.FinishedAt = runner.Running, runner.ByManual, "dead", time.Time{}
		case 4:
			run.State, run.FinishedAt = runner.Running, time.Time{}
			backup.State, backup.FinishedAt = runner.Running, time.Time{}
		}
		f.put(run, backup)
	}
	f.nodes = []api.Node{{Instance: "i-1", Name: "db-1", Host: "db-1", PID: 7, Alive: true, RegisteredAt: day(1)}, {Instance: "dead", Name: "db-2"}}
	f.successes["daily"] = day(3)
	f.cursors = []runner.Cursor{{CalendarKey: runner.CalendarKey{Workflow: "daily"}, Since: day(1), Through: day(5)}}
	f.pauses["daily"] = runner.Pause{Workflow: "daily", By: "anna", Why: "moving", Since: day(4), Until: day(30)}
	for i := range 3 {
		f.incidents = append(f.incidents, runner.Incident{
			ID:    fmt.Sprintf("01a%d", i),
			Fault: runner.Fault{Fingerprint: fmt.Sprintf("workflow/w%d", i), Workflow: "daily", Severity: jobs.Critical, Reason: "failed", Title: "it failed", Run: "r", At: day(i + 1), Channels: []string{"ops"}, Check: "db", LastGood: day(1), FirstBad: day(1), Parent: "check/x"},
			State: []runner.IncidentState{runner.IncidentOpen, runner.IncidentResolved}[i%2], Count: i + 1, OpenedAt: day(1), LastAt: day(i + 1), ResolvedAt: day(9), Resolver: "s",
			AckedAt: day(2), AckedBy: "anna", AckedUntil: day(3), Suppressed: "silence 01c0", Flapping: i == 1,
		})
		f.notices = append(f.notices, runner.Notice{
			ID: fmt.Sprintf("01b%d", i), Incident: "01a0", Channel: "ops", Action: runner.NoticeOpen, Seq: i, Combined: i == 1, Subject: "s", Text: "t",
			State: []runner.NoticeState{runner.NoticePending, runner.NoticeSent, runner.NoticeDead}[i], Attempts: i, CreatedAt: day(1), NextAt: day(2), EndedAt: day(3), Receipt: "250", Error: "451", Withheld: i == 1,
		})
	}
	f.plan = api.Plan{From: day(1), Until: day(2), Slots: []api.PlannedSlot{{Workflow: "daily", Slot: day(1)}}, More: true}
	f.why = api.Why{Workflow: "daily", Date: "2026-11-01", Slots: []api.Explained{{Text: "it ran", State: runner.Succeeded}}}
	f.backups = []api.Backup{
		{ID: "20261103-120000.000-aaaaaaaaaa", Set: "s", Workflow: "daily", Job: "backup", Kind: "sqlitebackup", Store: "local", Created: day(3), Bytes: 30, Level: "L2", Retention: "keep"},
		{ID: "20261102-120000.000-aaaaaaaaaa", Set: "s", Workflow: "daily", Job: "backup", Kind: "sqlitebackup", Store: "offsite", Created: day(2), Bytes: 20, Level: "L1", Retention: "remove"},
		{ID: "20261101-120000.000-aaaaaaaaaa", Workflow: "weekly", Job: "files", Kind: "archive", Store: "local", Created: day(1), Bytes: 10, Damage: "part 1 is gone"},
	}
	f.checks = []api.StatusCheck{{Name: "ledger", OK: true, Fatal: true, Text: "answers"}}
	f.outputs[runner.AttemptKey{Run: "019ab004-0000-7000-8000-000000000000", Job: "backup", Number: 1}] = runner.Output{Head: []byte("head"), Tail: []byte("tail"), Cut: 100}
	return f
}

func idsOf(runs []runner.Run) []string {
	var out []string
	for _, r := range runs {
		out = append(out, string(r.ID[:8]))
	}
	return out
}

// TestClient_Reads asks for everything that is there.
func TestClient_Reads(t *testing.T) {
	t.Parallel()
	d := start(t, stocked())
	c, ctx := d.client, t.Context()
	filters := map[string]struct {
		filter runner.Filter
		want   []string
	}{
		"all":       {want: []string{"019ab004", "019ab003", "019ab002", "019ab001", "019ab000"}},
		"limit":     {filter: runner.Filter{Limit: 2}, want: []string{"019ab004", "019ab003"}},
		"before":    {filter: runner.Filter{Before: "019ab003-0000-7000-8000-000000000000", Limit: 2}, want: []string{"019ab002", "019ab001"}},
		"states":    {filter: runner.Filter{States: []runner.State{runner.Running, runner.Failed}}, want: []string{"019ab004", "019ab003"}},
		"triggers":  {filter: runner.Filter{Triggers: []runner.Trigger{runner.ByManual}}, want: []string{"019ab003"}},
		"since":     {filter: runner.Filter{Since: day(4)}, want: []string{"019ab004", "019ab003"}},
		"until":     {filter: runner.Filter{Until: day(2)}, want: []string{"019ab000"}},
		"workflow":  {filter: runner.Filter{Workflow: "other"}},
		"odd words": {filter: runner.Filter{Workflow: "a&b=c#d?"}},
	}
	for name, test := range filters {
		runs, err := c.Runs(ctx, test.filter)
		if diff := cmp.Diff(test.want, idsOf(runs)); err != nil || diff != "" {
			t.Errorf("runs, %s: %v\n%s", name, err, diff)
		}
	}
	records, err := c.Records(ctx, runner.Filter{Limit: 2})
	if err != nil || len(records) != 2 || records[0].Interrupted || !records[1].Interrupted || records[0].Spec.Text != "" || records[0].Jobs["backup"].Attempts != 1 {
		t.Errorf("records: %+v, %v", records, err)
	}
	past, err := c.Past(ctx, "daily", "backup", records[1].ID, 2)
	if err != nil || len(past) != 2 || past[0].Run != "019ab002-0000-7000-8000-000000000000" {
		t.Errorf("past: %+v, %v", past, err)
	}
	latest, err := c.Latest(ctx, []string{"daily", "manual"})
	if err != nil || len(latest) != 1 || latest["daily"].ID != records[0].ID || latest["daily"].Spec.Text != "jobs: {}" {
		t.Errorf("latest: %+v, %v", latest, err)
	}
	workflows, err := c.Workflows(ctx)
	if err != nil || len(workflows) != 2 {
		t.Fatalf("workflows: %+v, %v", workflows, err)
	}
	if w := workflows[0]; w.Running != 2 || w.Paused == nil || w.Paused.Reason != "moving" || w.Last == nil || w.Last.ID != records[0].ID || w.Fresh == nil || *w.Fresh == true || w.FreshWithinSeconds != 93600 || !w.Next.Equal(day(20)) {
		t.Errorf("workflow: %+v", w)
	}
	if w := workflows[1]; w.Next != nil || w.Last != nil || w.Paused != nil || w.Fresh != nil || w.LastSuccess != nil || w.Jobs == nil {
		t.Errorf("workflow: %+v", w)
	}
	pauses, err := c.Pauses(ctx)
	if diff := same([]runner.Pause{d.pauses["daily"]}, pauses); err != nil || diff != "" {
		t.Errorf("pauses: %v\n%s", err, diff)
	}
	nodes, err := c.Nodes(ctx)
	if diff := same(d.nodes, nodes); err != nil || diff != "" {
		t.Errorf("nodes: %v\n%s", err, diff)
	}
	if locks, err := c.Locks(ctx); err != nil || len(locks) != 3 || locks[0].Limit != 2 || len(locks[0].Holders) != 1 || len(locks[0].Waiters) != 1 || locks[1].Waiters == nil || locks[0].Others == nil {
		t.Errorf("locks: %+v, %v", locks, err)
	} else if gpu := locks[1]; !gpu.Holders[0].Waits || gpu.Holders[0].Run != "r1" || !gpu.Others[0].ExpiresAt.Equal(day(3)) || gpu.Others[1].ExpiresAt != nil || gpu.Unknown != "" || locks[2].Unknown == "" {
		t.Errorf("a lock that is kept in a database: %+v", locks[1:])
	}
	status, err := c.Status(ctx)
	if diff := same(d.Status(ctx), status); err != nil || diff != "" {
		t.Errorf("status: %v\n%s", err, diff)
	}
}

// TestClient_Alerts asks for incidents and notices.
func TestClient_Alerts(t *testing.T) {
	t.Parallel()
	d := start(t, stocked())
	c, ctx := d.client, t.Context()
	incidents, err := c.Incidents(ctx, runner.IncidentFilter{States: []runner.IncidentState{runner.IncidentOpen}})
	if diff := same([]runner.Incident{d.incidents[2], d.incidents[0]}, incidents); err != nil || diff != "" {
		t.Errorf("incidents: %v\n%s", err, diff)
	}
	if incidents, err = c.Incidents(ctx, runner.IncidentFilter{Limit: 1, Before: "01a2", Fingerprint: "workflow/w1"}); err != nil || len(incidents) != 1 || incidents[0].ID != "01a1" {
		t.Errorf("incidents: %+v, %v", incidents, err)
	}
	incident, err := c.Incident(ctx, "01a1")
	if diff := same(d.incidents[1], incident); err != nil || diff != "" {
		t.Errorf("incident: %v\n%s", err, diff)
	}
	notices, err := c.Notices(ctx, runner.NoticeFilter{Channel: "ops", Incident: "01a0", States: []runner.NoticeState{runner.NoticeSent, runner.NoticeDead}})
	if diff := same([]runner.Notice{d.notices[2], d.notices[1]}, notices); err != nil || diff != "" {
		t.Errorf("notices: %v\n%s", err, diff)
	}
	if notices, err = c.Notices(ctx, runner.NoticeFilter{Limit: 1, Before: "01b2"}); err != nil || len(notices) != 1 || notices[0].ID != "01b1" {
		t.Errorf("notices: %+v, %v", notices, err)
	}
	if receipt, err := c.TestChannel(ctx, "ops"); err != nil || receipt != "250 ok" {
		t.Errorf("test: %q, %v", receipt, err)
	}
	if err := errors.Join(c.RetryNotice(ctx, "01b2"), c.DropNotice(ctx, "01b0", "old")); err != nil {
		t.Error(err)
	}
	who := by(t, "test")
	want := []string{"test ops by " + who, "retry notice 01b2 by " + who, `drop notice 01b0 because "old" by ` + who}
	if diff := cmp.Diff(want, d.called()); diff != "" {
		t.Error(diff)
	}
}

// TestClient_Acts asks for everything that changes something.
func TestClient_Acts(t *testing.T) {
	t.Parallel()
	d := start(t, stocked())
	c, ctx, who := d.client, t.Context(), by(t, "test")
	const id = runner.RunID("019ab004-0000-7000-8000-000000000000")
	accepted, err := c.Start(ctx, api.RunRequest{Workflow: "daily", Jobs: []string{"backup"}, WithNeeds: true, Params: map[string]string{"tag": "x"}, DryRun: true, Alert: true, Trigger: runner.ByManual})
	if err != nil || accepted.Run == "" || accepted.Duplicate {
		t.Errorf("start: %+v, %v", accepted, err)
	}
	if before, err := c.Cancel(ctx, id[:8]); err != nil || before != runner.Running {
		t.Errorf("cancel: %v, %v", before, err)
	}
	pause, err := c.Pause(ctx, "manual", "tests", day(1).AddDate(100, 0, 0))
	if err != nil || pause.By != who || pause.Why != "tests" || !pause.Until.Equal(day(1).AddDate(100, 0, 0)) || time.Since(pause.Since) > time.Hour {
		t.Errorf("pause: %+v, %v", pause, err)
	}
	if was, err := c.Unpause(ctx, "manual"); err != nil || !was {
		t.Errorf("unpause: %v, %v", was, err)
	}
	if was, err := c.Unpause(ctx, "manual"); err != nil || was {
		t.Errorf("unpause again: %v, %v", was, err)
	}
	if err := errors.Join(c.Retry(ctx, id, "backup"), c.Retry(ctx, id, ""), c.Approve(ctx, id)); err != nil {
		t.Error(err)
	}
	reload, err := c.Reload(ctx)
	if err != nil || !reload.Changed || reload.Config.State != api.ConfigDegraded {
		t.Errorf("reload: %+v, %v", reload, err)
	}
	plan, err := c.Plan(ctx, "daily", day(1), day(2), 7)
	if err != nil || !plan.More || len(plan.Slots) != 1 || d.planned != [2]time.Time{day(1), day(2)} {
		t.Errorf("plan: %+v, %v", plan, err)
	}
	if _, err := c.Plan(ctx, "", time.Time{}, time.Time{}, 0); err != nil || d.planned[1].Sub(d.planned[0]) != 7*24*time.Hour {
		t.Errorf("plan: %v, %v", d.planned, err)
	}
	if why, err := c.Why(ctx, "daily", "2026-11-01 & more", "b"); err != nil || why.Slots[0].Text != "it ran" {
		t.Errorf("why: %+v, %v", why, err)
	}
	want := []string{
		"run daily [backup] needs=true params=map[tag:x] dry=true alert=true trigger=manual by " + who,
		"cancel " + string(id) + " by " + who,
		`pause manual because "tests" by ` + who, "unpause manual by " + who, "unpause manual by " + who,
		"retry " + string(id) + ` from "backup" by ` + who, "retry " + string(id) + ` from "" by ` + who, "approve " + string(id) + " by " + who,
		"reload by " + who, `plan "daily" 7`, `plan "" 1000`, `why "daily" "2026-11-01 & more" "b"`,
	}
	if diff := cmp.Diff(want, d.called()); diff != "" {
		t.Error(diff)
	}
}

// TestClient_Facts brings samples and events.
func TestClient_Facts(t *testing.T) {
	t.Parallel()
	d := start(t, stocked())
	c, ctx := d.client, t.Context()
	samples := []runner.Sample{{Series: "accuracy", At: day(1), Value: 0.93}, {Series: "backlog", Value: -7}}
	happened := runner.Happening{Kind: "deploy", Subject: "api", Text: "1.4.2: ok", At: day(2)}
	if err := errors.Join(c.AddSamples(ctx), c.AddSamples(ctx, samples...), c.AddEvents(ctx, happened)); err != nil {
		t.Fatal(err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if diff := cmp.Diff(samples, d.samples); diff != "" {
		t.Errorf("samples (-sent +recorded):\n%s", diff)
	}
	happened.By = by(t, "test")
	if diff := cmp.Diff([]runner.Happening{happened}, d.events); diff != "" {
		t.Errorf("events (-sent +recorded):\n%s", diff)
	}
}

// TestClient_Drain waits until nothing runs.
func TestClient_Drain(t *testing.T) {
	t.Parallel()
	d := start(t, newFake())
	ctx := t.Context()
	if drain, err := d.client.Drain(ctx, false, 0); err != nil || !drain.Draining || drain.Idle || drain.Running != 1 || drain.Queued != 2 {
		t.Errorf("drain: %+v, %v", drain, err)
	}
	if drain, err := d.client.Drain(ctx, true, 20*time.Millisecond); err != nil || drain.Idle {
		t.Errorf("a short wait: %+v, %v", drain, err)
	}
	time.AfterFunc(20*time.Millisecond, func() { close(d.idle) })
	if drain, err := d.client.Drain(ctx, true, time.Minute); err != nil || !drain.Idle {
		t.Errorf("a long wait: %+v, %v", drain, err)
	}
	if was, err := d.client.Undrain(ctx); err != nil || !was {
		t.Errorf("undrain: %v, %v", was, err)
	}
	if was, err := d.client.Undrain(ctx); err != nil || was {
		t.Errorf("undrain again: %v, %v", was, err)
	}
}

// TestClient_DrainEndsWithServer shows that a wait does not hold up the end of
// the daemon.
func TestClient_DrainEndsWithServer(t *testing.T) {
	t.Parallel()
	d := start(t, newFake())
	answered := make(chan error, 1)
	go func() {
		_, err := d.client.Drain(t.Context(), true, time.Hour)
		answered <- err
	}()
	waitFor(t, "the drain", func() bool { return len(d.called()) > 0 })
	d.stop()
	if err := <-answered; !errors.Is(err, runner.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}

// TestClient_Errors shows that errors arrive as they left.
func TestClient_Errors(t *testing.T) {
	t.Parallel()
	ambiguous := &runner.AmbiguousError{Prefix: "019ab0", IDs: []runner.RunID{"a", "b"}}
	tests := map[string]struct {
		err  error
		is   error
		hint string
		exit int
		text string
	}{
		"not found":     {err: fmt.Errorf("look: %w", runner.ErrNotFound), is: runner.ErrNotFound, exit: 3, text: "look: not found in the ledger"},
		"not claimable": {err: runner.ErrNotClaimable, is: runner.ErrNotClaimable, exit: 4},
		"unavailable":   {err: jobs.WithHint(fmt.Errorf("x: %w", runner.ErrUnavailable), "wait"), is: runner.ErrUnavailable, hint: "wait", exit: 75},
		"no space":      {err: fmt.Errorf("x: %w", runner.ErrNoSpace), is: runner.ErrNoSpace, hint: "make room on the disk of the ledger", exit: 75},
		"shutdown":      {err: runner.ErrShutdown, is: runner.ErrUnavailable, hint: "try again when the daemon is back", exit: 75},
		"ambiguous":     {err: ambiguous, hint: "give more characters of the ID", exit: 2, text: ambiguous.Error()},
		"refused":       {err: &jobs.RefusedError{Rail: "max_share", Why: "too much"}, exit: 6, text: "refused by max_share: too much"},
		"ours":          {err: fmt.Errorf("outer: %w", api.NewProblem(api.CodeSkipped, "wait for it", "it runs already")), hint: "wait for it", exit: 4, text: "it runs already"},
		"unknown":       {err: errors.New("disk on fire"), exit: 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := start(t, stocked())
			d.setFail(test.err)
			c, ctx := d.client, t.Context()
			calls := map[string]func() error{
				"runs":      func() error { _, err := c.Runs(ctx, runner.Filter{}); return err },
				"run":       func() error { _, err := c.Run(ctx, "019ab0"); return err },
				"attempts":  func() error { _, err := c.Attempts(ctx, "a"); return err },
				"output":    func() error { _, err := c.Output(ctx, runner.AttemptKey{Run: "a", Job: "b", Number: 1}); return err },
				"past":      func() error { _, err := c.Past(ctx, "a", "b", "", 1); return err },
				"latest":    func() error { _, err := c.Latest(ctx, []string{"a"}); return err },
				"start":     func() error { _, err := c.Start(ctx, request("daily")); return err },
				"cancel":    func() error { _, err := c.Cancel(ctx, "a"); return err },
				"retry":     func() error { return c.Retry(ctx, "a", "") },
				"approve":   func() error { return c.Approve(ctx, "a") },
				"workflows": func() error { _, err := c.Workflows(ctx); return err },
				"pause":     func() error { _, err := c.Pause(ctx, "a", "b", time.Time{}); return err },
				"unpause":   func() error { _, err := c.Unpause(ctx, "a"); return err },
				"pauses":    func() error { _, err := c.Pauses(ctx); return err },
				"plan":      func() error { _, err := c.Plan(ctx, "", time.Time{}, time.Time{}, 0); return err },
				"why":       func() error { _, err := c.Why(ctx, "a", "", ""); return err },
				"nodes":     func() error { _, err := c.Nodes(ctx); return err },
				"locks":     func() error { _, err := c.Locks(ctx); return err },
				"drain":     func() error { _, err := c.Drain(ctx, false, 0); return err },
				"undrain":   func() error { _, err := c.Undrain(ctx); return err },
				"reload":    func() error { _, err := c.Reload(ctx); return err },
				"incidents": func() error { _, err := c.Incidents(ctx, runner.IncidentFilter{}); return err },
				"incident":  func() error { _, err := c.Incident(ctx, "a"); return err },
				"notices":   func() error { _, err := c.Notices(ctx, runner.NoticeFilter{}); return err },
				"retry n":   func() error { return c.RetryNotice(ctx, "a") },
				"drop n":    func() error { return c.DropNotice(ctx, "a", "") },
				"test":      func() error { _, err := c.TestChannel(ctx, "a"); return err },
			}
			for what, call := range calls {
				err := call()
				p, ok := errors.AsType[*api.Problem](err)
				if !ok {
					t.Errorf("%s: got %v", what, err)
					continue
				}
				if test.is != nil && !errors.Is(err, test.is) || p.ExitCode != test.exit || jobs.HintOf(err) != test.hint && test.hint != "" {
					t.Errorf("%s: got %v (exit %d, hint %q)", what, err, p.ExitCode, jobs.HintOf(err))
				}
				if !strings.Contains(err.Error(), test.text) || strings.Contains(err.Error(), "fire") {
					t.Errorf("%s: says %q", what, err)
				}
				if got, ok := errors.AsType[*runner.AmbiguousError](err); name == "ambiguous" && (!ok || !slices.Equal(got.IDs, ambiguous.IDs) || got.Prefix != ambiguous.Prefix) {
					t.Errorf("%s: got %#v", what, err)
				}
			}
		})
	}
}

// TestIdempotencyKey shows that a repeated request starts one run.
func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	d := start(t, newFake())
	ask := func(key, body string) (int, string) {
		t.Helper()
		r := newRequest(t, http.MethodPost, "/api/v1/runs", body)
		r.Header.Set("Idempotency-Key", key)
		status, header, answer := d.raw(t, r)
		if status == http.StatusCreated && !strings.HasPrefix(header.Get("Location"), "/api/v1/runs/019ab") {
			t.Errorf("location %q", header.Get("Location"))
		}
		return status, answer
	}
	const daily, weekly = `{"workflow":"daily"}`, `{"workflow":"weekly"}`
	d.setFail(runner.ErrUnavailable)
	if status, _ := ask("k1", daily); status != http.StatusServiceUnavailable {
		t.Errorf("a failure: %d", status)
	}
	d.setFail(nil)
	_, first := ask("k1", daily)
	status, second := ask("k1", daily)
	if status != http.StatusCreated || strings.Replace(first, `"duplicate":false`, `"duplicate":true`, 1) != second || first == second {
		t.Errorf("first %s, second %d %s", first, status, second)
	}
	if status, answer := ask("k1", weekly); status != http.StatusConflict || !strings.Contains(answer, `"code":"conflict"`) {
		t.Errorf("another request: %d %s", status, answer)
	}
	if _, other := ask("k2", daily); other == first {
		t.Errorf("another key: %s", other)
	}
	if calls := d.called(); len(calls) != 3 { // the failure, k1 and k2
		t.Errorf("calls: %q", calls)
	}
}

// TestIdempotencyKey_AtOnce sends the same request many times at once.
func TestIdempotencyKey_AtOnce(t *testing.T) {
	t.Parallel()
	f := newFake()
	f.hold = make(chan struct{})
	d := start(t, f)
	const many = 20
	answers := make(chan string, many)
	for range many {
		go func() {
			r := newRequest(t, http.MethodPost, "/api/v1/runs", `{"workflow":"daily"}`)
			r.Header.Set("Idempotency-Key", "k")
			_, _, answer := d.raw(t, r)
			answers <- strings.ReplaceAll(answer, "true", "false")
		}()
	}
	waitFor(t, "the first", d.active)
	close(f.hold)
	first := <-answers
	for range many - 1 {
		if next := <-answers; next != first {
			t.Errorf("%s and %s", first, next)
		}
	}
	if calls := d.called(); len(calls) != 1 {
		t.Errorf("calls: %q", calls)
	}
}
