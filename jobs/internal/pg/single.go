package pg

import "context"

// ExecOne runs a text that must be one single statement: a server that is sent
// several in this way refuses them all. What people wrote into a configuration
// or on a command line goes this way.
func (c *Conn) ExecOne(ctx context.Context, statement string) error {
	return c.PgConn().ExecParams(ctx, statement, nil, nil, nil, nil).Read().Err
}

// QueryOne runs a text that must be one single statement, as ExecOne does, and
// returns the first column of its first row as text; nil when there is none.
func (c *Conn) QueryOne(ctx context.Context, statement string) ([]byte, error) {
	r := c.PgConn().ExecParams(ctx, statement, nil, nil, nil, nil).Read()
	if r.Err != nil || len(r.Rows) == 0 || len(r.Rows[0]) == 0 {
		return nil, r.Err
	}
	return r.Rows[0][0], nil
}
