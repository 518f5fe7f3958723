package access

import (
	"cmp"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/ghosteam/upkeep/web/api"
)

// origin is where a request came from.
type origin struct {
	addr netip.Addr
	// direct tells that it came from this machine and nobody forwarded it;
	// secure that whoever asks did so over TLS.
	direct, secure bool
}

func (o origin) text() string {
	if !o.addr.IsValid() {
		return "unknown"
	}
	return o.addr.String()
}

// subscriber is the length of the prefix that one customer of a provider has at
// least (RFC 6177), over whose addresses they may choose freely.
const subscriber = 64

// bucket is what the failures are counted by: the address, or the network that
// one subscriber has.
func (o origin) bucket() netip.Addr {
	if !o.addr.Is6() {
		return o.addr
	}
	network, err := o.addr.Prefix(subscriber)
	if err != nil {
		return o.addr
	}
	return network.Addr()
}

// forwarded tells whether a proxy says that it forwards the request.
func forwarded(header http.Header) bool {
	names := []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip", "Via"}
	return slices.ContainsFunc(names, func(name string) bool { return len(header.Values(name)) > 0 })
}

// originOf finds out where a request came from. Proxies are believed only when
// the terms name them; of a list of addresses the last one counts that is not
// itself such a proxy, for those before it anybody may have written.
func (d *Door) originOf(terms *Terms, r *http.Request) origin {
	o := origin{addr: peerOf(r), secure: r.TLS != nil}
	o.direct = o.addr.IsLoopback() && !forwarded(r.Header)
	if !believed(terms, o.addr) {
		return o
	}
	if proto := r.Header.Values("X-Forwarded-Proto"); len(proto) > 0 {
		last := proto[len(proto)-1]
		o.secure = strings.EqualFold(strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:]), "https")
	}
	for _, text := range slices.Backward(strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")) {
		addr, err := netip.ParseAddr(strings.TrimSpace(text))
		if err != nil {
			return o
		}
		if o.addr = addr.Unmap(); !believed(terms, o.addr) {
			return o
		}
	}
	return o
}

func believed(terms *Terms, addr netip.Addr) bool {
	return slices.ContainsFunc(terms.Proxies, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// peerOf is who is at the other end of the connection.
func peerOf(r *http.Request) netip.Addr {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr().Unmap().WithZone("")
}

// Secure tells whether whoever asks does so over TLS, perhaps up to a proxy
// that the terms believe.
func (d *Door) Secure(r *http.Request) bool { return d.originOf(d.o.Terms(), r).secure }

// ownHosts are the names of this machine.
func ownHosts() []string {
	names := []string{"localhost"}
	if host, err := os.Hostname(); err == nil {
		names = append(names, strings.ToLower(host))
	}
	return names
}

// foreign refuses requests that a page of somebody else has sent. Names that
// are not ours may be made to mean our address by whoever owns them, and then
// a browser takes their pages and ours for one site (DNS rebinding); an
// address itself cannot be.
func (d *Door) foreign(terms *Terms, r *http.Request) *api.Problem {
	if host := hostOf(r); !d.ours(terms, host, r.TLS != nil) {
		return api.NewProblem(api.CodeForbidden, "add it to hosts: below web: in the configuration, if it is a name of this machine", "the request is for the host "+quoted(host)+", which is not ours")
	}
	check := r
	if strings.Contains(r.URL.Path, "/ping/") && r.Method == http.MethodGet {
		// A ping changes something whatever the method.
		check = r.Clone(r.Context())
		check.Method = http.MethodPost
	}
	if err := d.sites.Check(check); err != nil {
		return api.NewProblem(api.CodeForbidden, "open the page of upkeep itself, under one name", "the request comes from a page of another site")
	}
	return nil
}

// hostOf is the name that a request is for, without port.
func hostOf(r *http.Request) string {
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
}

func (d *Door) ours(terms *Terms, host string, tls bool) bool {
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	if tls && len(terms.Hosts) == 0 {
		return true // the certificate says whose name it is
	}
	return slices.Contains(d.hosts, host) || slices.ContainsFunc(terms.Hosts, func(name string) bool {
		return cmp.Compare(strings.ToLower(name), host) == 0
	})
}

// quoted is a text of a stranger in a message.
func quoted(text string) string {
	const most = 100
	clean := strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' || c == '"' {
			return '?'
		}
		return c
	}, text)
	if len(clean) > most {
		clean = clean[:most] + "…"
	}
	return `"` + clean + `"`
}

// policy is the Content-Security-Policy of everything that is answered: only
// our own files, no inline scripts or styles, no frames.
const policy = "default-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'; object-src 'none'"

// Harden sets the headers that keep browsers from letting others use the
// answer.
func (d *Door) Harden(header http.Header, r *http.Request) {
	header.Set("Content-Security-Policy", policy)
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	// Not no-referrer, with which browsers send no origin with forms.
	header.Set("Referrer-Policy", "same-origin")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("X-Frame-Options", "DENY")
	if strict := d.o.Terms().Strict; strict > 0 && d.Secure(r) {
		header.Set("Strict-Transport-Security", "max-age="+strconv.FormatInt(int64(strict.Seconds()), 10))
	}
}
