package certificate

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
)

// dialsAtOnce bounds how many places are dialed at the same time.
const dialsAtOnce = 8

// look is what was found about one certificate.
type look struct {
	of   Certificate
	name string
	// disk is what the file holds; nil when there is none or it cannot be read.
	disk *chain
	// served is what each place shows; nil for one that does not answer.
	served []*chain
	errs   []error

	findings []jobs.Finding
	values   map[string]float64
}

// look looks at a certificate and judges it. Its error wraps the cause of ctx.
func (j *Job) look(ctx context.Context, env *jobs.Env, c Certificate) (*look, error) {
	l := &look{of: c, name: jobs.NameFrom(c.name()), values: map[string]float64{}}
	roots, err := authorities(c)
	if err != nil {
		l.add(env, "ca", "", jobs.Critical, err.Error())
	}
	if c.File != "" {
		l.disk, err = readChain(string(c.File))
		if err != nil {
			l.add(env, "file", "", jobs.Critical, err.Error())
		} else {
			j.judge(env, l, l.disk, roots, "", c.Names)
			l.key(env)
		}
	}
	l.dial(ctx, j.options.Timeout.Std())
	if ctx.Err() != nil {
		return nil, fmt.Errorf("look at certificate %s: %w", l.name, context.Cause(ctx))
	}
	for i, p := range c.Served {
		shown := l.served[i]
		if err := l.errs[i]; err != nil {
			l.add(env, "dial", p.address(), jobs.Critical, err.Error())
			continue
		}
		j.judge(env, l, shown, roots, p.address(), append([]string{p.serverName()}, c.Names...))
		if l.disk != nil && shown.fingerprint() != l.disk.fingerprint() {
			l.add(env, "served", p.address(), jobs.Warning, fmt.Sprintf("it serves another certificate than the one in %s, which expires %s; the served one expires %s",
				c.File, day(l.disk.leaf.NotAfter), day(shown.leaf.NotAfter)))
		}
	}
	return l, nil
}

// dial dials all places, some at once.
func (l *look) dial(ctx context.Context, timeout time.Duration) {
	l.served, l.errs = make([]*chain, len(l.of.Served)), make([]error, len(l.of.Served))
	room := make(chan struct{}, dialsAtOnce)
	var wg sync.WaitGroup
	for i, p := range l.of.Served {
		room <- struct{}{}
		wg.Go(func() {
			l.served[i], l.errs[i] = dial(ctx, p, timeout)
			<-room
		})
	}
	wg.Wait()
}

func authorities(c Certificate) (*x509.CertPool, error) {
	if c.CA == "" {
		return nil, nil
	}
	text, _, err := readFile(string(c.CA))
	if err != nil {
		return nil, fmt.Errorf("read the authorities to trust: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("read the authorities to trust: %s holds no certificate", c.CA)
	}
	return roots, nil
}

// add notes a finding about the certificate, at a place or in its file.
func (l *look) add(env *jobs.Env, id, where string, s jobs.Severity, text string) {
	id += ":" + l.name
	title := l.name
	if where != "" {
		id += ":" + strings.ReplaceAll(where, ":", "_")
		title += " at " + where
	}
	l.findings = append(l.findings, jobs.Finding{ID: jobs.FindingIDFrom(id), Severity: s, Text: env.OneLine(title + ": " + text)})
}

// judge judges one certificate with its chain.
func (j *Job) judge(env *jobs.Env, l *look, c *chain, roots *x509.CertPool, where string, names []string) {
	now := time.Now()
	j.expiry(env, l, c, where, now)
	if roots != nil || l.of.CA == "" {
		if err := c.verify(roots, now); err != nil {
			l.add(env, "chain", where, jobs.Critical, err.Error())
		}
	}
	seen := map[string]bool{}
	for _, name := range names {
		if seen[name] {
			continue
		}
		seen[name] = true
		if err := c.leaf.VerifyHostname(name); err != nil {
			l.add(env, "names", where, jobs.Critical, fmt.Sprintf("the certificate is not for %s", name))
		}
	}
}

// expiry judges how long a certificate is valid.
func (j *Job) expiry(env *jobs.Env, l *look, c *chain, where string, now time.Time) {
	o := j.options
	left, share := c.left(now)
	days := math.Floor(left.Hours()/24*100) / 100
	if before, known := l.values["days_left."+l.name]; !known || days < before {
		l.values["days_left."+l.name], l.values["lifetime_percent."+l.name] = days, math.Round(share*100)/100
	}
	text := fmt.Sprintf("expires %s, in %.1f days (%.0f %% of its lifetime)", day(c.leaf.NotAfter), left.Hours()/24, share)
	switch {
	case left <= 0:
		l.add(env, "expiry", where, jobs.Critical, "expired "+day(c.leaf.NotAfter))
	case now.Before(c.leaf.NotBefore):
		l.add(env, "expiry", where, jobs.Critical, fmt.Sprintf("is not valid before %s: is the clock right?", c.leaf.NotBefore.UTC().Format(time.RFC3339)))
	case share < float64(o.Crit) || left < o.CritBefore.Std():
		l.add(env, "expiry", where, jobs.Critical, text+limit(o.Crit, o.CritBefore))
	case share < float64(o.Warn) || left < o.WarnBefore.Std():
		l.add(env, "expiry", where, jobs.Warning, text+limit(o.Warn, o.WarnBefore))
	}
}

func limit(share unit.Share, before unit.Duration) string {
	if before == 0 {
		return fmt.Sprintf(", limit %s", share)
	}
	return fmt.Sprintf(", limit %s or %s", share, before)
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// key judges the key's file.
func (l *look) key(env *jobs.Env) {
	path := string(l.of.Key)
	if path == "" {
		return
	}
	text, mode, err := readFile(path)
	if mode.Perm()&0o027 != 0 && mode != 0 {
		l.add(env, "key_mode", "", jobs.Warning, fmt.Sprintf("the key %s may be read by everybody or written by others (%04o); use 0600 or 0640", path, mode.Perm()))
	}
	switch {
	case errors.Is(err, fs.ErrPermission):
		l.add(env, "unknown:key", "", jobs.Warning, "the key was not compared with the certificate: "+err.Error())
		return
	case err != nil:
		l.add(env, "key", "", jobs.Critical, err.Error())
		return
	}
	public, err := publicKey(text)
	switch {
	case errors.Is(err, errEncrypted):
		l.add(env, "unknown:key", "", jobs.Warning, err.Error())
	case err != nil:
		l.add(env, "key", "", jobs.Critical, fmt.Sprintf("%s: %s", path, err))
	case !belongs(public, l.disk.leaf):
		l.add(env, "key", "", jobs.Critical, fmt.Sprintf("the key %s does not belong to the certificate in %s", path, l.of.File))
	}
}

// stale tells whether a place serves another certificate than the file holds,
// or none.
func (l *look) stale() bool {
	if l.disk == nil {
		return false
	}
	for _, shown := range l.served {
		if shown == nil || shown.fingerprint() != l.disk.fingerprint() {
			return true
		}
	}
	return false
}
