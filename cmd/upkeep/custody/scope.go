package custody

import (
	"slices"
	"strings"

	"github.com/ghosteam/upkeep/configs"
	jobsall "github.com/ghosteam/upkeep/jobs/all"
	"github.com/ghosteam/upkeep/storage/object"
)

// Scope says which artifacts are meant; an empty field means all.
type Scope struct {
	Workflow, Job string
	Store         string
	// Bare leaves out what kinds say of their artifacts, which can be long;
	// such artifacts are not for reading what is in them.
	Bare bool
}

// ScopeOf reads WORKFLOW[.JOB].
func ScopeOf(text, store string) Scope {
	s := Scope{Store: store}
	s.Workflow, s.Job, _ = strings.Cut(text, ".")
	return s
}

// prefix is how the keys begin of what the scope names.
func (s Scope) prefix() string {
	switch {
	case s.Workflow == "":
		return ""
	case s.Job == "":
		return s.Workflow + "/"
	}
	return object.Folder(s.Workflow, s.Job)
}

// stores returns the configured stores that the scope names.
func (s Scope) stores(cfg *configs.Config) ([]string, error) {
	var names []string
	for _, store := range cfg.Stores {
		names = append(names, store.Name)
	}
	switch {
	case s.Store == "":
		return names, nil
	case !slices.Contains(names, s.Store):
		return nil, notFound("the configuration has "+strings.Join(names, ", "), "there is no store %q", s.Store)
	}
	return []string{s.Store}, nil
}

// Nothing says why there are no artifacts in a scope.
func (s Scope) Nothing(cfg *configs.Config) string {
	const none = "there are no artifacts"
	if len(cfg.Stores) == 0 {
		return "no stores are configured"
	}
	if s.Workflow == "" {
		return none
	}
	var err error
	if s.Job == "" {
		_, err = cfg.Workflow(s.Workflow)
	} else {
		_, err = cfg.Job(s.Workflow, s.Job)
	}
	if err != nil {
		return none + ", and " + err.Error()
	}
	return none
}

// Maker is a configured job that makes artifacts.
type Maker struct {
	Workflow *configs.Workflow
	Job      configs.Job
}

// Name is WORKFLOW.JOB.
func (m Maker) Name() string { return m.Workflow.Name + "." + m.Job.Name }

// Makers returns the configured jobs in the scope whose kind makes artifacts.
func Makers(cfg *configs.Config, s Scope) []Maker {
	kinds := jobsall.Kinds()
	var out []Maker
	for _, w := range cfg.Workflows {
		for _, j := range w.Jobs {
			kind, ok := kinds.Lookup(j.Kind)
			if ok && kind.Artifacts != nil && (s.Workflow == "" || s.Workflow == w.Name) && (s.Job == "" || s.Job == j.Name) {
				out = append(out, Maker{Workflow: w, Job: j})
			}
		}
	}
	return out
}
