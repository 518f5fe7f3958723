package child

import (
	"syscall"
	"time"
)

// WithoutCgroup makes the command's tree be found by walking /proc.
func WithoutCgroup(c Command) Command { c.hooks.walk = true; return c }

// WithPatience shortens the wait for a process that survives KILL.
func WithPatience(c Command, d time.Duration) Command { c.hooks.patience = d; return c }

// WithCgroupParent makes the command's cgroup below dir.
func WithCgroupParent(c Command, dir string) Command { c.hooks.parent = dir; return c }

// HasCgroup tells whether commands of this process get a cgroup.
func HasCgroup() bool { return thisProcess().parent != "" }

// CgroupParent is where they get it.
func CgroupParent() string { return thisProcess().parent }

// CgroupPrefix begins the names of the cgroups made for marks.
func CgroupPrefix(marks []string) string { return cgroupPrefix + cgroupName(marks) + ":" }

// Adopts tells whether orphans become children of this process.
func Adopts() bool { return thisProcess().family.adopts.Load() }

// UnderWay counts the commands that are entered in the family.
func UnderWay() int { return len(thisProcess().family.roots()) }

// Stat is what ParseStat returns of a process.
type Stat struct {
	PID, PPID, PGID, SID int
	State                byte
	Start                uint64
	Kernel               bool
}

// ParseStat parses a line of /proc/PID/stat.
func ParseStat(text []byte) (Stat, error) {
	p, err := parseStat(text)
	return Stat{p.pid, p.ppid, p.pgid, p.sid, p.state, p.start, p.kernel}, err
}

// Processes lists /proc.
func Processes() ([]Stat, error) {
	all, err := snapshot()
	var list []Stat
	for _, p := range all {
		list = append(list, Stat{p.pid, p.ppid, p.pgid, p.sid, p.state, p.start, p.kernel})
	}
	return list, err
}

// SignalStale sends sig to a process number with a start time that is not its own.
func SignalStale(pid, sig int) error {
	p, err := stat(pid)
	if err != nil {
		return err
	}
	p.start++
	return signal(p, syscall.Signal(sig))
}

var (
	// CgroupDirs finds the cgroup folders in two texts of /proc.
	CgroupDirs = cgroupDirs
	// ContainsMarks looks for marks in an environment text.
	ContainsMarks = containsMarks
)
