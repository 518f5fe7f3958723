// Package packages is the kind that upgrades the packages of the host. It asks
// the package system for a plan first, judges the plan, and carries out that
// plan and no other. It never ends the installer in the middle of a package: a
// host with half a package is worse than one with an old package.
package packages

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
)

const doc = `Upgrades packages of this host (apt), after a preview and behind rails.

It brings the package lists up to date, lets apt-get simulate the upgrade, chooses by
` + "`policy`" + ` and ` + "`block`" + `, simulates exactly what it chose, and then installs exactly that: nothing
else, in steps of one package with what it needs, so that a job that is stopped ends between
packages. Holds (apt-mark hold) are respected. No package asks a question: configuration files
that were changed here stay (` + "`conffiles: keep`" + `, with a warning that names them) or are replaced
(` + "`new`" + `). Another apt or dpkg at work is waited for.

What it refuses (exit code 6, nothing installed): removals; dpkg in a half-done state (unless
` + "`repair`" + `); more than ` + "`max_packages`" + `; a blocked package that others would pull in; too little
free space; and, with ` + "`requires_backup_within`" + `, the lack of a fresh backup: the newest success of
the job named in ` + "`backup`" + ` must have made artifacts and be no older.

` + "`policy: security`" + ` takes what comes from an origin that matches ` + "`security_from`" + `, which is compared
with LABEL:VERSION/SUITE as ` + "`apt-get -s upgrade`" + ` shows it. A repository gives itself its label, so
the policy protects against surprises, not against a hostile repository in your own list.

When the job is stopped, apt-get ends the step under way first. ` + "`kill_grace`" + ` bounds how long
upkeep waits for that; the step goes on after it, for at most ` + "`finish_within`" + `. Installing outlives
upkeep: when upkeep is restarted or upgraded meanwhile, its own package included, the next upkeep
waits for what is at work, looks at what is installed and goes on with the rest. Where systemd runs
upkeep, apt-get gets a scope of its own for that. It needs root.

A dry run shows the plan as of the lists that are there, without fetching new ones, and names it:
` + "`upkeep run WORKFLOW.JOB --apply PLAN`" + ` installs exactly that or is refused; it fetches no new lists
either.

Warnings are also: a reboot that the host wants, and security updates that apt keeps back.
What changed is recorded as events of the kind packages: name, old and new version.

Values: upgraded, installed, security (of both), held, kept_back, left_out (by policy or block),
download_bytes, reboot_required (0 or 1).`

// Options say what may be upgraded.
type Options struct {
	Policy       string        `yaml:"policy" enum:"security,all" doc:"What is upgraded: what comes from a security origin, or all."`
	SecurityFrom []string      `yaml:"security_from" doc:"Patterns (* matches anything) of origins, LABEL:VERSION/SUITE, that count as security." example:"['Debian-Security:*', '*-security']"`
	Block        []string      `yaml:"block" doc:"Patterns (* matches anything) of packages that are never upgraded here." example:"['postgresql*', 'linux-*']"`
	NewPackages  bool          `yaml:"new_packages" doc:"Allow upgrades that need packages which are not installed yet, as new kernels do."`
	Full         bool          `yaml:"full" doc:"Also plan what apt-get upgrade keeps back, as apt-get dist-upgrade does; refused as soon as it would remove a package."`
	Conffiles    string        `yaml:"conffiles" enum:"keep,new" doc:"Configuration files that were changed here: keep them, or replace them by those of the package."`
	Update       string        `yaml:"update" enum:"strict,lenient,never" doc:"Bring the package lists up to date first: a failure fails the job, is a warning, or do not."`
	LockWait     unit.Duration `yaml:"lock_wait" doc:"How long to wait for another apt or dpkg." example:"10m"`
	MaxPackages  int           `yaml:"max_packages" doc:"Refuse to change more packages than this in one run."`
	MinFree      unit.Size     `yaml:"min_free" doc:"Refuse when less would be free, after the download, where packages are installed or downloaded." example:"500MiB"`
	BackupWithin unit.Duration `yaml:"requires_backup_within" doc:"Refuse unless the job named in backup made artifacts within this time." example:"26h"`
	Backup       string        `yaml:"backup" doc:"The job, as WORKFLOW.JOB, whose success requires_backup_within asks for." example:"daily.backup"`
	Repair       bool          `yaml:"repair" doc:"Let dpkg finish what an earlier installation left half done (dpkg --configure -a), instead of refusing."`
	FinishWithin unit.Duration `yaml:"finish_within" doc:"How long a step under way may take to end after the job was stopped, and to end after a restart of upkeep."`
	Config       unit.Path     `yaml:"config" doc:"A file of settings that apt reads before its own (APT_CONFIG), such as a proxy." example:"/etc/upkeep/apt.conf"`
}

// The words of the options.
const (
	policySecurity, policyAll                = "security", "all"
	conffilesKeep, conffilesNew              = "keep", "new"
	updateStrict, updateLenient, updateNever = "strict", "lenient", "never"
)

// Kind returns the kind.
func Kind() jobs.Kind {
	return jobs.Define("packages", doc, Options{
		Policy: policySecurity, SecurityFrom: []string{"Debian-Security:*", "*-security"}, NewPackages: true,
		Conffiles: conffilesKeep, Update: updateStrict, LockWait: unit.Duration(10 * time.Minute), MaxPackages: 200,
		MinFree: 500 << 20, FinishWithin: unit.Duration(15 * time.Minute),
	}, build)
}

var (
	jobName  = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]*\.[a-z0-9][a-z0-9_-]*$`)
	aPattern = regexp.MustCompile(`^[A-Za-z0-9*][A-Za-z0-9.+:*-]*$`)
	anOrigin = regexp.MustCompile(`^[[:graph:]][[:print:]]*$`)
)

// The bounds of waiting.
const (
	shortestFinish = time.Second
	longestWait    = 24 * time.Hour
)

// Validate reports impossible options.
func (o *Options) Validate() error {
	var errs []error
	for _, w := range []struct {
		field string
		bad   bool
		why   string
	}{
		{"policy", o.Policy != policySecurity && o.Policy != policyAll, "it is neither security nor all"},
		{"security_from", o.Policy == policySecurity && len(o.SecurityFrom) == 0, "it is empty, so that nothing would count as security"},
		{"conffiles", o.Conffiles != conffilesKeep && o.Conffiles != conffilesNew, "it is neither keep nor new"},
		{"update", o.Update != updateStrict && o.Update != updateLenient && o.Update != updateNever, "it is none of strict, lenient, never"},
		{"full", o.Full && !o.NewPackages, "it contradicts new_packages: false"},
		{"lock_wait", o.LockWait.Std() > longestWait, "it is above 24h"},
		{"max_packages", o.MaxPackages < 1, "it must be at least 1"},
		{"finish_within", o.FinishWithin.Std() < shortestFinish, "it is below 1s, so that the installer would be killed in the middle of a package"},
		{"requires_backup_within", o.BackupWithin > 0 && o.Backup == "", "it needs backup, the job that it asks for"},
		{"backup", o.Backup != "" && o.BackupWithin == 0, "requires_backup_within is not given, so that nothing would be asked"},
		{"backup", o.Backup != "" && !jobName.MatchString(o.Backup), fmt.Sprintf("%q is not WORKFLOW.JOB", o.Backup)},
	} {
		if w.bad {
			errs = append(errs, jobs.Fieldf(w.field, "%s", w.why))
		}
	}
	for i, p := range o.Block {
		if !aPattern.MatchString(p) {
			errs = append(errs, jobs.Fieldf(fmt.Sprintf("block[%d]", i), "%q is not a pattern of a package's name", p))
		}
	}
	for i, p := range o.SecurityFrom {
		if !anOrigin.MatchString(p) {
			errs = append(errs, jobs.Fieldf(fmt.Sprintf("security_from[%d]", i), "%q is not a pattern of an origin", p))
		}
	}
	return errors.Join(errs...)
}

func build(o Options, deps jobs.Deps) (jobs.Job, error) {
	u := &upgrade{options: o, now: time.Now}
	if o.Backup != "" {
		workflow, job, _ := strings.Cut(o.Backup, ".")
		history, err := deps.History(workflow, job)
		if err != nil {
			return nil, jobs.Fieldf("backup", "%s", err)
		}
		u.backup = history
	}
	return u, nil
}

// matches tells whether text is what one of the patterns says, in which * stands
// for anything. Case does not matter.
func matches(patterns []string, text string) bool {
	for _, p := range patterns {
		if matchOne(strings.ToLower(p), strings.ToLower(text)) {
			return true
		}
	}
	return false
}

func matchOne(pattern, text string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == text
	}
	text, ok := strings.CutPrefix(text, parts[0])
	if !ok {
		return false
	}
	last := len(parts) - 1
	for _, part := range parts[1:last] {
		_, after, found := strings.Cut(text, part)
		if !found {
			return false
		}
		text = after
	}
	return strings.HasSuffix(text, parts[last])
}
