package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/jobs"
)

const (
	// heartbeatTimeout bounds one telling, heartbeatIdle how long nobody looks
	// whether the configuration asks for one meanwhile.
	heartbeatTimeout = 10 * time.Second
	heartbeatIdle    = time.Minute
	// heartbeatAnswer bounds what is read of an answer.
	heartbeatAnswer = 4 << 10
)

// pulse tells somebody outside that the service is well, for as long as it is.
// Whoever does not hear it any more alerts, also when this machine is gone. A
// telling that fails is logged once and holds nothing up.
type pulse struct {
	d *Daemon
	// client is nil for the usual one.
	client *http.Client
	// complaint is what was logged last; empty while all is well.
	complaint string
}

// beat tells it until ctx ends.
func (p *pulse) beat(ctx context.Context) error {
	if p.client == nil {
		// A connection of its own each time: what it tells includes that one can
		// be made. Nobody is followed anywhere.
		p.client = &http.Client{
			Transport:     &http.Transport{DisableKeepAlives: true, Proxy: http.ProxyFromEnvironment},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	for {
		h := p.d.Config().Heartbeat
		wait := heartbeatIdle
		if !h.URL.IsEmpty() {
			wait = h.Every
			p.once(ctx, h)
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}

// once tells it, unless something is wrong.
func (p *pulse) once(ctx context.Context, h configs.Heartbeat) {
	err := p.d.well(ctx)
	if err == nil {
		err = p.tell(ctx, h.URL)
	}
	if ctx.Err() != nil {
		return
	}
	said := ""
	if err != nil {
		said = secret.NewRedactor(secret.Collect(h)).Scrub(jobs.OneLine(err.Error()))
	}
	switch {
	case said == p.complaint:
	case said != "":
		p.d.o.Log.WarnContext(ctx, "the heartbeat is not told", "error", said)
	default:
		p.d.o.Log.InfoContext(ctx, "the heartbeat is told again")
	}
	p.complaint = said
}

// tell asks the address.
func (p *pulse) tell(ctx context.Context, address secret.String) (err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, heartbeatTimeout, fmt.Errorf("no answer within %s", heartbeatTimeout))
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address.Reveal(), nil)
	if err != nil {
		return errors.New("the address cannot be asked")
	}
	request.Header.Set("User-Agent", "upkeep/"+p.d.o.Version)
	answer, err := p.client.Do(request)
	if err != nil {
		return fmt.Errorf("tell the heartbeat: %w", err)
	}
	defer func() { err = errors.Join(err, answer.Body.Close()) }()
	if _, err := io.Copy(io.Discard, io.LimitReader(answer.Body, heartbeatAnswer)); err != nil {
		return fmt.Errorf("read the answer to the heartbeat: %w", err)
	}
	if answer.StatusCode < 200 || answer.StatusCode > 299 {
		return fmt.Errorf("the heartbeat was answered %s", answer.Status)
	}
	return nil
}

// well tells whether the service does its work: the ledger takes writes, the
// clock goes, and alerts get out.
func (d *Daemon) well(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, heartbeatTimeout, fmt.Errorf("no answer within %s", heartbeatTimeout))
	defer cancel()
	if err := d.ledger.Heartbeat(ctx); err != nil {
		return fmt.Errorf("the ledger takes no writes: %w", err)
	}
	if !d.ticker.Alive() {
		return errors.New("the clock of the schedule stands still")
	}
	if stuck := d.stuckOutbox(ctx); stuck != "" {
		return errors.New(stuck)
	}
	return nil
}

// stuckOutbox says what is wrong when alerts do not get out; empty when they do.
func (d *Daemon) stuckOutbox(ctx context.Context) string {
	o := d.outbox(ctx)
	if o.OldestAt == nil || time.Since(*o.OldestAt) <= stuckAfter {
		return ""
	}
	return fmt.Sprintf("%d notices are owed, the oldest since %s", o.Pending, o.OldestAt.Format(time.RFC3339))
}
