package s3

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"
)

// errStalled ends a request in which no byte moved for too long.
var errStalled = errors.New("no byte moved for too long")

// patience is by how much longer the server may think before it answers than
// bytes may rest: putting the parts of a large upload together takes time.
const patience = 5

// web is how requests travel.
type web struct {
	transport *http.Transport
	timeout   time.Duration
	limit     *limiter
}

func newWeb(o Options) (*web, error) {
	t := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:   10 * time.Second,
		ExpectContinueTimeout: time.Second,
		IdleConnTimeout:       30 * time.Second,
		MaxIdleConnsPerHost:   o.Parallel + 2,
		DisableCompression:    true,
		WriteBufferSize:       128 << 10,
		ReadBufferSize:        128 << 10,
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12},
		// One connection each for parts on their way beats one for all of them.
		Protocols: new(http.Protocols),
	}
	t.Protocols.SetHTTP1(true)
	if o.CAFile != "" {
		pool, err := readAuthorities(o.CAFile.String())
		if err != nil {
			return nil, err
		}
		t.TLSClientConfig.RootCAs = pool
	}
	w := &web{transport: t, timeout: o.Timeout.Std()}
	if o.Bandwidth > 0 {
		w.limit = &limiter{rate: o.Bandwidth.Bytes()}
	}
	return w, nil
}

func (w *web) client() *http.Client {
	return &http.Client{
		Transport: w,
		// A redirect means another region or server, to which nothing is to be sent.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// RoundTrip implements http.RoundTripper: it ends a request in which nothing
// moves any more.
func (w *web) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	watch := &watch{timeout: w.timeout, cancel: cancel}
	watch.timer = time.AfterFunc(w.timeout*patience, watch.fire)
	sent := req.Clone(ctx)
	if req.Body != nil && req.Body != http.NoBody {
		sent.Body = &sending{ReadCloser: req.Body, ctx: ctx, watch: watch, limit: w.limit}
	}
	resp, err := w.transport.RoundTrip(sent)
	if err != nil {
		watch.timer.Stop()
		if errors.Is(context.Cause(ctx), errStalled) {
			err = fmt.Errorf("%w (%s)", errStalled, w.timeout)
		}
		cancel(nil)
		return nil, err
	}
	watch.answered()
	resp.Body = &receiving{ReadCloser: resp.Body, ctx: ctx, watch: watch}
	return resp, nil
}

// watch ends a request when it is not told in time that something moved.
type watch struct {
	timeout time.Duration
	cancel  context.CancelCauseFunc

	mu     sync.Mutex
	timer  *time.Timer
	answer bool
}

func (w *watch) fire() { w.cancel(errStalled) }

// moved allows so much rest while the request is being sent.
func (w *watch) moved(rest time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.answer {
		w.timer.Reset(rest)
	}
}

// answered ends the watch over the request. From now on only Reads of the
// answer are watched: the pauses of who reads it are not the server's.
func (w *watch) answered() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answer = true
	w.timer.Stop()
}

// sending is the body of a request.
type sending struct {
	io.ReadCloser
	ctx   context.Context
	watch *watch
	limit *limiter
}

// Read implements io.Reader.
func (s *sending) Read(p []byte) (int, error) {
	if err := s.limit.wait(s.ctx, &p); err != nil {
		return 0, err
	}
	n, err := s.ReadCloser.Read(p)
	if err != nil {
		// All is handed over; now the server thinks.
		s.watch.moved(s.watch.timeout * patience)
	} else {
		s.watch.moved(s.watch.timeout)
	}
	return n, err
}

// receiving is the body of an answer.
type receiving struct {
	io.ReadCloser
	ctx   context.Context
	watch *watch
}

// Read implements io.Reader.
func (r *receiving) Read(p []byte) (int, error) {
	r.watch.timer.Reset(r.watch.timeout)
	n, err := r.ReadCloser.Read(p)
	r.watch.timer.Stop()
	if err != nil && !errors.Is(err, io.EOF) && errors.Is(context.Cause(r.ctx), errStalled) {
		err = fmt.Errorf("%w (%s)", errStalled, r.watch.timeout)
	}
	return n, err
}

// Close implements io.Closer.
func (r *receiving) Close() error {
	r.watch.timer.Stop()
	err := r.ReadCloser.Close()
	r.watch.cancel(nil)
	return err
}

// limiter bounds bytes per second over all requests of a store. The nil
// limiter bounds nothing.
type limiter struct {
	rate int64

	mu   sync.Mutex
	next time.Time
}

// wait shortens p to what fits into a fiftieth of a second, and waits for its
// turn.
func (l *limiter) wait(ctx context.Context, p *[]byte) error {
	if l == nil {
		return nil
	}
	n := min(int64(len(*p)), max(l.rate/50, 1))
	*p = (*p)[:n]
	l.mu.Lock()
	now := time.Now()
	turn := l.next
	if turn.Before(now) {
		turn = now
	}
	l.next = turn.Add(time.Duration(float64(n) / float64(l.rate) * float64(time.Second)))
	l.mu.Unlock()
	timer := time.NewTimer(turn.Sub(now))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func jitter(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return rand.N(d)
}
