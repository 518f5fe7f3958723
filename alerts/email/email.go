// Package email sends messages as mail over SMTP. It knows how to speak to one
// submission server, verified and encrypted; it refuses to send a password, or
// anything else, over a connection that others could read, and it keeps no
// connection open between messages.
package email

import (
	"context"
	"net/mail"

	"github.com/ghosteam/upkeep/alerts"
	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/jobs"
)

const doc = `Sends mail through an SMTP server.

The connection is encrypted and the server's certificate verified, always: with
'tls: starttls' (the default) a server that does not offer STARTTLS gets neither the
password nor the mail. 'tls: none' is for a mail server on this machine only.

A mail says what failed, why, what to do about it, the last lines of output and what to
type next, as plain text and as HTML. The mail about the end of a fault is an answer to
the mail about its beginning, so that mail programs show both as one conversation. A mail
that has to be sent again has the same Message-ID, by which a mailbox can tell.

What the server refuses for the moment (4xx, a wrong password, a certificate that does
not verify, no connection) is tried again for a day; what it refuses for good (5xx to the
sender, the recipients or the mail) is given up at once. When it refuses some of the
recipients, the others get the mail all the same.`

// Kind returns the kind of channel.
func Kind() alerts.Kind {
	return alerts.Define("email", doc, defaults(), func(name string, o Options) (alerts.Channel, error) {
		return Open(name, o)
	})
}

// Channel is one submission server and whom to tell through it.
type Channel struct {
	name     string
	o        Options
	from     *mail.Address
	to       []*mail.Address
	redactor *secret.Redactor
}

var _ alerts.Styled = (*Channel)(nil)

// Open returns the channel of that configured name. It reaches out to nobody.
func Open(name string, o Options) (*Channel, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	from, err := mail.ParseAddress(o.From)
	if err != nil {
		return nil, jobs.Fieldf("from", "%v", err)
	}
	c := &Channel{name: name, o: o, from: from, redactor: secret.NewRedactor(secret.Collect(o))}
	for _, text := range o.To {
		to, err := mail.ParseAddress(text)
		if err != nil {
			return nil, jobs.Fieldf("to", "%v", err)
		}
		c.to = append(c.to, to)
	}
	return c, nil
}

// Style implements alerts.Styled: one mail may tell of several faults.
func (c *Channel) Style() alerts.Style { return alerts.Gathering }

// Send implements alerts.Channel. The receipt is what the server answered to
// the mail, which with most servers names the mail's place in its queue.
func (c *Channel) Send(ctx context.Context, m alerts.Message) (string, error) {
	text, err := c.compose(m)
	if err != nil {
		return "", &alerts.PermanentError{Err: err}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, c.o.Timeout.Std(), &slowError{c.o.Timeout})
	defer cancel()
	s, err := c.connect(ctx)
	if err != nil {
		return "", c.tell(ctx, err)
	}
	defer s.end()
	receipt, err := s.submit(c.from.Address, c.to, text)
	if err != nil {
		return "", c.tell(ctx, err)
	}
	return c.redactor.Scrub(receipt), nil
}
