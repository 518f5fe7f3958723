package post

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
)

// longestTimeout is as long as the dispatcher lets one message take.
const longestTimeout = 30 * time.Second

// proxyFromEnvironment is the word for HTTPS_PROXY and its like.
const proxyFromEnvironment = "environment"

// Options are the settings that all channels over HTTP share; they embed them
// with `yaml:",inline"`.
type Options struct {
	Timeout unit.Duration `yaml:"timeout" doc:"How long one message may take, from the connection to the answer, 1s to 30s."`
	CAFile  unit.Path     `yaml:"ca_file" doc:"PEM file with the certificates of the authorities that are trusted for this server, instead of those of the system." example:"secrets/ca.pem"`
	Proxy   secret.String `yaml:"proxy" doc:"The URL of a proxy, or environment for HTTPS_PROXY and its like; none without it." example:"http://proxy.internal:3128"`
}

// Defaults returns the options of who sets none.
func Defaults() Options { return Options{Timeout: unit.Duration(20 * time.Second)} }

// Validate returns *jobs.FieldError, several joined.
func (o *Options) Validate() error {
	var errs []error
	if t := o.Timeout.Std(); t < time.Second || t > longestTimeout {
		errs = append(errs, jobs.Fieldf("timeout", "%s is not between 1s and %s", o.Timeout, unit.Duration(longestTimeout)))
	}
	if text := o.Proxy.Reveal(); text != "" && text != proxyFromEnvironment {
		if u, err := url.Parse(text); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "socks5" {
			errs = append(errs, &jobs.FieldError{Field: "proxy", Why: "it is not the URL of a proxy", Hint: "write http://HOST:PORT, or environment"})
		}
	}
	return errors.Join(errs...)
}

// CheckURL looks at the address under an option, without telling it: messages
// go over https, or over http when plain allows it or the server is on this
// machine.
func CheckURL(field, text string, plain bool) error {
	wrong := func(why, hint string) error { return &jobs.FieldError{Field: field, Why: why, Hint: hint} }
	u, err := url.Parse(text)
	switch {
	case text == "":
		return wrong("it is empty", "is the variable or the file set that it comes from?")
	case strings.ContainsFunc(text, func(c rune) bool { return c <= ' ' || c == 0x7f }):
		return wrong("it holds white space or a line end", "keep it in a file with one line, or quote it")
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return wrong("it is not a URL", "write https://HOST/PATH")
	case u.Fragment != "":
		return wrong("it holds a fragment, which no server gets to see", "remove all from # on")
	case u.Scheme == "http" && !plain && !loopback(u.Hostname()):
		return wrong(fmt.Sprintf("messages to %s would travel unprotected", u.Hostname()), "use https; http is for a server on this machine")
	}
	return nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// secretsOf returns the parts of a URL that may open what it leads to: all of
// it, its path and query, and what stands long in them. Hosts are no secret.
func secretsOf(text string) []string {
	out := []string{text}
	u, err := url.Parse(text)
	if err != nil {
		return out
	}
	add := func(part string) {
		if len(part) >= shortestPart {
			out = append(out, part)
		}
	}
	add(strings.TrimPrefix(u.EscapedPath(), "/"))
	add(u.RequestURI())
	for part := range strings.SplitSeq(u.Path, "/") {
		add(part)
	}
	for _, values := range u.Query() {
		for _, value := range values {
			add(value)
		}
	}
	return out
}

// shortestPart is the length of the shortest part of a URL that is taken for a
// secret; shorter ones are words such as services or hooks.
const shortestPart = 10
