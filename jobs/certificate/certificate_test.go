package certificate_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/certificate"
	"github.com/ghosteam/upkeep/jobs/jobstest"
)

func TestLook(t *testing.T) {
	t.Parallel()
	ca, other := newAuthority(t), newAuthority(t)
	good := ca.server(t, 10, 80)
	self := issue(t, nil, func(c *x509.Certificate) { c.DNSNames = []string{"localhost"} })
	old := ca.server(t, 90, -1)
	chain := func(p pair) []*x509.Certificate { return []*x509.Certificate{p.cert, ca.middle.cert} }
	for name, tt := range map[string]struct {
		// disk and key are files; served is what is shown.
		disk   []*x509.Certificate
		key    pair
		served pair
		bare   bool
		mode   os.FileMode
		change func(o *certificate.Options)
		want   string
	}{
		"good":              {disk: chain(good), key: good, served: good},
		"expired":           {disk: chain(old), want: "expiry=critical"},
		"expired, served":   {served: old, want: "expiry=critical"},
		"not yet":           {disk: chain(ca.server(t, -1, 90)), want: "expiry=critical"},
		"a quarter":         {disk: chain(ca.server(t, 76, 24)), want: "expiry=warning"},
		"an eighth":         {disk: chain(ca.server(t, 88, 12)), want: "expiry=critical"},
		"short-lived":       {disk: chain(ca.server(t, 3, 3))},
		"short-lived, late": {disk: chain(ca.server(t, 5, 1)), want: "expiry=warning"},
		"days":              {disk: chain(good), change: func(o *certificate.Options) { o.WarnBefore = unit.Duration(81 * day) }, want: "expiry=warning"},
		"critical days":     {disk: chain(good), change: func(o *certificate.Options) { o.CritBefore = unit.Duration(81 * day) }, want: "expiry=critical"},
		"other name":        {disk: chain(good), change: func(o *certificate.Options) { o.Certificates[0].Names = []string{"localhost", "a.example"} }, want: "names=critical"},
		"other name served": {served: good, change: func(o *certificate.Options) { o.Certificates[0].Served[0].ServerName = "a.example" }, want: "names=critical"},
		"incomplete":        {disk: []*x509.Certificate{good.cert}, want: "chain=critical"},
		"incomplete served": {disk: chain(good), served: good, bare: true, want: "chain=critical"},
		"wrong chain":       {disk: []*x509.Certificate{good.cert, other.middle.cert}, want: "chain=critical"},
		"untrusted":         {disk: chain(good), change: func(o *certificate.Options) { o.Certificates[0].CA = "" }, want: "chain=critical"},
		"self-signed":       {disk: []*x509.Certificate{self.cert}, want: "chain=critical"},
		"other key":         {disk: chain(good), key: self, want: "key=critical"},
		"readable key":      {disk: chain(good), key: good, mode: 0o644, want: "key_mode=warning"},
		"key of a group":    {disk: chain(good), key: good, mode: 0o640},
		"old one served":    {disk: chain(ca.server(t, 1, 89)), served: good, want: "served=warning"},
		"no file":           {change: func(o *certificate.Options) { o.Certificates[0].File = "/nowhere/cert.pem" }, want: "file=critical"},
		"no certificate":    {disk: nil, change: func(o *certificate.Options) { o.Certificates[0].File = "/etc/hostname" }, want: "file=critical"},
		"nobody there": {disk: chain(good), change: func(o *certificate.Options) {
			o.Certificates[0].Served = []certificate.Place{{Address: "127.0.0.1:1"}}
		}, want: "dial=critical"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			c := certificate.Certificate{Name: "web", CA: unit.Path(filepath.Join(dir, "ca.pem"))}
			write(t, string(c.CA), pemOf(ca.root.cert))
			if tt.disk != nil {
				c.File = unit.Path(filepath.Join(dir, "cert.pem"))
				write(t, string(c.File), pemOf(tt.disk...))
				if tt.key.key != nil {
					c.Key = unit.Path(filepath.Join(dir, "key.pem"))
					write(t, string(c.Key), tt.key.keyPEM(t))
					if tt.mode != 0 {
						if err := os.Chmod(string(c.Key), tt.mode); err != nil {
							t.Fatal(err)
						}
					}
				}
			}
			if tt.served.cert != nil {
				shown := chain(tt.served)
				if tt.bare {
					shown = shown[:1]
				}
				c.Served = []certificate.Place{{Address: serve(t, tt.served, shown...)}}
			}
			r, _, err := run(t, jobs.Hooks{}, func(o *certificate.Options) {
				o.Certificates = []certificate.Certificate{c}
				if tt.change != nil {
					tt.change(o)
				}
			})
			if err != nil || ids(r) != tt.want {
				t.Errorf("findings %v, error %v, want %q", r.Findings, err, tt.want)
			}
			if days := r.Values["days_left.web"]; name == "good" && (days < 79.9 || days > 80 || r.Values["lifetime_percent.web"] < 88) {
				t.Errorf("values %v", r.Values)
			}
			if name == "incomplete" && !strings.Contains(r.Findings[0].Text, "the certificate of its issuer, CN=middle, is missing") {
				t.Errorf("findings %v", r.Findings)
			}
		})
	}
}

// TestStartTLS: servers that speak another protocol before TLS.
func TestStartTLS(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	good := ca.server(t, 10, 80)
	dir := t.TempDir()
	ca.save(t, dir, "cert", good)
	start := func(script string) func(c net.Conn) {
		return func(c net.Conn) {
			r := bufio.NewReader(c)
			for line := range strings.SplitSeq(script, "|") {
				if want, ok := strings.CutPrefix(line, "<"); ok {
					if got, err := r.ReadString('\n'); err != nil || !strings.HasPrefix(got, want) {
						return
					}
				} else if _, err := io.WriteString(c, strings.ReplaceAll(line, "~", "\r\n")); err != nil {
					return
				}
			}
			shake(c, func() (*tls.Certificate, error) {
				p, err := tls.LoadX509KeyPair(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "cert.key"))
				return &p, err
			})
		}
	}
	postgres := func(answer string) func(c net.Conn) {
		return func(c net.Conn) {
			request := make([]byte, 8)
			if _, err := io.ReadFull(c, request); err != nil || string(request) != "\x00\x00\x00\x08\x04\xd2\x16\x2f" {
				return
			}
			if _, err := io.WriteString(c, answer); err == nil && answer == "S" {
				start("")(c)
			}
		}
	}
	for name, tt := range map[string]struct {
		protocol string
		serve    func(c net.Conn)
		want     string
	}{
		"smtp":        {"smtp", start("220-hello~220 there~|<EHLO|250-a~250-STARTTLS~250 b~|<STARTTLS|220 go~"), ""},
		"smtp, none":  {"smtp", start("220 there~|<EHLO|250 a~|<STARTTLS|502 no~"), "dial=critical"},
		"smtp, angry": {"smtp", start("554 go away~"), "dial=critical"},
		"imap":        {"imap", start("* OK hello~|<a1 STARTTLS|* CAPABILITY x~a1 OK begin~"), ""},
		"imap, none":  {"imap", start("* OK hello~|<a1 STARTTLS|a1 BAD no~"), "dial=critical"},
		"endless":     {"smtp", start(strings.Repeat("220-x~", 100)), "dial=critical"},
		"postgres":    {"postgres", postgres("S"), ""},
		"no TLS":      {"postgres", postgres("N"), "dial=critical"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, _, err := run(t, jobs.Hooks{}, func(o *certificate.Options) {
				o.Certificates = []certificate.Certificate{{
					CA: unit.Path(filepath.Join(dir, "ca.pem")), Served: []certificate.Place{{Address: accept(t, tt.serve), StartTLS: tt.protocol}},
				}}
			})
			if err != nil || ids(r) != tt.want {
				t.Errorf("findings %v, error %v, want %q", r.Findings, err, tt.want)
			}
		})
	}
}

func TestSilentServer(t *testing.T) {
	t.Parallel()
	address := accept(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	r, _, err := run(t, jobs.Hooks{}, func(o *certificate.Options) {
		o.Timeout = unit.Duration(50 * time.Millisecond)
		o.Certificates = []certificate.Certificate{{Served: []certificate.Place{{Address: address}}}}
	})
	if err != nil || ids(r) != "dial=critical" || !strings.Contains(r.Findings[0].Text, "no certificate within 50ms") {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(o *certificate.Options)
		want   string
	}{
		"none":     {func(o *certificate.Options) { o.Certificates = nil }, "certificates: there is none"},
		"empty":    {func(o *certificate.Options) { o.Certificates[0] = certificate.Certificate{Name: "x"} }, "certificates[0].file:"},
		"key":      {func(o *certificate.Options) { o.Certificates[0].File, o.Certificates[0].Key = "", "k" }, "certificates[0].key:"},
		"twice":    {func(o *certificate.Options) { o.Certificates = append(o.Certificates, o.Certificates[0]) }, "certificates[1].name: two certificates"},
		"address":  {func(o *certificate.Options) { o.Certificates[0].Served[0].Address = ":443" }, "served[0].address:"},
		"starttls": {func(o *certificate.Options) { o.Certificates[0].Served[0].StartTLS = "ftp" }, "served[0].starttls:"},
		"limits":   {func(o *certificate.Options) { o.Crit = 50 }, "crit: "},
		"before":   {func(o *certificate.Options) { o.WarnBefore, o.CritBefore = 1, 2 }, "crit_before: "},
		"lineage":  {func(o *certificate.Options) { o.Renew = &certificate.Renew{} }, "certificates[0].lineage: the file is not in certbot's folder"},
		"option":   {func(o *certificate.Options) { o.Certificates[0].Lineage = "--all" }, "would be taken for an option"},
		"force":    {func(o *certificate.Options) { o.Renew = &certificate.Renew{Arguments: []string{"--force-renewal"}} }, "renew.arguments: a forced renewal"},
		"due":      {func(o *certificate.Options) { o.Renew = &certificate.Renew{Due: 100} }, "renew.due: "},
		"own argv": {func(o *certificate.Options) {
			o.Renew = &certificate.Renew{Run: []string{"a", "b"}, Arguments: []string{"c"}}
		}, "renew.arguments: they are certbot's"},
		"no file": {func(o *certificate.Options) { o.Certificates[0].File, o.Renew = "", &certificate.Renew{} }, "renew: no certificate has a file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			options := certificate.Kind().Options()
			o := jobstest.Options[certificate.Options](t, options)
			o.Certificates = []certificate.Certificate{{File: "/etc/tls/web.pem", Served: []certificate.Place{{Address: "web.example"}}}}
			tt.change(o)
			if _, err := certificate.Kind().Build(options, jobstest.NewDeps(t)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}
