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
	scheme, rest, found := strings.Cut(text, "://")
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
		// url.Parse looks at each as it would at the only one.
		if _, err := url.Parse(scheme + "://" + host); err != nil {
			return nil, err
		}
	}
	u, err := url.Parse(scheme + "://" + rest[:end-len(hosts)] + first + rest[end:])
	if err != nil {
		return nil, err
	}
	u.Host = hosts
	return u, nil
}
