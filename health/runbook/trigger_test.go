package runbook_test

import (
	"testing"
	"time"

	"github.com/ghosteam/upkeep/health/runbook"
	"github.com/ghosteam/upkeep/runner"
)

func TestTrigger(t *testing.T) {
	t.Parallel()
	n := func(v float64) *float64 { return &v }
	health := func(h, answer runner.Health) runner.CheckReport { return runner.CheckReport{Health: h, Answer: answer} }
	value := func(v float64) runner.CheckReport { return runner.CheckReport{Values: map[string]float64{"x": v}} }
	critical := runbook.Trigger{Check: "c", Is: runner.HealthCritical}
	warning := runbook.Trigger{Check: "c", Is: runner.HealthWarning}
	unknown := runbook.Trigger{Check: "c", Is: runner.HealthUnknown}
	above := runbook.Trigger{Check: "c", Value: "x", Above: n(95), For: 5 * time.Minute}
	outside := runbook.Trigger{Check: "c", Value: "x", Above: n(10), Below: n(2)}
	refused := runbook.Trigger{Check: "c", Is: runner.HealthCritical, ErrorKinds: []string{"connect", "timeout"}}
	for _, test := range []struct {
		name        string
		trigger     runbook.Trigger
		report      runner.CheckReport
		holds, well bool
	}{
		{"critical", critical, health(runner.HealthCritical, runner.HealthCritical), true, false},
		{"suspect", critical, health(runner.Healthy, runner.HealthCritical), false, false},
		{"recovering", critical, health(runner.HealthCritical, runner.Healthy), false, false},
		{"better", critical, health(runner.HealthWarning, runner.HealthWarning), false, true},
		{"unknown is not critical", critical, health(runner.HealthUnknown, runner.HealthUnknown), false, false},
		{"warning", warning, health(runner.HealthWarning, runner.HealthWarning), true, false},
		{"worse than a warning", warning, health(runner.HealthCritical, runner.HealthCritical), true, false},
		{"well", warning, health(runner.Healthy, runner.Healthy), false, true},
		{"unknown", unknown, health(runner.HealthUnknown, runner.HealthUnknown), true, false},
		{"known", unknown, health(runner.HealthCritical, runner.HealthCritical), false, false},
		{"above", above, value(95.5), true, false},
		{"the limit itself", above, value(95), false, true},
		{"no value", above, runner.CheckReport{}, false, false},
		{"below the range", outside, value(1), true, false},
		{"within the range", outside, value(5), false, true},
		{"the kind of error", refused, runner.CheckReport{Health: runner.HealthCritical, Answer: runner.HealthCritical, ErrorKind: "timeout"}, true, false},
		{"another kind of error", refused, runner.CheckReport{Health: runner.HealthCritical, Answer: runner.HealthCritical, ErrorKind: "auth"}, false, false},
	} {
		if holds, well := test.trigger.Holds(test.report), test.trigger.Well(test.report); holds != test.holds || well != test.well {
			t.Errorf("%s: holds %v, well %v", test.name, holds, well)
		}
	}
	for want, trigger := range map[string]runbook.Trigger{
		"c: critical": critical, "c: warning or worse": warning, "c: x above 95 for 5m": above, "c: x above 10 or below 2": outside, "c: critical (connect, timeout)": refused,
	} {
		if got := trigger.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
