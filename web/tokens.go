package web

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/access"
	"github.com/ghosteam/upkeep/web/api"
)

// registerAccess adds who may use the API, and who did what.
func (s *Server) registerAccess() {
	const tag = "access"
	add(s, operation{id: "get-caller", method: http.MethodGet, path: "/caller", tag: tag, summary: "Tell who asks, and what they may do"}, s.getCaller)
	add(s, operation{id: "list-tokens", method: http.MethodGet, path: "/tokens", tag: tag, summary: "List the tokens, those in use first"}, s.listTokens)
	add(s, operation{
		id: "create-token", method: http.MethodPost, path: "/tokens", tag: tag, status: http.StatusCreated, summary: "Make a token",
		doc: "Its text is told this once; what is kept of it is a hash.",
	}, s.createToken)
	add(s, operation{
		id: "revoke-token", method: http.MethodDelete, path: "/tokens/{token}", tag: tag, summary: "Take a token back",
		doc: "It counts no more from then on; streams that it opened end within seconds.",
	}, s.revokeToken)
	add(s, operation{
		id: "list-actions", method: http.MethodGet, path: "/audit", tag: tag, summary: "List who did what, newest first",
		doc: "Everything that was asked for but to read, also what was refused. Values that were measured, and pings of heartbeats, are not listed: they are records themselves.",
	}, s.listActions)
}

func (s *Server) getCaller(ctx context.Context, _ *struct{}) (*reply[api.Caller], error) {
	who, _ := access.Of(ctx)
	return ok(api.Caller{Name: who.Name, Role: who.Role, Means: string(who.Means), From: who.From})
}

// tokens is where the tokens are kept.
func (s *Server) tokens() (runner.Tokens, error) {
	if s.o.Tokens == nil {
		return nil, api.NewProblem(api.CodeUnavailable, "", "this process keeps no tokens")
	}
	return s.o.Tokens, nil
}

func (s *Server) listTokens(ctx context.Context, _ *struct{}) (*reply[api.Tokens], error) {
	tokens, err := s.tokens()
	if err != nil {
		return nil, err
	}
	list, err := tokens.Tokens(ctx)
	if err != nil {
		return nil, err
	}
	return ok(api.NewTokens(list, time.Now()))
}

type createToken struct {
	Via

	Body api.TokenRequest
}

func (s *Server) createToken(ctx context.Context, in *createToken) (*reply[api.TokenMade], error) {
	tokens, err := s.tokens()
	if err != nil {
		return nil, err
	}
	made, err := MakeToken(ctx, tokens, in.Body, askedBy(ctx))
	if err != nil {
		return nil, err
	}
	return ok(made)
}

// MakeToken makes a token for somebody. Its errors are those that api.ProblemOf
// can place.
func MakeToken(ctx context.Context, tokens runner.Tokens, r api.TokenRequest, by string) (api.TokenMade, error) {
	now := time.Now()
	t := runner.Token{Name: r.Name, Role: r.Role, By: by, CreatedAt: now.UTC()}
	if r.ExpiresAt != nil {
		if t.ExpiresAt = r.ExpiresAt.UTC(); !t.ExpiresAt.After(now) {
			return api.TokenMade{}, api.NewProblem(api.CodeInvalid, "name an instant in the future", "the token would have expired already")
		}
	}
	if !jobs.ValidName(t.Name) {
		return api.TokenMade{}, api.NewProblem(api.CodeInvalid, "use one word of a-z, 0-9, _, . and -", "the name of the token is no word")
	}
	if !t.Role.Grantable() {
		return api.TokenMade{}, api.NewProblem(api.CodeInvalid, "use viewer, operator or admin", "the role of the token is none")
	}
	text, digest, err := access.NewToken()
	if err != nil {
		return api.TokenMade{}, err
	}
	t, err = tokens.AddToken(ctx, t, digest)
	if errors.Is(err, runner.ErrTokenExists) {
		return api.TokenMade{}, api.NewProblem(api.CodeSkipped, "revoke that one first, or choose another name", "a token named "+r.Name+" is in use")
	}
	if err != nil {
		return api.TokenMade{}, err
	}
	return api.TokenMade{Token: api.NewToken(t, now), Text: text.Reveal()}, nil
}

type revokeToken struct {
	Via

	Token string `path:"token" maxLength:"64" doc:"the name of a token in use, or its ID"`
}

func (s *Server) revokeToken(ctx context.Context, in *revokeToken) (*reply[api.Token], error) {
	tokens, err := s.tokens()
	if err != nil {
		return nil, err
	}
	t, err := tokens.RevokeToken(ctx, in.Token, askedBy(ctx))
	if err != nil {
		return nil, err
	}
	return ok(api.NewToken(t, time.Now()))
}

type listActions struct {
	Who    string    `query:"who" maxLength:"255" doc:"only what this name did"`
	What   string    `query:"what" maxLength:"64" doc:"only this operation, such as cancel-run"`
	End    string    `query:"end" enum:"done,refused,failed" doc:"only actions that ended so"`
	Since  time.Time `query:"since" doc:"only actions from then on"`
	Until  time.Time `query:"until" doc:"only actions before then"`
	Before string    `query:"before" maxLength:"64" doc:"continue a list: only actions before the one with this ID"`
	Limit  int       `query:"limit" minimum:"1" maximum:"1000" default:"50"`
}

func (s *Server) listActions(ctx context.Context, in *listActions) (*reply[api.Actions], error) {
	if s.o.Audit == nil {
		return nil, api.NewProblem(api.CodeUnavailable, "", "this process keeps no audit")
	}
	list, err := s.o.Audit.Actions(ctx, runner.ActionFilter{
		Who: in.Who, What: in.What, End: runner.ActionEnd(in.End), Since: in.Since, Until: in.Until, Before: in.Before, Limit: in.Limit,
	})
	if err != nil {
		return nil, err
	}
	page := api.Actions{Actions: make([]api.Action, len(list))}
	for i, a := range list {
		page.Actions[i] = api.NewAction(a)
	}
	if len(list) == in.Limit {
		page.Next = list[len(list)-1].ID
	}
	return ok(page)
}
