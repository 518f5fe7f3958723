package pages

import (
	"errors"
	"net/http"

	"github.com/ghosteam/upkeep/web/api"
)

// loginView is the page that asks for a token.
type loginView struct {
	// Next is where to go then.
	Next string
	// Name and Role are of who is known already; Elsewhere that no form proves
	// who asks.
	Name, Role string
	Elsewhere  bool
	// Wrong says why the token before did not do, Hint what can be done.
	Wrong, Hint string
	Command     string
}

func (p *Pages) registerLogin() {
	p.page("GET /login", func(v *visit) (page, error) {
		return loginPage(p.loginView(v, v.query("next")), http.StatusOK), nil
	})
	p.handle("POST /login", http.HandlerFunc(p.login))
	p.handle("POST /logout", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p.o.Logout != nil {
			p.o.Logout(w, r)
		}
		setFlash(w, r, flash{Tone: toneGood, Text: "you are logged out"})
		http.Redirect(w, r, "/login", http.StatusSeeOther)
	}))
	p.page("GET /logout", func(v *visit) (page, error) {
		return page{sheet: "logout", title: "Log out", data: p.loginView(v, "/")}, nil
	})
}

func loginPage(view loginView, status int) page {
	return page{sheet: "login", title: "Log in", status: status, data: view}
}

func (p *Pages) loginView(v *visit, next string) loginView {
	who := p.o.Who(v.ctx)
	return loginView{Next: landing(next), Name: who.Name, Role: who.Role, Elsewhere: p.o.Login == nil, Command: "upkeep token create NAME --role operator"}
}

// login takes the token of the form; a wrong one is asked for again, with what
// is wrong.
func (p *Pages) login(w http.ResponseWriter, r *http.Request) {
	v := p.visit(r)
	next, err := "", error(api.NewProblem(api.CodeSkipped, "", "nobody logs in here"))
	if p.o.Login != nil {
		next, err = p.o.Login(w, r)
	}
	if err == nil {
		http.Redirect(w, r, landing(next), http.StatusSeeOther)
		return
	}
	problem := api.ProblemOf(err)
	if problem.Code == api.CodeInternal {
		p.fail(w, v, err)
		return
	}
	view := p.loginView(v, r.PostFormValue("next"))
	view.Wrong, view.Hint = problem.Detail, problem.Hint()
	if problem.Code == api.CodeUnauthenticated {
		view.Wrong = "That token does not count here: it is mistyped, expired or was taken back."
	}
	if p, ok := errors.AsType[*api.Problem](err); ok && p.Status > 0 {
		problem.Status = p.Status
	}
	p.render(w, v, loginPage(view, problem.Status))
}
