package artifact

import (
	"fmt"
	"slices"

	"github.com/ghosteam/upkeep/jobs/internal/crypt"
)

// lanes groups the targets by the recipients that their copies are encrypted
// to: those of the job and those of the store.
func (p *Publisher) lanes(targets []*target) ([]*lane, error) {
	var lanes []*lane
	var wanted [][]string
	for _, t := range targets {
		texts := p.recipients(t.store)
		at := slices.IndexFunc(wanted, func(other []string) bool { return slices.Equal(other, texts) })
		if at < 0 {
			l, err := p.newLane(texts)
			if err != nil {
				return nil, fmt.Errorf("store %s: encrypt: %w", t.store.name, err)
			}
			at = len(lanes)
			lanes, wanted = append(lanes, l), append(wanted, texts)
		}
		lanes[at].targets = append(lanes[at].targets, t)
		t.lane = lanes[at]
	}
	return lanes, nil
}

func (p *Publisher) newLane(texts []string) (*lane, error) {
	recipients, err := crypt.ParseRecipients(texts)
	if err != nil {
		return nil, err
	}
	l := &lane{recipients: recipients}
	switch {
	case recipients.Empty():
	case p.options.Identity != "":
		l.keys, err = crypt.Load(p.options.Identity.String())
	default:
		l.recipients, l.keys, err = recipients.WithOneTimeKey()
	}
	return l, err
}
