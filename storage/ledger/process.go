package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// processOf identifies a process beyond its number, which the system gives out
// again: the boot, the PID namespace and the start time in clock ticks since
// the boot (proc(5)). It is empty where /proc does not tell.
func processOf(pid int) string {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	namespace, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return ""
	}
	start, _ := startOf(pid)
	if start == "" {
		return ""
	}
	return fmt.Sprintf("%s/%s/%s", bytes.TrimSpace(boot), namespace, start)
}

// startOf returns the start time and the state letter of a process.
func startOf(pid int) (start, state string) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", ""
	}
	// The name in parentheses may contain spaces and parentheses.
	_, rest, found := strings.Cut(string(text[max(0, bytes.LastIndexByte(text, ')')):]), ")")
	fields := strings.Fields(rest)
	if !found || len(fields) < 20 {
		return "", ""
	}
	return fields[19], fields[0]
}

// provablyDead tells whether the process that recorded itself as (host, pid,
// process) is certainly gone. Where this machine cannot know, it is not. local
// says that only processes of this machine can have recorded themselves.
func provablyDead(host string, pid int, process string, local bool) bool {
	there, mine := strings.Split(process, "/"), strings.Split(processOf(os.Getpid()), "/")
	switch {
	case len(there) != 3 || len(mine) != 3:
		// Without more than its number, only a local process can be found.
		if here, err := os.Hostname(); err != nil || here != host || !local {
			return false
		}
	case there[0] != mine[0]:
		// This machine before its last start, or another one of any name.
		return local
	case there[1] != mine[1]:
		return false // its number means nothing in our namespace
	}
	if errors.Is(unix.Kill(pid, 0), unix.ESRCH) {
		return true
	}
	start, state := startOf(pid)
	if start == "" || len(there) != 3 {
		return false
	}
	return start != there[2] || state == "Z" || state == "X"
}
