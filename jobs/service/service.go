// Package service is the kind that restarts, reloads, starts or stops units of
// systemd, and believes that it went well only when the unit has been healthy
// for a while. It speaks with systemd by D-Bus, or through systemctl where there
// is no bus. It knows nothing of what a service does beside what a probe tells.
package service

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"time"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/systemd"
)

const doc = `Restarts, reloads, starts or stops services of systemd, and proves that they are well after it.

Exactly one of ` + "`restart`, `reload`, `start`, `stop`" + ` names one or several units, which are done one
after the other in that order; the first that does not come up well ends the job. A name without
an ending is a .service. Before it touches a unit it keeps the evidence that a restart destroys:
its state, process and memory, and the last lines of its journal, in the output of the job.

"The command went well" is not enough: a unit counts as well when systemd has done the work
(` + "`takes`" + ` bounds that), its state is active, and then for ` + "`verify.stable`" + ` without a break the same
process runs, it has not been restarted by systemd, and the probes succeed: a configured check
(` + "`verify.check`" + `; a critical finding is a failure), a request (` + "`http`" + `, status 200 to 299), a connection
(` + "`tcp`" + `) or a program (` + "`run`" + `). ` + "`verify.within`" + ` bounds all that. A oneshot unit that ended well is well.

When it is not, ` + "`rollback`" + ` runs (put back the last configuration, package or model), the unit is
restarted and verified again; the job fails in any case and says whether the roll back helped.

What it refuses (exit code 6, nothing touched): a unit that a success of this job did less than
` + "`cooldown`" + ` ago (` + "`limits.cooldown`" + ` of a runbook counts the runs that its check started), and stopping upkeep itself. What
does not load: more than ` + "`max_units`" + `, and, without ` + "`allow_critical`" + `, units that a host lives by, such
as ssh, dbus, systemd-* and targets; an alias of one is refused as well. Restarting the unit in
which upkeep itself runs, or one that it requires, is bound to or is part of, is done last and goes
through a planned restart: the next upkeep verifies it and ends the job.

It needs the right to do so: root, or a rule of polkit for the user of upkeep, or ` + "`systemctl`" + ` with
sudo in front, such as [sudo, -n, systemctl], which is then used instead of D-Bus.

What was done is recorded as events of the kind restart.

Values: units, done, seconds, and memory_before_bytes.UNIT where systemd counts memory.`

// Options say what to do with which units.
type Options struct {
	Restart       unit.Names    `yaml:"restart" doc:"The unit, or list of units, to restart; one that is stopped is started." example:"ghosteam-v5-api"`
	Reload        unit.Names    `yaml:"reload" doc:"The unit, or list of units, whose configuration to reload." example:"nginx"`
	Start         unit.Names    `yaml:"start" doc:"The unit, or list of units, to start; one that runs is left alone." example:"mlflow-server"`
	Stop          unit.Names    `yaml:"stop" doc:"The unit, or list of units, to stop." example:"mlflow-server"`
	Takes         unit.Duration `yaml:"takes" doc:"How long systemd may take for one unit."`
	Verify        Verify        `yaml:"verify" doc:"What proves that a unit is well."`
	Rollback      unit.Command  `yaml:"rollback" doc:"A program that undoes what made the unit fail; the unit is restarted and verified after it." example:"[/usr/local/bin/previous-model]"`
	Cooldown      unit.Duration `yaml:"cooldown" doc:"Refuse to do a unit again within this time." example:"30m"`
	Journal       int           `yaml:"journal" doc:"How many of the last lines of a unit's journal to keep as evidence; 0 for none."`
	MaxUnits      int           `yaml:"max_units" doc:"Refuse more units than this in one job."`
	AllowCritical bool          `yaml:"allow_critical" doc:"Accept units that the host lives by, such as ssh or dbus."`
	Bus           string        `yaml:"bus" doc:"The address of the D-Bus on which systemd is found; by default that of the system." example:"unix:path=/run/user/1000/bus"`
	Systemctl     unit.Command  `yaml:"systemctl" doc:"The program to use instead of D-Bus; without it systemctl is used only where there is no bus." example:"[sudo, -n, systemctl]"`
}

// Verify proves that a unit is well.
type Verify struct {
	Check  string        `yaml:"check" doc:"A configured check that must find nothing critical." example:"api"`
	HTTP   string        `yaml:"http" doc:"A URL that must answer with a status from 200 to 299." example:"http://127.0.0.1:8000/health"`
	TCP    string        `yaml:"tcp" doc:"An address, HOST:PORT, that must accept a connection." example:"127.0.0.1:8000"`
	Run    unit.Command  `yaml:"run" doc:"A program that must end with exit code 0." example:"[pg_isready, -q]"`
	Within unit.Duration `yaml:"within" doc:"How long it may take until a unit has been well for long enough."`
	Stable unit.Duration `yaml:"stable" doc:"How long a unit must be well without a break."`
	Every  unit.Duration `yaml:"every" doc:"The pause between two looks."`
}

// Kind returns the kind.
func Kind() jobs.Kind {
	return jobs.Define("service", doc, Options{
		Takes: unit.Duration(2 * time.Minute), Journal: 50, MaxUnits: 5,
		Verify: Verify{Within: unit.Duration(90 * time.Second), Stable: unit.Duration(10 * time.Second), Every: unit.Duration(time.Second)},
	}, build)
}

// verb is what is done with units.
type verb string

const (
	verbRestart verb = "restart"
	verbReload  verb = "reload"
	verbStart   verb = "start"
	verbStop    verb = "stop"
)

// past is the verb in the sentence "it was …".
func (v verb) past() string {
	switch v {
	case verbStop:
		return "stopped"
	case verbRestart, verbReload, verbStart:
	}
	return string(v) + "ed"
}

// wanted is the verb and the units it is for, with their endings.
func (o *Options) wanted() (verb, []string) {
	for _, w := range o.lists() {
		if len(w.names) > 0 {
			units := make([]string, len(w.names))
			for i, name := range w.names {
				units[i] = withEnding(name)
			}
			return w.verb, units
		}
	}
	return "", nil
}

type wish struct {
	verb  verb
	names unit.Names
}

func (o *Options) lists() []wish {
	return []wish{{verbRestart, o.Restart}, {verbReload, o.Reload}, {verbStart, o.Start}, {verbStop, o.Stop}}
}

var (
	// unitName is a unit as systemd.unit(5) allows it, at most 255 characters, of
	// the types that one can do something with.
	unitName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9:_.\\@-]*\.(service|socket|timer|path|target|mount|slice|scope|automount|swap)$`)
	ending   = regexp.MustCompile(`\.(service|socket|timer|path|target|mount|slice|scope|automount|swap)$`)
	// vital are units that a host lives by.
	vital = regexp.MustCompile(`^(ssh|sshd|ssh@.*|sshd@.*|dbus|dbus-broker|systemd-.*|init|networking|network|NetworkManager|user@.*|user-runtime-dir@.*|getty@.*|rescue|emergency|display-manager)\.(service|socket|scope)$|\.(target|mount|automount|swap|slice|scope)$`)
)

const (
	longestUnit   = 255
	mostJournal   = 1000
	shortestPause = 50 * time.Millisecond
)

func withEnding(name string) string {
	if ending.MatchString(name) {
		return name
	}
	return name + ".service"
}

// Validate reports what can never work, and what must not be touched.
func (o *Options) Validate() error {
	var errs []error
	given, verbs, last, total := map[string]bool{}, 0, "restart", 0
	for _, w := range o.lists() {
		if len(w.names) > 0 {
			verbs, last = verbs+1, string(w.verb)
			total += len(w.names)
		}
		for i, name := range w.names {
			errs = append(errs, o.validateUnit(fmt.Sprintf("%s[%d]", w.verb, i), name, given))
		}
	}
	v := o.Verify
	for _, f := range []struct {
		field string
		bad   bool
		why   string
	}{
		{"restart", verbs == 0, "none of restart, reload, start and stop names a unit"},
		{last, verbs > 1, "there are several of restart, reload, start and stop; write a job for each"},
		{"max_units", o.MaxUnits < 1, "it must be at least 1"},
		{"max_units", o.MaxUnits >= 1 && total > o.MaxUnits, fmt.Sprintf("%d units are named, which is more than %d", total, o.MaxUnits)},
		{"takes", o.Takes <= 0, "it must be above 0"},
		{"journal", o.Journal < 0 || o.Journal > mostJournal, fmt.Sprintf("it must be 0 to %d", mostJournal)},
		{"rollback", len(o.Rollback) > 0 && len(o.Stop) > 0, "there is nothing to roll back after a stop"},
		{"rollback", len(o.Rollback) > 0 && o.Rollback[0] == "", "there is no program to run"},
		{"verify.every", v.Every.Std() < shortestPause, fmt.Sprintf("%s is below the shortest pause, %s", v.Every, shortestPause)},
		{"verify.within", v.Within <= v.Stable, fmt.Sprintf("%s leaves no time before a stable window of %s ends", v.Within, v.Stable)},
		{"verify", len(o.Stop) > 0 && (v.Check != "" || v.HTTP != "" || v.TCP != "" || len(v.Run) > 0), "a stopped unit answers no probe"},
	} {
		if f.bad {
			errs = append(errs, jobs.Fieldf(f.field, "%s", f.why))
		}
	}
	return errors.Join(append(errs, v.validate())...)
}

func (o *Options) validateUnit(field, name string, given map[string]bool) error {
	full := withEnding(name)
	switch {
	case !unitName.MatchString(full) || len(full) > longestUnit:
		return jobs.Fieldf(field, "%q is not the name of a unit", name)
	case given[full]:
		return jobs.Fieldf(field, "%s is named twice", full)
	case vital.MatchString(full) && !o.AllowCritical:
		return &jobs.FieldError{Field: field, Why: full + " is a unit that the host lives by", Hint: "if you really mean it: allow_critical: true"}
	}
	given[full] = true
	return nil
}

func (v *Verify) validate() error {
	var errs []error
	if v.HTTP != "" {
		if u, err := url.Parse(v.HTTP); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			errs = append(errs, jobs.Fieldf("verify.http", "it is not a URL of http or https"))
		} else if u.User != nil {
			errs = append(errs, &jobs.FieldError{Field: "verify.http", Why: "it holds a password", Hint: "use a check of the kind http, and name it in verify.check"})
		}
	}
	if v.TCP != "" {
		if host, port, err := net.SplitHostPort(v.TCP); err != nil || host == "" || port == "" {
			errs = append(errs, jobs.Fieldf("verify.tcp", "%q is not HOST:PORT", v.TCP))
		}
	}
	if len(v.Run) > 0 && v.Run[0] == "" {
		errs = append(errs, jobs.Fieldf("verify.run", "there is no program to run"))
	}
	return errors.Join(errs...)
}

func build(o Options, deps jobs.Deps) (jobs.Job, error) {
	s := &service{options: o, deps: deps, own: systemd.OwnUnit, dial: dial}
	s.verb, s.units = o.wanted()
	if o.Verify.Check != "" {
		if _, err := deps.Check(o.Verify.Check); err != nil {
			return nil, jobs.Fieldf("verify.check", "%s", err)
		}
	}
	var err error
	if s.history, err = deps.History("", ""); err != nil {
		return nil, fmt.Errorf("history of this job: %w", err)
	}
	return s, nil
}
