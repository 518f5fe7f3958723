// Package reach is what probes share that ask a server over the network: it
// times the phases of a connection, names what went wrong, bounds the time and
// collects what was found. It knows no protocol above TLS and changes nothing.
package reach

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"github.com/ghosteam/upkeep/jobs"
)

// The kinds of faults, as they stand in findings and in the output error_kind.
const (
	// DNS: the name has no address.
	DNS = "dns"
	// TCP: nobody accepts the connection, or it was cut.
	TCP = "tcp"
	// TLS: no handshake, or a certificate that is not trusted.
	TLS = "tls"
	// Auth: the server does not accept who we are.
	Auth = "auth"
	// Timeout: no answer in time.
	Timeout = "timeout"
	// Status: an answer that says that the server cannot serve.
	Status = "status"
	// Limited: the server asks us to come back later.
	Limited = "limited"
	// Body: an answer that is not what the protocol wants.
	Body = "body"
)

// Fault is why a server could not be asked.
type Fault struct {
	// Kind is one of the constants or a word of the protocol's own, legal in
	// the ID of a finding.
	Kind string
	// Phase is what was under way, such as "tls"; it may be empty.
	Phase string
	// Err is what happened; it may carry a hint.
	Err error
}

// Error says what happened and when.
func (f *Fault) Error() string {
	if f.Phase == "" || f.Phase == f.Kind {
		return fmt.Sprintf("%s: %s", f.Kind, f.Err)
	}
	return fmt.Sprintf("%s (%s): %s", f.Kind, f.Phase, f.Err)
}

// Unwrap returns what happened.
func (f *Fault) Unwrap() error { return f.Err }

// Faultf returns a Fault without a phase.
func Faultf(kind, format string, args ...any) *Fault {
	return &Fault{Kind: kind, Err: fmt.Errorf(format, args...)}
}

// FaultOf names what err is: the Fault in it, or one of the kinds DNS, TCP, TLS
// and Timeout by its nature and by the phase that was under way. An error whose
// nature nothing tells is of the kind fallback.
func FaultOf(err error, phase, fallback string) *Fault {
	if f, ok := errors.AsType[*Fault](err); ok {
		return f
	}
	kind := natureOf(err)
	if kind == TCP && phase == TLS && !isDial(err) {
		kind = TLS // it was accepted, and cut within the handshake
	}
	if kind == "" {
		kind = fallback
	}
	return &Fault{Kind: kind, Phase: phase, Err: withAdvice(err, kind)}
}

func natureOf(err error) string {
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return DNS
	}
	if timed, ok := errors.AsType[net.Error](err); ok && timed.Timeout() || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
		return Timeout
	}
	if _, ok := errors.AsType[*LateError](err); ok {
		return Timeout
	}
	if isTLS(err) {
		return TLS
	}
	if _, ok := errors.AsType[*net.OpError](err); ok || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || isCut(err) {
		return TCP
	}
	return ""
}

func isDial(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial"
}

func isCut(err error) bool {
	for _, no := range []syscall.Errno{syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.ECONNABORTED, syscall.EPIPE, syscall.ENETUNREACH, syscall.EHOSTUNREACH} {
		if errors.Is(err, no) {
			return true
		}
	}
	return false
}

func isTLS(err error) bool {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return true
	}
	if _, ok := errors.AsType[tls.AlertError](err); ok {
		return true
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return true
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return true
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && (op.Op == "remote error" || op.Op == "local error") {
		return true // how crypto/tls reports alerts
	}
	_, ok := errors.AsType[x509.CertificateInvalidError](err)
	return ok
}

// withAdvice adds a hint to an error that has none.
func withAdvice(err error, kind string) error {
	hint := ""
	switch kind {
	case DNS:
		hint = "correct the name of the host, or look at this machine's resolver"
	case TCP:
		hint = "is the server running, are host and port right, and does a firewall stand between"
	case TLS:
		hint = "does the server speak TLS on this port, and is its certificate in date, for this name and of a known authority"
	case Timeout:
		hint = "the server is overloaded, or a firewall drops packets on the way"
	}
	if hint == "" || jobs.HintOf(err) != "" {
		return err
	}
	return jobs.WithHint(err, hint)
}
