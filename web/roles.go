package web

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/ghosteam/upkeep/web/access"
	"github.com/ghosteam/upkeep/web/api"
)

// roleOf is what an operation needs. Reading needs a viewer; whatever else is
// not named here needs an admin, so that a new operation is closed before
// somebody decides otherwise.
func roleOf(id, method string) Role {
	switch id {
	case "start-run", "cancel-run", "retry-run", "approve-run",
		"pause-workflow", "unpause-workflow",
		"ack-incident", "note-incident", "began-incident", "resolve-incident", "add-silence", "end-silence",
		"retry-notice", "drop-notice", "test-channel",
		"send-alert", "add-event", "add-samples",
		"verify-artifacts":
		return Operator
	case "list-tokens", "list-actions":
		return Admin
	}
	if method == http.MethodGet {
		return Viewer
	}
	return Admin
}

// Who may use an address that is no operation of the API: the plain ones by
// name, a page to look at by a viewer, what a page's form does by an operator.
// The pages ask the API in the name of who asks them, so the API decides about
// each action again.
func plainRole(pattern, method string) Role {
	_, path, _ := strings.Cut(pattern, " ")
	switch {
	case slices.Contains([]string{"/livez", "/readyz", "/health", "/status", "/badge/{file}", access.LoginPath, access.LogoutPath}, path),
		strings.HasPrefix(path, StaticPrefix):
		return None
	case strings.Contains(path, "/ping/{slug}"):
		return None // mayPing decides
	case method == http.MethodGet, method == http.MethodHead:
		return Viewer
	}
	return Operator
}

// StaticPrefix is where the files of the pages begin; anybody may have them.
const StaticPrefix = "/static/"

// needed is the role that a request to a pattern of the mux needs. What fits no
// pattern tells a viewer so, and others nothing.
func (s *Server) needed(pattern, method string) Role {
	if role, known := s.roles[pattern]; known {
		return role
	}
	if pattern == "" {
		return Viewer
	}
	return plainRole(pattern, method)
}

// authorize answers itself and returns false when who asks may not.
func (s *Server) authorize(ctx context.Context, w http.ResponseWriter, r *http.Request, needed Role) bool {
	who, known := access.Of(ctx)
	if needed == None || known && who.Role.Allows(needed) {
		return true
	}
	door := access.DoorOf(ctx)
	switch {
	case door == nil && !known:
		writeProblem(ctx, w, api.NewProblem(api.CodeUnauthenticated, "", "nobody can tell who asks"))
	case door == nil && !who.Role.Allows(Viewer):
		writeProblem(ctx, w, api.NewProblem(api.CodeForbidden, "ask as root or as the user of the daemon", "user "+who.Name+" may not use this socket"))
	case who.Anonymous() && browses(r):
		http.Redirect(w, r, access.LoginPath+"?next="+url.QueryEscape(r.URL.RequestURI()), http.StatusSeeOther)
	case who.Anonymous():
		door.Challenge(w, r)
		writeProblem(ctx, w, api.NewProblem(api.CodeUnauthenticated, "send a token: Authorization: Bearer upk_…; an admin makes one with `upkeep token create`",
			fmt.Sprintf("this needs the role %s, and nobody can tell who asks", needed)))
	default:
		writeProblem(ctx, w, api.NewProblem(api.CodeForbidden, "ask an admin for a token with that role", fmt.Sprintf("this needs the role %s; %s is %s", needed, who.Name, who.Role)))
	}
	return false
}

// browses tells whether a person looks at a page, rather than a program at the
// API.
func browses(r *http.Request) bool {
	return (r.Method == http.MethodGet || r.Method == http.MethodHead) && !strings.HasPrefix(r.URL.Path, Prefix+"/") &&
		accepts(r.Header.Values("Accept"), "text/html")
}
