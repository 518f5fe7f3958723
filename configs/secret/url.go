package secret

import (
	"net/url"
	"strings"
)

// ParseURL is url.Parse for addresses that may name several hosts, each with a
// port, as those of PostgreSQL do: postgres://USER@HOST1:5432,HOST2:5432/DATABASE
// (https://www.postgresql.org/docs/current/libpq-connect.html, Connection URIs).
// Host of what it returns is the whole list. Its error may quote parts of text.
func ParseURL(text string) (*url.URL, error) {
	_, rest, found := strings.Cut(text, "://")
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	hosts := rest[strings.LastIndexByte(rest[:end], '@')+1 : end]
	first, _, several := strings.Cut(hosts, ",")
	if !found || !several {
		return url.Parse(text)
	}
	for host := range strings.SplitSeq(hosts, ",") {
		// url.Parse looks at each as it would at the only one, and closer at those of
		// the web.
		if _, err := url.Parse("http://" + host); err != nil {
			return nil, err
		}
	}
	u, err := url.Parse(text[:len(text)-len(rest)] + rest[:end-len(hosts)] + first + rest[end:])
	if err != nil {
		return nil, err
	}
	u.Host = hosts
	return u, nil
}
