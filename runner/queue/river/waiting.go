package river

import (
	"context"
	"sync"
	"time"
)

// waitingCount remembers how many runs wait, so that who asks often does not
// ask the database as often.
type waitingCount struct {
	mu    sync.Mutex
	count int
	at    time.Time
}

const (
	// waitingFor is how long an answer of Waiting is good for.
	waitingFor = time.Second
	// waitingTimeout bounds the question.
	waitingTimeout = 2 * time.Second
)

// Waiting returns how many delivered runs wait that this node may take. Other
// nodes may take them too. The number is up to a second old, and older while
// the database cannot be reached.
func (q *Queue) Waiting() int {
	q.count.mu.Lock()
	defer q.count.mu.Unlock()
	if time.Since(q.count.at) < waitingFor {
		return q.count.count
	}
	ctx, cancel := context.WithTimeout(context.Background(), waitingTimeout)
	defer cancel()
	const query = "SELECT count(*) FROM river_job WHERE state = 'available' AND queue = ANY($1)"
	count := 0
	if err := q.options.Pool.QueryRow(ctx, query, q.names).Scan(&count); err != nil {
		q.quiet.problem(ctx, "count the runs that wait", err)
	} else {
		q.count.count = count
	}
	q.count.at = time.Now()
	return q.count.count
}
