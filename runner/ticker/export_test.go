package ticker

import (
	"time"

	"github.com/go-co-op/gocron/v2"
	"github.com/jonboulle/clockwork"
)

// Follow lets the ticker and gocron read the wall clock from now, while timers
// go on as they do in a machine whose clock is set.
func (o *Options) Follow(now func() time.Time) {
	o.Now = now
	o.gocron = []gocron.SchedulerOption{gocron.WithClock(setClock{clockwork.NewRealClock(), now})}
}

type setClock struct {
	clockwork.Clock
	now func() time.Time
}

func (c setClock) Now() time.Time { return c.now() }
