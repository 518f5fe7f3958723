// Package certificate is the kind that looks after TLS certificates: on disk
// and as servers show them. It knows when one has to be renewed, asks certbot
// to, and believes a renewal only when the new certificate is served. It
// refuses to renew what is not due, to force certbot, and to try again what an
// authority limits.
package certificate

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
)

const doc = `Judges TLS certificates on disk and as they are served, and renews those that are due.

**Expiry** is judged as a share of the lifetime, because lifetimes shrink: below ` + "`warn`" + ` of it left (a quarter: 22 days of 90) it is a warning, below
` + "`crit`" + ` (an eighth: 11 days of 90) it is critical. ` + "`warn_before`" + ` and ` + "`crit_before`" + ` add absolute limits; what is reached first counts. An expired certificate,
and one that is not valid yet (which may mean a wrong clock), are critical.

**Each certificate** may have a ` + "`file`" + `, which holds the chain without its root, and places where it is ` + "`served`" + `, which are dialed with the name of the
server (SNI), after STARTTLS where it is said. For both: the chain must be complete, by what stands in the file or is sent alone, and lead to an authority of the system or of
` + "`ca`" + `; the ` + "`names`" + ` must be in it. For a file with a ` + "`key`" + `: it must belong to the certificate, and must not be readable by everybody or writable by a group.
Where there is a file, the served certificate must be the one in it: a difference is a warning, for a renewal that nobody loaded is not noticed until
the old one expires.

**` + "`renew: certbot`" + `** runs ` + "`certbot renew`" + ` for each certificate of which less than ` + "`renew.due`" + ` of the lifetime is left (a third, as certbot has it), and for no other, without
forcing it. The certificate's own hooks run as certbot has them. After that, and when something else is served than stands in the file (a run that died
half way, say), ` + "`renew.reload`" + ` runs, and the places are dialed until they serve what is in the file, ` + "`renew.within`" + ` at most; then it is an error of the job. While another
certbot runs, it is waited for. An answer that an authority's limit is reached is not tried again by the job's ` + "`retry`" + `. A run that renews is an event "certificate".
A check cannot renew.

Values: days_left.NAME and lifetime_percent.NAME, of the one that expires first of the file and the served ones; certificates, renewed.`

// Options are the options of the kind.
type Options struct {
	Certificates []Certificate `yaml:"certificates" required:"true" doc:"The certificates to look after."`
	Warn         unit.Share    `yaml:"warn" limits:"lifetime_percent,below" doc:"Less of the lifetime left than this share is a warning."`
	Crit         unit.Share    `yaml:"crit" doc:"Less of the lifetime left than this share is critical."`
	WarnBefore   unit.Duration `yaml:"warn_before" doc:"Less time left than this is a warning, whatever its share." example:"21d"`
	CritBefore   unit.Duration `yaml:"crit_before" doc:"Less time left than this is critical, whatever its share." example:"7d"`
	Timeout      unit.Duration `yaml:"timeout" doc:"How long one place may take to show its certificate."`
	Renew        *Renew        `yaml:"renew" doc:"How to renew what is due: certbot, or a group of options. Nothing is renewed without it." example:"certbot"`
}

// Certificate is one certificate to look after.
type Certificate struct {
	Name    string    `yaml:"name" doc:"What to call it in values and findings; without it, the name of the folder of certbot that it is in, or the host that serves it." example:"api"`
	File    unit.Path `yaml:"file" doc:"The file with the certificate and the chain, PEM." example:"/etc/letsencrypt/live/api.example.org/fullchain.pem"`
	Key     unit.Path `yaml:"key" doc:"The file with its key, PEM." example:"/etc/letsencrypt/live/api.example.org/privkey.pem"`
	Names   []string  `yaml:"names" doc:"The host names that the certificate must hold." example:"[api.example.org]"`
	Served  []Place   `yaml:"served" doc:"Where the certificate is served." example:"['api.example.org:443', {address: 'mail.example.org:25', starttls: smtp}]"`
	CA      unit.Path `yaml:"ca" doc:"A file of authorities, PEM, to trust instead of the system's."`
	Lineage string    `yaml:"lineage" doc:"The name by which certbot knows it (certbot certificates); without it, the folder of the file."`
}

// Place is where a certificate is served: an address, or a group of options.
type Place struct {
	Address    string `yaml:"address" required:"true" doc:"HOST:PORT; 443 without a port." example:"api.example.org:443"`
	ServerName string `yaml:"server_name" doc:"The name to ask for, which the certificate must hold; the host of the address without it." example:"api.example.org"`
	StartTLS   string `yaml:"starttls" enum:"smtp,imap,postgres" doc:"The protocol that is spoken before TLS; none without it." example:"smtp"`
}

// UnmarshalText reads an address.
func (p *Place) UnmarshalText(text []byte) error {
	*p = Place{Address: string(text)}
	return nil
}

// Shorthand makes an address alone a place.
func (*Place) Shorthand() {}

// Renew says how to renew.
type Renew struct {
	Run       []string                 `yaml:"run" doc:"The program that renews one certificate. A single word is certbot, which gets its arguments from this kind; more are run as they are, with CERTIFICATE in the environment." example:"[/opt/certbot/bin/certbot]"`
	Arguments []string                 `yaml:"arguments" doc:"Further arguments of certbot. Everybody on the machine can see them." example:"[--config-dir, /srv/letsencrypt]"`
	Env       map[string]secret.String `yaml:"env" doc:"Variables of the environment of the program, such as a token for DNS."`
	Due       unit.Share               `yaml:"due" doc:"Renew when less of the lifetime is left than this share."`
	Reload    unit.Command             `yaml:"reload" doc:"What makes the servers load the new certificate." example:"[systemctl, reload, nginx]"`
	Within    unit.Duration            `yaml:"within" doc:"How long it may take after that until the new certificate is served everywhere."`
	Timeout   unit.Duration            `yaml:"timeout" doc:"How long one renewal, and the reload, may take, with the wait for another certbot."`
}

// Shorthand makes the word certbot a group with its defaults.
func (*Renew) Shorthand() {}

// UnmarshalText reads the word certbot.
func (r *Renew) UnmarshalText(text []byte) error {
	if string(text) != certbot {
		return fmt.Errorf("%q is unknown: write certbot, or a group of options", text)
	}
	*r = Renew{}
	return nil
}

const (
	certbot = "certbot"

	starttlsSMTP     = "smtp"
	starttlsIMAP     = "imap"
	starttlsPostgres = "postgres"

	defaultPort    = "443"
	defaultDue     = unit.Share(33)
	defaultWithin  = unit.Duration(time.Minute)
	defaultTimeout = unit.Duration(10 * time.Minute)
)

// Kind returns the kind of job.
func Kind() jobs.Kind {
	return jobs.Define("certificate", doc, Options{Warn: 25, Crit: 12.5, Timeout: unit.Duration(10 * time.Second)}, build).AsProbe()
}

// Validate judges the options.
func (o *Options) Validate() error {
	var errs []error
	if len(o.Certificates) == 0 {
		errs = append(errs, jobs.Fieldf("certificates", "there is none"))
	}
	if o.Crit > o.Warn {
		errs = append(errs, jobs.Fieldf("crit", "%s is above warn, %s", o.Crit, o.Warn))
	}
	if o.CritBefore > o.WarnBefore && o.WarnBefore > 0 {
		errs = append(errs, jobs.Fieldf("crit_before", "%s is above warn_before, %s", o.CritBefore, o.WarnBefore))
	}
	if o.Timeout.Std() < time.Millisecond {
		errs = append(errs, jobs.Fieldf("timeout", "%s is too short", o.Timeout))
	}
	seen := map[string]bool{}
	for i, c := range o.Certificates {
		at := fmt.Sprintf("certificates[%d]", i)
		errs = append(errs, c.validate(at)...)
		if name := jobs.NameFrom(c.name()); seen[name] {
			errs = append(errs, jobs.Fieldf(at+".name", "two certificates are called %q: name them", name))
		} else {
			seen[name] = true
		}
		if o.Renew != nil && o.Renew.isCertbot() && c.File != "" && c.lineage() == "" {
			errs = append(errs, jobs.Fieldf(at+".lineage", "the file is not in certbot's folder live: say by which name certbot knows the certificate"))
		}
	}
	if o.Renew != nil {
		errs = append(errs, o.Renew.validate(o)...)
	}
	return errors.Join(errs...)
}

func (c Certificate) validate(at string) []error {
	var errs []error
	if c.File == "" && len(c.Served) == 0 {
		errs = append(errs, jobs.Fieldf(at+".file", "there is neither a file nor a place where it is served"))
	}
	if c.File == "" && c.Key != "" {
		errs = append(errs, jobs.Fieldf(at+".key", "a key needs the file of its certificate"))
	}
	if jobs.NameFrom(c.name()) == "" {
		errs = append(errs, jobs.Fieldf(at+".name", "there is nothing to call it by"))
	}
	if strings.HasPrefix(c.Lineage, "-") {
		errs = append(errs, jobs.Fieldf(at+".lineage", "%q would be taken for an option", c.Lineage))
	}
	for i, p := range c.Served {
		at := fmt.Sprintf("%s.served[%d]", at, i)
		host, _, err := net.SplitHostPort(p.address())
		if err != nil || host == "" {
			errs = append(errs, jobs.Fieldf(at+".address", "%q is not HOST:PORT", p.Address))
		}
		if !slices.Contains([]string{"", starttlsSMTP, starttlsIMAP, starttlsPostgres}, p.StartTLS) {
			errs = append(errs, jobs.Fieldf(at+".starttls", "%q is unknown: use smtp, imap or postgres", p.StartTLS))
		}
	}
	return errs
}

func (r *Renew) validate(o *Options) []error {
	var errs []error
	if len(r.Run) > 0 && r.Run[0] == "" {
		errs = append(errs, jobs.Fieldf("renew.run", "there is no program"))
	}
	if !r.isCertbot() && len(r.Arguments) > 0 {
		errs = append(errs, jobs.Fieldf("renew.arguments", "they are certbot's; write them into run"))
	}
	if slices.ContainsFunc(r.Arguments, func(a string) bool {
		return a == "--force-renewal" || a == "--force-renew" || a == "--renew-by-default"
	}) {
		errs = append(errs, &jobs.FieldError{Field: "renew.arguments", Why: "a forced renewal uses up what the authority allows in a week", Hint: "certificates that are due are renewed without it"})
	}
	if r.Due < 0 || r.Due >= 100 {
		errs = append(errs, jobs.Fieldf("renew.due", "%s is out of range: use above 0%% to below 100%%", r.Due))
	}
	if !slices.ContainsFunc(o.Certificates, func(c Certificate) bool { return c.File != "" }) {
		errs = append(errs, jobs.Fieldf("renew", "no certificate has a file that could be renewed"))
	}
	return errs
}

// isCertbot tells whether the program is certbot, which we know how to ask.
func (r *Renew) isCertbot() bool { return len(r.Run) <= 1 }

// name is what the certificate is called.
func (c Certificate) name() string {
	switch {
	case c.Name != "":
		return c.Name
	case c.Lineage != "":
		return c.Lineage
	case c.lineage() != "":
		return c.lineage()
	case len(c.Served) > 0:
		host, _, _ := net.SplitHostPort(c.Served[0].address())
		return host
	}
	return strings.TrimSuffix(filepath.Base(string(c.File)), filepath.Ext(string(c.File)))
}

// lineage is the name by which certbot knows the certificate: live/NAME/file.
func (c Certificate) lineage() string {
	if c.Lineage != "" {
		return c.Lineage
	}
	folder := filepath.Dir(string(c.File))
	if filepath.Base(filepath.Dir(folder)) == "live" {
		return filepath.Base(folder)
	}
	return ""
}

// address is where to dial.
func (p Place) address() string {
	if _, _, err := net.SplitHostPort(p.Address); err != nil {
		return net.JoinHostPort(strings.Trim(p.Address, "[]"), defaultPort)
	}
	return p.Address
}

func (p Place) serverName() string {
	if p.ServerName != "" {
		return p.ServerName
	}
	host, _, _ := net.SplitHostPort(p.address())
	return host
}

// Job looks after certificates.
type Job struct {
	options Options
}

var (
	_ jobs.Job       = (*Job)(nil)
	_ jobs.Checker   = (*Job)(nil)
	_ jobs.Exclusive = (*Job)(nil)
	_ jobs.Effectful = (*Job)(nil)
)

func build(o Options, _ jobs.Deps) (jobs.Job, error) {
	if o.Renew != nil {
		r := *o.Renew
		if len(r.Run) == 0 {
			r.Run = []string{certbot}
		}
		if r.Due == 0 {
			r.Due = defaultDue
		}
		if r.Within == 0 {
			r.Within = defaultWithin
		}
		if r.Timeout == 0 {
			r.Timeout = defaultTimeout
		}
		o.Renew = &r
	}
	return &Job{options: o}, nil
}

// LockKeys keeps two jobs of ours from running certbot at once.
func (j *Job) LockKeys() []string {
	if j.options.Renew == nil {
		return nil
	}
	return []string{"certificate/renew"}
}

// Effectful keeps renewals out of checks.
func (j *Job) Effectful() error {
	if j.options.Renew == nil {
		return nil
	}
	return &jobs.FieldError{Field: "renew", Why: "a check may not renew certificates", Hint: "renew in a job of a daily workflow, and only look here"}
}
