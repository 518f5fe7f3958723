package answer

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/child"
)

// Limits are resource limits of a program as options; zero leaves what upkeep
// itself has.
type Limits struct {
	CPU       unit.Duration `yaml:"cpu" doc:"Processor time." example:"10m"`
	Memory    unit.Size     `yaml:"memory" doc:"Address space." example:"2GiB"`
	Files     uint64        `yaml:"files" doc:"Open files." example:"1024"`
	FileSize  unit.Size     `yaml:"file_size" doc:"The size of any file it writes." example:"10GiB"`
	Processes uint64        `yaml:"processes" doc:"Processes of the user; it does not bind root." example:"200"`
	Core      unit.Size     `yaml:"core" doc:"Size of a core file; none by default, because it would hold secrets."`
}

// Child is l for a child process.
func (l Limits) Child() child.Limits {
	return child.Limits{
		CPU: l.CPU.Std(), Memory: uint64(l.Memory), Files: l.Files,
		FileSize: uint64(l.FileSize), Processes: l.Processes, Core: uint64(l.Core),
	}
}

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// ValidateEnv finds what cannot be in the environment of a program, in the
// option `env`.
func ValidateEnv(env map[string]secret.String) []error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(env)) {
		switch {
		case !envName.MatchString(name):
			errs = append(errs, jobs.Fieldf("env."+name, "%q is not the name of a variable", name))
		case strings.HasPrefix(name, "UPKEEP_"):
			errs = append(errs, jobs.Fieldf("env."+name, "names that start with UPKEEP_ belong to upkeep"))
		case strings.IndexByte(env[name].Reveal(), 0) >= 0:
			errs = append(errs, jobs.Fieldf("env."+name, "the value contains a NUL byte"))
		}
	}
	return errs
}

// Variables is env as entries KEY=VALUE, sorted.
func Variables(env map[string]secret.String) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(env)) {
		out = append(out, name+"="+env[name].Reveal())
	}
	return out
}
