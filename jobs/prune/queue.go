package prune

import "sync"

// queue holds the folders that are yet to be scanned. Scanning one adds more.
type queue struct {
	mu     sync.Mutex
	more   *sync.Cond
	items  []string
	busy   int // items handed out and not done
	failed error
}

func newQueue(first string) *queue {
	q := &queue{items: []string{first}}
	q.more = sync.NewCond(&q.mu)
	return q
}

func (q *queue) add(item string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.items = append(q.items, item)
	q.more.Signal()
}

// next waits for an item; there is none when all are done or one failed. The
// newest comes first, which keeps the queue short in deep trees.
func (q *queue) next() (string, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.items) == 0 && q.busy > 0 && q.failed == nil {
		q.more.Wait()
	}
	if len(q.items) == 0 || q.failed != nil {
		return "", false
	}
	last := len(q.items) - 1
	item := q.items[last]
	q.items = q.items[:last]
	q.busy++
	return item, true
}

// done reports the end of an item, and the first error ends it all.
func (q *queue) done(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.busy--
	if q.failed == nil {
		q.failed = err
	}
	q.more.Broadcast()
}
