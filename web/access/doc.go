// Package access knows who may use the API and the pages over TCP: tokens,
// users with passwords, client certificates, the cookie of the login page, and
// which requests are refused before anybody looks at them (foreign hosts,
// foreign origins, too many failures). It refuses to know what is asked for:
// package web compares the role that a Door finds with the one that an
// operation needs.
//
// For those who render pages:
//
//	who, known := access.Of(r.Context())   // Identity{Name, Role, Means, From}
//	who.Role.Allows(runner.RoleOperator)   // whether to show a button
//
// The login page is a plain form (method post, fields token and next) whose
// handler calls
//
//	next, err := access.Login(w, r)        // checks the token, sets the cookie
//
// and answers 303 to next, or shows the error: an *api.Problem whose Status,
// Detail and Advice are for people (401 for a wrong token, 429 with the header
// Retry-After already set). Logout is
//
//	access.Logout(w, r)                    // takes the cookie off
//
// Both know the Door of the connection from the request's context; over the
// unix socket, where nobody logs in, Login fails with a problem of its own.
// access.LoginPath and access.LogoutPath may be asked by anybody.
package access
