package configs

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/alerts"
	"github.com/ghosteam/upkeep/configs/internal/decode"
	"github.com/ghosteam/upkeep/configs/internal/problem"
	"github.com/ghosteam/upkeep/configs/internal/source"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/health"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

// Check is a configured check: a probe on an interval, or a heartbeat.
type Check struct {
	Name, Kind string
	// Every is how often it is asked, RetryEvery how often while it is suspect or
	// recovering.
	Every, RetryEvery time.Duration
	// FailAfter and OKAfter are how many answers in a row change its state.
	FailAfter, OKAfter int
	// Impact is "outage", "degraded" or "none".
	Impact string
	// Timeout bounds one answer.
	Timeout time.Duration
	// DependsOn are the checks whose failure explains this one's.
	DependsOn []string
	// RunsOn says which nodes ask it: one of them, or each.
	RunsOn
	// Alert is what it says about its own alerts. Its Severity is the gravest
	// that its faults may have; empty for any.
	Alert alerts.WorkflowAlert
	// Slug is where a heartbeat is told, Grace how late it may be; both are zero
	// for a probe.
	Slug  string
	Grace time.Duration
	// Public tells that whoever knows the slug may tell it.
	Public bool
	// Limits are what the values of its probe are judged against.
	Limits []Limit
	// Implicit tells that nobody configured it.
	Implicit bool
	// Digest is the same for two checks that are configured alike.
	Digest string
}

// WorstDetection is how long a fault of the check can last before it is on
// record.
func (c Check) WorstDetection() time.Duration { return c.Watched().WorstDetection() }

// Watched is the check as a monitor takes it.
func (c Check) Watched() health.Check {
	return health.Check{
		Name: c.Name, Kind: c.Kind, Impact: c.Impact, Every: c.Every, RetryEvery: c.RetryEvery, Timeout: c.Timeout,
		FailAfter: c.FailAfter, OKAfter: c.OKAfter, DependsOn: c.DependsOn, Slug: c.Slug, Grace: c.Grace,
		Quiet: c.Implicit, Digest: c.Digest,
	}
}

// Connectivity says how to find out whether this machine's own network is up.
type Connectivity struct {
	// TCP are addresses of which one that answers is enough.
	TCP []string
	// Timeout bounds an attempt; 0 leaves it to who asks.
	Timeout time.Duration
}

const (
	shortestEvery    = time.Second
	timeoutMargin    = time.Second
	heartbeatAnswers = 1
)

// fillDefaults completes what a check leaves out, but for its timeout: who asks
// has one, too.
func (f *checkField) fillDefaults() {
	fail, ok := health.DefaultFailAfter, health.DefaultOKAfter
	if f.Kind == health.KindHeartbeat { // a missing ping is a fact
		fail, ok = heartbeatAnswers, heartbeatAnswers
	}
	if f.Every == 0 {
		f.Every = unit.Duration(health.DefaultEvery)
	}
	if f.RetryEvery == 0 {
		f.RetryEvery = min(unit.Duration(health.DefaultRetry), f.Every)
	}
	if f.FailAfter == 0 {
		f.FailAfter = fail
	}
	if f.OKAfter == 0 {
		f.OKAfter = ok
	}
	if f.Impact == "" {
		f.Impact = runner.ImpactDegraded
	}
}

// checks builds all checks and the ways between them.
func (l *loader) checks() {
	for i := range l.w.checks {
		item := &l.w.checks[i]
		l.checkFrame(item)
		if e, given := item.Node.Get("alert"); given {
			l.w.told(l.d, e, item.Value.Alert.To, "checks."+item.Name+".alert")
		}
		l.w.checks[i].Value.fillDefaults()
	}
	slugs := map[string]string{}
	for _, name := range l.w.checkNames() {
		item, _ := l.w.check(name)
		d := l.d
		if len(l.w.checks) == 0 {
			d = &decode.Decoder{Resolver: l.w.resolver()} // nobody wrote it
		}
		_, values, _ := l.w.probe(d, item, &scope{world: l.w, decoder: d, check: item.Name})
		c := checkOf(item, values)
		c.Implicit = len(l.w.checks) == 0
		c.EveryNode = c.EveryNode || c.Implicit // it measures this machine
		if c.Slug != "" && slugs[c.Slug] != "" {
			l.d.Report(at(item.Node, "with.slug", item.At), "duplicate-name", "checks."+name+".with.slug",
				fmt.Sprintf("the checks %s and %s are told at the same slug %q", slugs[c.Slug], name, c.Slug), "give one of them another slug")
		}
		slugs[c.Slug] = name
		l.config.Checks = append(l.config.Checks, c)
	}
	l.dependencies()
	l.connectivity()
}

// checkOf is a check as the configuration says it. values are the options of
// its kind; nil when they are not known.
func checkOf(item *decode.Item[checkField], values any) Check {
	f := item.Value
	c := Check{
		Name: item.Name, Kind: f.Kind, Every: f.Every.Std(), RetryEvery: f.RetryEvery.Std(), FailAfter: f.FailAfter, OKAfter: f.OKAfter,
		Impact: f.Impact, Timeout: f.Timeout.Std(), DependsOn: f.DependsOn,
		Alert: alerts.WorkflowAlert{Severity: f.Alert.Severity, To: f.Alert.To, Off: f.Alert.Off},
	}
	if f.RunsOn != nil {
		c.RunsOn = f.RunsOn.RunsOn
	}
	c.Limits = limitsOf(values)
	if c.Timeout == 0 {
		c.Timeout = health.DefaultTimeout
		if own := durationOf(values, "timeout"); own > 0 {
			c.Timeout = max(c.Timeout, own+timeoutMargin)
		}
	}
	if o, ok := values.(*heartbeatOptions); ok {
		c.Slug, c.Grace, c.Public = o.Slug, o.Grace.Std(), o.Public
		if c.Slug == "" {
			c.Slug = item.Name
		}
		if c.Grace == 0 {
			c.Grace = min(health.DefaultGrace, c.Every)
		}
	}
	sum := sha256.Sum256([]byte(source.Text(item.Node)))
	c.Digest = hex.EncodeToString(sum[:])
	return c
}

// durationOf returns a duration among the options of a kind, named by keys with
// dots between; 0 when there is none.
func durationOf(values any, path string) time.Duration {
	v := reflect.ValueOf(values)
	for key := range strings.SplitSeq(path, ".") {
		for v.Kind() == reflect.Pointer {
			v = v.Elem()
		}
		if v.Kind() != reflect.Struct {
			return 0
		}
		field := reflect.Value{}
		for i := range v.NumField() {
			if name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ","); name == key {
				field = v.Field(i)
			}
		}
		if v = field; !v.IsValid() {
			return 0
		}
	}
	d, ok := reflect.TypeAssert[unit.Duration](v)
	if !ok {
		return 0
	}
	return d.Std()
}

// checkFrame checks the numbers of a check.
func (l *loader) checkFrame(item *decode.Item[checkField]) {
	f := item.Value
	report := func(key, message string) {
		l.d.Report(at(item.Node, key, item.At), "bad-value", "checks."+item.Name+"."+key, message, "")
	}
	given := func(key string) bool {
		e, ok := item.Node.Get(key)
		return ok && e.Value.Kind == source.Scalar
	}
	for key, value := range map[string]unit.Duration{"every": f.Every, "retry_every": f.RetryEvery} {
		if given(key) && (value.Std() < shortestEvery || value.Std()%shortestEvery != 0) {
			report(key, key+" must be a whole number of seconds, at least 1s")
		}
	}
	if given("timeout") && f.Timeout <= 0 {
		report("timeout", "timeout must be above 0")
	}
	if f.Kind == health.KindHeartbeat && !given("every") {
		l.d.Report(item.At, "missing-key", "checks."+item.Name+".every", "the heartbeat does not say how often it must tell", "add every: 1d, for example")
	}
}

// dependencies checks that what checks depend on exists, and makes no circle.
func (l *loader) dependencies() {
	names := l.w.checks.Names()
	for i := range l.w.checks {
		item := &l.w.checks[i]
		path := "checks." + item.Name + ".depends_on"
		for k, name := range item.Value.DependsOn {
			place := dependencyAt(item, k)
			switch {
			case name == "": // its value has been reported
			case !slices.Contains(names, name):
				l.d.Report(place, "unknown-name", path, fmt.Sprintf("there is no check %q", name), problem.DidYouMean(name, others(names, item.Name)))
			case name == item.Name:
				l.d.Report(place, "cycle", path, fmt.Sprintf("the check %s depends on itself", name), "remove it")
			case slices.Contains(item.Value.DependsOn[:k], name):
				l.d.Report(place, "bad-value", path, fmt.Sprintf("the check %q is named twice", name), "remove one")
			}
		}
	}
	l.circles()
}

// dependencyAt is where a dependency stands.
func dependencyAt(item *decode.Item[checkField], k int) source.Pos {
	place := at(item.Node, "depends_on", item.At)
	return at(item.Node, fmt.Sprintf("depends_on[%d]", k), place)
}

// circles reports each circle of checks that depend on each other once, at the
// dependency that closes it.
func (l *loader) circles() {
	var way []string
	done := map[string]bool{}
	var visit func(name string)
	visit = func(name string) {
		item, ok := l.w.checks.Lookup(name)
		if !ok || done[name] {
			return
		}
		way = append(way, name)
		for k, next := range item.Value.DependsOn {
			if from := slices.Index(way, next); from >= 0 && next != name {
				circle := append(slices.Clone(way[from:]), next)
				l.d.Report(dependencyAt(item, k), "cycle", "checks."+name+".depends_on",
					"these checks depend on each other: "+strings.Join(circle, " -> "), "remove one of the dependencies")
				continue
			}
			if next != name {
				visit(next)
			}
		}
		way = way[:len(way)-1]
		done[name] = true
	}
	for _, name := range l.w.checks.Names() {
		visit(name)
	}
}

// connectivity checks how the network of this machine is looked at.
func (l *loader) connectivity() {
	f := l.file.Connectivity
	if f == nil {
		return
	}
	e, _ := l.node.Get("connectivity")
	if len(f.TCP) == 0 {
		l.d.Report(at(e.Value, "tcp", e.At), "missing-key", "connectivity.tcp", "no address is named", "name one that always answers, such as 1.1.1.1:53")
	}
	for i, address := range f.TCP {
		if host, port, err := net.SplitHostPort(address); address != "" && (err != nil || host == "" || port == "") {
			l.d.Report(at(e.Value, fmt.Sprintf("tcp[%d]", i), e.At), "bad-value", fmt.Sprintf("connectivity.tcp[%d]", i),
				fmt.Sprintf("%q is not an address", address), "write HOST:PORT, such as 1.1.1.1:53")
		}
	}
	if _, given := e.Value.Get("timeout"); given && sound(l.d, "connectivity.timeout") && f.Timeout <= 0 {
		l.d.Report(at(e.Value, "timeout", e.At), "bad-value", "connectivity.timeout", "timeout must be above 0", "")
	}
	l.config.Connectivity = Connectivity{TCP: f.TCP, Timeout: f.Timeout.Std()}
}

// probeKind returns a kind of check.
func (w *world) probeKind(name string) (jobs.Kind, bool) {
	if name == health.KindHeartbeat {
		return heartbeatKind(), true
	}
	kind, ok := w.catalog.Kinds.Lookup(name)
	return asProbe(kind), ok
}

// asProbe marks the kind of scripts as one of probes too: whoever makes a script
// a check says that it only looks.
func asProbe(kind jobs.Kind) jobs.Kind {
	if kind.Name == scriptKind {
		return kind.AsProbe()
	}
	return kind
}

// asked returns the names of the checks that can be asked.
func (w *world) asked() []string {
	return slices.DeleteFunc(w.checkNames(), func(name string) bool {
		item, ok := w.check(name)
		return ok && item.Value.Kind == health.KindHeartbeat
	})
}
