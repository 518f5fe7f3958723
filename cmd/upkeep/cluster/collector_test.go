package cluster_test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

// collector is the receiver of messages, outside. As the documentation of the
// channel asks for, it keeps the keys that it has seen.
type collector struct {
	url string

	mu   sync.Mutex
	seen map[string][]sent // by Idempotency-Key
	told []told
}

// sent is one message that came, from an address.
type sent struct {
	at   time.Time
	from string
}

// told is one thing that somebody was told of an incident.
type told struct {
	key, incident, action string
	at                    time.Time
}

// message is what the test reads of a message.
type message struct {
	ID       string `json:"id"`
	Action   string `json:"action"`
	Combined bool   `json:"combined"`
	Incident *struct {
		ID string `json:"id"`
	} `json:"incident"`
	Items []struct {
		Notice   string `json:"notice"`
		Action   string `json:"action"`
		Incident string `json:"incident"`
	} `json:"items"`
}

func newCollector(t *testing.T, n *network) *collector {
	t.Helper()
	listener := n.listen(t)
	c := &collector{url: fmt.Sprintf("http://%s/", listener.Addr()), seen: map[string][]sent{}}
	server := &http.Server{Handler: c, ReadHeaderTimeout: time.Minute}
	ended := make(chan struct{})
	go func() {
		_ = server.Serve(listener) // until it is closed
		close(ended)
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-ended
	})
	return c
}

// ServeHTTP takes a message.
func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var m message
	if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	key, now := r.Header.Get("Idempotency-Key"), time.Now()
	from, _, _ := net.SplitHostPort(r.RemoteAddr)
	c.seen[key] = append(c.seen[key], sent{now, from})
	if len(c.seen[key]) > 1 {
		return
	}
	if m.Incident != nil {
		c.told = append(c.told, told{key, m.Incident.ID, m.Action, now})
		if m.Combined {
			c.told = append(c.told, told{key, m.Incident.ID, "open", now})
		}
	}
	for _, i := range m.Items {
		c.told = append(c.told, told{key, i.Incident, i.Action, now})
	}
}

// messages returns what was told, and when each key was seen.
func (c *collector) messages() ([]told, map[string][]sent) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]told(nil), c.told...), c.seen
}
