package river

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/riverqueue/river/riverdriver"
)

// bell tells River's producers of this process to look into their queues,
// without a message through the database.
type bell struct {
	all []string
	// rung has a value when names has some.
	rung chan struct{}

	mu    sync.Mutex
	names []string
}

func newBell(all []string) *bell { return &bell{all: all, rung: make(chan struct{}, 1)} }

func (b *bell) ring(names ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, name := range names {
		if !slices.Contains(b.names, name) {
			b.names = append(b.names, name)
		}
	}
	b.signal()
}

// signal is called with mu held.
func (b *bell) signal() {
	if len(b.names) == 0 {
		return
	}
	select {
	case b.rung <- struct{}{}:
	default:
	}
}

// next returns a queue that was rung for; ok is false when there is none.
func (b *bell) next() (name string, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.names) == 0 {
		return "", false
	}
	name, b.names = b.names[0], b.names[1:]
	b.signal()
	return name, true
}

const (
	// reconnectFirst is how long the first try to listen again waits, and
	// reconnectMost how long any does.
	reconnectFirst = 250 * time.Millisecond
	reconnectMost  = 4 * time.Second
	// pingTimeout bounds the look whether the connection lives. Nothing is
	// heard meanwhile.
	pingTimeout = 3 * time.Second
)

// listener hears the database's notifications and the bell. It connects again
// by itself when the connection breaks and goes on hearing the bell meanwhile:
// River would wait up to a minute after some breaks in the life of a process
// (its count of tries is never reset). River calls one method at a time.
type listener struct {
	inner riverdriver.Listener
	queue *Queue
	bell  *bell

	topics []string
	broken bool
	// pause is how long the next try to connect waits.
	pause time.Duration
}

// Connect implements riverdriver.Listener. What was said while nobody listened
// is made up for by a look into every queue.
func (l *listener) Connect(ctx context.Context) error {
	err := l.inner.Connect(ctx)
	l.broken = false
	if err == nil {
		l.bell.ring(l.bell.all...)
	}
	return err
}

// Close implements riverdriver.Listener. How a connection ends does not matter.
func (l *listener) Close(ctx context.Context) error {
	l.topics = nil
	_ = l.inner.Close(ctx)
	return nil
}

// Listen implements riverdriver.Listener.
func (l *listener) Listen(ctx context.Context, topic string) error {
	if !l.broken {
		if err := l.inner.Listen(ctx, topic); err != nil {
			return err
		}
	}
	l.topics = append(l.topics, topic)
	return nil
}

// Unlisten implements riverdriver.Listener.
func (l *listener) Unlisten(ctx context.Context, topic string) error {
	l.topics = slices.DeleteFunc(l.topics, func(t string) bool { return t == topic })
	if l.broken {
		return nil
	}
	if err := l.inner.Unlisten(ctx, topic); err != nil {
		l.lose(ctx, err)
	}
	return nil
}

// Ping implements riverdriver.Listener.
func (l *listener) Ping(ctx context.Context) error {
	if l.broken {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	if err := l.inner.Ping(ctx); err != nil {
		l.lose(ctx, err)
	}
	return nil
}

// Schema implements riverdriver.Listener.
func (l *listener) Schema() string { return l.inner.Schema() }

// SetAfterConnectExec implements riverdriver.Listener.
func (l *listener) SetAfterConnectExec(sql string) { l.inner.SetAfterConnectExec(sql) }

// lose gives up a connection that broke.
func (l *listener) lose(ctx context.Context, err error) {
	l.queue.quiet.problem(ctx, "listen to the database", err)
	_ = l.inner.Close(ctx)
	l.broken, l.pause = true, reconnectFirst
}

// WaitForNotification implements riverdriver.Listener: it returns the next
// notification or ring.
func (l *listener) WaitForNotification(ctx context.Context) (*riverdriver.Notification, error) {
	for {
		if name, ok := l.bell.next(); ok {
			return &riverdriver.Notification{Topic: insertTopic, Payload: insertNotification(name)}, nil
		}
		if l.broken {
			if err := l.mend(ctx); err != nil {
				return nil, err
			}
			continue
		}
		notification, err := l.wait(ctx)
		switch {
		case err == nil || ctx.Err() != nil:
			return notification, err
		case !errors.Is(err, errRung):
			l.lose(ctx, err)
		}
	}
}

// wait waits for a notification; errRung means that the bell was rung first.
func (l *listener) wait(ctx context.Context) (*riverdriver.Notification, error) {
	waiting, stop := context.WithCancel(ctx)
	watched := make(chan bool)
	go func() {
		select {
		case <-l.bell.rung:
			stop()
			watched <- true
		case <-waiting.Done():
			watched <- false
		}
	}()
	notification, err := l.inner.WaitForNotification(waiting)
	stop()
	if rung := <-watched; rung && err != nil {
		return nil, errRung
	}
	return notification, err
}

// errRung reports that the bell was rung.
var errRung = errors.New("the bell was rung")

// mend waits for the bell or for the time to connect again, and does. Its error
// is the end of ctx.
func (l *listener) mend(ctx context.Context) error {
	select {
	case <-l.bell.rung:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(l.pause):
	}
	err := l.inner.Connect(ctx)
	for _, topic := range l.topics {
		if err == nil {
			err = l.inner.Listen(ctx, topic)
		}
	}
	if err != nil {
		l.queue.quiet.problem(ctx, "listen to the database again", err)
		_ = l.inner.Close(context.WithoutCancel(ctx))
		l.pause = min(2*l.pause, reconnectMost)
		return nil
	}
	l.broken = false
	l.bell.ring(l.bell.all...)
	return nil
}
