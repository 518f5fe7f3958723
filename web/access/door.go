package access

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

// Terms are who may do what over TCP. They come from the configuration, do not
// change, and another one takes their place when it is reloaded.
type Terms struct {
	// Anonymous is the role of those who prove nothing. With Direct it is only
	// that of those who come from this machine, and through no proxy.
	Anonymous runner.Role
	Direct    bool
	// Users are those who have a password, by name.
	Users map[string]User
	// Clients are the roles of client certificates by their common names. The
	// certificates count that Authorities has signed; nil for none.
	Clients     map[string]runner.Role
	Authorities *x509.CertPool
	// Hosts are the names that requests may be for besides those of this
	// machine; without any, a connection with TLS may be for any.
	Hosts []string
	// Proxies are the addresses that are believed about whom they forward.
	Proxies []netip.Prefix
	// Strict is for how long browsers that were here over TLS come back by TLS
	// alone; 0 says nothing about it. They take it for all ports of the name.
	Strict time.Duration
}

// User has a password.
type User struct {
	// Hash is that of the password, of bcrypt.
	Hash secret.String
	Role runner.Role
}

// Tokens finds tokens and records that they are used.
type Tokens interface {
	TokenOf(ctx context.Context, digest runner.TokenDigest) (runner.Token, error)
	UseToken(ctx context.Context, id string, at time.Time) error
}

// Options are what a Door needs.
type Options struct {
	// Terms returns those in force. It is called for every request.
	Terms  func() *Terms
	Tokens Tokens
	Log    *slog.Logger
}

// Door finds out who asks over TCP. Its methods may be called from several
// goroutines.
type Door struct {
	o         Options
	limits    *limits
	passwords *passwords
	hosts     []string // the names of this machine
	sites     http.CrossOriginProtection
	mu        sync.Mutex
	used      map[string]time.Time // when the use of a token was recorded
}

// New makes a door.
func New(o Options) *Door {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Door{o: o, limits: newLimits(), passwords: newPasswords(), hosts: ownHosts(), used: map[string]time.Time{}}
}

type doorKey struct{}

// Through adds the door of a connection to its context.
func Through(ctx context.Context, d *Door) context.Context {
	return context.WithValue(ctx, doorKey{}, d)
}

// DoorOf returns the door through which a request came; nil for the unix
// socket.
func DoorOf(ctx context.Context) *Door {
	d, _ := ctx.Value(doorKey{}).(*Door)
	return d
}

// Pass is what a Door gives to those whom it lets in.
type Pass struct {
	Identity

	still func(ctx context.Context) bool
}

// Lasting tells whether the pass may end while it is used.
func (p Pass) Lasting() bool { return p.still == nil }

// Still tells whether the pass would be given again: its token is not revoked,
// its user is still one. When nobody can tell just now, it stays.
func (p Pass) Still(ctx context.Context) bool { return p.still == nil || p.still(ctx) }

// Admit finds out who asks. Who proves nothing is anonymous, with the role that
// is theirs; who proves something wrong is refused with a problem, and so is a
// request that no browser of ours would send. It sets the headers that belong
// to a refusal.
func (d *Door) Admit(w http.ResponseWriter, r *http.Request) (Pass, *api.Problem) {
	terms := d.o.Terms()
	origin := d.originOf(terms, r)
	anonymous := Pass{Identity: Identity{Name: string(ByNothing), Role: runner.RoleNone, From: origin.text(), Means: ByNothing}}
	if terms.Anonymous.Grantable() && (!terms.Direct || origin.direct) {
		anonymous.Role = terms.Anonymous
	}
	if p := d.foreign(terms, r); p != nil {
		return anonymous, p
	}
	proof, means := proofOf(r)
	var pass Pass
	var err error
	switch means {
	case ByToken, ByCookie:
		pass, err = d.byToken(r.Context(), origin, proof, means)
	case ByPassword:
		pass, err = d.byPassword(r, terms, origin)
	default:
		if pass, err = d.byCertificate(terms, origin, r); err == nil && pass.Name == "" {
			return anonymous, nil
		}
	}
	if err == nil {
		return pass, nil
	}
	if means == ByCookie && !isLimited(err) && !errors.Is(err, runner.ErrUnavailable) {
		// The browser's token counts no more; it is asked for another where one is
		// needed.
		Logout(w, r)
		return anonymous, nil
	}
	return anonymous, d.refuse(w, r, err)
}

// errWrong reports a credential that is none of ours. It does not say what is
// wrong with it.
var errWrong = errors.New("the token, or the name and password, do not count here")

// limitedError reports too many failures.
type limitedError struct{ wait time.Duration }

func (e *limitedError) Error() string { return "too many logins failed from this address" }

func isLimited(err error) bool {
	_, limited := errors.AsType[*limitedError](err)
	return limited
}

// refuse makes the answer for a credential that does not count.
func (d *Door) refuse(w http.ResponseWriter, r *http.Request, err error) *api.Problem {
	if limited, ok := errors.AsType[*limitedError](err); ok {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(limited.wait.Seconds()))))
		return api.NewProblem(api.CodeTooMany, fmt.Sprintf("wait for %s", limited.wait.Round(time.Second)+time.Second), limited.Error())
	}
	if !errors.Is(err, errWrong) {
		d.o.Log.WarnContext(r.Context(), "nobody can tell who asks", "error", err)
		return api.NewProblem(api.CodeUnavailable, "try again soon", "the ledger could not be asked for the token")
	}
	d.Challenge(w, r)
	return api.NewProblem(api.CodeUnauthenticated, "`upkeep token list` tells which tokens count; an admin makes one with `upkeep token create`", errWrong.Error())
}

// Challenge says in the headers of an answer how to prove who asks. Browsers
// are not asked for a password by themselves: that dialog cannot be styled,
// explained or left.
func (d *Door) Challenge(w http.ResponseWriter, r *http.Request) {
	w.Header().Add("WWW-Authenticate", `Bearer realm="upkeep"`)
	if len(d.o.Terms().Users) > 0 && r.Header.Get("Sec-Fetch-Mode") == "" {
		w.Header().Add("WWW-Authenticate", `Basic realm="upkeep", charset="UTF-8"`)
	}
}

// proofOf returns what a request proves itself by. A header counts more than a
// cookie, because a program sets it on purpose.
func proofOf(r *http.Request) (proof string, means Means) {
	if header := r.Header.Get("Authorization"); header != "" {
		scheme, rest, _ := strings.Cut(header, " ")
		if strings.EqualFold(scheme, "basic") {
			return "", ByPassword
		}
		if !strings.EqualFold(scheme, "bearer") {
			rest = ""
		}
		return strings.TrimSpace(rest), ByToken
	}
	if cookie, err := r.Cookie(CookieName); err == nil && cookie.Value != "" {
		return cookie.Value, ByCookie
	}
	return "", ByNothing
}

// byToken lets a token in.
func (d *Door) byToken(ctx context.Context, from origin, text string, means Means) (Pass, error) {
	digest, whole := DigestOf(text)
	// A token that was just let in is looked up however many others failed, so
	// that nobody locks out those who are at work.
	if wait := d.limits.wait(from.bucket(), time.Now()); wait > 0 && (!whole || !d.limits.knows(digest)) {
		return Pass{}, &limitedError{wait}
	}
	wrong := func() (Pass, error) {
		d.limits.failed(from.bucket(), time.Now())
		return Pass{}, errWrong
	}
	if !whole {
		return wrong()
	}
	token, err := d.o.Tokens.TokenOf(ctx, digest)
	switch {
	case errors.Is(err, runner.ErrNotFound):
		return wrong()
	case err != nil:
		return Pass{}, fmt.Errorf("%w: look up the token: %w", runner.ErrUnavailable, err)
	case !token.Valid(time.Now()):
		// Nobody guesses a token that was once ours; only its use is over.
		return Pass{}, errWrong
	}
	d.limits.know(digest)
	d.use(ctx, token)
	return Pass{
		Identity: Identity{Name: token.Name, Role: token.Role, From: from.text(), Means: means},
		still: func(ctx context.Context) bool {
			token, err := d.o.Tokens.TokenOf(ctx, digest)
			return err == nil && token.Valid(time.Now()) || err != nil && !errors.Is(err, runner.ErrNotFound)
		},
	}, nil
}

// Holder is whose a token is, and what they may do; for the record.
func (d *Door) Holder(ctx context.Context, text string) (string, runner.Role) {
	digest, whole := DigestOf(text)
	if !whole {
		return "", runner.RoleNone
	}
	token, err := d.o.Tokens.TokenOf(ctx, digest)
	if err != nil {
		return "", runner.RoleNone
	}
	return token.Name, token.Role
}

// recordUse is how often the use of a token is recorded at most.
const recordUse = time.Hour

// use records that a token is used; that it could not is only logged.
func (d *Door) use(ctx context.Context, token runner.Token) {
	now := time.Now()
	d.mu.Lock()
	fresh := now.Sub(token.UsedAt) < recordUse || now.Sub(d.used[token.ID]) < recordUse
	if !fresh {
		for id, at := range d.used {
			if now.Sub(at) >= recordUse {
				delete(d.used, id)
			}
		}
		d.used[token.ID] = now
	}
	d.mu.Unlock()
	if fresh {
		return
	}
	if err := d.o.Tokens.UseToken(context.WithoutCancel(ctx), token.ID, now); err != nil {
		d.o.Log.WarnContext(ctx, "record the use of a token", "token", token.Name, "error", err)
	}
}

// byCertificate lets a client certificate in; the pass has no name when there
// is none with a role.
func (d *Door) byCertificate(terms *Terms, from origin, r *http.Request) (Pass, error) {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 || terms.Authorities == nil {
		return Pass{}, nil
	}
	leaf := r.TLS.PeerCertificates[0]
	role, known := terms.Clients[leaf.Subject.CommonName]
	// The handshake verified it, perhaps long ago and by other authorities.
	if !known || !vouched(terms, r.TLS.PeerCertificates) {
		return Pass{}, nil
	}
	certificates := r.TLS.PeerCertificates
	return Pass{
		Identity: Identity{Name: leaf.Subject.CommonName, Role: role, From: from.text(), Means: ByCertificate},
		still: func(context.Context) bool {
			now := d.o.Terms()
			return now.Clients[leaf.Subject.CommonName] == role && vouched(now, certificates)
		},
	}, nil
}

// vouched tells whether the authorities have signed a certificate, and it
// counts now.
func vouched(terms *Terms, chain []*x509.Certificate) bool {
	if terms.Authorities == nil {
		return false
	}
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots: terms.Authorities, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	return err == nil
}
