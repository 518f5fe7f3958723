package web

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/ghosteam/upkeep/storage/object"
	"github.com/ghosteam/upkeep/web/api"
)

// Inventory is what is known of the stores just now.
type Inventory struct {
	// Backups are the artifacts, newest first.
	Backups    []api.Backup
	Stores     []api.StoreState
	Retentions []api.RetentionState
}

// Artifacts knows what the stores hold. Its methods may be called from several
// goroutines; they answer from what was read before, and wait only for a store
// that was never read.
type Artifacts interface {
	// Inventory returns what is known, and has what is old read anew in the
	// background. What it returns is not changed by anybody.
	Inventory(ctx context.Context) (Inventory, error)
	// Artifact returns one artifact. CodeNotFound without it.
	Artifact(ctx context.Context, id string) (api.BackupDetail, error)
}

// noArtifacts answers for a process that reads no stores.
type noArtifacts struct{}

func errNoArtifacts() error {
	return api.NewProblem(api.CodeUnavailable, "`upkeep backup list` reads the stores itself; or start `upkeep serve`", "this process reads no stores: it is no service")
}

// Inventory refuses.
func (noArtifacts) Inventory(context.Context) (Inventory, error) {
	return Inventory{}, errNoArtifacts()
}

// Artifact refuses.
func (noArtifacts) Artifact(context.Context, string) (api.BackupDetail, error) {
	return api.BackupDetail{}, errNoArtifacts()
}

// registerArtifacts adds what the stores hold.
func (s *Server) registerArtifacts() {
	const tag = "artifacts"
	add(s, operation{
		id: "list-artifacts", method: http.MethodGet, path: "/artifacts", tag: tag, summary: "List the artifacts in the stores, newest first",
		doc: "From what was last read of each store, which as_of says; a store that was read some minutes ago, or into which a run has put something since, is read anew in the background.",
	}, s.listArtifacts)
	add(s, operation{
		id: "get-artifact", method: http.MethodGet, path: "/artifacts/{id}", tag: tag, summary: "Get one artifact: what it consists of, its copies, and how to restore it",
	}, s.getArtifact)
}

type listArtifacts struct {
	Workflow  string    `query:"workflow" maxLength:"255" doc:"only artifacts of this workflow"`
	Job       string    `query:"job" maxLength:"255" doc:"only artifacts of this job"`
	Store     string    `query:"store" maxLength:"255" doc:"only artifacts in this store"`
	Kind      []string  `query:"kind" maxItems:"50" doc:"only artifacts of these kinds, with commas between"`
	Level     string    `query:"level" enum:"L0,L1,L2,L3,L4" doc:"only artifacts that were proven at least so far"`
	Retention string    `query:"retention" enum:"keep,remove" doc:"only artifacts with which retention does that"`
	Wrong     bool      `query:"wrong" doc:"only artifacts that are damaged, suspect or unproven"`
	Since     time.Time `query:"since" doc:"only artifacts made at this instant or later"`
	Until     time.Time `query:"until" doc:"only artifacts made before this instant"`
	Before    string    `query:"before" maxLength:"64" doc:"continue a list: only artifacts after the one with this ID"`
	Limit     int       `query:"limit" minimum:"1" maximum:"1000" default:"50"`
}

// fits tells whether an artifact is asked for.
func (l *listArtifacts) fits(b api.Backup) bool {
	switch {
	case l.Workflow != "" && b.Workflow != l.Workflow, l.Job != "" && b.Job != l.Job, l.Store != "" && b.Store != l.Store:
		return false
	case len(l.Kind) > 0 && !slices.Contains(l.Kind, b.Kind), l.Retention != "" && b.Retention != l.Retention:
		return false
	case l.Level != "" && b.Level.Rank() < object.Level(l.Level).Rank():
		return false
	case l.Wrong && b.Damage == "" && b.Suspect == "" && b.Level != "":
		return false
	}
	return (l.Since.IsZero() || !b.Created.Before(l.Since)) && (l.Until.IsZero() || b.Created.Before(l.Until))
}

func (s *Server) listArtifacts(ctx context.Context, in *listArtifacts) (*reply[api.Backups], error) {
	if in.Before != "" {
		if _, err := object.IDTime(in.Before); err != nil {
			return nil, api.NewProblem(api.CodeInvalid, "give the next of the page before", "before is not the ID of an artifact")
		}
	}
	known, err := s.o.Artifacts.Inventory(ctx)
	if err != nil {
		return nil, err
	}
	page := api.Backups{Artifacts: []api.Backup{}, Stores: known.Stores, Retentions: known.Retentions}
	passed := in.Before == ""
	for _, b := range known.Backups {
		if !in.fits(b) {
			continue
		}
		page.Total, page.Bytes = page.Total+1, page.Bytes+b.Bytes
		switch {
		case !passed:
			passed = b.ID == in.Before
		case len(page.Artifacts) < in.Limit:
			page.Artifacts = append(page.Artifacts, b)
		default:
			page.Next = page.Artifacts[in.Limit-1].ID
		}
	}
	if page.Stores == nil {
		page.Stores = []api.StoreState{}
	}
	if page.Retentions == nil {
		page.Retentions = []api.RetentionState{}
	}
	return ok(page)
}

// ByArtifact names an artifact in an address.
type ByArtifact struct {
	ID string `path:"id" maxLength:"64" doc:"an artifact's ID"`
}

func (s *Server) getArtifact(ctx context.Context, in *ByArtifact) (*reply[api.BackupDetail], error) {
	detail, err := s.o.Artifacts.Artifact(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return ok(detail.Filled())
}
