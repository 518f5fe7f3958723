package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/ghosteam/upkeep/jobs"
)

// Process is one process.
type Process struct {
	PID, PPID int
	// Name is what the kernel calls it, State its state (proc(5)).
	Name, State string
	User        string
	// RSS is the memory it occupies, PSS its part of that when what is shared is
	// shared out, 0 when that cannot be seen; Swap what of it is swapped out, in
	// bytes.
	RSS, PSS, Swap uint64
	// CPUPercent is its use of one processor while it was watched.
	CPUPercent float64
	Threads    int
	AgeSeconds float64
	// Unit is the service of systemd that it belongs to, or "".
	Unit string
	// Command is its command line without secrets.
	Command string

	ticks, started uint64
}

// Processes are those that use most.
type Processes struct {
	Count      int
	ByMemory   []Process
	ByCPU      []Process
	Blocked    int
	Zombies    int
	CPUPercent float64
}

const (
	// topmost is how many processes are shown.
	topmost = 10
	// ticksPerSecond is the unit of times in /proc/PID/stat: USER_HZ, which is
	// 100 on all architectures that matter (proc(5), time(7)).
	ticksPerSecond = 100
	// stuckProcesses is how many processes that wait for a device are a finding.
	stuckProcesses = 5
)

// parseStat reads /proc/PID/stat (proc(5)). The name stands in parentheses and
// may hold any character, parentheses too.
func parseStat(text string) (Process, error) {
	open, shut := strings.IndexByte(text, '('), strings.LastIndexByte(text, ')')
	if open < 0 || shut < open {
		return Process{}, errors.New("it is not the state of a process")
	}
	pid, err := strconv.Atoi(strings.TrimSpace(text[:open]))
	f := strings.Fields(text[shut+1:])
	const least = 22
	if err != nil || len(f) < least {
		return Process{}, errors.New("it is not the state of a process")
	}
	// The fields count from 1, and the third one comes behind the name.
	number := func(field int) uint64 {
		n, err := strconv.ParseUint(f[field-3], 10, 64)
		if err != nil {
			return 0
		}
		return n
	}
	p := Process{PID: pid, Name: text[open+1 : shut], State: f[0]}
	p.PPID, p.Threads = int(min(number(4), math.MaxInt32)), int(min(number(20), math.MaxInt32))
	p.ticks, p.started = number(14)+number(15), number(22)
	pages, size := number(24), uint64(os.Getpagesize())
	p.RSS = min(pages, math.MaxUint64/size) * size
	return p, nil
}

// glance reads the state of all processes. Those that end meanwhile are left
// out.
func (h Host) glance() (map[int]Process, error) {
	pids, err := h.pids()
	if err != nil {
		return nil, err
	}
	out := make(map[int]Process, len(pids))
	for _, pid := range pids {
		text, err := h.read(path.Join("proc", strconv.Itoa(pid), "stat"))
		if err != nil {
			continue
		}
		if p, err := parseStat(text); err == nil && p.PID == pid {
			out[pid] = p
		}
	}
	if len(out) == 0 {
		return nil, errors.New("no process can be seen")
	}
	return out, nil
}

// busy reads how long all processors worked, and how long in all, in ticks.
func (h Host) busy() (worked, total uint64) {
	text, err := h.read("proc/stat")
	if err != nil {
		return 0, 0
	}
	line, _, _ := strings.Cut(text, "\n")
	for i, f := range strings.Fields(line) {
		n, err := strconv.ParseUint(f, 10, 64)
		const idle, iowait, steal = 4, 5, 8
		if err != nil || i == 0 || i > steal {
			continue
		}
		total += n
		if i != idle && i != iowait {
			worked += n
		}
	}
	return worked, total
}

// Processes returns the step that looks at processes.
func (h Host) Processes() Step {
	return Step{Name: "processes", Title: "the processes that use most", Look: func(ctx context.Context) (Found, error) {
		before, err := h.glance()
		if err != nil {
			return Found{}, err
		}
		worked, total := h.busy()
		began := h.Now()
		select {
		case <-time.After(h.Sample):
		case <-ctx.Done():
			return Found{}, context.Cause(ctx)
		}
		after, err := h.glance()
		if err != nil {
			return Found{}, err
		}
		list := h.compare(before, after, h.Now().Sub(began))
		if w, t := h.busy(); t > total && w >= worked {
			list.CPUPercent = round(100 * float64(w-worked) / float64(t-total))
		}
		return list.found(after), nil
	}}
}

// compare finds the processes that use most.
func (h Host) compare(before, after map[int]Process, over time.Duration) Processes {
	out := Processes{Count: len(after)}
	uptime := h.uptime()
	list := make([]Process, 0, len(after))
	for pid, p := range after {
		if b, known := before[pid]; known && b.started == p.started && p.ticks >= b.ticks && over > 0 {
			p.CPUPercent = round(100 * float64(p.ticks-b.ticks) / ticksPerSecond / over.Seconds())
		}
		p.AgeSeconds = max(0, round(uptime.Seconds()-float64(p.started)/ticksPerSecond))
		switch p.State {
		case "D":
			out.Blocked++
		case "Z":
			out.Zombies++
		}
		list = append(list, p)
	}
	top := func(by func(a, b Process) int) []Process {
		slices.SortFunc(list, func(a, b Process) int { return cmp.Or(by(b, a), a.PID-b.PID) })
		return append([]Process{}, list[:min(topmost, len(list))]...)
	}
	users := h.users()
	out.ByMemory = h.detail(top(func(a, b Process) int { return cmp.Compare(a.RSS, b.RSS) }), users)
	working := top(func(a, b Process) int { return cmp.Compare(a.CPUPercent, b.CPUPercent) })
	out.ByCPU = h.detail(slices.DeleteFunc(working, func(p Process) bool { return p.CPUPercent == 0 }), users)
	return out
}

// detail adds what is read of few processes only.
func (h Host) detail(list []Process, users map[string]string) []Process {
	for i := range list {
		p := &list[i]
		at := path.Join("proc", strconv.Itoa(p.PID))
		if text, err := h.read(at + "/status"); err == nil {
			p.Swap = keyed(text)["VmSwap"]
			p.User = userIn(text, users)
		}
		if text, err := h.read(at + "/smaps_rollup"); err == nil {
			p.PSS = keyed(text)["Pss"]
		}
		p.Unit = h.unitOf(p.PID)
		p.Command = "[" + p.Name + "]"
		if text, err := h.read(at + "/cmdline"); err == nil {
			if args := argv(text); args != nil {
				p.Command = commandLine(args)
			}
		}
	}
	return list
}

// userIn finds the user in /proc/PID/status.
func userIn(status string, users map[string]string) string {
	for line := range strings.Lines(status) {
		if rest, ok := strings.CutPrefix(line, "Uid:"); ok {
			if f := strings.Fields(rest); len(f) > 1 {
				return cmp.Or(users[f[1]], f[1]) // the effective one
			}
		}
	}
	return ""
}

// cut shortens a text that holds no secret: a part of one is not recognized.
func cut(s string, most int) string {
	if r := []rune(s); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return s
}

func (p Processes) found(all map[int]Process) Found {
	f := Found{Facts: p, Summary: fmt.Sprintf("%d processes, CPU %.0f %%", p.Count, p.CPUPercent)}
	if len(p.ByMemory) > 0 {
		f.Summary += fmt.Sprintf(", the largest is %s (%d, %s)", p.ByMemory[0].Name, p.ByMemory[0].PID, humanize.IBytes(p.ByMemory[0].RSS))
	}
	for _, part := range []struct {
		title string
		list  []Process
	}{{"by memory", p.ByMemory}, {"by CPU", p.ByCPU}} {
		f.Lines = append(f.Lines, part.title+":")
		for _, one := range part.list {
			f.Lines = append(f.Lines, fmt.Sprintf("  %7d  %-8s  %9s  %5.1f %%  %-2s  %s", one.PID, cut(one.User, 8), humanize.IBytes(one.RSS), one.CPUPercent, one.State, one.Command))
		}
	}
	const half = 2
	if _, sees := all[1]; !sees && len(all) < half*topmost {
		f.Unseen = append(f.Unseen, Unseen{What: "processes of other users", Why: "process 1 is hidden: proc is mounted with hidepid, or this is a container"})
	}
	f.Findings = p.judge()
	return f
}

// judge says what is wrong with the processes.
func (p Processes) judge() []Finding {
	var out []Finding
	const busy, manyZombies = 95, 50
	if p.CPUPercent > busy && len(p.ByCPU) > 0 {
		most := p.ByCPU[0]
		out = append(out, Finding{
			ID: "cpu", Severity: jobs.Warning, Text: fmt.Sprintf("the processors were busy for %.0f %% of a second, limit %d %%; most by %s (%d), %.0f %% of one", p.CPUPercent, busy, most.Name, most.PID, most.CPUPercent),
			Means: "everything on this machine is slow while that lasts", Next: nextOf(most),
		})
	}
	if p.Blocked >= stuckProcesses {
		out = append(out, Finding{
			ID: "blocked", Severity: jobs.Warning, Text: fmt.Sprintf("%d processes wait for a device and cannot be interrupted", p.Blocked),
			Means: "a disk or a network share is slow or dead", Next: "ps -eo pid,stat,wchan:32,args | awk '$2 ~ /^D/'",
		})
	}
	if p.Zombies >= manyZombies {
		out = append(out, Finding{
			ID: "zombies", Severity: jobs.Warning, Text: fmt.Sprintf("%d processes have ended and nobody has taken note", p.Zombies),
			Means: "a parent is broken; when process numbers run out, nothing starts any more", Next: "ps -eo ppid,stat | awk '$2 ~ /^Z/ {n[$1]++} END {for (p in n) print n[p], p}' | sort -rn | head",
		})
	}
	return out
}

// nextOf is how one looks closer at a process.
func nextOf(p Process) string {
	if p.Unit != "" {
		return "systemctl status " + p.Unit
	}
	return fmt.Sprintf("ps -o pid,user,rss,pcpu,etime,stat,args -p %d", p.PID)
}

// round keeps two decimals.
func round(v float64) float64 { return math.Round(v*100) / 100 }
