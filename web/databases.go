package web

import (
	"context"
	"net/http"

	"github.com/ghosteam/upkeep/web/api"
)

// Databases asks the databases of the configuration. Its method may be called
// from several goroutines.
type Databases interface {
	// Explain asks one how it means to run a statement: with the rights of the
	// service, in a transaction that can only read, and no longer than the
	// request says. CodeNotFound for an unknown database, CodeFailed for what
	// the database has to say, without a secret.
	Explain(ctx context.Context, name string, r api.ExplainRequest) (api.StatementPlan, error)
}

// registerDatabases adds what is asked of databases.
func (s *Server) registerDatabases() {
	add(s, operation{
		id: "explain-statement", method: http.MethodPost, path: "/databases/{name}/explain", tag: "databases", summary: "Ask a database how it means to run a statement",
		doc: "With the rights that the service has there. The statement is not run, unless analyze says so: then in a transaction that can only read and is rolled back, so that a statement that changes rows is refused. With save the plan is kept beside the ledger of the service, with diff the answer says what changed since.",
	}, s.explainStatement)
}

type explainStatement struct {
	Via

	Name string `path:"name" maxLength:"255" doc:"the configured name of the database"`
	Body api.ExplainRequest
}

func (s *Server) explainStatement(ctx context.Context, in *explainStatement) (*reply[api.StatementPlan], error) {
	plan, err := s.o.Databases.Explain(ctx, in.Name, in.Body)
	if err != nil {
		return nil, err
	}
	return ok(plan)
}
