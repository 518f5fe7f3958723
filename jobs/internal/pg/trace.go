package pg

import (
	"context"
	"net"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// The phases of connecting, in their order. TLS is left out when the address
// wants none.
const (
	PhaseDNS     = "dns"
	PhaseConnect = "connect"
	PhaseTLS     = "tls"
	PhaseAuth    = "auth"
	// PhaseLook is the question who the server is, after it has let us in.
	PhaseLook = "look"
)

// ConnectTraced is Connect for whoever wants to know what takes the time: begin
// is called when a phase begins, and again for each further host or address. Of
// several hosts each gets its share of the time that ctx leaves.
func ConnectTraced(ctx context.Context, a Address, application string, begin func(phase string)) (*Conn, error) {
	return a.connectAny(ctx, application, func(c *pgx.ConnConfig, left int) {
		if end, ok := ctx.Deadline(); ok && left > 1 {
			c.ConnectTimeout = max(time.Millisecond, min(c.ConnectTimeout, time.Until(end)/time.Duration(left)))
		}
		encrypts := c.TLSConfig != nil || slices.ContainsFunc(c.Fallbacks, func(f *pgconn.FallbackConfig) bool { return f.TLSConfig != nil })
		lookup, dial := c.LookupFunc, c.DialFunc
		c.LookupFunc = func(ctx context.Context, host string) ([]string, error) {
			begin(PhaseDNS)
			return lookup(ctx, host)
		}
		c.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
			begin(PhaseConnect)
			conn, err := dial(ctx, network, address)
			if err == nil && encrypts {
				begin(PhaseTLS)
			}
			return conn, err
		}
		c.AfterNetConnect = func(_ context.Context, _ *pgconn.Config, conn net.Conn) (net.Conn, error) {
			begin(PhaseAuth)
			return conn, nil
		}
		c.AfterConnect = func(context.Context, *pgconn.PgConn) error {
			begin(PhaseLook)
			return nil
		}
	})
}
