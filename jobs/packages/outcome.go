package packages

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/jobs"
)

const (
	// lookTime bounds the look at what was done, also after the job was stopped.
	lookTime = 20 * time.Second
	// mostConffiles bounds the findings about kept files.
	mostConffiles = 20
)

// result holds what the plan says by itself.
func (p *plan) result(h host) jobs.Result {
	r := jobs.Result{Values: map[string]float64{
		"upgraded": 0, "installed": 0, "security": float64(p.Security), "held": float64(len(h.Held)), "kept_back": float64(len(p.KeptBack)),
		"left_out": float64(len(p.LeftOut)), "download_bytes": float64(h.DownloadBytes), "reboot_required": 0,
	}}
	if len(p.KeptBack) > 0 {
		r.Findings = append(r.Findings, jobs.Finding{ID: "kept-back", Severity: jobs.Info, Text: "apt keeps back " + list(p.KeptBack)})
	}
	addReboot(&r, h)
	return r
}

// oldLists is the age from which on lists that were not fetched are worth a word.
const oldLists = 24 * time.Hour

// withheld says what does not come although it should, or may not be known.
func (u *upgrade) withheld(h host, p *plan) []jobs.Finding {
	var out []jobs.Finding
	missed, held := []string{}, []string{}
	for _, c := range p.Withheld {
		switch {
		case !u.secure(c):
		case slices.Contains(h.Held, c.Name):
			held = append(held, c.Name)
		default:
			missed = append(missed, c.Name)
		}
	}
	if len(missed) > 0 {
		out = append(out, jobs.Finding{ID: "security-kept-back", Severity: jobs.Warning, Text: "security updates are kept back by apt: " + list(missed)})
	}
	if len(held) > 0 {
		out = append(out, jobs.Finding{ID: "security-held", Severity: jobs.Info, Text: "security updates are held: " + list(held)})
	}
	switch age := u.now().Sub(h.Lists); {
	case h.Lists.IsZero():
		out = append(out, jobs.Finding{ID: "lists", Severity: jobs.Warning, Text: "there are no package lists, so that nothing is known to upgrade"})
	case age > oldLists:
		out = append(out, jobs.Finding{ID: "lists-age", Severity: jobs.Info, Text: fmt.Sprintf("the newest package list is %s old", age.Round(time.Hour))})
	}
	return out
}

// addReboot adds what the host says about a reboot.
func addReboot(r *jobs.Result, h host) {
	r.Findings = slices.DeleteFunc(r.Findings, func(f jobs.Finding) bool { return f.ID == "reboot" })
	if r.Values["reboot_required"] = 0; !h.Reboot {
		return
	}
	r.Values["reboot_required"] = 1
	text := "the host wants a reboot"
	if len(h.For) > 0 {
		text += " for " + list(h.For)
	}
	r.Findings = append(r.Findings, jobs.Finding{ID: "reboot", Severity: jobs.Warning, Text: text})
}

// others says in a summary what is not upgraded.
func (p *plan) others() string {
	var parts []string
	if n := len(p.KeptBack); n > 0 {
		parts = append(parts, fmt.Sprintf("%d kept back", n))
	}
	if n := len(p.LeftOut); n > 0 {
		parts = append(parts, fmt.Sprintf("%d left out", n))
	}
	if len(parts) == 0 {
		return ""
	}
	return ", " + strings.Join(parts, ", ")
}

// conclude looks at what was really done and makes of it the result. failed is
// the error of doing it.
func (i *installing) conclude(ctx context.Context, result jobs.Result, others string, failed error) (jobs.Result, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookTime)
	defer cancel()
	now, broken, err := i.system.State(ctx)
	if err != nil {
		return result, errors.Join(failed, err)
	}
	result.Events = i.record.events(now)
	upgraded, installed := 0, 0
	for _, c := range i.record.Changes {
		switch {
		case now[c.Name] != c.New:
		case c.Old == "":
			installed++
		default:
			upgraded++
		}
	}
	result.Values["upgraded"], result.Values["installed"] = float64(upgraded), float64(installed)
	h, err := i.system.Host(ctx, nil)
	if err != nil {
		return result, errors.Join(failed, err)
	}
	addReboot(&result, h)
	if err := i.addConffiles(&result); err != nil {
		return result, errors.Join(failed, err)
	}
	result.Summary = "upgraded " + count(upgraded)
	if installed > 0 {
		result.Summary += fmt.Sprintf(", installed %d new", installed)
	}
	result.Summary += others
	switch left := without(i.record.Changes, now); {
	case failed != nil:
		return result, failed
	case len(broken) > 0:
		return result, jobs.WithHint(fmt.Errorf("the installation is half done: %s", list(broken)), "finish it: dpkg --configure -a")
	case len(left) > 0:
		return result, fmt.Errorf("apt-get ended well, but %s did not get to the version that was planned", list(names(left)))
	}
	return result, nil
}

// events are the differences between before and now.
func (r *record) events(now map[string]string) []jobs.Event {
	var out []jobs.Event
	all := maps.Clone(r.Before)
	maps.Copy(all, now)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		before, after := r.Before[name], now[name]
		text := before + " to " + after
		switch {
		case before == after:
			continue
		case before == "":
			text = "installed " + after
		case after == "":
			text = "no longer installed, was " + before
		}
		out = append(out, jobs.Event{Kind: "packages", Subject: name, Text: text})
	}
	return out
}

// addConffiles warns of the configuration files that dpkg kept.
func (i *installing) addConffiles(result *jobs.Result) error {
	said, err := i.said.since(0)
	if err != nil {
		return err
	}
	kept := keptConffiles(said)
	for _, path := range kept[:min(len(kept), mostConffiles)] {
		result.Findings = append(result.Findings, jobs.Finding{
			ID: "conffile:" + jobs.FindingIDFrom(path), Severity: jobs.Warning,
			Text: i.env.OneLine(fmt.Sprintf("%s was changed here and kept; that of the package lies beside it as .dpkg-dist", path)),
		})
	}
	return nil
}

// count is a number of packages.
func count(n int) string {
	if n == 1 {
		return "1 package"
	}
	return fmt.Sprintf("%d packages", n)
}

// joined shows origins.
func joined(origins []string) string {
	if len(origins) == 0 {
		return ""
	}
	return "(" + jobs.OneLine(strings.Join(origins, ", ")) + ")"
}
