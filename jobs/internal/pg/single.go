package pg

import "context"

// ExecOne runs a text that must be one single statement: a server that is sent
// several in this way refuses them all. What people wrote into a configuration
// or on a command line goes this way.
func (c *Conn) ExecOne(ctx context.Context, statement string) error {
	return c.PgConn().ExecParams(ctx, statement, nil, nil, nil, nil).Read().Err
}
