package access

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/web/api"
)

// LoginPath and LogoutPath are the addresses of the pages that set and take off
// the cookie.
const (
	LoginPath  = "/login"
	LogoutPath = "/logout"
)

// CookieName is that of the cookie whose value is the token itself, so that
// revoking it works at once, and a restart logs nobody out.
const CookieName = "upkeep_token"

// cookieFor is how long a browser keeps the cookie.
const cookieFor = 30 * 24 * time.Hour

// Login checks the token that a form sent as token, sets the cookie, and
// returns the address within upkeep that the form named as next, or the first
// page. The error is an *api.Problem for people.
func Login(w http.ResponseWriter, r *http.Request) (next string, err error) {
	d := DoorOf(r.Context())
	if d == nil {
		return "", api.NewProblem(api.CodeSkipped, "", "nobody logs in over the unix socket: the kernel says who asks")
	}
	if err := r.ParseForm(); err != nil {
		return "", api.NewProblem(api.CodeInvalid, "", "the form makes no sense")
	}
	token := strings.TrimSpace(r.PostForm.Get("token"))
	if _, err := d.byToken(r.Context(), d.originOf(d.o.Terms(), r), token, ByCookie); err != nil {
		return "", d.refuse(w, r, err)
	}
	setCookie(w, d.Secure(r), token, cookieFor)
	return Within(r.PostForm.Get("next")), nil
}

// Logout takes the cookie off. The token itself goes on to count.
func Logout(w http.ResponseWriter, r *http.Request) {
	d := DoorOf(r.Context())
	setCookie(w, d != nil && d.Secure(r), "", -time.Second)
}

func setCookie(w http.ResponseWriter, secure bool, value string, lasts time.Duration) {
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // without TLS a browser would not send a cookie that is Secure
		Name: CookieName, Value: value, Path: "/", MaxAge: int(lasts.Seconds()),
		HttpOnly: true, Secure: secure, SameSite: http.SameSiteStrictMode,
	})
}

// Within returns the address when it is one within upkeep, and otherwise that
// of the first page: a login page that sent people elsewhere would lend its
// name to anybody.
func Within(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.IsAbs() || u.Host != "" || u.User != nil || !strings.HasPrefix(next, "/") ||
		strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\\r\n\t") || u.Path == LoginPath || u.Path == LogoutPath {
		return "/"
	}
	return u.RequestURI()
}
