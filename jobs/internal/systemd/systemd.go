// Package systemd knows which unit of systemd a process belongs to, and how a
// program outlives the unit that starts it. It speaks with nobody: it reads
// /proc and builds command lines.
package systemd

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// Running tells whether systemd runs this system, as sd_booted(3) does.
func Running() bool {
	_, err := os.Stat("/run/systemd/system")
	return err == nil
}

// OwnUnit returns the unit in whose cgroup this process is, or "" when it is in
// none.
func OwnUnit() (string, error) {
	cgroup, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", fmt.Errorf("find out which service this is: %w", err)
	}
	return UnitOf(string(cgroup)), nil
}

// UnitOf reads a cgroup file of /proc and returns the innermost service or scope
// in it, or "". Only the unified hierarchy and that named systemd count; cgroups
// below a unit belong to it.
func UnitOf(cgroup string) string {
	for line := range strings.Lines(cgroup) {
		_, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		controllers, path, ok := strings.Cut(rest, ":")
		if !ok || controllers != "" && controllers != "name=systemd" {
			continue
		}
		for _, part := range slices.Backward(strings.Split(path, "/")) {
			if strings.HasSuffix(part, ".service") || strings.HasSuffix(part, ".scope") {
				return part
			}
		}
	}
	return ""
}

// Outliving returns argv so that the stop of the service in which this process
// runs does not end it: systemd ends everything that is left in its cgroup,
// unless it has a scope of its own, which only root may ask for
// (systemd-run(1)). Elsewhere argv stays as it is.
func Outliving(argv []string) ([]string, error) {
	unit, err := OwnUnit()
	if err != nil {
		return nil, err
	}
	if !strings.HasSuffix(unit, ".service") || os.Geteuid() != 0 || !Running() {
		return argv, nil
	}
	return slices.Concat([]string{"systemd-run", "--scope", "--quiet", "--collect", "--"}, argv), nil
}
