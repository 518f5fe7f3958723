package child

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// cpuReprieve lies between SIGXCPU and SIGKILL of a CPU limit.
const cpuReprieve = 5

// rlimit is one resource limit to set, at most.
type rlimit struct {
	name       string
	resource   int
	soft, hard uint64
}

// list translates the limits that are set.
func (l Limits) list() []rlimit {
	var all []rlimit
	add := func(name string, resource int, value, extra uint64) {
		if value > 0 {
			all = append(all, rlimit{name, resource, value, value + extra})
		}
	}
	cpu := uint64(0)
	if l.CPU > 0 {
		cpu = uint64((l.CPU + time.Second - 1) / time.Second)
	}
	add("cpu", unix.RLIMIT_CPU, cpu, cpuReprieve)
	add("files", unix.RLIMIT_NOFILE, l.Files, 0)
	add("memory", unix.RLIMIT_AS, l.Memory, 0)
	add("core", unix.RLIMIT_CORE, l.Core, 0) // 0 is what every child inherits, see dropCore
	add("file size", unix.RLIMIT_FSIZE, l.FileSize, 0)
	add("processes", unix.RLIMIT_NPROC, l.Processes, 0)
	return all
}

// setLimitsOf sets the limits of a child that runs as another user, or with a nil
// credential as ours. prlimit(2) wants the capability SYS_RESOURCE for that, which
// containers lack, or the real ids of the target: this thread, to which the caller
// is locked, takes these for a moment and keeps the effective ones. A thread that
// cannot be restored is spoiled.
func setLimitsOf(cred *syscall.Credential, pid int, limits []rlimit) (spoiled bool, err error) {
	err = setLimits(pid, limits)
	if cred == nil || !errors.Is(err, unix.EPERM) {
		return false, err
	}
	uid, gid := os.Getuid(), os.Getgid()
	if serr := setRealIDs(int(cred.Uid), int(cred.Gid)); serr != nil {
		return true, errors.Join(err, serr)
	}
	err = setLimits(pid, limits)
	if serr := setRealIDs(uid, gid); serr != nil {
		return true, errors.Join(err, serr)
	}
	return false, err
}

// setRealIDs changes the real ids of the calling thread and nothing else; the
// functions of package syscall would change all threads.
func setRealIDs(uid, gid int) error {
	const same = ^uintptr(0)
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESGID, uintptr(gid), same, same); errno != 0 {
		return fmt.Errorf("set the real group: %w", errno)
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(uid), same, same); errno != 0 {
		return fmt.Errorf("set the real user: %w", errno)
	}
	return nil
}

// setLimits sets the limits of a process, never above the hard limits it has.
func setLimits(pid int, limits []rlimit) error {
	for _, l := range limits {
		var now unix.Rlimit
		if err := unix.Prlimit(pid, l.resource, nil, &now); err != nil {
			return fmt.Errorf("limit its %s: %w", l.name, err)
		}
		now.Max = min(now.Max, l.hard)
		now.Cur = min(now.Max, l.soft)
		if err := unix.Prlimit(pid, l.resource, &now, nil); err != nil {
			return fmt.Errorf("limit its %s: %w", l.name, err)
		}
	}
	return nil
}

// dropCore makes the soft core limit of this process zero. Children inherit it
// before their first instruction.
func dropCore() {
	var now syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_CORE, &now); err == nil && now.Cur > 0 {
		now.Cur = 0
		_ = syscall.Setrlimit(syscall.RLIMIT_CORE, &now) // lowering needs no privilege
	}
}

// traceable tells whether a program may be started under trace. The kernel drops
// the privilege of a set-user-id program, or one with capabilities, when an
// ordinary user traces it.
func traceable(path string) bool {
	info, err := os.Stat(path)
	if err != nil || info.Mode()&(os.ModeSetuid|os.ModeSetgid) != 0 {
		return false
	}
	n, err := unix.Getxattr(path, "security.capability", nil)
	return err != nil || n == 0
}

// passGate sets the limits of a child that was started under trace and so stopped
// at its first instruction, and lets it go. On an error the child is dead and
// reaped. It must run on the thread that started the child.
func passGate(pid int, cred *syscall.Credential, limits []rlimit) (spoiled bool, err error) {
	status, err := waitAny(pid)
	if err != nil {
		return false, err
	}
	if !status.Stopped() {
		return false, fmt.Errorf("it ended before its first instruction (%s)", signalName(status.Signal()))
	}
	if spoiled, err = setLimitsOf(cred, pid, limits); err == nil {
		if err = unix.PtraceDetach(pid); err == nil {
			return spoiled, nil
		}
	}
	return spoiled, errors.Join(err, destroy(pid))
}

// destroy kills and reaps a child that is not entered in the family.
func destroy(pid int) error {
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		return err
	}
	for {
		status, err := waitAny(pid)
		if err != nil || !status.Stopped() {
			return err
		}
	}
}

func waitAny(pid int) (status unix.WaitStatus, err error) {
	for {
		_, err = unix.Wait4(pid, &status, unix.WALL, nil)
		if !errors.Is(err, unix.EINTR) {
			return status, err
		}
	}
}

// renice adds to the niceness of the calling thread; children inherit it.
func renice(by int) error {
	tid := unix.Gettid()
	raw, err := unix.Getpriority(unix.PRIO_PROCESS, tid)
	if err != nil {
		return fmt.Errorf("read the niceness: %w", err)
	}
	now := 20 - raw // the system call answers 40 … 1 for -20 … 19
	nice := max(-20, min(19, now+by))
	if err := unix.Setpriority(unix.PRIO_PROCESS, tid, nice); err != nil {
		return fmt.Errorf("set niceness %d: %w", nice, err)
	}
	return nil
}

// reniceSession gives the session of a child its niceness where the kernel shares
// the processor among sessions first (sched_autogroup, sched(7)), so that niceness
// between them would mean nothing. Without that feature there is no such file.
func reniceSession(pid, by int) {
	_ = os.WriteFile("/proc/"+strconv.Itoa(pid)+"/autogroup", []byte(strconv.Itoa(max(-20, min(19, by)))), 0)
}

func signalName(sig syscall.Signal) string {
	if name := unix.SignalName(sig); name != "" {
		return name
	}
	return "signal " + strconv.Itoa(int(sig))
}
