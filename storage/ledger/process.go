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
// process) is certainly gone. Where this machine cannot know, it is not.
func provablyDead(host string, pid int, process string) bool {
	here, err := os.Hostname()
	if err != nil || here != host {
		return false
	}
	there := strings.Split(process, "/")
	mine := strings.Split(processOf(os.Getpid()), "/")
	if len(there) == len(mine) && len(mine) == 3 {
		if there[0] != mine[0] {
			return true // the machine has been started again since
		}
		if there[1] != mine[1] {
			return false // its number means nothing in our namespace
		}
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
