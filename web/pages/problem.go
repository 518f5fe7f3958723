package pages

import (
	"errors"
	"log/slog"
	"net/http"

	"github.com/ghosteam/upkeep/web/api"
)

// problemView is an error as a page shows it.
type problemView struct {
	Status                       int
	Name, Headline, Detail, Hint string
	Wrong                        []api.Wrong
	IDs                          []string
	RequestID                    string
}

func isUnauthenticated(err error) bool {
	p, ok := errors.AsType[*api.Problem](err)
	return ok && p.Code == api.CodeUnauthenticated
}

// fail answers with a page that says what is wrong.
func (p *Pages) fail(w http.ResponseWriter, v *visit, err error) {
	if isUnauthenticated(err) {
		http.Redirect(w, v.Request, loginPath(v.URL.RequestURI()), http.StatusSeeOther)
		return
	}
	problem := api.ProblemOf(err)
	if errors.Is(err, errUnreadable) {
		problem = api.NewProblem(api.CodeInvalid, "go back and try again", err.Error())
	}
	id := p.o.RequestID(v.ctx)
	if problem.Code == api.CodeInternal {
		p.o.Log.LogAttrs(v.ctx, slog.LevelError, "a page failed", slog.String("path", v.URL.Path), slog.String("request_id", id), slog.Any("error", err))
	}
	p.render(w, v, page{
		sheet: "error", title: headline(problem), status: problem.Status,
		data: problemView{
			Status: problem.Status, Name: http.StatusText(problem.Status), Headline: headline(problem), Detail: problem.Detail,
			Hint: problem.Hint(), Wrong: problem.Errors, IDs: problem.IDs, RequestID: id,
		},
	})
}

// headline is what people call a problem.
func headline(p *api.Problem) string {
	switch p.Code {
	case api.CodeNotFound:
		return "There is no such thing"
	case api.CodeForbidden:
		return "You may not see or do this"
	case api.CodeAmbiguous:
		return "That fits several"
	case api.CodeUnavailable, api.CodeNoSpace:
		return "Not just now"
	default:
	}
	if p.Status < http.StatusInternalServerError {
		return "That cannot be done"
	}
	return "Something went wrong here"
}

// Missing answers a request for an address where there is nothing.
func (p *Pages) Missing(w http.ResponseWriter, r *http.Request) {
	p.fail(w, p.visit(r), api.NewProblem(api.CodeNotFound, "the menu leads to every page", "there is nothing at this address"))
}
