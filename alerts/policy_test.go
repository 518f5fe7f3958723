package alerts_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/alerts"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/schedule"
)

func policy(t *testing.T, o alerts.PolicyOptions) *alerts.Policy {
	t.Helper()
	p, err := alerts.NewPolicy(o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func at() time.Time { return time.Date(2026, 3, 14, 2, 0, 0, 0, time.UTC) }

func TestPolicy_Judge(t *testing.T) {
	t.Parallel()
	type end = runner.Run
	workflow := func(change func(*end)) end {
		r := end{ID: "r1", Request: runner.Request{Spec: runner.Spec{Workflow: "daily"}, Trigger: runner.BySchedule}, FinishedAt: at()}
		change(&r)
		return r
	}
	state := func(s runner.State, reason runner.Reason) func(*end) {
		return func(r *end) { r.State, r.Reason = s, reason }
	}
	with := func(changes ...func(*end)) end {
		return workflow(func(r *end) {
			for _, change := range changes {
				change(r)
			}
		})
	}
	alert := func(r *end) { r.Alert = true }
	manual := func(r *end) { r.Trigger = runner.ByManual }
	tests := map[string]struct {
		run    end
		raises string // the reason
		clears string
	}{
		"failed":                         {run: with(state(runner.Failed, runner.ReasonError)), raises: "failed"},
		"failed after catching up":       {run: with(state(runner.Failed, runner.ReasonError), func(r *end) { r.Trigger = runner.ByCatchUp }), raises: "failed"},
		"failed for a check":             {run: with(state(runner.Failed, runner.ReasonError), func(r *end) { r.Trigger = runner.ByCheck }), raises: "failed"},
		"timed out":                      {run: with(state(runner.Failed, runner.ReasonTimeout)), raises: "failed"},
		"no longer loads":                {run: with(state(runner.Failed, runner.ReasonSpec)), raises: "failed"},
		"a job was lost":                 {run: with(state(runner.Failed, runner.ReasonCrash)), raises: "lost"},
		"lost":                           {run: with(state(runner.Lost, runner.ReasonCrash)), raises: "lost"},
		"watched":                        {run: with(state(runner.Failed, runner.ReasonError), manual)},
		"by hand, alert asked for":       {run: with(state(runner.Failed, runner.ReasonError), manual, alert), raises: "failed"},
		"over the API, nobody watches":   {run: with(state(runner.Failed, runner.ReasonError), func(r *end) { r.Trigger = runner.ByAPI }, alert), raises: "failed"},
		"failed, dry":                    {run: with(state(runner.Failed, runner.ReasonError), func(r *end) { r.DryRun = true })},
		"succeeded, dry":                 {run: with(state(runner.Succeeded, ""), func(r *end) { r.DryRun = true })},
		"canceled by somebody":           {run: with(state(runner.Canceled, runner.ReasonUser))},
		"canceled, flag alone":           {run: with(state(runner.Canceled, runner.ReasonShutdown), func(r *end) { r.CanceledBy = "anna" })},
		"canceled by a timeout":          {run: with(state(runner.Canceled, runner.ReasonTimeout)), raises: "failed"},
		"succeeded":                      {run: with(state(runner.Succeeded, "")), clears: "workflow/daily"},
		"succeeded by hand":              {run: with(state(runner.Succeeded, ""), manual), clears: "workflow/daily"},
		"warned":                         {run: with(state(runner.Warned, runner.ReasonFindings)), clears: "workflow/daily"},
		"succeeded in part":              {run: with(state(runner.Succeeded, ""), func(r *end) { r.Jobs = []string{"backup"} })},
		"failed in part":                 {run: with(state(runner.Failed, runner.ReasonError), func(r *end) { r.Jobs = []string{"backup"} }), raises: "failed"},
		"overlap":                        {run: with(state(runner.Skipped, runner.ReasonOverlap), alert)},
		"window":                         {run: with(state(runner.Skipped, runner.ReasonWindow), alert)},
		"paused":                         {run: with(state(runner.Skipped, runner.ReasonPaused), alert)},
		"condition":                      {run: with(state(runner.Skipped, runner.ReasonCondition), alert)},
		"missed":                         {run: with(state(runner.Skipped, runner.ReasonMissed), alert), raises: "missed"},
		"no room":                        {run: with(state(runner.Skipped, runner.ReasonSpace), alert), raises: "missed"},
		"missed, nobody minds":           {run: with(state(runner.Skipped, runner.ReasonMissed))},
		"not at its end":                 {run: with(state(runner.Running, ""))},
		"succeeded on one of many nodes": {run: with(state(runner.Succeeded, ""), func(r *end) { r.Host = "db-1" }), clears: "workflow/daily@db-1"},
	}
	p := policy(t, alerts.PolicyOptions{Routes: []alerts.Route{{To: unit.Names{"ops"}}}})
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := p.Judge(test.run)
			if got.Clear != test.clears {
				t.Errorf("clears %q, want %q", got.Clear, test.clears)
			}
			switch {
			case (got.Raise != nil) != (test.raises != ""):
				t.Errorf("raises %+v, want %q", got.Raise, test.raises)
			case got.Raise == nil:
			case got.Raise.Reason != test.raises || got.Raise.Fingerprint != "workflow/daily" || got.Raise.Severity != jobs.Critical ||
				got.Raise.Title == "" || got.Raise.Run != "r1" || !got.Raise.At.Equal(at()) || !cmp.Equal(got.Raise.Channels, []string{"ops"}):
				t.Errorf("raises %+v", got.Raise)
			}
		})
	}
}

func TestPolicy_Title(t *testing.T) {
	t.Parallel()
	p := policy(t, alerts.PolicyOptions{})
	tests := map[string]runner.Run{
		"daily failed: backup: no space":   {State: runner.Failed, Reason: runner.ReasonError, Message: "backup: no space"},
		"daily timed out: no end after 4h": {State: runner.Failed, Reason: runner.ReasonTimeout, Message: "no end after 4h"},
		"daily was lost":                   {State: runner.Failed, Reason: runner.ReasonCrash},
		"daily failed: a b":                {State: runner.Failed, Message: "a\r\n\x1bb"},
	}
	for want, run := range tests {
		run.Spec.Workflow, run.Trigger = "daily", runner.BySchedule
		if got := p.Judge(run).Raise; got == nil || got.Title != want {
			t.Errorf("got %+v, want the title %q", got, want)
		}
	}
	missed := runner.Run{State: runner.Skipped, Reason: runner.ReasonMissed, Request: runner.Request{Spec: runner.Spec{Workflow: "daily"}, Alert: true, Slots: 7, Host: "db-1"}}
	if got := p.Judge(missed).Raise.Title; got != "daily on db-1 missed 7 slots" {
		t.Errorf("title %q", got)
	}
}

func TestPolicy_Channels(t *testing.T) {
	t.Parallel()
	p := policy(t, alerts.PolicyOptions{
		Routes: []alerts.Route{
			{Match: alerts.Match{Severity: alerts.Severities{jobs.Critical}, Workflow: unit.Names{"daily*", "{a,b}"}}, To: unit.Names{"pager", "ops"}, Continue: true},
			{Match: alerts.Match{Reason: unit.Names{"stale", "reload"}}, To: unit.Names{"chat"}},
			{Match: alerts.Match{Workflow: unit.Names{"*"}}, To: unit.Names{"ops", "ops"}},
		},
		Workflows: map[string]alerts.WorkflowAlert{
			"mute": {Off: true, To: []string{"pager"}}, "own": {To: []string{"boss"}, Severity: jobs.Warning},
		},
	})
	tests := []struct {
		severity         jobs.Severity
		workflow, reason string
		want             []string
	}{
		{jobs.Critical, "daily", "failed", []string{"pager", "ops"}},
		{jobs.Critical, "daily-db", "stale", []string{"pager", "ops", "chat"}},
		{jobs.Warning, "daily", "failed", []string{"ops"}},
		{jobs.Critical, "b", "failed", []string{"pager", "ops"}},
		{jobs.Critical, "weekly", "stale", []string{"chat"}},
		{jobs.Warning, "", "reload", []string{"chat"}},
		{jobs.Critical, "", "disk_full", nil},
		{jobs.Critical, "mute", "failed", nil},
		{jobs.Critical, "own", "failed", []string{"boss"}},
	}
	for _, test := range tests {
		if diff := cmp.Diff(test.want, p.Channels(test.severity, test.workflow, test.reason)); diff != "" {
			t.Errorf("%s %q %s (-want +got):\n%s", test.severity, test.workflow, test.reason, diff)
		}
	}
}

func TestPolicy_Faults(t *testing.T) {
	t.Parallel()
	p := policy(t, alerts.PolicyOptions{
		Routes:    []alerts.Route{{To: unit.Names{"ops"}}},
		Workflows: map[string]alerts.WorkflowAlert{"daily": {Severity: jobs.Warning}},
	})
	tests := map[string]struct {
		got, want runner.Fault
	}{
		"stale": {p.Stale("daily", "", at().Add(-30*time.Hour), false, 26*time.Hour, at()), runner.Fault{
			Fingerprint: "workflow/daily", Workflow: "daily", Severity: jobs.Warning, Reason: "stale", At: at(), Channels: []string{"ops"},
			Title: "daily has not succeeded since 2026-03-12 20:00 UTC, 30 h 0 min ago; it must every 26h",
		}},
		"never": {p.Stale("daily", "", at().Add(-3*24*time.Hour), true, 26*time.Hour, at()), runner.Fault{
			Fingerprint: "workflow/daily", Workflow: "daily", Severity: jobs.Warning, Reason: "stale", At: at(), Channels: []string{"ops"},
			Title: "daily has never succeeded, 3 d 0 h after it was first seen; it must every 26h",
		}},
		"disk": {p.DiskFull("/var/lib/upkeep\n", at()), runner.Fault{
			Fingerprint: "upkeep/disk", Severity: jobs.Critical, Reason: "disk_full", At: at(), Channels: []string{"ops"},
			Title: "the disk of /var/lib/upkeep is full: no run starts until there is room",
		}},
		"stuck": {p.Stuck(runner.Run{ID: "r", Request: runner.Request{Spec: runner.Spec{Workflow: "daily"}}, StartedAt: at().Add(-26 * time.Hour)}, 5*time.Minute, at()), runner.Fault{
			Fingerprint: "workflow/daily", Workflow: "daily", Severity: jobs.Warning, Reason: "stuck", Run: "r", At: at(), Channels: []string{"ops"},
			Title: "daily has been running for 26 h 0 min, usually it takes 5 min",
		}},
		"drained": {p.Drained(at().Add(-2*time.Hour), at()), runner.Fault{
			Fingerprint: "upkeep/drain", Severity: jobs.Warning, Reason: "drained", At: at(), Channels: []string{"ops"},
			Title: "upkeep has been drained for 2 h 0 min: nothing starts",
		}},
		"reload": {p.ReloadFailed("upkeep.yaml:3: unknown key", at()), runner.Fault{
			Fingerprint: "upkeep/reload", Severity: jobs.Warning, Reason: "reload", At: at(), Channels: []string{"ops"},
			Title: "the changed configuration was refused, the one before stays in force: upkeep.yaml:3: unknown key",
		}},
	}
	for name, test := range tests {
		if diff := cmp.Diff(test.want, test.got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestRoute_Validate(t *testing.T) {
	t.Parallel()
	tests := map[string]alerts.Match{
		"match.workflow[1]": {Workflow: unit.Names{"ok", "[a"}},
		"match.check[0]":    {Check: unit.Names{"[a"}},
		"match.check":       {Check: unit.Names{"a"}, Workflow: unit.Names{"b"}},
		"match.reason[0]":   {Reason: unit.Names{"broken"}},
	}
	for field, match := range tests {
		_, err := alerts.NewPolicy(alerts.PolicyOptions{Routes: []alerts.Route{{Match: match}}})
		if got, ok := errors.AsType[*jobs.FieldError](err); !ok || got.Field != field {
			t.Errorf("NewPolicy = %v, want a complaint about %s", err, field)
		}
	}
	var s alerts.Severities
	if err := s.UnmarshalText([]byte("warning")); err != nil || !cmp.Equal(s, alerts.Severities{jobs.Warning}) {
		t.Errorf("one severity: %v, %v", s, err)
	}
	if err := s.UnmarshalText([]byte("bad")); err == nil {
		t.Error("bad is a severity")
	}
}

func TestPolicy_Unhealthy(t *testing.T) {
	t.Parallel()
	p := policy(t, alerts.PolicyOptions{
		Routes: []alerts.Route{
			{Match: alerts.Match{Severity: alerts.Severities{jobs.Critical}}, To: unit.Names{"pager"}, Continue: true},
			{Match: alerts.Match{Check: unit.Names{"data*"}}, To: unit.Names{"dba"}},
			{Match: alerts.Match{Workflow: unit.Names{"*"}}, To: unit.Names{"nobody"}},
			{Match: alerts.Match{Reason: unit.Names{"check"}}, To: unit.Names{"ops"}},
		},
		Checks: map[string]alerts.WorkflowAlert{
			"mute": {Off: true}, "own": {To: []string{"boss"}}, "mild": {Severity: jobs.Warning},
			// A workflow may have the same name.
			"daily": {Off: true},
		},
		Workflows: map[string]alerts.WorkflowAlert{"database": {Off: true}},
	})
	tests := map[string]struct {
		report runner.CheckReport
		want   runner.Fault
	}{
		"critical": {
			runner.CheckReport{Name: "database", Impact: runner.ImpactOutage, Health: runner.HealthCritical, Message: "connect: refused", LastGood: at(), FirstBad: at().Add(time.Second)},
			runner.Fault{Severity: jobs.Critical, Title: "database is critical: connect: refused", LastGood: at(), FirstBad: at().Add(time.Second), Channels: []string{"pager", "dba"}},
		},
		"warning":     {runner.CheckReport{Name: "api", Impact: runner.ImpactOutage, Health: runner.HealthWarning}, runner.Fault{Severity: jobs.Warning, Title: "api is warning", Channels: []string{"ops"}}},
		"unknown":     {runner.CheckReport{Name: "api", Health: runner.HealthUnknown, Message: "a\nb"}, runner.Fault{Severity: jobs.Warning, Title: "api could not be checked: a b", Channels: []string{"ops"}}},
		"no impact":   {runner.CheckReport{Name: "mlflow", Impact: runner.ImpactNone, Health: runner.HealthCritical}, runner.Fault{Severity: jobs.Warning, Title: "mlflow is critical", Channels: []string{"ops"}}},
		"at most":     {runner.CheckReport{Name: "mild", Impact: runner.ImpactOutage, Health: runner.HealthCritical}, runner.Fault{Severity: jobs.Warning, Title: "mild is critical", Channels: []string{"ops"}}},
		"told nobody": {runner.CheckReport{Name: "mute", Health: runner.HealthCritical}, runner.Fault{Severity: jobs.Critical, Title: "mute is critical"}},
		"told others": {runner.CheckReport{Name: "own", Health: runner.HealthCritical}, runner.Fault{Severity: jobs.Critical, Title: "own is critical", Channels: []string{"boss"}}},
		"blamed": {
			runner.CheckReport{Name: "api", Health: runner.HealthCritical, Cause: "database"},
			runner.Fault{Severity: jobs.Critical, Title: "api is critical", Parent: "check/database", Channels: []string{"pager", "ops"}},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.report.At = at().Add(time.Minute)
			test.want.Fingerprint, test.want.Check, test.want.Reason, test.want.At = "check/"+test.report.Name, test.report.Name, "check", test.report.At
			test.want.Evidence = []runner.Evidence{{Name: "log", Text: "lines"}}
			if diff := cmp.Diff(test.want, p.Unhealthy(test.report, test.want.Evidence...)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	if got := p.Channels(jobs.Critical, "daily", "failed"); !cmp.Equal(got, []string{"pager", "nobody"}) {
		t.Errorf("a workflow with the name of a silent check tells %v", got)
	}
}

func TestPolicy_Window(t *testing.T) {
	t.Parallel()
	nights, err := schedule.ParseWindow(schedule.WindowRule{Allow: []string{"22:00-05:00"}, Zone: time.UTC})
	if err != nil {
		t.Fatal(err)
	}
	p := policy(t, alerts.PolicyOptions{Quiet: []alerts.Quiet{
		{Workflow: "never", Checks: []string{"*"}},
		{Workflow: "nobody", Window: nights},
		{Workflow: "daily", Window: nights, Checks: []string{"api", "data*"}},
	}})
	night, closes := at(), at().Add(3*time.Hour)
	for name, test := range map[string]struct {
		fault runner.Fault
		at    time.Time
		want  string
	}{
		"within":           {runner.Fault{Check: "database"}, night, "daily"},
		"by day":           {runner.Fault{Check: "database"}, night.Add(8 * time.Hour), ""},
		"at its close":     {runner.Fault{Check: "api"}, closes, ""},
		"another check":    {runner.Fault{Check: "redis"}, night, ""},
		"of a workflow":    {runner.Fault{Workflow: "api"}, night, ""},
		"of upkeep itself": {runner.Fault{}, night, ""},
	} {
		got, until := p.Window(test.fault, test.at)
		if got != test.want || (got != "") != until.Equal(closes) {
			t.Errorf("%s: %q until %s, want %q", name, got, until, test.want)
		}
	}
}
