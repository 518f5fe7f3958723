package doctor

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/jobs"
)

// Load is how much the machine has to do.
type Load struct {
	One, Five, Fifteen float64
	Processors         int
	UptimeSeconds      float64
	// CPU and IO are how long tasks waited; nil when the kernel does not tell.
	CPU *Pressure `json:",omitempty"`
	IO  *Pressure `json:",omitempty"`
}

// parseLoad reads /proc/loadavg.
func parseLoad(text string) (Load, error) {
	f := strings.Fields(text)
	var l Load
	for i, to := range []*float64{&l.One, &l.Five, &l.Fifteen} {
		if i >= len(f) {
			return Load{}, errors.New("it tells no load")
		}
		v, err := strconv.ParseFloat(f[i], 64)
		if err != nil || v < 0 || math.IsInf(v, 0) || math.IsNaN(v) {
			return Load{}, fmt.Errorf("%q is not a load", cut(f[i], 20))
		}
		*to = v
	}
	return l, nil
}

// parseUptime reads /proc/uptime.
func parseUptime(text string) (time.Duration, error) {
	first, _, _ := strings.Cut(strings.TrimSpace(text), " ")
	v, err := strconv.ParseFloat(first, 64)
	if err != nil || v < 0 || v > float64(math.MaxInt64)/float64(time.Second)/2 {
		return 0, fmt.Errorf("%q is not a time in seconds", cut(first, 20))
	}
	return time.Duration(v * float64(time.Second)), nil
}

// uptime is how long the machine runs; 0 when nobody tells.
func (h Host) uptime() time.Duration {
	text, err := h.read("proc/uptime")
	if err != nil {
		return 0
	}
	d, err := parseUptime(text)
	if err != nil {
		return 0
	}
	return d
}

// cpus counts the processors that are on line.
func (h Host) cpus() int {
	text, err := h.read("proc/stat")
	if err != nil {
		return 0
	}
	n := 0
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, "cpu"); ok && rest != "" && rest[0] >= '0' && rest[0] <= '9' {
			n++
		}
	}
	return n
}

// Load returns the step that looks at the load.
func (h Host) Load() Step {
	return Step{Name: "load", Title: "load and pressure", Look: func(context.Context) (Found, error) {
		text, err := h.read("proc/loadavg")
		if err != nil {
			return Found{}, err
		}
		l, err := parseLoad(text)
		if err != nil {
			return Found{}, fmt.Errorf("read /proc/loadavg: %w", err)
		}
		l.Processors, l.UptimeSeconds, l.CPU, l.IO = h.cpus(), h.uptime().Seconds(), h.pressure("cpu"), h.pressure("io")
		f := Found{Facts: l, Findings: l.judge(), Summary: fmt.Sprintf("%.2f %.2f %.2f on %d processors, up for %s", l.One, l.Five, l.Fifteen, l.Processors, ago(h.uptime()))}
		if l.IO != nil {
			f.Lines = append(f.Lines, fmt.Sprintf("tasks waited for disks: some %.1f %%, all %.1f %% of the last minute", l.IO.Some60, l.IO.Full60))
		}
		return f, nil
	}}
}

// judge says what is wrong with the load.
func (l Load) judge() []Finding {
	const perCPU, ioWarn, fresh = 4, 40, 600
	var out []Finding
	if l.Processors > 0 && l.Five > perCPU*float64(l.Processors) {
		out = append(out, Finding{
			ID: "load", Severity: jobs.Warning, Text: fmt.Sprintf("load %.1f over 5 minutes on %d processors, limit %d for each", l.Five, l.Processors, perCPU),
			Means: "work waits: for processors, or for disks that do not answer", Next: "ps -eo pid,stat,pcpu,wchan:32,args --sort=-pcpu | head -20",
		})
	}
	if l.IO != nil && l.IO.Full60 > ioWarn {
		out = append(out, Finding{
			ID: "io", Severity: jobs.Warning, Text: fmt.Sprintf("for %.1f %% of the last minute all tasks waited for disks, limit %d %%", l.IO.Full60, ioWarn),
			Means: "a disk is overloaded or failing; backups and databases slow down together", Next: "iostat -x 1 3",
		})
	}
	if l.UptimeSeconds > 0 && l.UptimeSeconds < fresh {
		out = append(out, Finding{
			ID: "rebooted", Severity: jobs.Info, Text: fmt.Sprintf("the machine was started %s ago", ago(time.Duration(l.UptimeSeconds*float64(time.Second)))),
			Means: "what ran before was cut short", Next: "last -x reboot shutdown | head",
		})
	}
	return out
}

// ago is a duration for people, with one unit or two.
func ago(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < 0:
		return "0s"
	case d < time.Minute:
		return d.Round(time.Second).String()
	case d < time.Hour:
		return strings.TrimSuffix(d.Round(time.Second).String(), "0s")
	case d < day:
		return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
	}
	return fmt.Sprintf("%dd%dh", d/day, d%day/time.Hour)
}

// ClockState is what the kernel says of its clock.
type ClockState struct {
	// Synchronized tells that somebody keeps it in step.
	Synchronized bool
	// ErrorSeconds is the most by which it may be wrong, as the kernel estimates.
	ErrorSeconds float64
	// Skews are by how much it is ahead of others, in seconds, by who they are.
	Skews map[string]float64 `json:",omitempty"`
}

// Reference is a clock of somebody else.
type Reference struct {
	// Name says whose.
	Name string
	// Ask returns the time there, and is called often enough to be quick.
	Ask func(ctx context.Context) (time.Time, error)
}

// ClockStep returns the step that looks at the clock, and compares it with
// others.
func (h Host) ClockStep(others ...Reference) Step {
	return Step{Name: "clock", Title: "the clock", Look: func(ctx context.Context) (Found, error) {
		c, err := h.Clock()
		f := Found{Summary: "synchronized"}
		seen := err == nil
		switch {
		case err != nil:
			f.Summary = "whether it is synchronized, the kernel does not tell"
			f.Unseen = append(f.Unseen, Unseen{What: "whether the clock is synchronized", Why: err.Error()})
		case !c.Synchronized:
			f.Summary = "not synchronized"
		}
		for _, o := range others {
			began := h.Now()
			at, err := o.Ask(ctx)
			took := h.Now().Sub(began)
			if err != nil {
				f.Unseen = append(f.Unseen, Unseen{What: "the clock of " + o.Name, Why: line(err.Error())})
				continue
			}
			if c.Skews == nil {
				c.Skews = map[string]float64{}
			}
			// The other one looked at its clock about half way.
			c.Skews[o.Name] = seconds(began.Add(took / 2).Sub(at))
			f.Summary += fmt.Sprintf(", %+.3f s against %s", c.Skews[o.Name], o.Name)
		}
		f.Facts, f.Findings = c, c.judge(seen)
		return f, nil
	}}
}

// judge says what is wrong with the clock.
func (c ClockState) judge(seen bool) []Finding {
	var out []Finding
	if seen && !c.Synchronized {
		out = append(out, Finding{
			ID: "unsynchronized", Severity: jobs.Warning, Text: "nothing keeps this machine's clock in step",
			Means: "schedules drift, certificates and signatures of stores are refused when it is wrong by minutes", Next: "timedatectl status",
		})
	}
	// A lease of the ledger lives for 15 s; S3 refuses requests from 15 minutes.
	const warn, crit = 2, 15
	for name, skew := range c.Skews {
		f := Finding{
			ID: "skew:" + jobs.FindingIDFrom(name), Text: fmt.Sprintf("this clock differs from that of %s by %.1f s, limit %d s", name, skew, warn),
			Means: "what several machines write into the ledger is out of order", Next: "timedatectl timesync-status",
		}
		switch {
		case math.Abs(skew) > crit:
			f.Severity, f.Text = jobs.Critical, fmt.Sprintf("this clock differs from that of %s by %.1f s, limit %d s", name, skew, crit)
		case math.Abs(skew) > warn:
			f.Severity = jobs.Warning
		default:
			continue
		}
		out = append(out, f)
	}
	return out
}
