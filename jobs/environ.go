package jobs

import (
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// inherited are the variables that child processes get from upkeep's own
// environment. Everything else stays behind: it may hold secrets.
//
//nolint:gochecknoglobals // a constant that Go cannot spell
var inherited = []string{"PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR"}

// defaultPath serves when upkeep itself runs without PATH, as under some
// service managers.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Marks are the variables, KEY=VALUE, by which the processes of this attempt
// are recognized even when upkeep has died: run, then job, then attempt. Outside
// a run, as for a check, there are none: nobody goes on with that after a crash.
func (e *Env) Marks() []string {
	if e.RunID == "" {
		return nil
	}
	return []string{
		"UPKEEP_RUN_ID=" + e.RunID,
		"UPKEEP_JOB=" + e.Job,
		"UPKEEP_ATTEMPT=" + strconv.Itoa(e.Attempt),
	}
}

// Environ is the environment of the attempt's child processes, KEY=VALUE: the
// harmless part of upkeep's own, and who the attempt is. With a named lock that
// is kept outside of upkeep it holds the fencing number, UPKEEP_FENCE_NAME, with
// the name in capitals and _ for all but letters and digits.
func (e *Env) Environ() []string {
	out := []string{"SHELL=/bin/sh"}
	if os.Getenv("PATH") == "" {
		out = append(out, "PATH="+defaultPath)
	}
	for _, name := range inherited {
		if value := os.Getenv(name); value != "" {
			out = append(out, name+"="+value)
		}
	}
	out = append(out, e.Marks()...)
	for _, lock := range slices.Sorted(maps.Keys(e.Fences)) {
		out = append(out, fenceVariable(lock)+"="+strconv.FormatInt(e.Fences[lock], 10))
	}
	return append(out,
		"UPKEEP_WORKFLOW="+e.Workflow,
		"UPKEEP_TRIGGER="+e.Trigger,
		"UPKEEP_SLOT="+e.Slot.UTC().Format(time.RFC3339),
	)
}

// fenceVariable names the variable with the fencing number of a lock.
func fenceVariable(lock string) string {
	return "UPKEEP_FENCE_" + strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToUpper(lock))
}
