package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"

	"github.com/ghosteam/upkeep/jobs"
)

// Unit is what systemd knows of a unit (org.freedesktop.systemd1(5)).
type Unit struct {
	Name, Load, Active, Sub, Result string
	Restarts, PID, Memory           uint64
	// Since is when its state became what it is; empty when unknown.
	Since string
	// Job says which job of the configuration names it.
	Job string
}

// NamedUnit is a unit and who names it.
type NamedUnit struct{ Name, Job string }

// parseUnits reads what `systemctl show` writes: lines of NAME=VALUE, an empty
// line between units.
func parseUnits(text string) []Unit {
	var out []Unit
	for block := range strings.SplitSeq(strings.ReplaceAll(text, "\r\n", "\n"), "\n\n") {
		p := map[string]string{}
		for row := range strings.Lines(block) {
			if name, value, ok := strings.Cut(strings.TrimRight(row, "\n"), "="); ok {
				p[name] = line(value)
			}
		}
		number := func(name string) uint64 {
			n, err := strconv.ParseUint(p[name], 10, 64)
			if err != nil || n == 1<<64-1 { // [not set]
				return 0
			}
			return n
		}
		if p["Id"] == "" {
			continue
		}
		out = append(out, Unit{
			Name: p["Id"], Load: p["LoadState"], Active: p["ActiveState"], Sub: p["SubState"], Result: p["Result"], Since: p["StateChangeTimestamp"],
			Restarts: number("NRestarts"), PID: number("MainPID"), Memory: number("MemoryCurrent"),
		})
	}
	return out
}

// Units returns the step that asks systemd about units.
func (h Host) Units(named []NamedUnit) Step {
	return Step{Name: "services", Title: "units that jobs restart", Look: func(ctx context.Context) (Found, error) {
		if len(named) == 0 {
			return Found{Summary: "no job names a unit"}, nil
		}
		if h.Program == nil {
			return Found{}, errors.New("no program may be run")
		}
		var found []Unit
		for _, n := range named { // one by one: an alias comes back under its own name
			text, err := h.Program(ctx, "systemctl", "--no-pager", "show", "--property=Id,LoadState,ActiveState,SubState,Result,NRestarts,MainPID,MemoryCurrent,StateChangeTimestamp", "--", n.Name)
			if err != nil {
				return Found{}, fmt.Errorf("ask systemd about %s: %w", n.Name, err)
			}
			for _, u := range parseUnits(text) {
				u.Job = n.Job
				found = append(found, u)
			}
		}
		f := Found{Facts: found, Summary: fmt.Sprintf("%d units", len(found))}
		for _, u := range found {
			f.Lines = append(f.Lines, fmt.Sprintf("%s: %s (%s), restarted by systemd %d times, memory %s, since %s", u.Name, u.Active, u.Sub, u.Restarts, humanize.IBytes(u.Memory), u.Since))
			f.Findings = append(f.Findings, u.judge()...)
		}
		return f, nil
	}}
}

// judge says what is wrong with a unit.
func (u Unit) judge() []Finding {
	const flapping = 5
	f := Finding{ID: "unit:" + jobs.FindingIDFrom(u.Name), Next: "journalctl -u " + u.Name + " -n 100 --no-pager"}
	switch {
	case u.Load == "not-found":
		f.Severity, f.Text, f.Means, f.Next = jobs.Warning, fmt.Sprintf("there is no unit %s, which %s names", u.Name, u.Job), "that job cannot work on this machine", "systemctl list-units --all --type=service"
	case u.Active == "failed":
		f.Severity, f.Text, f.Means = jobs.Critical, fmt.Sprintf("%s has failed (%s)", u.Name, u.Result), "the service does not run, and systemd has given up"
		if u.Result == "oom-kill" {
			f.Means = "the kernel killed it for want of memory, and systemd has given up"
		}
	case u.Active == "activating" && u.Sub == "auto-restart":
		f.Severity, f.Text, f.Means = jobs.Critical, fmt.Sprintf("%s ends again and again: systemd restarted it %d times", u.Name, u.Restarts), "it crashes soon after its start"
	case u.Active == "inactive" || u.Active == "deactivating":
		f.Severity, f.Text, f.Means, f.Next = jobs.Warning, fmt.Sprintf("%s does not run (%s)", u.Name, u.Active), "somebody stopped it, or it ended by itself", "systemctl status "+u.Name
	case u.Restarts >= flapping:
		f.Severity, f.Text, f.Means = jobs.Warning, fmt.Sprintf("systemd restarted %s %d times", u.Name, u.Restarts), "it crashes now and then"
	default:
		return nil
	}
	return []Finding{f}
}

// logLines is how much of a log is read.
const logLines = 300

// Log returns the step that reads the end of upkeep's own log. where tells the
// file that it is written to, or the unit in whose journal it stands; both may
// be empty.
func (h Host) Log(where func(ctx context.Context) (file, unit string)) Step {
	return Step{Name: "log", Title: "upkeep's own log", Look: func(ctx context.Context) (Found, error) {
		file, unit := where(ctx)
		var text, from string
		var err error
		switch {
		case file != "":
			from = file
			text, err = lastLines(file, logLines)
		case unit != "" && h.Program != nil:
			from = "the journal of " + unit
			text, err = h.Program(ctx, "journalctl", "--no-pager", "--quiet", "--output=short-iso", "--lines="+strconv.Itoa(logLines), "--unit="+unit)
		default:
			return Found{Summary: "where it is written to is not known", Unseen: []Unseen{{What: "upkeep's own log", Why: "it is no file, and the service is no unit of systemd"}}}, nil
		}
		if err != nil {
			return Found{}, fmt.Errorf("read %s: %w", from, err)
		}
		rows := strings.Split(strings.TrimRight(text, "\n"), "\n")
		bad := slices.DeleteFunc(slices.Clone(rows), func(row string) bool { return !troubled(row) })
		f := Found{
			Facts:   map[string]any{"from": from, "lines": len(rows), "errors": bad},
			Summary: fmt.Sprintf("%d lines, %d of them errors", len(rows), len(bad)), Lines: bad,
			Files: []File{{Name: "upkeep.log", Content: text, End: true}},
		}
		if n := len(bad); n > 0 {
			f.Findings = []Finding{{
				ID: "errors", Severity: jobs.Info, Text: fmt.Sprintf("upkeep logged %d errors in its last %d lines, the last one: %s", n, len(rows), bad[n-1]),
				Means: "what it says stands in the log", Next: "upkeep doctor --details",
			}}
		}
		return f, nil
	}}
}

// troubled tells whether a line of our log is an error, in any of its forms.
func troubled(row string) bool {
	for _, sign := range []string{"level=ERROR", `"level":"ERROR"`, `"level":"error"`, "<3>", "panic:", "fatal error:"} {
		if strings.Contains(row, sign) {
			return true
		}
	}
	return false
}
