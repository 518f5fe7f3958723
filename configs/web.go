package configs

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/ghosteam/upkeep/configs/internal/decode"
	"github.com/ghosteam/upkeep/configs/internal/source"
	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/runner"
)

const (
	// defaultListen is where the web server listens when nothing is said.
	defaultListen = "127.0.0.1:8620"
	// ListenVariable is the environment variable that says where the web server
	// listens, or off, whatever the file says.
	ListenVariable = "UPKEEP_LISTEN"
	// leastCost is the cost of bcrypt below which a hash is quickly guessed, and
	// mostCost the one above which a login takes seconds.
	leastCost = 10
	mostCost  = 15
)

// Web says who may use the API and the pages over TCP. The zero value listens
// nowhere.
type Web struct {
	// Listen is HOST:PORT; empty for no web server. Port 0 is a free one.
	Listen string
	// Anonymous is the role of those who prove nothing. With Direct nobody said
	// which, and it is only for who comes from this machine and through no proxy.
	Anonymous runner.Role
	Direct    bool
	// Users have passwords, in the order of the file.
	Users []WebUser
	// TLS is nil for none.
	TLS *WebTLS
	// Hosts are the names besides those of this machine that requests may be for.
	Hosts []string
	// Proxies are the addresses that are believed about whom they forward.
	Proxies []netip.Prefix
	// Status and Badges tell whether anybody may see /status and /badge.
	Status, Badges bool
}

// WebUser has a password.
type WebUser struct {
	Name string
	// Hash is that of the password, of bcrypt.
	Hash secret.String
	Role runner.Role
}

// WebTLS says where the certificates are. Paths are absolute.
type WebTLS struct {
	Cert, Key string
	// ClientCA signs client certificates, whose roles follow from their common
	// names by Clients; empty for none.
	ClientCA string
	Clients  map[string]runner.Role
	// HSTS is for how long browsers that were here come back by TLS alone; 0
	// leaves that out.
	HSTS time.Duration
}

type webFile struct {
	Listen    string                    `yaml:"listen" doc:"Where it listens: HOST:PORT; 127.0.0.1:8620 by default. Another address than one of this machine needs users, client certificates, or tokens alone." example:"127.0.0.1:8620"`
	Anonymous runner.Role               `yaml:"anonymous" enum:"none,viewer,operator,admin" doc:"What those may do who prove nothing: none, viewer, operator or admin. By default viewer where it listens for this machine alone and no proxy forwards the request, else none."`
	Users     decode.Named[webUserFile] `yaml:"users" doc:"Who may log in with a password (HTTP basic authentication), by name."`
	TLS       *webTLSFile               `yaml:"tls" doc:"The certificate; without one, nothing is encrypted."`
	Hosts     unit.Names                `yaml:"hosts" doc:"The names besides those of this machine that requests may be for, such as the one that a proxy has." example:"[upkeep.example.com]"`
	Proxy     proxyField                `yaml:"proxy" doc:"Whether a proxy that encrypts stands before it: true for one on this machine, or the addresses of others. Only these are believed about whom they forward."`
	Status    bool                      `yaml:"status" doc:"Whether anybody may see the summary at /status."`
	Badges    bool                      `yaml:"badges" doc:"Whether anybody may see the badges of workflows at /badge/WORKFLOW.svg."`
}

type webUserFile struct {
	PasswordHash secret.String `yaml:"password_hash" required:"true" doc:"The hash of the password, of bcrypt: what upkeep token hash or htpasswd -nB prints." example:"\"${file:secrets/anna.bcrypt}\""`
	Role         runner.Role   `yaml:"role" required:"true" enum:"viewer,operator,admin" doc:"What the user may do: viewer, operator or admin." example:"operator"`
}

type webTLSFile struct {
	Cert     unit.Path             `yaml:"cert" required:"true" doc:"The file of the certificate in PEM, with those between it and the root. It is read anew when it changes." example:"/etc/upkeep/tls.crt"`
	Key      unit.Path             `yaml:"key" required:"true" doc:"The file of its private key in PEM." example:"/etc/upkeep/tls.key"`
	ClientCA unit.Path             `yaml:"client_ca" doc:"The file of the authorities that sign client certificates, in PEM." example:"/etc/upkeep/clients.pem"`
	Clients  map[string]clientRole `yaml:"clients" doc:"What those may do who have a client certificate, by its common name." example:"{prometheus: viewer}"`
	HSTS     unit.Duration         `yaml:"hsts" doc:"For how long browsers that were here come back by TLS alone (Strict-Transport-Security). They apply that to all ports of the name, so it is off unless it is said." example:"180d"`
}

// clientRole is what those may do who have a client certificate.
type clientRole runner.Role

// UnmarshalText reads one of the three words.
func (r *clientRole) UnmarshalText(text []byte) error {
	if *r = clientRole(text); !runner.Role(*r).Grantable() {
		return fmt.Errorf("%q is not a role: write viewer, operator or admin", text)
	}
	return nil
}

// Schema describes the words.
func (*clientRole) Schema(func(reflect.Type) map[string]any) map[string]any {
	return map[string]any{"enum": []any{runner.RoleViewer, runner.RoleOperator, runner.RoleAdmin}}
}

// proxyField says which proxies are believed.
type proxyField struct{ prefixes []netip.Prefix }

// loopbacks are the addresses of this machine.
func loopbacks() []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
}

// Decode reads true, false or a list of addresses.
func (p *proxyField) Decode(d *decode.Decoder, n *source.Node, path string, at source.Pos) {
	if n.Kind == source.Scalar && n.Plain && (n.Text == "true" || n.Text == "false") {
		if n.Text == "true" {
			p.prefixes = loopbacks()
		}
		return
	}
	var list unit.Names
	before := len(d.Problems)
	d.Decode(n, &list, path, at)
	if len(d.Problems) > before {
		return
	}
	for _, text := range list {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			var addr netip.Addr
			if addr, err = netip.ParseAddr(text); err == nil {
				prefix = netip.PrefixFrom(addr, addr.BitLen())
			}
		}
		if err != nil {
			d.Report(n.Pos, "bad-value", path, fmt.Sprintf("%q is not an address", text), "write true for a proxy on this machine, or addresses such as [10.0.0.5, 10.1.0.0/16]")
			continue
		}
		p.prefixes = append(p.prefixes, prefix.Masked())
	}
}

// Schema describes the forms.
func (*proxyField) Schema(inner func(reflect.Type) map[string]any) map[string]any {
	return map[string]any{"anyOf": []any{map[string]any{"type": "boolean"}, inner(reflect.TypeFor[unit.Names]())}}
}

// webField is off, or what is said about the web server.
type webField struct {
	off  bool
	file webFile
}

// Decode reads "off" or the keys.
func (w *webField) Decode(d *decode.Decoder, n *source.Node, path string, at source.Pos) {
	if n.Kind == source.Scalar {
		if w.off = n.Text == "off"; !w.off {
			d.Report(n.Pos, "bad-value", path, fmt.Sprintf("%q is not a value of web", n.Text), "write off, or keys such as {listen: \""+defaultListen+"\"}")
		}
		return
	}
	d.Decode(n, &w.file, path, at)
}

// Schema describes the two forms. Editors that read YAML 1.1 see off as false.
func (*webField) Schema(inner func(reflect.Type) map[string]any) map[string]any {
	return map[string]any{"anyOf": []any{inner(reflect.TypeFor[webFile]()), map[string]any{"enum": []any{"off", false}}}}
}

// web takes what is said about the web server.
func (l *loader) web() {
	f := l.file.Web.file
	listen, off := f.Listen, l.file.Web.off
	if l.catalog.Getenv != nil {
		if text, set := l.catalog.Getenv(ListenVariable); set && text != "" {
			listen, off = text, text == "off"
		}
	}
	if off {
		return
	}
	if listen == "" {
		listen = defaultListen
	}
	w := Web{
		Listen: listen, Anonymous: f.Anonymous, Hosts: f.Hosts, Proxies: f.Proxy.prefixes, Status: f.Status, Badges: f.Badges,
	}
	l.webUsers(&w)
	l.webTLS(&w)
	local, err := checkListen(listen)
	if err != nil {
		l.badWeb("listen", "bad-value", fmt.Sprintf("%q is not an address to listen on: %s", listen, err), "write HOST:PORT, such as 127.0.0.1:8620, or 0.0.0.0:8620 for all addresses of this machine")
	}
	if w.Anonymous == "" {
		w.Anonymous, w.Direct = runner.RoleNone, true
		if local && len(w.Proxies) == 0 {
			w.Anonymous = runner.RoleViewer
		}
	}
	if err == nil && !local && w.Anonymous.Grantable() && len(w.Users) == 0 && (w.TLS == nil || w.TLS.ClientCA == "") {
		l.badWeb("anonymous", "open-web", fmt.Sprintf("%s is not only for this machine, and everybody who reaches it would be %s", listen, w.Anonymous),
			"write anonymous: none, and let people in by `upkeep token create`, users: or tls.client_ca:")
	}
	l.config.Web = w
}

// badWeb reports a mistake below web.
func (l *loader) badWeb(key, rule, message, hint string) {
	l.d.Report(at(l.node, "web."+key, l.node.Pos), rule, "web."+key, message, hint)
}

// checkListen tells whether an address is one to listen on, and whether only
// this machine reaches it.
func checkListen(listen string) (local bool, err error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return false, errors.New("it is not HOST:PORT")
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil {
		return false, errors.New("the port is not a number up to 65535")
	} else if strconv.FormatUint(n, 10) != port {
		return false, errors.New("the port is written with more digits than it has")
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Unmap().IsLoopback(), nil
	}
	if host != "" && !hostName.MatchString(host) {
		return false, errors.New("the host is neither an address nor a name")
	}
	return strings.EqualFold(host, "localhost"), nil
}

// hostName matches the names of hosts (RFC 1123, section 2.1).
var hostName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*\.?$`)

// webUsers takes the users.
func (l *loader) webUsers(w *Web) {
	for _, item := range l.file.Web.file.Users {
		hash := item.Value.PasswordHash
		w.Users = append(w.Users, WebUser{Name: item.Name, Hash: hash, Role: item.Value.Role})
		if hash.Reveal() == "" {
			continue
		}
		path := "web.users." + item.Name + ".password_hash"
		cost, err := bcrypt.Cost([]byte(hash.Reveal()))
		switch {
		case err != nil || !bcryptForm.MatchString(hash.Reveal()):
			l.d.Report(at(item.Node, "password_hash", item.At), "bad-value", path, "it is not a hash of bcrypt", "make one with `upkeep token hash`, or `htpasswd -nB NAME`")
		case cost > mostCost:
			l.d.Report(at(item.Node, "password_hash", item.At), "bad-value", path, fmt.Sprintf("its cost is %d: each login would take seconds", cost), fmt.Sprintf("make one of cost %d to %d", leastCost, mostCost))
		}
	}
	for _, name := range w.Hosts {
		if !hostName.MatchString(name) {
			l.badWeb("hosts", "bad-value", fmt.Sprintf("%q is not the name of a host", name), "write names without ports, such as upkeep.example.com")
		}
	}
}

// bcryptForm matches what bcrypt makes of a password.
var bcryptForm = regexp.MustCompile(`^\$2[aby]\$[0-9]{2}\$[./A-Za-z0-9]{53}$`)

// webTLS takes the certificates.
func (l *loader) webTLS(w *Web) {
	f := l.file.Web.file.TLS
	if f == nil {
		return
	}
	w.TLS = &WebTLS{Cert: l.absolute(f.Cert), Key: l.absolute(f.Key), ClientCA: l.absolute(f.ClientCA), Clients: map[string]runner.Role{}, HSTS: f.HSTS.Std()}
	for name, role := range f.Clients {
		w.TLS.Clients[name] = runner.Role(role)
	}
	if (f.ClientCA == "") != (len(f.Clients) == 0) && sound(l.d, "web.tls") {
		l.badWeb("tls", "bad-value", "client_ca and clients need each other: who signs the certificates, and what those may do who have one", "give both, or none")
	}
}

// lintWeb looks for what is legal and unsafe.
func (l *loader) lintWeb() {
	w := l.config.Web
	if w.Listen == "" {
		return
	}
	place := func(key string) source.Pos { return at(l.node, "web."+key, l.node.Pos) }
	local, err := checkListen(w.Listen)
	if err == nil && !local && w.TLS == nil && len(w.Proxies) == 0 {
		l.warn(place("listen"), "no-tls", "web.listen", "tokens and passwords go over the network as they are: "+w.Listen+" has no TLS",
			"give tls: {cert: …, key: …}, or write proxy: true when a proxy before it encrypts")
	}
	if w.Anonymous.Allows(runner.RoleOperator) {
		l.warn(place("anonymous"), "open-web", "web.anonymous", fmt.Sprintf("everybody who reaches %s may act as %s without proving who they are", w.Listen, w.Anonymous), "write anonymous: viewer, and give tokens to those who act")
	} else if !local && w.Anonymous.Grantable() {
		l.warn(place("anonymous"), "open-web", "web.anonymous", "everybody who reaches "+w.Listen+" may read all runs and their outputs", "write anonymous: none")
	}
	for _, item := range l.file.Web.file.Users {
		if cost, err := bcrypt.Cost([]byte(item.Value.PasswordHash.Reveal())); err == nil && cost < leastCost {
			l.warn(at(item.Node, "password_hash", item.At), "weak-hash", "web.users."+item.Name+".password_hash", fmt.Sprintf("its cost is %d: whoever has the hash finds the password quickly", cost), fmt.Sprintf("make one with `upkeep token hash`, of cost %d or more", leastCost))
		}
	}
	l.lintCertificates(w)
}

// lintCertificates looks whether the files are there.
func (l *loader) lintCertificates(w Web) {
	if w.TLS == nil {
		return
	}
	files := map[string]string{"cert": w.TLS.Cert, "key": w.TLS.Key, "client_ca": w.TLS.ClientCA}
	for _, key := range slices.Sorted(slices.Values([]string{"cert", "key", "client_ca"})) {
		if files[key] == "" {
			continue
		}
		info, err := os.Stat(files[key])
		switch {
		case err != nil:
			l.warn(at(l.node, "web.tls."+key, l.node.Pos), "missing-file", "web.tls."+key, "the file cannot be found now; the web server stays closed without it: "+errors.Unwrap(err).Error(), "")
		case key == "key" && info.Mode().Perm()&0o007 != 0:
			l.warn(at(l.node, "web.tls.key", l.node.Pos), "readable-key", "web.tls.key", "everybody on this machine may read the private key", "chmod o-rwx "+files[key])
		}
	}
}
