package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"

	"github.com/ghosteam/upkeep/jobs"
)

// Memory is how much memory there is, in bytes and percent.
type Memory struct {
	Total, Available, Free, Cached uint64
	UsedPercent                    float64
	SwapTotal, SwapFree            uint64
	SwapPercent                    float64
	// Pressure is how long tasks waited for memory; nil when the kernel does not
	// tell.
	Pressure *Pressure `json:",omitempty"`
	// Cgroup is the tightest limit that holds for upkeep's own group; nil
	// without one.
	Cgroup *CgroupMemory `json:",omitempty"`
	// Largest is the process that occupies most.
	Largest *Process `json:",omitempty"`
}

// Pressure is the share of time, in percent, in which some or all tasks waited,
// over the last 10 s, minute and 5 minutes (the kernel's accounting/psi.rst).
type Pressure struct{ Some10, Some60, Some300, Full10, Full60, Full300 float64 }

// CgroupMemory is a limit of memory of a control group.
type CgroupMemory struct {
	Path           string
	Limit, Current uint64
	Percent        float64
	Kills          uint64
}

// parsePressure reads a file of /proc/pressure.
func parsePressure(text string) (Pressure, error) {
	var p Pressure
	seen := false
	for line := range strings.Lines(text) {
		kind, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		for field := range strings.FieldsSeq(rest) {
			name, value, _ := strings.Cut(field, "=")
			to := map[string]*float64{
				"some avg10": &p.Some10, "some avg60": &p.Some60, "some avg300": &p.Some300,
				"full avg10": &p.Full10, "full avg60": &p.Full60, "full avg300": &p.Full300,
			}[kind+" "+name]
			if to == nil {
				continue
			}
			v, err := strconv.ParseFloat(value, 64)
			if err != nil || !(v >= 0 && v <= 100) { // not a number is neither
				return Pressure{}, fmt.Errorf("%q is not a share", cut(value, 20))
			}
			*to, seen = v, true
		}
	}
	if !seen {
		return Pressure{}, errors.New("it tells no pressure")
	}
	return p, nil
}

// pressure reads the pressure on memory, cpu or io; nil when there is none to
// read.
func (h Host) pressure(of string) *Pressure {
	text, err := h.read("proc/pressure/" + of)
	if err != nil {
		return nil
	}
	p, err := parsePressure(text)
	if err != nil {
		return nil
	}
	return &p
}

// memory reads what there is.
func (h Host) memory() (Memory, string, error) {
	text, err := h.read("proc/meminfo")
	if err != nil {
		return Memory{}, "", err
	}
	v := keyed(text)
	m := Memory{
		Total: v["MemTotal"], Available: v["MemAvailable"], Free: v["MemFree"], Cached: v["Cached"], SwapTotal: v["SwapTotal"], SwapFree: v["SwapFree"],
		Pressure: h.pressure("memory"), Cgroup: h.cgroupMemory(),
	}
	if _, told := v["MemAvailable"]; !told || m.Total == 0 {
		return Memory{}, text, errors.New("/proc/meminfo does not tell what is available")
	}
	m.UsedPercent = share(m.Total-min(m.Available, m.Total), m.Total)
	m.SwapPercent = share(m.SwapTotal-min(m.SwapFree, m.SwapTotal), m.SwapTotal)
	return m, text, nil
}

// share is a part in percent; 0 of nothing.
func share(part, whole uint64) float64 {
	if whole == 0 {
		return 0
	}
	return round(100 * float64(part) / float64(whole))
}

const cgroupRoot = "sys/fs/cgroup"

// cgroupMemory finds the tightest limit on the way from upkeep's own group to
// the root (cgroup-v2.rst, memory.max).
func (h Host) cgroupMemory() *CgroupMemory {
	text, err := h.read("proc/self/cgroup")
	if err != nil {
		return nil
	}
	var tightest *CgroupMemory
	for line := range strings.Lines(text) {
		at, unified := strings.CutPrefix(strings.TrimSpace(line), "0::")
		if !unified || !strings.HasPrefix(at, "/") {
			continue
		}
		// Rooted, so that no ".." leads out of the tree.
		for dir := path.Clean("/" + at); ; dir = path.Dir(dir) {
			limit, err := h.number(path.Join(cgroupRoot, dir, "memory.max"))
			if err == nil && (tightest == nil || limit < tightest.Limit) {
				tightest = &CgroupMemory{Path: dir, Limit: limit}
			}
			if dir == "/" {
				break
			}
		}
	}
	if tightest == nil {
		return nil
	}
	at := path.Join(cgroupRoot, tightest.Path)
	if tightest.Current, err = h.number(at + "/memory.current"); err != nil {
		return nil
	}
	tightest.Percent = share(tightest.Current, tightest.Limit)
	if text, err := h.read(at + "/memory.events"); err == nil {
		tightest.Kills = keyed(text)["oom_kill"]
	}
	return tightest
}

// number reads a file that holds one number; "max" is none.
func (h Host) number(name string) (uint64, error) {
	text, err := h.read(name)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read /%s: it is not a number", name)
	}
	return n, nil
}

// Memory returns the step that looks at memory.
func (h Host) Memory() Step {
	return Step{Name: "memory", Title: "memory, swap and pressure", Look: func(context.Context) (Found, error) {
		m, raw, err := h.memory()
		if err != nil {
			return Found{}, err
		}
		if all, err := h.glance(); err == nil {
			m.Largest = h.largest(all)
		}
		f := Found{
			Facts: m, Findings: m.judge(), Files: []File{{Name: "meminfo", Content: raw}},
			Summary: fmt.Sprintf("%.0f %% used, %s available", m.UsedPercent, humanize.IBytes(m.Available)),
			Lines: []string{
				fmt.Sprintf("total %s, available %s, free %s, cached %s", humanize.IBytes(m.Total), humanize.IBytes(m.Available), humanize.IBytes(m.Free), humanize.IBytes(m.Cached)),
				fmt.Sprintf("swap %s, %.0f %% used", humanize.IBytes(m.SwapTotal), m.SwapPercent),
			},
		}
		if m.Cgroup != nil {
			f.Lines = append(f.Lines, fmt.Sprintf("control group %s: %s of %s (%.0f %%), %d killed", m.Cgroup.Path, humanize.IBytes(m.Cgroup.Current), humanize.IBytes(m.Cgroup.Limit), m.Cgroup.Percent, m.Cgroup.Kills))
		}
		if m.Pressure == nil {
			f.Unseen = append(f.Unseen, Unseen{What: "pressure on memory", Why: "the kernel does not tell it (/proc/pressure)"})
		} else {
			f.Lines = append(f.Lines, fmt.Sprintf("tasks waited for memory: some %.1f %%, all %.1f %% of the last minute", m.Pressure.Some60, m.Pressure.Full60))
		}
		return f, nil
	}}
}

func (h Host) largest(all map[int]Process) *Process {
	var found *Process
	for _, p := range all {
		if found == nil || p.RSS > found.RSS || p.RSS == found.RSS && p.PID < found.PID {
			found = &p
		}
	}
	if found == nil {
		return nil
	}
	return &h.detail([]Process{*found}, h.users())[0]
}

// The limits of shares, in percent, as the guide has them.
const (
	warnAbove = 80
	critAbove = 95
)

// level is how bad a share is; empty when it breaks no limit.
func level(percent float64) (s jobs.Severity, limit int) {
	switch {
	case percent > critAbove:
		return jobs.Critical, critAbove
	case percent > warnAbove:
		return jobs.Warning, warnAbove
	}
	return "", 0
}

// judge says what is wrong with the memory.
func (m Memory) judge() []Finding {
	next, by := "ps -eo pid,user,rss,args --sort=-rss | head", ""
	if m.Largest != nil {
		next = nextOf(*m.Largest)
		by = fmt.Sprintf("; most by %s (%d), %s", m.Largest.Name, m.Largest.PID, humanize.IBytes(m.Largest.RSS))
	}
	var out []Finding
	if s, limit := level(m.UsedPercent); s != "" {
		out = append(out, Finding{
			ID: "memory", Severity: s, Text: fmt.Sprintf("memory at %.1f %%, limit %d %%, %s available%s", m.UsedPercent, limit, humanize.IBytes(m.Available), by),
			Means: "when nothing is left, the kernel kills a process, often the largest", Next: next,
		})
	}
	if m.Cgroup != nil {
		if s, limit := level(m.Cgroup.Percent); s != "" {
			out = append(out, Finding{
				ID: "cgroup", Severity: s, Text: fmt.Sprintf("upkeep's control group uses %.1f %% of its memory, limit %d %% (%s of %s)", m.Cgroup.Percent, limit, humanize.IBytes(m.Cgroup.Current), humanize.IBytes(m.Cgroup.Limit)),
				Means: "caches count too; when they cannot be given back, the kernel kills upkeep or a job of it", Next: "systemctl show -p MemoryMax,MemoryHigh,MemoryCurrent upkeep.service",
			})
		}
	}
	const swapWarn, pressureWarn = 90, 10
	if m.SwapPercent > swapWarn {
		out = append(out, Finding{
			ID: "swap", Severity: jobs.Warning, Text: fmt.Sprintf("swap at %.1f %%, limit %d %%", m.SwapPercent, swapWarn),
			Means: "the next peak of memory cannot be swapped out", Next: next,
		})
	}
	if m.Pressure != nil && m.Pressure.Full60 > pressureWarn {
		out = append(out, Finding{
			ID: "pressure", Severity: jobs.Warning, Text: fmt.Sprintf("for %.1f %% of the last minute all tasks waited for memory, limit %d %%", m.Pressure.Full60, pressureWarn),
			Means: "the machine is busy with moving memory instead of working", Next: next,
		})
	}
	return out
}

// Kill is a process that the kernel killed for want of memory.
type Kill struct {
	// AgoSeconds is how long ago, below 0 when the log does not tell.
	AgoSeconds float64
	PID        int
	Name, Text string
}

// Kills are what is known of kills for want of memory.
type Kills struct {
	// SinceBoot counts them; in a container of everything on the machine.
	SinceBoot uint64
	// Group counts those in upkeep's own control group.
	Group uint64
	Kills []Kill
	// LogSeen tells that the kernel's log could be read.
	LogSeen bool
}

// parseKills finds kills in the kernel's log: "Out of memory: Killed process
// 123 (name) …" and "Memory cgroup out of memory: Killed process …"
// (mm/oom_kill.c). uptime is that of the machine.
func parseKills(log string, uptime float64) []Kill {
	var out []Kill
	for line := range strings.Lines(log) {
		_, rest, found := strings.Cut(line, "ut of memory: Kill")
		if !found {
			continue
		}
		k := Kill{AgoSeconds: -1, Text: strings.TrimSpace(line)}
		if _, stamp, ok := strings.Cut(line, "["); ok {
			stamp, _, _ = strings.Cut(stamp, "]")
			if at, err := strconv.ParseFloat(strings.TrimSpace(stamp), 64); err == nil && at >= 0 && at <= uptime {
				k.AgoSeconds = round(uptime - at)
			}
		}
		if _, who, ok := strings.Cut(rest, "process "); ok {
			number, name, _ := strings.Cut(who, " ")
			if pid, err := strconv.Atoi(number); err == nil {
				k.PID = pid
			}
			if open, shut := strings.IndexByte(name, '('), strings.IndexByte(name, ')'); open == 0 && shut > 0 {
				k.Name = name[1:shut]
			}
		}
		out = append(out, k)
	}
	return out
}

// Kills returns the step that looks for processes that were killed for want of
// memory.
func (h Host) Kills() Step {
	return Step{Name: "oom", Title: "kills for want of memory", Look: func(context.Context) (Found, error) {
		text, err := h.read("proc/vmstat")
		if err != nil {
			return Found{}, err
		}
		k := Kills{SinceBoot: keyed(text)["oom_kill"]}
		if group := h.cgroupMemory(); group != nil {
			k.Group = group.Kills
		}
		f := Found{Summary: fmt.Sprintf("%d since boot", k.SinceBoot)}
		log, err := h.KernelLog()
		switch {
		case err == nil:
			k.LogSeen, k.Kills = true, parseKills(log, h.uptime().Seconds())
			f.Files = append(f.Files, File{Name: "kernel.log", Content: log, End: true})
		case !errors.Is(err, fs.ErrPermission):
			f.Unseen = append(f.Unseen, Unseen{What: "the kernel's log", Why: err.Error()})
		default:
			f.Unseen = append(f.Unseen, Unseen{What: "the kernel's log", Why: err.Error() + "; root may read it"})
		}
		for _, one := range k.Kills {
			f.Lines = append(f.Lines, one.Text)
		}
		f.Facts, f.Findings = k, k.judge()
		return f, nil
	}}
}

// recentKill is how long a kill is a finding.
const recentKill = 24 * 60 * 60

// judge says what the kills mean.
func (k Kills) judge() []Finding {
	var recent []Kill
	for _, one := range k.Kills {
		if one.AgoSeconds >= 0 && one.AgoSeconds <= recentKill {
			recent = append(recent, one)
		}
	}
	const next = "journalctl -k --since -24h --grep 'Killed process'"
	switch {
	case len(recent) > 0:
		last := recent[len(recent)-1]
		return []Finding{{
			ID: "killed", Severity: jobs.Warning, Text: fmt.Sprintf("the kernel killed %d processes for want of memory in the last 24 h, the last one %s (%d)", len(recent), last.Name, last.PID),
			Means: "whatever it was doing is lost, and it will happen again at the next peak", Next: next,
		}}
	case k.Group > 0:
		return []Finding{{
			ID: "killed_group", Severity: jobs.Warning, Text: fmt.Sprintf("the kernel killed %d processes of upkeep's control group for want of memory since it was made", k.Group),
			Means: "jobs, or upkeep itself, need more than the group may have", Next: next,
		}}
	case k.SinceBoot > 0 && !k.LogSeen:
		return []Finding{{
			ID: "killed_once", Severity: jobs.Info, Text: fmt.Sprintf("the kernel killed %d processes for want of memory since boot; when, this user may not see", k.SinceBoot),
			Means: "it may have been yesterday or last year", Next: "sudo " + next,
		}}
	}
	return nil
}
