// Package tcp is the probe of anything that listens: whether it accepts
// connections, with TLS or without, how long that takes, and whether it greets
// as expected.
package tcp

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/reach"
)

const doc = `Connects to an address, with TLS if wanted, and judges how long that took and what the server says first.

The time from looking up the name to the end of the handshake, or to the greeting
when one is expected, is judged against ` + "`latency`" + `. ` + "`banner`" + ` is a regular expression
that what the server says first must match; when the server waits for a word from
us, ` + "`send`" + ` is said first. At most 64 KiB are read, and what was read is never shown
unless ` + "`show_banner`" + ` says so. A unix socket is an address too: unix:/run/app.sock.

With ` + "`connectivity: true`" + ` the probe stands for this machine's own way to the outside:
several addresses are tried, and one that answers is enough.

As a check, an address that does not accept is critical. As a job, give it
` + "`fail_on: critical`" + ` when the run shall fail then.

Findings: tcp:KIND when there is no connection, where KIND is dns, tcp, tls,
timeout or banner (it greets with something else); tcp:latency;
tcp:certificate when the certificate it shows expires within ` + "`certificate_warn`" + `.
Outputs: error_kind, address (that was reached).

Values: total_seconds (what latency judges), dns_seconds, connect_seconds,
tls_seconds, banner_seconds, certificate_days (until it expires).`

// Options configure the probe.
type Options struct {
	Address         unit.Names     `yaml:"address" required:"true" doc:"HOST:PORT or unix:PATH; a list is tried in its order until one answers, which connectivity permits." example:"smtp.internal:25"`
	Connectivity    bool           `yaml:"connectivity" doc:"Several addresses may be given, and one that answers is enough."`
	Source          string         `yaml:"source" doc:"The address of this machine from which to connect." example:"10.0.0.5"`
	TLS             bool           `yaml:"tls" doc:"Speak TLS, and verify the certificate."`
	Security        reach.Security `yaml:"certificate" doc:"How the server's certificate is judged; it needs tls."`
	CertificateWarn unit.Duration  `yaml:"certificate_warn" doc:"A certificate that expires sooner is a warning; 0 means no limit. It needs tls." example:"14d"`
	Send            secret.String  `yaml:"send" doc:"What to say first, with \\r\\n and the like as in Go or JSON. It is never shown." example:"'PING\\r\\n'"`
	Banner          string         `yaml:"banner" doc:"A regular expression that must match what the server says." example:"^220 .*ESMTP"`
	ShowBanner      bool           `yaml:"show_banner" doc:"Show what the server said when it is not what was expected."`
	Timeout         unit.Duration  `yaml:"timeout" doc:"The most time for everything."`
	Latency         reach.Latency  `yaml:"latency" limits:"total_seconds" doc:"Limits of the whole time."`
}

const (
	// longestBanner bounds what is read, in bytes.
	longestBanner = 64 << 10
	// phaseBanner is the phase of waiting for the greeting.
	phaseBanner = "banner"
	// socketPrefix begins the address of a unix socket.
	socketPrefix = "unix:"
)

// Kind returns the kind.
func Kind() jobs.Kind {
	defaults := Options{
		Timeout: unit.Duration(6 * time.Second),
		Latency: reach.Latency{Warn: unit.Duration(time.Second), Crit: unit.Duration(5 * time.Second)},
	}
	return jobs.Define("tcp", doc, defaults, build).AsProbe()
}

// Validate reports addresses that are none and options that contradict each
// other.
func (o *Options) Validate() error {
	errs := []error{o.Latency.Validate("latency", o.Timeout)}
	for i, address := range o.Address {
		field := "address"
		if len(o.Address) > 1 {
			field = fmt.Sprintf("address[%d]", i)
		}
		if _, _, err := split(address); err != nil {
			errs = append(errs, jobs.Fieldf(field, "%s", err))
		}
	}
	if len(o.Address) == 0 {
		errs = append(errs, jobs.Fieldf("address", "it is required"))
	}
	if len(o.Address) > 1 && !o.Connectivity {
		errs = append(errs, &jobs.FieldError{Field: "address", Why: "of several addresses each needs a check of its own", Hint: "set `connectivity: true` when one that answers is enough"})
	}
	if o.Source != "" && net.ParseIP(o.Source) == nil {
		errs = append(errs, jobs.Fieldf("source", "%q is not an address of this machine, such as 10.0.0.5", o.Source))
	}
	if !o.TLS && (o.Security != reach.Security{}) {
		errs = append(errs, jobs.Fieldf("certificate", "it needs tls: true"))
	}
	if !o.TLS && o.CertificateWarn > 0 {
		errs = append(errs, jobs.Fieldf("certificate_warn", "it needs tls: true"))
	}
	if _, err := regexp.Compile(o.Banner); err != nil {
		errs = append(errs, jobs.Fieldf("banner", "%s", err))
	}
	if _, err := spoken(o.Send.Reveal()); err != nil {
		errs = append(errs, jobs.Fieldf("send", "%s", err))
	}
	if !o.Send.IsEmpty() && o.Banner == "" {
		errs = append(errs, jobs.Fieldf("send", "it makes no sense without banner, because nobody would listen to the answer"))
	}
	return errors.Join(errs...)
}

// split reads an address.
func split(address string) (network, at string, err error) {
	if path, ok := strings.CutPrefix(address, socketPrefix); ok {
		if !strings.HasPrefix(path, "/") {
			return "", "", errors.New("the path of a unix socket must begin with a slash")
		}
		return "unix", path, nil
	}
	host, port, err := net.SplitHostPort(address)
	n, errPort := strconv.ParseUint(port, 10, 16)
	if err != nil || errPort != nil || host == "" || n == 0 {
		return "", "", fmt.Errorf("%q is not HOST:PORT or unix:PATH", address)
	}
	return "tcp", address, nil
}

// spoken reads backslash escapes.
func spoken(text string) (string, error) {
	if !strings.Contains(text, `\`) {
		return text, nil
	}
	out, err := strconv.Unquote(`"` + strings.ReplaceAll(strings.ReplaceAll(text, `\"`, `"`), `"`, `\"`) + `"`)
	if err != nil {
		return "", errors.New(`what stands behind a backslash must be one of n, r, t, \, " or xHH`)
	}
	return out, nil
}

func build(o Options, _ jobs.Deps) (jobs.Job, error) {
	send, err := spoken(o.Send.Reveal())
	if err != nil {
		return nil, jobs.Fieldf("send", "%s", err)
	}
	banner, err := regexp.Compile(o.Banner)
	if err != nil {
		return nil, jobs.Fieldf("banner", "%s", err)
	}
	return &probe{options: o, send: send, banner: banner}, nil
}

// probe is the job.
type probe struct {
	options Options
	send    string
	banner  *regexp.Regexp
}

// Run tries the addresses.
func (p *probe) Run(ctx context.Context, env *jobs.Env) (jobs.Result, error) {
	doing := "connect to " + strings.Join(p.options.Address, ", ")
	if err := reach.Outer(ctx, doing); err != nil {
		return jobs.Result{}, err
	}
	r := reach.NewReport(env, "tcp")
	inner, cancel := reach.Deadline(ctx, p.options.Timeout.Std())
	defer cancel()
	var last *reach.Fault
	var lastClock *reach.Clock
	for i, address := range p.options.Address {
		clock := reach.NewClock()
		limited, end := share(inner, len(p.options.Address)-i)
		state, err := p.try(limited, clock, address)
		end()
		if outer := reach.Outer(ctx, doing); outer != nil {
			return jobs.Result{}, outer
		}
		if err == nil {
			r.Outputs["address"] = jobs.OneLine(address)
			r.Clock(clock)
			r.Latency(clock.Total(), p.options.Latency, reach.Slowest(clock))
			p.certificate(r, state)
			return r.Result(fmt.Sprintf("%s accepts after %s", address, reach.Short(clock.Total()))), nil
		}
		bad, ok := errors.AsType[*reach.Fault](err)
		if !ok {
			return jobs.Result{}, fmt.Errorf("connect to %s: %w", address, err)
		}
		env.Printf("%s", env.OneLine(address+": "+bad.Error()))
		last, lastClock = bad, clock
	}
	r.Clock(lastClock)
	r.Fault(strings.Join(p.options.Address, ", "), last)
	return r.Result(""), nil
}

// share gives each of the addresses that are left its part of the time.
func share(ctx context.Context, left int) (context.Context, context.CancelFunc) {
	end, ok := ctx.Deadline()
	if !ok || left < 2 {
		return context.WithCancel(ctx)
	}
	return reach.Deadline(ctx, time.Until(end)/time.Duration(left))
}

// try connects to one address. Its error is a *reach.Fault when the fault is not
// ours.
func (p *probe) try(ctx context.Context, clock *reach.Clock, address string) (_ *tls.ConnectionState, err error) {
	network, at, err := split(address)
	if err != nil {
		return nil, err
	}
	var config *tls.Config
	if p.options.TLS {
		host, _, err := net.SplitHostPort(at)
		if err != nil {
			host = "localhost"
		}
		if config, err = p.options.Security.Config(host); err != nil {
			return nil, err
		}
	}
	conn, err := clock.Dial(ctx, p.dialer(network), network, at, config)
	if err != nil {
		return nil, clock.Ended(ctx, err, reach.TCP)
	}
	defer func() { _ = conn.Close() }() // nothing was written that could be lost
	var state *tls.ConnectionState
	if encrypted, ok := conn.(*tls.Conn); ok {
		s := encrypted.ConnectionState()
		state = &s
	}
	if p.options.Banner == "" {
		clock.Begin("")
		return state, nil
	}
	clock.Begin(phaseBanner)
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) }) // ends what is being waited for
	defer stop()
	if err := p.listen(conn); err != nil {
		return nil, clock.Ended(ctx, err, phaseBanner)
	}
	clock.Begin("")
	return state, nil
}

func (p *probe) dialer(network string) *net.Dialer {
	if p.options.Source == "" || network != "tcp" {
		return &net.Dialer{}
	}
	return &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(p.options.Source)}}
}

// listen says what is to be said and reads until the banner matches.
func (p *probe) listen(conn net.Conn) error {
	if p.send != "" {
		if _, err := io.WriteString(conn, p.send); err != nil {
			return fmt.Errorf("speak: %w", err)
		}
	}
	var heard bytes.Buffer
	piece := make([]byte, 4<<10)
	for {
		n, err := conn.Read(piece)
		heard.Write(piece[:n])
		if p.banner.Match(heard.Bytes()) {
			return nil
		}
		switch {
		case errors.Is(err, io.EOF) || heard.Len() >= longestBanner:
			return p.unexpected(heard.Bytes())
		case err != nil && heard.Len() > 0:
			// It spoke, and not the right words: that is what is to be known.
			return p.unexpected(heard.Bytes())
		case err != nil:
			return fmt.Errorf("listen: %w", err)
		}
	}
}

func (p *probe) unexpected(heard []byte) error {
	text := fmt.Sprintf("%d bytes", len(heard))
	if p.options.ShowBanner && len(heard) > 0 {
		text = fmt.Sprintf("%q", jobs.OneLine(string(heard[:min(len(heard), 200)])))
	}
	return &reach.Fault{Kind: phaseBanner, Err: jobs.WithHint(fmt.Errorf("it says %s, which does not match %s", text, p.options.Banner), "is this the server that it should be")}
}

// certificate judges how long the certificate is still good.
func (p *probe) certificate(r *reach.Report, state *tls.ConnectionState) {
	if state == nil || len(state.PeerCertificates) == 0 {
		return
	}
	left := time.Until(state.PeerCertificates[0].NotAfter)
	r.Values["certificate_days"] = float64(int(left.Hours()/24*100)) / 100
	if warn := p.options.CertificateWarn; warn > 0 && left < warn.Std() {
		r.Add("tcp:certificate", jobs.Warning, "its certificate expires in %.1f days, limit %s", left.Hours()/24, warn)
	}
}
