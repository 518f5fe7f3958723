package script

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/child"
)

// outliving is the program as a command that survives the stop of the service
// in which upkeep runs: systemd ends everything that is left in its cgroup,
// unless it has a scope of its own (systemd-run(1)).
func (p *restart) outliving(env *jobs.Env) (child.Command, error) {
	cmd := p.command(env)
	cmd.Survives = true
	cgroup, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return cmd, fmt.Errorf("find out which service this is: %w", err)
	}
	if !inService(string(cgroup)) || os.Geteuid() != 0 {
		return cmd, nil
	}
	if _, err := os.Stat("/run/systemd/system"); err != nil {
		return cmd, nil // systemd does not run here, somebody else made the cgroup
	}
	var a *child.Account
	if p.options.User != "" {
		account, err := p.account()
		if err != nil {
			return cmd, err
		}
		a, cmd.User = &account, ""
	}
	cmd.Argv = inScope(cmd.Argv, a)
	return cmd, nil
}

// inScope makes systemd-run give argv a scope, and drop to account, which only
// root may ask for a scope.
func inScope(argv []string, account *child.Account) []string {
	out := []string{"systemd-run", "--scope", "--quiet", "--collect"}
	if account != nil {
		out = append(out, fmt.Sprintf("--uid=%d", account.UID), fmt.Sprintf("--gid=%d", account.GID))
	}
	return slices.Concat(out, []string{"--"}, argv)
}

// inService tells from /proc/self/cgroup whether a service of systemd holds
// this process.
func inService(cgroup string) bool {
	for line := range strings.Lines(cgroup) {
		if _, path, ok := strings.Cut(strings.TrimSpace(line), "::"); ok {
			return strings.Contains(path+"/", ".service/")
		}
	}
	return false
}
