package configs

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/configs/internal/decode"
	"github.com/ghosteam/upkeep/configs/internal/problem"
	"github.com/ghosteam/upkeep/configs/internal/source"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/health/runbook"
	"github.com/ghosteam/upkeep/runner"
)

type triggerFile struct {
	Check     string        `yaml:"check" required:"true" doc:"The check whose answers start it." example:"system"`
	Value     string        `yaml:"value" doc:"One of the values of the check, which counts in place of its health." example:"memory_percent"`
	Is        string        `yaml:"is" enum:"critical,warning,unknown" doc:"The health that starts it: critical (the default), warning (or worse) or unknown. With a value: beyond which of the check's own limits for it."`
	Above     *float64      `yaml:"above" doc:"Start it when the value is above this number."`
	Below     *float64      `yaml:"below" doc:"Start it when the value is below this number."`
	For       unit.Duration `yaml:"for" doc:"For how long that must hold, by every answer." example:"5m"`
	Evidence  bool          `yaml:"evidence" doc:"It only gathers evidence: whether the check is well after it says nothing about it, and it runs also in storms and while somebody works on the incident."`
	ErrorKind unit.Names    `yaml:"error_kind" doc:"Only answers with one of these kinds of errors: dns, connect, tls, auth, timeout, status, body, internal." example:"[connect, timeout]"`
}

type limitsFile struct {
	Cooldown unit.Duration `yaml:"cooldown" doc:"The shortest time between the end of one run that its check started and the beginning of the next; 30m by default." example:"30m"`
	Max      budgetField   `yaml:"max" doc:"How many runs its check may start within a time; 2/24h by default." example:"2/24h"`
	Grace    unit.Duration `yaml:"grace" doc:"How long after a run the check may take to be well; 2m by default. Until then no answer counts against it." example:"2m"`
}

// budgetField is a number of runs within a time.
type budgetField struct {
	max int
	per time.Duration
}

// budgetPattern is what a budget looks like.
const budgetPattern = `^([1-9][0-9]{0,2})/([0-9].*)$`

var budgetForm = regexp.MustCompile(budgetPattern)

// UnmarshalText reads a form such as 2/24h.
func (b *budgetField) UnmarshalText(text []byte) error {
	parts := budgetForm.FindStringSubmatch(string(text))
	if parts == nil {
		return errors.New("write how many runs within which time, such as 2/24h, at most 999")
	}
	per, err := unit.ParseDuration(parts[2])
	if err != nil {
		return err
	}
	if per <= 0 || per > longestBudget {
		return errors.New("the time must be above 0 and at most 30d, such as 2/24h")
	}
	b.max, err = strconv.Atoi(parts[1])
	b.per = per
	return err
}

// MarshalText writes the form that people write.
func (b budgetField) MarshalText() ([]byte, error) {
	if b.max == 0 {
		return nil, nil
	}
	return fmt.Appendf(nil, "%d/%s", b.max, unit.Duration(b.per)), nil
}

// Schema describes the form.
func (*budgetField) Schema(func(reflect.Type) map[string]any) map[string]any {
	return map[string]any{"type": "string", "pattern": budgetPattern}
}

const (
	longestBudget   = 30 * 24 * time.Hour
	longestCooldown = 30 * 24 * time.Hour
)

// errorKinds are the kinds of errors that reports of checks name.
func errorKinds() []string {
	return []string{"dns", "connect", "tls", "auth", "timeout", "status", "body", "internal"}
}

// Runbooks returns the workflows that checks start, in the order of the file.
func (c *Config) Runbooks() []runbook.Runbook {
	var list []runbook.Runbook
	for _, w := range c.Workflows {
		if w.Trigger != nil {
			list = append(list, runbook.Runbook{Name: w.Name, Trigger: *w.Trigger, Mode: w.Mode, Limits: w.Limits, Window: w.Window})
		}
	}
	return list
}

// Runbook returns the workflow of that name, which a check must start.
// Otherwise the error is an *UnknownError.
func (c *Config) Runbook(name string) (runbook.Runbook, error) {
	var names []string
	for _, b := range c.Runbooks() {
		if b.Name == name {
			return b, nil
		}
		names = append(names, b.Name)
	}
	return runbook.Runbook{}, unknown("runbook", name, names)
}

// trigger takes the check that starts the workflow, and how often it may. A run
// under way does not ask for it, and its check may be gone.
func (b *draft) trigger() {
	b.out.Mode = runbook.Auto
	switch {
	case b.file.Mode.approve:
		b.out.Mode = runbook.Approve
	case b.file.Mode.observe:
		b.out.Mode = runbook.Observe
	}
	f := b.file.Trigger
	e, given := b.node.Get("trigger")
	if b.frozen {
		return
	}
	if f == nil {
		if mode, ok := b.node.Get("mode"); ok && b.file.Mode.observe {
			b.d.Report(mode.Value.Pos, "bad-value", b.child("mode"), "mode: observe is for workflows that a check starts", "give it a trigger:, or try it with upkeep run "+b.out.Name+" --dry-run")
		}
		return
	}
	if schedule, both := b.node.Get("schedule"); both && schedule.Value.Kind != source.Null {
		b.d.Report(e.At, "contradiction", b.child("trigger"), "the workflow has both a schedule and a trigger", "remove one of the two, or make it two workflows")
	}
	if !given || !b.understood("trigger") || !sound(b.d, b.child("trigger")) || f.Check == "" {
		return // what is wrong has been reported
	}
	t := &runbook.Trigger{Check: f.Check, Value: f.Value, Is: runner.Health(f.Is), Above: f.Above, Below: f.Below, For: f.For.Std(), ErrorKinds: f.ErrorKind, Evidence: f.Evidence}
	b.checkTrigger(t, e)
	b.out.Trigger = t
	b.triggerLimits()
}

// checkTrigger checks what stands under trigger:, and completes it.
func (b *draft) checkTrigger(t *runbook.Trigger, e source.Entry) {
	report := func(key, rule, message, hint string) {
		b.d.Report(at(e.Value, key, e.At), rule, b.child("trigger."+key), message, hint)
	}
	item, ok := b.world.check(t.Check)
	if !ok {
		unknown := &UnknownError{Family: "check", Name: t.Check, Known: b.world.checkNames()}
		report("check", "unknown-name", unknown.Error(), unknown.Hint())
	}
	for i, kind := range t.ErrorKinds {
		if !slices.Contains(errorKinds(), kind) {
			b.d.Report(at(e.Value, fmt.Sprintf("error_kind[%d]", i), at(e.Value, "error_kind", e.At)), "bad-value", b.child("trigger.error_kind"),
				fmt.Sprintf("%q is not a kind of error", kind), problem.DidYouMean(kind, errorKinds()))
		}
	}
	bounded := t.Above != nil || t.Below != nil
	switch {
	case t.Value == "" && bounded:
		key := "above"
		if t.Above == nil {
			key = "below"
		}
		report(key, "bad-value", key+" needs the name of a value", "name one: value: memory_percent")
	case t.Value == "":
		if t.Is == "" {
			t.Is = runner.HealthCritical
		}
	case bounded && t.Is != "":
		report("is", "contradiction", "is and a number say two things about the value", "remove one of the two")
	case t.Above != nil && t.Below != nil && *t.Below >= *t.Above:
		report("below", "bad-value", "every value would start it: below must be less than above", "")
	case bounded:
	case t.Is == runner.HealthUnknown:
		report("is", "bad-value", "a value that is unknown is none", "leave value: out")
	case ok:
		b.ownLimit(t, item, e)
	}
}

// ownLimit takes the limit that the check itself has for the value.
func (b *draft) ownLimit(t *runbook.Trigger, item *decode.Item[checkField], e source.Entry) {
	level := "Crit"
	if t.Is == runner.HealthWarning {
		level = "Warn"
	}
	limit, complete := b.world.limitOf(item, t.Value, level)
	switch {
	case limit != nil:
		t.Above = limit
	case complete:
		b.d.Report(at(e.Value, "value", e.At), "bad-value", b.child("trigger.value"),
			fmt.Sprintf("the check %s has no limit of its own for %s that upkeep could use", t.Check, t.Value), "write the number: above: 95")
	default:
		b.d.Report(at(e.Value, "value", e.At), "bad-value", b.child("trigger.value"), fmt.Sprintf("the limits of the check %s are not known here and now", t.Check), "write the number: above: 95")
	}
}

// measures are the endings of values and the types of the options that hold
// their limits.
func measures() map[string]reflect.Type {
	return map[string]reflect.Type{
		"percent": reflect.TypeFor[unit.Share](), "seconds": reflect.TypeFor[unit.Duration](), "bytes": reflect.TypeFor[unit.Size](),
	}
}

// limitOf returns the limit of a check for one of its values: that of the
// options called as the value is without its unit, with warn and crit of its
// type. complete tells that all options are known.
func (w *world) limitOf(item *decode.Item[checkField], value, level string) (limit *float64, complete bool) {
	kind, ok := w.catalog.Kinds.Lookup(item.Value.Kind)
	if !ok {
		return nil, true
	}
	o := options{values: kind.Options(), node: item.Value.With, path: "with", key: item.At}
	if !w.construct(&decode.Decoder{Resolver: w.resolver()}, o, nil, func() error { return nil }) {
		return nil, false
	}
	base, _, _ := strings.Cut(value, ".")
	cut := strings.LastIndexByte(base, '_')
	if cut < 0 {
		return nil, true
	}
	group, measure := base[:cut], measures()[base[cut+1:]]
	all := reflect.ValueOf(o.values).Elem()
	for _, f := range decode.Fields(all.Type()) {
		if f.Name != group || f.Type.Kind() != reflect.Struct || measure == nil {
			continue
		}
		if v := all.FieldByIndex(f.Index).FieldByName(level); v.IsValid() && v.Type() == measure && !v.IsZero() {
			n := amount(v)
			return &n, true
		}
	}
	return nil, true
}

// amount is a limit as values are: percent, seconds or bytes.
func amount(v reflect.Value) float64 {
	switch x := v.Interface().(type) {
	case unit.Share:
		return float64(x)
	case unit.Duration:
		return x.Std().Seconds()
	case unit.Size:
		return float64(x.Bytes())
	}
	return 0
}

// triggerLimits takes how often the check may start the workflow.
func (b *draft) triggerLimits() {
	b.out.Limits = runbook.Limits{Cooldown: runbook.DefaultCooldown, Max: runbook.DefaultMax, Per: runbook.DefaultPer, Grace: runbook.DefaultGrace}
	e, given := b.node.Get("limits")
	f := b.file.Limits
	if !given || f == nil || !sound(b.d, b.child("limits")) {
		return
	}
	for _, one := range []struct {
		key   string
		value time.Duration
		into  *time.Duration
		most  time.Duration
	}{
		{"cooldown", f.Cooldown.Std(), &b.out.Limits.Cooldown, longestCooldown},
		{"grace", f.Grace.Std(), &b.out.Limits.Grace, 24 * time.Hour},
	} {
		if _, ok := e.Value.Get(one.key); !ok {
			continue
		}
		if one.value <= 0 || one.value > one.most {
			b.d.Report(at(e.Value, one.key, e.At), "bad-value", b.child("limits."+one.key), fmt.Sprintf("%s must be above 0 and at most %s", one.key, unit.Duration(one.most)), "")
			continue
		}
		*one.into = one.value
	}
	if f.Max.max > 0 {
		b.out.Limits.Max, b.out.Limits.Per = f.Max.max, f.Max.per
	}
}
