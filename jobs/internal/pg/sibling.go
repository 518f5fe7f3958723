package pg

import (
	"strconv"
	"strings"

	"github.com/ghosteam/upkeep/configs/secret"
)

// Sibling returns the address of another database on the very server that c is
// connected to, with the same user and password, in the form that ParseAddress
// reads.
func (c *Conn) Sibling(database string) secret.String {
	a := c.address.WithDatabase(database)
	out := []string{"host=" + Quote(c.Server.Host), "port=" + strconv.Itoa(c.Server.Port)}
	if c.password != "" {
		out = append(out, "password="+Quote(c.password))
	}
	for keyword, value := range a.keywords {
		switch keyword {
		case "target_session_attrs", "user": // settled: this is the server
		default:
			out = append(out, keyword+"="+Quote(value))
		}
	}
	out = append(out, "user="+Quote(c.Config().User))
	return secret.New(strings.Join(out, " "))
}
