// Package cluster_test proves that several nodes work together: three real
// services and a PostgreSQL server, each in the namespaces of a machine of its
// own (its network, its processes, its name), are killed, stopped, cut off,
// restarted and replaced, and afterwards the record is compared with the
// calendar and with what the jobs did. It knows the program by its command
// line, its files and the tables of its ledger; it imports none of it.
package cluster_test

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

const (
	// machineVariable makes this binary the first process of a machine.
	machineVariable = "UPKEEP_TEST_MACHINE"
	// insideVariable says that the tests run in a user namespace of their own.
	insideVariable = "UPKEEP_TEST_INSIDE"
)

func TestMain(m *testing.M) {
	if name := os.Getenv(machineVariable); name != "" {
		os.Exit(beMachine(name))
	}
	if os.Geteuid() != 0 {
		os.Exit(asRoot())
	}
	os.Exit(m.Run())
}

// asRoot runs the tests again as root of a user namespace, which may make
// networks without being root of this machine.
func asRoot() int {
	self, err := os.Executable()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	cmd := exec.Command(self, os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), insideVariable+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	if err := cmd.Start(); err != nil {
		fmt.Fprintf(os.Stderr, "these tests make networks: that needs root, or user namespaces, which this system does not give (%v)\n", err)
		return 1
	}
	_ = cmd.Wait() // its exit code says it
	return cmd.ProcessState.ExitCode()
}
