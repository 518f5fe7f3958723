package cluster_test

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The networks, each a bridge: to the database, among the nodes, and to what is
// outside, where messages go.
const (
	toDatabase = "db"
	toPeers    = "peers"
	toOutside  = "out"
)

// subnets are the first three numbers of the addresses in each network, which
// exist in the namespaces of the test alone.
func subnets() map[string]string {
	return map[string]string{toDatabase: "10.86.1", toPeers: "10.86.2", toOutside: "10.86.3"}
}

// outsideAddress is where the test itself stands.
const outsideAddress = "10.86.3.254"

// network is a switch with its bridges and the links to machines.
type network struct {
	hub *machine
}

func newNetwork(t *testing.T) *network {
	t.Helper()
	n := &network{hub: newMachine(t, "hub", unix.CLONE_NEWNET)}
	var lines strings.Builder
	fmt.Fprintln(&lines, "link set lo up")
	for bridge := range subnets() {
		fmt.Fprintf(&lines, "link add %s type bridge stp_state 0 forward_delay 0\nlink set %s up\n", bridge, bridge)
	}
	fmt.Fprintf(&lines, "addr add %s/24 dev %s\n", outsideAddress, toOutside)
	n.hub.run(t, lines.String(), "ip", "-batch", "-")
	return n
}

// connect gives a machine a link into a network under the last number of its
// address, and returns the address.
func (n *network) connect(t *testing.T, m *machine, bridge string, number int) string {
	t.Helper()
	address := addressOf(bridge, number)
	n.hub.run(t, fmt.Sprintf("link add %s type veth peer name %s netns %d\nlink set %s master %s up\n",
		linkOf(m, bridge), bridge, m.init.Process.Pid, linkOf(m, bridge), bridge), "ip", "-batch", "-")
	m.run(t, fmt.Sprintf("link set lo up\naddr add %s/24 dev %s\nlink set %s up\n", address, bridge, bridge), "ip", "-batch", "-")
	return address
}

// addressOf is the address in a network with that last number.
func addressOf(bridge string, number int) string {
	return fmt.Sprintf("%s.%d", subnets()[bridge], number)
}

// reaches tells whether packets of a machine come to an address, and answers
// back: nobody listens on the port, which the other machine says at once.
func (m *machine) reaches(address string) bool {
	err := m.inside(func() error {
		conn, err := net.DialTimeout("tcp", net.JoinHostPort(address, "1"), 500*time.Millisecond)
		if err != nil {
			return err
		}
		return conn.Close()
	})
	return err == nil || errors.Is(err, unix.ECONNREFUSED)
}

// linkOf is the hub's end of a machine's link.
func linkOf(m *machine, bridge string) string { return m.name + "-" + bridge }

// cut takes a machine off a network: what it sends, and what is sent to it,
// vanishes without a word.
func (n *network) cut(t *testing.T, m *machine, bridge string) {
	t.Helper()
	n.hub.run(t, "", "ip", "link", "set", linkOf(m, bridge), "nomaster")
}

// join puts it back.
func (n *network) join(t *testing.T, m *machine, bridge string) {
	t.Helper()
	n.hub.run(t, "", "ip", "link", "set", linkOf(m, bridge), "master", bridge)
}

// listen opens a port outside.
func (n *network) listen(t *testing.T) net.Listener {
	t.Helper()
	var listener net.Listener
	err := n.hub.inside(func() error {
		var err error
		listener, err = (&net.ListenConfig{}).Listen(t.Context(), "tcp", outsideAddress+":0")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return listener
}
